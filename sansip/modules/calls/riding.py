"""Calls that leave as octets, for the module: when they may, and that the proxy tells ``ride`` of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.module import function
from sansip.modules.calls.call import Call
from sansip.modules.calls.operated import Operated
from sansip.modules.calls.ride import Rides
from sansip.sources import source_of

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.calls.counts import Counts
    from sansip.proxy.relayed import Records
    from sansip.transport import Flow

__all__ = ["Riding"]


class Riding(Operated):
    """The records of calls, of those without messages as well."""

    name = "calls"

    def rides(self) -> bool:
        """Whether a plain call has no need of hooks: rows and timers are kept of messages."""
        return not (self.settings.keep or self.settings.session_expires)

    def start(self, core: Core, now: float) -> None:
        super().start(core, now)
        self._former: Records = core.proxy.records
        core.proxy.records = Rides(core, self._book, self._is_shown)

    def stop(self, now: float) -> None:
        """Leave the records of calls that begin from now on to the proxy."""
        super().stop(now)
        self.core.proxy.records = self._former

    @function
    def has_room(self, flow: Flow, authenticated: bool) -> bool:
        """Whether there may be one more call, of the sender at ``flow``."""
        settings = self.settings
        if len(self._calls) >= settings.most:
            return False
        known = authenticated or not self.core.is_stranger(flow)
        stranger = None if known else source_of(flow.host)
        return self._strangers.has_room(stranger, settings.most_of_stranger)

    @function
    def counts_alone(self) -> bool:
        """Whether this process alone counts calls, so that ``count_for`` is right at once."""
        return self._counts.tally is None and self._together is None

    @function
    def present(self) -> Counts:
        """Return the present calls by key, for compiled parts of modules."""
        return self._counts

    @function
    def count_for(self, call: Call, key: str) -> None:
        """Count ``call`` for ``key`` until it ends, or is released."""
        if not call.over:
            self._counts.add(call, key)

    def _is_shown(self, call: Call, handle: Any) -> None:
        raise NotImplementedError
