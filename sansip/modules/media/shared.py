"""What calls that ride read of the module ``media``: its parts, where compiled code finds them at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.limits import Limits
    from sansip.module.metrics import Counter, Histogram
    from sansip.modules.media.answering import Answering
    from sansip.modules.media.profiles import Ways
    from sansip.modules.media.relays import Relays
    from sansip.modules.media.sessions import Sessions

__all__ = ["Shared"]


class Shared:
    """The parts of one module.

    Attributes:
        media: the module.
        limits: those of the stack, which a reload changes in place.
        most, set_: ``media.most`` and ``media.set``.
        took, relayed: figures that it has.
        prefix: what its names of calls begin with.
    """

    __slots__ = (
        "limits",
        "media",
        "most",
        "prefix",
        "relayed",
        "relays",
        "sessions",
        "set_",
        "took",
        "ways",
    )

    def __init__(self, media: Answering) -> None:
        self.media = media
        self.limits: Limits = media.core.limits
        self.sessions: Sessions = media._sessions
        self.relays: Relays = media._relays
        self.took: Histogram = media._took
        self.relayed: Counter = media._relayed
        self.prefix: str = media._prefix
        self.take(media)

    @property
    def most_media(self) -> int:
        """Media of a description."""
        most: int = self.limits.sdp_media
        return most

    @property
    def most_dialogs(self) -> int:
        """Callees' tags."""
        most: int = self.limits.early_dialogs
        return most

    def take(self, media: Answering) -> None:
        """Have the settings of ``media``."""
        self.most: int = media.settings.most
        self.set_: str = media.settings.set
        self.ways: Ways = media._ways
