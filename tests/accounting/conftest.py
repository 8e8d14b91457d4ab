"""Ledgers with random histories, on each database."""

from __future__ import annotations

from tests.engine.databases import either_url, migrated, one_pg_url, servers, sqlite_url, url

__all__ = ["either_url", "migrated", "one_pg_url", "servers", "sqlite_url", "url"]
