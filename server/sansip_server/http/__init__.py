"""The operator's HTTP interface: JSON-RPC, health and figures."""

from sansip_server.http.access import Access
from sansip_server.http.pages import Pages

__all__ = ["Access", "Pages"]
