"""An ordinary REGISTER, read in brief, whose binding a store has to take before the 200 leaves.

Theory of operation: without a store ``briefs`` answers at once. Here the answer waits: the change of the
bindings goes the way of all changes (``change``), its plan is made of the parts that were read, and the
transaction absorbs retransmissions meanwhile. If the plan is not an ordinary one (another node has written
another contact), or the store does not take it, the message is read from its octets after all, and the
registrar decides and answers as on the long way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sansip.registrar.ordinary import plan_ordinary
from sansip.routing.change import Change, LocationFull, NotStored
from sansip.routing.incoming import Incoming
from sansip.routing.registration import Planning
from sansip.transport.via import read_noted
from sansip.wire import response_to

if TYPE_CHECKING:
    from sansip.location import Binding, Source
    from sansip.routing.core import Core
    from sansip.transaction import ServerTransaction

__all__ = ["StoredRegister"]


class StoredRegister:
    """One REGISTER on its way to the store.

    Args:
        data: its octets.
        server: its transaction, in which no answer has been sent.
        aor: whose binding it makes.
        sent: as ``plan_ordinary`` takes it.
        asked: the contact, the seconds granted, and the source where a NAT is in between.
        ok: makes the octets of the 200 of the lines behind the copied ones.
        force_rport: as for ``note_source``.
        authenticated: whether the sender has proved to be the user, and ``info``: what makes
            Authentication-Info of the body of a 2xx.
    """

    __slots__ = (
        "_aor",
        "_asked",
        "_core",
        "_count",
        "_data",
        "_force_rport",
        "_handle",
        "_lines",
        "_ok",
        "_planning",
        "_proof",
        "_sent",
        "_server",
    )  # fmt: skip

    def __init__(
        self,
        core: Core,
        data: bytes,
        server: ServerTransaction,
        aor: str,
        sent: tuple[str, int, str | None],
        asked: tuple[str, int, Source | None],
        ok: Callable[[str], bytes],
        force_rport: str,
        authenticated: bool = False,
        info: Callable[[bytes], str] | None = None,
    ) -> None:
        self._core = core
        self._data = data
        self._server = server
        self._aor = aor
        self._sent = sent
        self._asked = asked
        self._ok = ok
        self._force_rport = force_rport
        self._proof = (authenticated, info)
        self._lines = ""
        self._count = 0
        # The long way, once it is needed.
        self._handle: Incoming | None = None
        self._planning: Planning | None = None

    def begin(self, now: float) -> None:
        """Make the change; the answer follows it."""
        proxy = self._core.proxy
        proxy.timers.start(now, proxy.trying_after, self, "trying")
        Change(self._core, self._aor, self._plan, self._owner, now).put(self._done, now)

    def _plan(self, stands: Sequence[Binding], now: float) -> tuple[Binding, ...] | None:
        core = self._core
        if self._planning is None:
            planned = plan_ordinary(
                core.registrar,
                self._sent,
                self._asked[:2],
                self._aor,
                stands,
                now,
                self._server.flow.listener,
                self._asked[2],
                core.wall.offset,
            )
            if planned is not None:
                update, self._lines = planned
                self._count = len(update.after)
                return update.after
            self._planning = Planning(self._read(now), self._aor)
        return self._planning.plan(stands, now)

    def _owner(self) -> str:
        return str(self._server.flow)

    def _done(self, failed: Exception | None, now: float) -> None:
        if failed is None and self._planning is None:
            self._core.registered(self._aor, self._count)
            self._server.feed("send 2xx", self._ok(self._lines), now)
            return
        handle = self._read(now)
        if self._planning is None:
            self._planning = Planning(handle, self._aor)
        if failed is None or isinstance(failed, NotStored | LocationFull):
            self._planning.conclude(failed)
            return
        # A fault of ours, as one of a route is.
        self._core.route_failed(handle.message, failed)
        handle.reply(500)

    def timer_fired(self, _name: str, now: float) -> None:
        """RFC 4320 4.1: a 100 at the time after which a client's Timer E is T2, where there is no answer."""
        server = self._server
        if not server.last and not server.answered:
            server.respond(response_to(self._read(now).message, 100, to_tag=None), now)

    def _read(self, now: float) -> Incoming:
        """Return the request as a route gets it."""
        handle = self._handle
        if handle is None:
            flow = self._server.flow
            message = read_noted(self._data, flow, self._force_rport)
            handle = self._handle = Incoming(self._core, message, flow, self._server, now)
            handle.authenticated, handle.authentication_info = self._proof
        handle.now = now
        return handle
