"""Revisions of the schema; `store.migrate` says how they are applied and what they may do."""
