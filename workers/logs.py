"""The service's logging, under the name that workers know it by."""

from registry.logs import configure, get

__all__ = ["configure", "get"]
