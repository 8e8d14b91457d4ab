"""Bursar's own API, `/api/v1`. `verbs` are the requests that are ledger commands; the other modules read, or change
the catalogue.
"""
