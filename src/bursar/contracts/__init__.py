"""The published systems that Bursar replaces: their functions and texts, in Python's spelling.

A function takes the ledger first: with `Credits` it answers, with `AsyncCredits` it is awaited (`ai_credits` knows the
latter alone). HTTP faces are in `service.contracts`.
"""
