"""`python -m bursar`: the command line."""

from bursar.cli.main import main

main()
