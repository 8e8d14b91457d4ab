"""An empty database for each scenario."""

from tests.engine.databases import migrated, servers, url

__all__ = ["migrated", "servers", "url"]
