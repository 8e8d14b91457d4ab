"""Bursar's tests. Folders mirror `src/bursar/`; `support/` holds what tests share."""
