"""What always holds, as named checks: the same list for tests, `bursar verify` and debug runs.

`check_book` takes a working copy as it is, at any moment; it needs no history. `Audit` takes everything there is of
one account, each row once, in pages if there are many; `check_account` does it for rows at hand. A check is a
function whose name says the rule; it yields a `Finding` for each row that breaks it.
"""

from bursar.core.invariants.audit import CHECKS, Audit, check_account
from bursar.core.invariants.books import BOOK_CHECKS, check_book
from bursar.core.invariants.findings import Finding
from bursar.core.invariants.related import Related

__all__ = ["BOOK_CHECKS", "CHECKS", "Audit", "Finding", "Related", "check_account", "check_book"]
