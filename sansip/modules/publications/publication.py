"""One publication, its row, and what a package says of publications of its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sansip.rows import Table

__all__ = ["PUBLICATIONS", "Publication", "PublicationRow", "Publishing"]


@dataclass(slots=True)
class PublicationRow:
    """One publication. ``expires`` is in seconds since 1970; ``serial`` orders those of one resource."""

    event: str
    resource: str
    etag: str
    type: str
    body: bytes
    expires: float
    serial: float


PUBLICATIONS = Table("publications", PublicationRow, key=("event", "resource", "etag"))


@dataclass(slots=True, eq=False)
class Publication:
    """One publication.

    Attributes:
        event, resource: of which package, for which address-of-record.
        etag: the entity-tag that it has now.
        type, body: media type and octets.
        document: what the package made of the body (``Publishing.check``).
        expires_at: when it ends unless it is refreshed, by the stack's clock.
        serial: the newer ones of a resource have the larger ones.
    """

    event: str
    resource: str
    etag: str
    type: str
    body: bytes
    document: Any
    expires_at: float
    serial: float
    # A request is at work on it, so no other may be (RFC 3903 6: atomically).
    busy: bool = False
    # It was read from a row: another node, or a process before, took it.
    read: bool = False


class Publishing:
    """How a package takes publications. Its module gives it to ``Publications.add``.

    Attributes:
        event: the package.
        types: media types that may be published.
        usual: seconds of a publication that asks for none.
    """

    event: ClassVar[str] = ""
    types: ClassVar[tuple[str, ...]] = ()
    usual: ClassVar[int] = 3_600

    def check(self, resource: str, type: str, body: bytes) -> Any:
        """Return what ``body`` says, kept as ``Publication.document``. Raises ``ValueError``: 400."""
        return None

    def may_publish(self, sender: str, resource: str) -> bool:
        """Whether ``sender``, an address-of-record that is proved, may publish for ``resource``."""
        return sender == resource

    def published(self, resource: str, now: float) -> None:
        """The publications of ``resource`` have changed."""
