"""The contracts are tested over the service."""

from tests.service.conftest import (
    Service,
    database_url,
    each_service,
    open_service,
    servers,
    service,
    settings,
)

__all__ = ["Service", "database_url", "each_service", "open_service", "servers", "service", "settings"]
