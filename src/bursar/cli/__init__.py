"""The command line: it reads words, calls the library's face and prints answers. No rule lives here.

    main        the tree of commands, and exit codes
    session     what one command runs in: the ledger it opens, how it answers, how a refusal looks
    options     arguments and options that commands share, and how their text is read
    output      answers as JSON, as tables for people, as plain lines for pipes
    reference   docs/cli.md, written from the commands themselves

and a module for each family of commands.
"""
