"""Resource lists (RFC 4662): one subscription to many users."""

from sansip.modules.lists.module import Lists, ListsSettings

__all__ = ["Lists", "ListsSettings"]
