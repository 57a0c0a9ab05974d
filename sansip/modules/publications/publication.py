"""The row of a publication, and what a package says of publications of its kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sansip.modules.publications.held import Publication
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
