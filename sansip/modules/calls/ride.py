"""Calls that leave as octets: records of the module ``calls`` without a message or a hook.

Theory of operation: where every module that has hooks rides (``riding``), a plain call passes as octets, and
the relay tells its record what happens (``sansip.proxy.relayed``). Here that record is a ``Call`` like any
other, in the same tables: what the hooks do for the messages of other calls, a ``Ride`` does for it. The
sides of its dialog are read from the octets of the INVITE and of the 2xx when something needs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.modules.calls.book import UNACKED, Book
from sansip.modules.calls.call import Call, Side, Talk
from sansip.modules.calls.events import CallTried
from sansip.modules.calls.session import interval_of
from sansip.modules.calls.talks import contact_of, place_of_ours
from sansip.proxy.relayed import GONE, shown, tag_of
from sansip.sources import source_of
from sansip.wire import Request, Response, read_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.later import Later
    from sansip.module import Core
    from sansip.proxy.relayed import Record, Relay
    from sansip.transport import Flow
    from sansip.wire.opening import Opening

__all__ = ["Ride", "Rides"]

# Without (?i) the search goes from one line end to the next.
_TIMED: Final = re.compile(rb"\n(?:[sS][eE][sS][sS][iI][oO][nN]-[eE][xX][pP][iI][rR][eE][sS]|[xX])[ \t]*:")
# Its usual spelling is found soonest.
_RECORDED: Final = re.compile(rb"\n(?:Record-Route:|(?i:record-route)[ \t]*:)")


class Ride:
    """An INVITE that left as octets, as the record of its call; ``Call.request`` while it is not answered."""

    __slots__ = ("_came", "_flow", "_relay", "_request", "_rides", "call", "cancelled", "context", "now")

    def __init__(self, rides: Rides, call: Call, relay: Relay, came: bytes, flow: Flow, now: float) -> None:
        self._rides = rides
        self._relay = relay
        self._came = came
        self._flow = flow
        self._request: Request | None = None
        self.call = call
        self.cancelled = False
        self.now = now
        self.context = None

    @property
    def message(self) -> Request:
        """The INVITE as it came."""
        request = self._request
        if request is None:
            request = self._request = read_again(self._came)  # type: ignore[assignment]  # a request
        return request  # type: ignore[return-value]  # the same

    def cancel(self, now: float, reason: str | None) -> None:
        """End its ringing: an operator wants that."""
        self._relay.give_up(now, reason)

    # --- what the relay tells

    def rings(self, now: float) -> None:
        """A provisional response other than 100 went back."""
        call = self.call
        if call.rang is None and call.state == "calling":
            self._rides.book.move(call, "rings", now)

    def answers(self, tags: tuple[str, ...], data: bytes, now: float) -> None:
        """A 2xx went back; ``tags``: as for ``tag_of``."""
        call = self.call
        tag = tag_of(tags, data)
        if call.over or tag in call.talks:
            return
        first = call.answered is None
        self._rides.accepts(self, call, tag, data, self._relay.hop, now)
        if first and not call.over:
            call.request = None

    def fails(self, status: int, reason: str, cancelled: bool, now: float) -> None:
        """The INVITE has its final response, a failure; ``cancelled``: the caller gave up."""
        call = self.call
        if call.request is self and not call.over:
            call.status = status
            by = "server" if call.given_up else "caller" if status == 487 and cancelled else "callee"
            self._rides.book.end(call, by, call.given_up or f"{status} {reason}", now)

    def hung_up(self, from_: str, cseq: str, to_tag: str, status: int, now: float) -> None:
        """Do nothing: this is an INVITE."""

    def is_shown(self, handle: Any) -> bool:
        """Leave the call to the hooks of the module, as if they had seen its INVITE."""
        call = self.call
        if call.request is self:
            call.request = handle
        self._rides.shown(call, handle)
        return True

    def sides(self, data: bytes, flow: Flow, proven: bool) -> tuple[Side, Side]:
        """Return caller and callee of the dialog that the 2xx ``data`` began; it came by ``flow``."""
        call = self.call
        try:
            request, response = self.message, read_again(data)
            assert isinstance(response, Response)
            return (
                Side(
                    request.get("from") or "",
                    contact_of(request) or call.caller,
                    tuple(request.values("record-route")),
                    self._flow,
                    request.cseq.number,
                    proven,
                ),
                # Ours is the only Record-Route value (``wire.opening``), or the next one is the callee's.
                Side(
                    response.get("to") or "",
                    contact_of(response) or call.target,
                    tuple(reversed(response.values("record-route")[:-1])),
                    flow,
                ),
            )
        except RemoteProtocolError:
            return Side("", call.caller, (), self._flow), Side("", call.target, (), flow)


class Ending:
    """A BYE that left as octets."""

    __slots__ = ("_book", "_from_caller", "_talk", "call")

    def __init__(self, book: Book, call: Call, talk: Talk, from_caller: bool) -> None:
        self._book = book
        self._talk = talk
        self._from_caller = from_caller
        self.call = call

    def rings(self, now: float) -> None:
        """Do nothing: this is a BYE."""

    def answers(self, tags: tuple[str, ...], data: bytes, now: float) -> None:
        """The same."""

    def fails(self, status: int, reason: str, cancelled: bool, now: float) -> None:
        """The same."""

    def hung_up(self, from_: str, cseq: str, to_tag: str, status: int, now: float) -> Later[None] | None:
        """The BYE has its final response, which waits for the record of its call."""
        call, talk = self.call, self._talk
        if status >= 300 and status not in GONE:
            side = talk.caller if self._from_caller else talk.callee
            number = cseq.split()[1]
            side.cseq = max(side.cseq, int(number)) if number.isdigit() else side.cseq
            return None
        # A hook has ended it where modules saw this BYE, too.
        if not call.over:
            for one in call.talks.values():
                if one is talk:
                    by = "caller" if self._from_caller else "callee"
                    self._book.over(call, talk, by, "hung up", now)
                    break
        return call.recorded if call.over else None

    def is_shown(self, handle: Any) -> bool:
        """The same."""
        return False


class Rides:
    """The calls of a module as the proxy's records (``sansip.proxy.relayed``).

    ``shown(call, handle)``: the hooks of the module see the messages of the call from now on.
    """

    __slots__ = ("_listeners", "_ours", "_teller", "book", "hears_acks", "sees_messages", "shown")

    def __init__(self, core: Core, book: Book, shown: Callable[[Call, Any], None]) -> None:
        self._listeners = core.listeners
        # Our Record-Route line as it is written, and as it stands in a message.
        self._ours = ("", b"")
        self._teller = core.teller
        self.book = book
        self.shown = shown
        self.hears_acks = self.sees_messages = True

    def opens(
        self,
        relay: Relay,
        opening: Opening,
        data: bytes,
        contact: str,
        flow: Flow,
        now: float,
        begins: Callable[[Any], None] | None = None,
    ) -> Record | None:
        """An INVITE leaves for ``contact`` as octets, ``data``; ``opening`` is what was read of it."""
        book = self.book
        settings = book.settings
        host = flow.host
        stranger = None if opening.proven or self._teller.exempts(flow) else source_of(host)
        if len(book.calls) >= settings.most:
            return None
        if stranger is not None and not book.strangers.take(stranger, settings.most_of_stranger):
            return None
        call = Call(
            book.new_id(),
            opening.call_id,
            opening.from_tag,
            opening.from_,
            opening.to,
            opening.uri,
            host,
            now,
            book.next_number(),
            stranger,
            True,
        )
        call.target = contact
        call.tried = True
        ride = call.request = Ride(self, call, relay, data, flow, now)
        book.enter(call, now)
        if begins is not None:
            begins(call)
        book.tried.add()
        self._teller.tell(CallTried(call), now)
        return ride

    def begins(
        self, call_id: str, tag: str, caller: str, callee: str, asked: str, source: str, now: float
    ) -> None:
        """Do nothing: the hooks of the module see its message."""

    def of(self, call_id: str, from_tag: str | None, to_tag: str | None, uri: str) -> Ending | None:
        """Return the call of a BYE within its dialog."""
        talks, from_, to = self.book.talks, from_tag or "", to_tag or ""
        call = talks.call_of(call_id, from_, to, uri)
        other = talks.call_of(call_id, to, from_, uri)
        if call is not None and other is not None:
            # As in ``Talks.leaving``: only by malice.
            if call.talks[to].callee.target != uri:
                call = None
            if other.talks[from_].caller.target != uri:
                other = None
        if call is not None:
            return Ending(self.book, call, call.talks[to], True)
        return None if other is None else Ending(self.book, other, other.talks[from_], False)

    def acknowledged(self, call_id: str, from_tag: str, to_tag: str) -> None:
        """The ACK of a 2xx is on its way."""
        call = self.book.talks.call_of(call_id, from_tag, to_tag)
        if call is not None:
            call.talks[to_tag].unacked = None

    def listed(self, now: float) -> Iterator[dict[str, Any]]:
        """Yield what an operator sees of each call that goes on."""
        for call in list(self.book.calls.values()):
            seconds = None if call.answered is None else now - call.answered
            yield shown(call, call.state, seconds, call.caller, call.callee)

    def accepts(self, ride: Ride, call: Call, tag: str, data: bytes, flow: Flow, now: float) -> None:
        """A 2xx that begins a dialog goes back; the callee's messages come by ``flow``."""
        book = self.book
        first = call.state in ("calling", "ringing")
        # We are on the path of its dialog where the callee kept our Record-Route (RFC 3261 12.1.1).
        if self._has_ours(data, flow.listener):
            proven = call.stranger is None
            talk = Talk(None, None, read=lambda: ride.sides(data, flow, proven))
            call.talks[tag] = talk
            talk.unacked = now + UNACKED
            book.talks.know(call, tag)
            if _TIMED.search(data) is not None:
                response = read_again(data)
                seconds = interval_of(response) if isinstance(response, Response) else None
                if seconds is not None:
                    # RFC 4028 11: as for calls with messages.
                    length = max(seconds, book.settings.min_se)
                    talk.expires = now + length
                    talk.interval = float(length)
        book.goes_on(call, int(data[8:11]) if first else 0, now)

    def _has_ours(self, data: bytes, leaves: int) -> bool:
        """Whether the 2xx ``data`` has a Record-Route value of ours; its INVITE left by ``leaves``."""
        listeners = self._listeners
        line, octets = self._ours
        recorded = listeners[leaves].record_route
        if line != recorded:
            octets = b"\n" + recorded.encode()
            self._ours = recorded, octets
        end = data.find(b"\r\n\r\n")
        if data.find(octets, 0, end) >= 0:
            # As we wrote it.
            return True
        if _RECORDED.search(data, 0, end) is None:
            return False
        try:
            response = read_again(data)
            return (
                isinstance(response, Response)
                and place_of_ours(response.record_routes, listeners) is not None
            )
        except RemoteProtocolError:
            return False
