"""Rows, not rules: SQLite and PostgreSQL behind one Protocol (`base`), hand-written SQL, migrations.

`url.open_store` gives a store for a URL, `migrate.migrate` brings its schema up. A store belongs to the event
loop that opened it; after a fork the child opens its own.
"""
