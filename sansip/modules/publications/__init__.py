"""Publications: event state that phones publish for their users (RFC 3903)."""

from sansip.modules.publications.module import Publications
from sansip.modules.publications.publication import Publication, Publishing
from sansip.modules.publications.settings import PublicationsSettings

__all__ = ["Publication", "Publications", "PublicationsSettings", "Publishing"]
