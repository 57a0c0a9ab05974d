"""Calls that leave as octets: records of the module ``calls`` without a message or a hook.

Theory of operation: where every module that has hooks rides (``Module.rides``), a plain call passes as
octets, and the relay tells its record what happens (``sansip.proxy.relayed``). Here that record is a ``Call``
like any other, in the same tables: what the hooks do for the messages of other calls, a ``Ride`` does for it.
The sides of its dialog are read from the octets of the INVITE and of the 2xx when something needs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.events import uri_in
from sansip.module import function
from sansip.modules.calls.call import Call, Side, Talk
from sansip.modules.calls.events import CallTried
from sansip.modules.calls.operated import Operated
from sansip.modules.calls.session import interval_of
from sansip.modules.calls.talks import contact_of, place_of_ours
from sansip.proxy.relayed import GONE, shown, tag_of
from sansip.sources import source_of
from sansip.wire import Request, Response, read_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.later import Later
    from sansip.module import Core
    from sansip.proxy.relayed import Record, Records, Relay
    from sansip.transport import Flow
    from sansip.wire.opening import Opening

__all__ = ["UNACKED", "Ride", "Riding"]

# Seconds in which the ACK of a 2xx has to come by: twice 64*T1 (RFC 3261 13.3.1.4).
UNACKED: Final = 64.0
_TIMED: Final = re.compile(rb"(?i)\n(?:session-expires|x)[ \t]*:")
# Its usual spelling is found soonest.
_RECORDED: Final = re.compile(rb"\n(?:Record-Route:|(?i:record-route)[ \t]*:)")


class Ride:
    """An INVITE that left as octets, as the record of its call; ``Call.request`` while it is not answered."""

    __slots__ = ("_calls", "_came", "_flow", "_relay", "_request", "call", "cancelled", "context", "now")

    def __init__(self, calls: Riding, call: Call, relay: Relay, came: bytes, flow: Flow, now: float) -> None:
        self._calls = calls
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
            self._calls._move(call, "rings", now)

    def answers(self, tags: tuple[str, ...], data: bytes, now: float) -> None:
        """A 2xx went back; ``tags``: as for ``tag_of``."""
        call = self.call
        tag = tag_of(tags, data)
        if call.over or tag in call.talks:
            return
        first = call.answered is None
        self._calls._accepts(self, call, tag, data, self._relay.hop, now)
        if first and not call.over:
            call.request = None

    def fails(self, status: int, reason: str, cancelled: bool, now: float) -> None:
        """The INVITE has its final response, a failure; ``cancelled``: the caller gave up."""
        call = self.call
        if call.request is self and not call.over:
            call.status = status
            by = "server" if call.given_up else "caller" if status == 487 and cancelled else "callee"
            self._calls._end(call, by, call.given_up or f"{status} {reason}", now)

    def hung_up(self, from_: str, cseq: str, to_tag: str, status: int, now: float) -> None:
        """Do nothing: this is an INVITE."""

    def is_shown(self, handle: Any) -> bool:
        """Leave the call to the hooks of the module, as if they had seen its INVITE."""
        call = self.call
        if call.request is self:
            call.request = handle
        self._calls._is_shown(call, handle)
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

    __slots__ = ("_calls", "_from_caller", "_talk", "call")

    def __init__(self, calls: Riding, call: Call, talk: Talk, from_caller: bool) -> None:
        self._calls = calls
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
                    self._calls._over(call, talk, "caller" if self._from_caller else "callee", "hung up", now)
                    break
        return call.recorded if call.over else None

    def is_shown(self, handle: Any) -> bool:
        """The same."""
        return False


class Rides:
    """The calls of a module as the proxy's records (``sansip.proxy.relayed``)."""

    __slots__ = ("_calls", "hears_acks", "sees_messages")

    def __init__(self, calls: Riding) -> None:
        self._calls = calls
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
        return self._calls._opens(relay, opening, data, contact, flow, now, begins)

    def begins(
        self, call_id: str, tag: str, caller: str, callee: str, asked: str, source: str, now: float
    ) -> None:
        """Do nothing: the hooks of the module see its message."""

    def of(self, call_id: str, from_tag: str | None, to_tag: str | None, uri: str) -> Ending | None:
        """Return the call of a BYE within its dialog."""
        return self._calls._ending(call_id, from_tag or "", to_tag or "", uri)

    def acknowledged(self, call_id: str, from_tag: str, to_tag: str) -> None:
        """The ACK of a 2xx is on its way."""
        call = self._calls._talks.call_of(call_id, from_tag, to_tag)
        if call is not None:
            call.talks[to_tag].unacked = None

    def listed(self, now: float) -> Iterator[dict[str, Any]]:
        """Yield what an operator sees of each call that goes on."""
        for call in list(self._calls):
            seconds = None if call.answered is None else now - call.answered
            yield shown(call, call.state, seconds, call.caller, call.callee)


class Riding(Operated):
    """The records of calls, of those without messages as well."""

    name = "calls"

    def rides(self) -> bool:
        """Whether a plain call has no need of hooks: rows and timers are kept of messages."""
        return not (self.settings.keep or self.settings.session_expires)

    def start(self, core: Core, now: float) -> None:
        super().start(core, now)
        self._former: Records = core.proxy.records
        core.proxy.records = Rides(self)

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
    def count_for(self, call: Call, key: str) -> None:
        """Count ``call`` for ``key`` until it ends, or is released."""
        if not call.over:
            self._counts.add(call, key)

    def _is_shown(self, call: Call, handle: Any) -> None:
        raise NotImplementedError

    def _opens(
        self,
        relay: Relay,
        opening: Opening,
        data: bytes,
        contact: str,
        flow: Flow,
        now: float,
        begins: Callable[[Any], None] | None,
    ) -> Ride | None:
        settings = self.settings
        calls = self._calls
        core = self.core
        host = flow.host
        stranger = source_of(host) if core.is_stranger(flow) and not opening.proven else None
        if len(calls) >= settings.most:
            return None
        if stranger is not None and not self._strangers.take(stranger, settings.most_of_stranger):
            return None
        call = Call(
            core.new_id(),
            opening.call_id,
            opening.from_tag,
            uri_in(opening.from_),
            uri_in(opening.to),
            opening.uri,
            host,
            now,
            number=self._next_number(),
            stranger=stranger,
        )
        call.target = contact
        call.tried = True
        ride = call.request = Ride(self, call, relay, data, flow, now)
        calls[call.id] = call
        self._watch.look(call, now + self._patience, len(calls))
        if begins is not None:
            begins(call)
        self._tried.add()
        core.tell(CallTried(call), now)
        return ride

    def _accepts(self, ride: Ride, call: Call, tag: str, data: bytes, flow: Flow, now: float) -> None:
        """A 2xx that begins a dialog goes back."""
        first = call.state in ("calling", "ringing")
        # We are on the path of its dialog where the callee kept our Record-Route (RFC 3261 12.1.1).
        if self._has_ours(data, flow.listener):
            talk = call.talks[tag] = Talk.later(_reader(ride, data, flow, call.stranger is None))
            talk.unacked = now + UNACKED
            self._talks.know(call, tag)
            if _TIMED.search(data) is not None:
                response = read_again(data)
                seconds = interval_of(response) if isinstance(response, Response) else None
                if seconds is not None:
                    # RFC 4028 11: as for calls with messages.
                    length = max(seconds, self.settings.min_se)
                    talk.expires, talk.interval = now + length, length
        self._goes_on(call, int(data[8:11]) if first else None, now)

    def _has_ours(self, data: bytes, leaves: int) -> bool:
        """Whether the 2xx ``data`` has a Record-Route value of ours; its INVITE left by ``leaves``."""
        listeners = self.core.listeners
        end = data.find(b"\r\n\r\n")
        if data.find(b"\n" + listeners[leaves].record_route.encode(), 0, end) >= 0:
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

    def _goes_on(self, call: Call, status: int | None, now: float) -> None:
        """A 2xx has gone back: watch the call, or end it. ``status``: of the first 2xx, None for others."""
        if status is not None:
            call.status = status
            self._move(call, "answers", now)
        if not call.talks:
            # Answered here, or we are not on the path of its dialog: nothing more will be seen of it.
            self._end(call, "", "goes on without this server", now)
        elif call.given_up:
            # An operator ended it, and the 2xx crossed the CANCEL (RFC 3261 9.1).
            call.request = None
            self._supervision.hang_up(call, call.given_up, now)
        else:
            self._look_again(call, now)

    def _ending(self, call_id: str, from_tag: str, to_tag: str, uri: str) -> Ending | None:
        talks = self._talks
        call = talks.call_of(call_id, from_tag, to_tag, uri)
        other = talks.call_of(call_id, to_tag, from_tag, uri)
        if call is not None and other is not None:
            # As in ``Talks.leaving``: only by malice.
            if call.talks[to_tag].callee.target != uri:
                call = None
            if other.talks[from_tag].caller.target != uri:
                other = None
        if call is not None:
            return Ending(self, call, call.talks[to_tag], True)
        return None if other is None else Ending(self, other, other.talks[from_tag], False)


def _reader(ride: Ride, data: bytes, flow: Flow, proven: bool) -> Any:
    return lambda: ride.sides(data, flow, proven)
