"""`bursar bench`: the engine against the naive pattern, side by side in one run, with the mismatch count.

options     what was asked for
results     figures, sides and rounds: what comes out
place       where the bench keeps its tables, and that they are gone afterwards
ledger      a ledger full of accounts, and its audit after the load
load        many callers on one engine
naive       one tx for each charge, as the published systems do it
web         the HTTP figures: servers in processes of their own, and `loadgen`, which loads them
figures     which figures there are, and what each must reach
report      the table for people
"""
