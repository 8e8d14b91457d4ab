"""Databases as the engine's tests have them."""

from tests.engine.databases import either_url, migrated, one_pg_url, servers

__all__ = ["either_url", "migrated", "one_pg_url", "servers"]
