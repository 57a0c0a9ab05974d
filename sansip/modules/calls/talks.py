"""The dialogs of calls: made from a 2xx, found by a request within them.

Theory of operation: a dialog is known by its Call-ID and both tags (RFC 3261 12), from either side. The table
keeps the values for a request of ours to one of the sides as the messages had them: names, remote targets,
and the part of the route set that lies between here and that side.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.modules.calls.call import Call, Side, Talk
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.transport import Flow, Listeners
    from sansip.wire import NameAddr, Request, Response

__all__ = ["Talks", "contact_of", "place_of_ours"]


def contact_of(message: Request | Response) -> str:
    """Return the URI of the first Contact, "" where there is none that can be read."""
    try:
        contacts = message.contacts
    except RemoteProtocolError:
        return ""
    return str(contacts[0].uri) if isinstance(contacts, list) and contacts else ""


# Calls with the same tags that a request may be of. → it is of none
_COPIES: Final = 8


def _other(talk: Talk, side: Side | None) -> Side:
    return talk.callee if side is talk.caller else talk.caller


class Talks:
    """The dialogs of all calls."""

    __slots__ = ("_calls", "_copies")

    def __init__(self) -> None:
        # (Call-ID, tag of the caller, tag of the callee) -> its call.
        self._calls: dict[tuple[str, str, str], Call] = {}
        # Later calls whose callee answered with the tag of another call: both sides can have agreed on that.
        self._copies: dict[tuple[str, str, str], dict[Call, None]] = {}

    def begin(
        self,
        call: Call,
        listeners: Listeners,
        request: Request,
        response: Response,
        flows: tuple[Flow | None, Flow | None],
        proven: bool,
    ) -> Talk | None:
        """Return the new dialog of ``call`` that a 2xx begins; None where it is known, or goes another way.

        ``flows``: where the messages of the caller and the callee come from; ``proven``: the caller is.
        """
        tag = response.to_tag or ""
        if tag in call.talks:
            return None
        try:
            ours = place_of_ours(response.record_routes, listeners)
            if ours is None:
                return None
            caller = Side(
                request.get("from") or "",
                contact_of(request) or str(request.from_.uri),
                tuple(request.values("record-route")),
                flows[0],
                request.cseq.number,
                proven,
            )
            callee = Side(
                response.get("to") or "",
                contact_of(response) or call.target,
                # RFC 3261 12.1.2: the caller takes them in reverse order.
                tuple(reversed(response.values("record-route")[:ours])),
                flows[1],
            )
        except RemoteProtocolError:
            return None
        talk = call.talks[tag] = Talk(caller, callee)
        self.know(call, tag)
        return talk

    def call_of(self, call_id: str, caller: str, callee: str, uri: str = "") -> Call | None:
        """Return the call of a dialog, by its tags; ``uri`` tells calls with equal tags apart."""
        key = (call_id, caller, callee)
        call = self._calls.get(key)
        if not self._copies or not uri or call is None or key not in self._copies:
            return call
        for one in islice((call, *self._copies[key]), _COPIES):
            talk = one.talks[callee]
            if uri in (talk.caller.target, talk.callee.target):
                return one
        return None

    def know(self, call: Call, tag: str) -> None:
        """Find ``call`` by its dialog with the callee's ``tag``."""
        key = (call.call_id, call.caller_tag, tag)
        if self._calls.setdefault(key, call) is not call:
            self._copies.setdefault(key, {})[call] = None

    def take_back(self, call: Call) -> None:
        """Know the dialogs of ``call``, which a row had."""
        for tag in call.talks:
            self.know(call, tag)

    def side_of(self, message: Request) -> tuple[Call | None, Talk | None, Side | None]:
        """Return call and dialog of a request, and the side that sent it."""
        call_id, sender, other = message.call_id, message.from_tag or "", message.to_tag or ""
        call = self._calls.get((call_id, sender, other))
        if call is not None:
            talk = call.talks[other]
            return call, talk, talk.caller
        call = self._calls.get((call_id, other, sender))
        if call is not None:
            talk = call.talks[sender]
            return call, talk, talk.callee
        return None, None, None

    def leaving(self, message: Request, over: str = "") -> tuple[Call | None, Talk | None, Side | None]:
        """Do what ``side_of`` does for one that leaves: the target tells calls with equal tags apart.

        ``over``: the address of the flow that it goes over, where it does (RFC 5626 5.3.1): there the other
        side may show any target.
        """
        call, talk, side = self.side_of(message)
        if call is None or talk is None:
            return call, talk, side
        call_id, sender, other = message.call_id, message.from_tag or "", message.to_tag or ""
        keys = (call_id, sender, other), (call_id, other, sender)
        # A caller may take the callee's tag of another call, and have his friend answer with the caller's.
        if not any(key in self._copies for key in keys) and not all(key in self._calls for key in keys):
            return call, talk, side
        for key in keys:
            first = self._calls.get(key)
            calls = () if first is None else (first, *self._copies.get(key, ()))
            for one in islice(calls, _COPIES):
                talk, side = self.side_in(one, message)
                if talk is None:
                    continue
                far = _other(talk, side)
                if message.uri_text == far.target and (not over or far.flow is None or far.flow.host == over):
                    return one, talk, side
        return None, None, None

    def side_in(self, call: Call, message: Request) -> tuple[Talk | None, Side | None]:
        """Return the dialog of ``call`` that a request is within, and the side that sent it."""
        sender, other = message.from_tag or "", message.to_tag or ""
        if sender == call.caller_tag and other in call.talks:
            return call.talks[other], call.talks[other].caller
        if other == call.caller_tag and sender in call.talks:
            return call.talks[sender], call.talks[sender].callee
        return None, None

    def end(self, call: Call, talk: Talk) -> None:
        """One dialog of ``call`` is over."""
        for tag, one in call.talks.items():
            if one is talk:
                del call.talks[tag]
                self._forget(call, tag)
                return

    def forget(self, call: Call) -> None:
        """All dialogs of ``call`` are over; the call itself keeps their data."""
        for tag in call.talks:
            self._forget(call, tag)

    def _forget(self, call: Call, tag: str) -> None:
        key = (call.call_id, call.caller_tag, tag)
        if not self._copies:
            if self._calls.get(key) is call:
                del self._calls[key]
            return
        copies = self._copies.get(key, {})
        if self._calls.get(key) is not call:
            copies.pop(call, None)
        elif copies:
            self._calls[key] = next(iter(copies))
            del copies[self._calls[key]]
        else:
            del self._calls[key]
        if not copies:
            self._copies.pop(key, None)

    def __len__(self) -> int:
        return len(self._calls)


def place_of_ours(recorded: list[NameAddr], listeners: Listeners) -> int | None:
    """Return the place of our first value among those of a 2xx, None where this server did not record."""
    for place, value in enumerate(recorded):
        uri = value.uri
        if isinstance(uri, SipUri) and listeners.is_own_address(uri.host, uri.port, uri.transport):
            return place
    return None
