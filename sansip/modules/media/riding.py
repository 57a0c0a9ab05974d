"""Calls that pass as octets: the module puts what the proxy asks (``judging``) into the proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.modules.media.judging import Judging
from sansip.modules.media.within import Within

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.media.settings import MediaSettings
    from sansip.proxy.bodies import Bodies

__all__ = ["Riding"]


class Riding(Within):
    """The module with calls that pass as octets."""

    def rides(self) -> bool:
        """Whether plain calls need no hooks: the commands of rtpproxy have steps of their own."""
        return all(one.kind != "rtpproxy" for one in self.settings.relays)

    def start(self, core: Core, now: float) -> None:
        super().start(core, now)
        self._judging = Judging(self)
        self._bodies: Bodies = self._judging
        core.proxy.bodies = self._bodies

    def configure(self, settings: MediaSettings, now: float) -> None:
        super().configure(settings, now)
        self._judging.shared.take(self)

    def stop(self, now: float) -> None:
        """Leave calls that begin from now on as they are."""
        super().stop(now)
        proxy = self.core.proxy
        if proxy.bodies is self._bodies:
            proxy.bodies = None
