"""The record of each call that is relayed: its sides, since when, what became of it.

Theory of operation: an INVITE without a To tag that is sent on begins a record, and what goes back to its
caller changes it: a ring, a 2xx, a failure. A BYE that is answered ends it. The relay tells a record what
happened (``rings``, ``answers``, ``fails``, ``hung_up``), whichever object relays: ``Pair``, ``Usual`` or a
response context. The record keeps the lines of From and To as they came, and nobody reads them before an
operator asks. A module may keep calls in its own way: it puts in another table, with the same methods
(``Records``), and the relay tells that one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

from sansip.errors import RemoteProtocolError
from sansip.events import RelayedCallEnded, uri_in
from sansip.proxy.ringing import HASHED
from sansip.wire import Response, read_again
from sansip.wire.abnf import TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.later import Later
    from sansip.limits import Limits
    from sansip.transport import Flow
    from sansip.wire import Request
    from sansip.wire.opening import Opening

__all__ = [
    "GONE",
    "Record",
    "Records",
    "Relay",
    "RelayedCall",
    "RelayedCalls",
    "record_of",
    "shown",
    "tag_of",
]

# RFC 5057 5.1, RFC 3261 15.1.1: after these to a BYE neither side has the dialog. Any other failure may be
# of the request (a stale CSeq, an extension), and the callee talks on.
GONE: Final = (404, 408, 410, 481)
# Seconds of the oldest answered call, from which it is taken for one whose BYE went another way.
_LIFE: Final = 86_400.0
# The tag behind an address.
_tag: Final = re.compile(rf"(?i);[ \t]*tag[ \t]*=[ \t]*({TOKEN})", re.ASCII).search
# Characters of a text that a record keeps: a message may have 16 KB of each (``limits.header_size``).
_TEXT: Final = 256
# Records that begin until the oldest one is looked at.
_LOOK: Final = 64


class Record(Protocol):
    """One call, as the relay tells what happens to it."""

    def rings(self, now: float) -> None:
        """A provisional response other than 100 went back."""

    def answers(self, tags: tuple[str, ...], data: bytes, now: float) -> None:
        """A 2xx went back, ``data``; ``tags``: as for ``tag_of``."""

    def fails(self, status: int, reason: str, cancelled: bool, now: float) -> None:
        """The INVITE has its final response, a failure; ``cancelled``: the caller gave up."""

    def hung_up(self, from_: str, cseq: str, to_tag: str, status: int, now: float) -> Later[None] | None:
        """A BYE has its final response, which may have to wait; ``from_``, ``cseq``: its lines."""

    def is_shown(self, handle: Any) -> bool:
        """Modules see the messages of its INVITE from now on, by ``handle``; whether that is all it needs."""


class Relay(Protocol):
    """What sends an INVITE on (``proxy.pair``). ``hop``: where to."""

    hop: Flow

    def give_up(self, now: float, reason: str | None) -> None:
        """End its ringing."""


class Records(Protocol):
    """The calls of one proxy."""

    # Whether it wants to hear of the ACK of each 2xx.
    hears_acks: bool
    # Whether its module sees the BYEs that modules are shown, and needs no word of them.
    sees_messages: bool

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
        """An INVITE leaves for ``contact`` as octets, ``data``; ``opening`` is what was read of it.

        ``begins``: gets the call of a module's table before anybody hears of it.
        """

    def begins(
        self, call_id: str, tag: str, caller: str, callee: str, asked: str, source: str, now: float
    ) -> Record | None:
        """An INVITE with these lines and values leaves, which modules may look at."""

    def of(self, call_id: str, from_tag: str | None, to_tag: str | None, uri: str) -> Record | None:
        """Return the call of a BYE within its dialog; ``uri``: where it goes."""

    def acknowledged(self, call_id: str, from_tag: str, to_tag: str) -> None:
        """The ACK of a 2xx is on its way."""

    def listed(self, now: float) -> Iterator[dict[str, Any]]:
        """Yield what an operator sees of each call that goes on."""


class RelayedCall:
    """One call.

    Attributes:
        number: its name here.
        call_id, tag: of its INVITE; ``tag``: the caller's.
        caller, callee: the lines From and To, as they came.
        asked: the Request-URI.
        source: the address that the INVITE came from.
        began, rang, answered: times of the stack's clock; 0 for an event that has not happened.
        tags: the To tags of the dialogs that go on.
    """

    __slots__ = (
        "_table",
        "answered",
        "asked",
        "began",
        "call_id",
        "callee",
        "caller",
        "number",
        "rang",
        "source",
        "tag",
        "tags",
    )

    def __init__(
        self,
        table: RelayedCalls,
        number: int,
        call_id: str,
        tag: str,
        caller: str,
        callee: str,
        asked: str,
        source: str,
        began: float,
    ) -> None:
        self._table = table
        self.number = number
        self.call_id = call_id
        self.tag = tag
        self.caller = caller
        self.callee = callee
        self.asked = asked
        self.source = source
        self.began = began
        self.rang = 0.0
        self.answered = 0.0
        self.tags: tuple[str, ...] = ()

    def rings(self, now: float) -> None:
        """A provisional response other than 100 went back."""
        if not self.rang:
            self.rang = now

    def answers(self, tags: tuple[str, ...], data: bytes, now: float) -> None:
        """A 2xx went back, ``data``; ``tags``: as for ``tag_of``."""
        tag = tag_of(tags, data)
        if tag not in self.tags:
            self.tags = (*self.tags, tag)
        if not self.answered:
            self.answered = now

    def fails(self, status: int, reason: str, cancelled: bool, now: float) -> None:
        """The INVITE has its final response, a failure; ``cancelled``: the caller gave up."""
        if not self.answered:
            self._table._end(self, f"{status} {reason}", "caller" if cancelled else "", now)

    def hung_up(self, from_: str, cseq: str, to_tag: str, status: int, now: float) -> None:
        """A BYE has its final response; ``from_``, ``cseq``: its lines."""
        if status >= 300 and status not in GONE:
            return
        tags = self.tags
        if to_tag in tags and to_tag != self.tag:
            by, gone = "caller", to_tag
        elif to_tag == self.tag:
            found = _tag(from_.rpartition(">")[2])
            by, gone = "callee", "" if found is None else found[1]
            if gone not in tags:
                # A phone of the fork that has not answered, or has lost.
                return
        else:
            return
        if len(tags) > 1:
            # RFC 3261 13.2.2.4: another phone of the fork has a dialog as well.
            tags = self.tags = tuple(tag for tag in tags if tag != gone)
            if tags:
                return
        why = "hung up" if status < 300 else f"{status} to BYE"
        self._table._end(self, why, by, now)

    def is_shown(self, handle: Any) -> bool:
        """No module keeps this record."""
        return False


class RelayedCalls:
    """The calls that this proxy relays, by Call-ID.

    Of several INVITEs with one Call-ID at a time the first one has a record: so nobody changes another's.
    ``forgotten`` counts those that went for newer ones. ``tell`` gets an event of each end.
    """

    __slots__ = ("_calls", "_limits", "_number", "_step", "forgotten", "hears_acks", "sees_messages", "tell")

    def __init__(self, limits: Limits, tell: Callable[[RelayedCallEnded], None] | None = None) -> None:
        self._calls: dict[str, RelayedCall] = {}
        self._limits = limits
        self._number = 0
        self._step = 1
        self.forgotten = 0
        self.hears_acks = False
        self.sees_messages = False
        self.tell = tell

    def number_by(self, first: int, step: int) -> None:
        """Number calls in such steps: no two workers have the same number."""
        self._number, self._step = first, step

    def opens(
        self,
        relay: Relay,
        opening: Opening,
        data: bytes,
        contact: str,
        flow: Flow,
        now: float,
        begins: Callable[[Any], None] | None = None,
    ) -> RelayedCall | None:
        """An INVITE leaves for ``contact`` as octets, ``data``; ``opening`` is what was read of it."""
        return self.begins(
            opening.call_id, opening.from_tag, opening.from_, opening.to, opening.uri, flow.address[0], now
        )

    def begins(
        self, call_id: str, tag: str, caller: str, callee: str, asked: str, source: str, now: float
    ) -> RelayedCall | None:
        """An INVITE with these lines and values leaves, which modules may look at."""
        calls = self._calls
        if call_id in calls or len(call_id) > _TEXT or len(tag) > _TEXT:
            return None
        if len(caller) + len(callee) + len(asked) > _TEXT:
            caller, callee, asked = _short(caller), _short(callee), asked[:_TEXT]
        number = self._number = self._number + self._step
        call = calls[call_id] = RelayedCall(self, number, call_id, tag, caller, callee, asked, source, now)
        if len(calls) > self._limits.relayed_calls or not number % _LOOK:
            self._look(now)
        return call

    def of(self, call_id: str, from_tag: str | None, to_tag: str | None, uri: str) -> RelayedCall | None:
        """Return the call of a BYE within its dialog; ``uri``: where it goes."""
        call = self._calls.get(call_id)
        return call if call is not None and (call.tag == from_tag or call.tag == to_tag) else None

    def acknowledged(self, call_id: str, from_tag: str, to_tag: str) -> None:
        """The ACK of a 2xx is on its way."""

    def _look(self, now: float) -> None:
        """Drop the oldest record where there are too many, and those whose BYE went another way."""
        calls = self._calls
        oldest = next(iter(calls.values()))
        if len(calls) > self._limits.relayed_calls:
            self.forgotten += 1
            del calls[oldest.call_id]
        elif oldest.answered and now - oldest.answered > _LIFE:
            self._end(oldest, "no BYE seen", "", now)

    def _end(self, call: RelayedCall, why: str, by: str, now: float) -> None:
        if self._calls.get(call.call_id) is not call:
            # Forgotten before, and the Call-ID may be another one's now.
            return
        del self._calls[call.call_id]
        tell = self.tell
        if tell is not None:
            answered = call.answered
            seconds = now - answered if answered else None
            tell(RelayedCallEnded(call.number, call.call_id, call.caller, call.callee, seconds, why, by))

    def listed(self, now: float) -> Iterator[dict[str, Any]]:
        """Yield what an operator sees of each call that goes on."""
        for call in list(self._calls.values()):
            state = "answered" if call.answered else "ringing" if call.rang else "calling"
            seconds = now - call.answered if call.answered else None
            yield shown(call, state, seconds, uri_in(call.caller), uri_in(call.callee))

    def __len__(self) -> int:
        return len(self._calls)


def shown(call: Any, state: str, seconds: float | None, caller: str, callee: str) -> dict[str, Any]:
    """Return what an operator sees of a relayed call; ``seconds`` since it was answered, None before."""
    return {
        "number": None,
        "record": call.number,
        "with": None,
        "state": state,
        "seconds": None if seconds is None else round(seconds, 1),
        "side": "relayed",
        "party": callee,
        "call_id": call.call_id,
        "caller": caller,
        "asked": call.asked,
        "source": call.source,
    }


def _short(line: str) -> str:
    """Return a line From or To that people can still read, of bounded length."""
    return line if len(line) <= _TEXT else f"{line.partition(':')[0]}: <{uri_in(line)[:_TEXT]}>"


def tag_of(tags: tuple[str, ...], data: bytes) -> str:
    """Return the To tag of the 2xx ``data``, "" for none (RFC 2543).

    ``tags``: those of all 2xx, the last is its own, as ``ringing.begin`` remembers them.
    """
    tag = tags[-1] if tags else ""
    if not tag.startswith(HASHED):
        return tag
    try:
        response = read_again(data)
        return (response.to_tag if isinstance(response, Response) else None) or ""
    except RemoteProtocolError:
        return tag


def record_of(
    records: Records, request: Request, flow: Flow, proven: bool, now: float, *, seen: bool = False
) -> Record | None:
    """Return the record of a request that leaves: a new one, or that of its dialog for a BYE.

    ``proven``: our Record-Route value says that it is of its dialog, or this node has none. ``seen``: whether
    modules see it.
    """
    method = request.method
    if method == "INVITE":
        if request.to_tag is not None:
            return None
        line = request.first_line
        caller, callee = line("from") or "", line("to") or ""
        tag = request.from_tag or ""
        return records.begins(request.call_id, tag, caller, callee, request.uri_text, flow.address[0], now)
    if method == "BYE" and proven and not (seen and records.sees_messages):
        return records.of(request.call_id, request.from_tag, request.to_tag, request.uri_text)
    return None
