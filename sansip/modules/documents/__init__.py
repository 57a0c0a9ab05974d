"""Documents of users: presence rules and lists, by application and name (what XCAP serves)."""

from sansip.modules.documents.module import (
    Document,
    DocumentChanged,
    Documents,
    DocumentsRead,
    DocumentsSettings,
)

__all__ = ["Document", "DocumentChanged", "Documents", "DocumentsRead", "DocumentsSettings"]
