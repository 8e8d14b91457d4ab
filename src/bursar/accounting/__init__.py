"""What the ledger adds up to: usage, margin, rate of consumption, what is owed, an account's statement.

**Where a number comes from.** Reports for everybody are read from the totals, which are written in the tx of the
transactions that they sum: nothing here scans the ledger. One account's own reports walk its transactions from the
newest back to the first day asked for, by primary key.

**Days** are UTC days on which transactions take effect; a period is half-open, from `since` to before `until`. A refund
counts on the day on which it was given, not on that of its charge. What is due on an account but was done by nobody yet
(the job does it within moments) is not in a report for everybody; an account's own has it done first.

**Exact.** Credits and money are summed as integers and never rounded, but for the rate, which says so.
"""
