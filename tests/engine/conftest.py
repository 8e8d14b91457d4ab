"""An engine on a database of each test's own."""

from tests.engine.databases import either_url, migrated, one_pg_url, pg_url, servers, sqlite_url, url

__all__ = ["either_url", "migrated", "one_pg_url", "pg_url", "servers", "sqlite_url", "url"]
