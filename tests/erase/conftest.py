"""The ledgers that backups are tested on."""

from tests.backup.conftest import new_url, servers, written_url

__all__ = ["new_url", "servers", "written_url"]
