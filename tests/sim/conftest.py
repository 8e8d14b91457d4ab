"""A simulation on a database of its own."""

from tests.engine.databases import migrated, one_pg_url, servers, sqlite_url

__all__ = ["migrated", "one_pg_url", "servers", "sqlite_url"]
