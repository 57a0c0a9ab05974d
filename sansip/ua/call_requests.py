"""Our requests within a call: how many may wait, what awaits their answers, and our re-INVITE on its way.

Theory of operation: the usage of the call makes each request; the call sends it with the other effects. Its
answers go back to the usage, and the final one to the coroutine that awaits it, either by the key of
``Answered`` or, where the usage keeps none, by the sending itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from sansip.client import Asker
from sansip.client.guarded import BEGIN_NOTHING
from sansip.errors import LocalProtocolError
from sansip.later import Later
from sansip.transport.flow import Flow
from sansip.ua.errors import CallEnded, RequestRefused

if TYPE_CHECKING:
    from sansip.client import Sending
    from sansip.dialog import Dialog, InviteUsage
    from sansip.transport.next_hop import NextHop
    from sansip.ua.owner import Owner
    from sansip.wire import Request, Response, Uri

__all__ = ["Asked", "Requests", "settle"]

# Has the usage make a request, at a time, with the key that its ``Answered`` comes with.
Wish: TypeAlias = "Callable[[float, Later[Response]], list[Any]]"


class Asked(Protocol):
    """A call, as its requests see it (``sansip.ua.call.Call``)."""

    local_sdp: bytes
    peer: Flow | None

    @property
    def agent(self) -> Owner: ...
    @property
    def dialog(self) -> Dialog: ...
    @property
    def ended(self) -> str: ...
    @property
    def usage(self) -> InviteUsage: ...
    def heard(self, body: bytes) -> None: ...
    def perform(self, effects: Sequence[Any], now: float, asked: Later[Response] | None = None) -> None: ...


class Requests:
    """The requests within ``call``. ``inviting``: our re-INVITE on its way."""

    __slots__ = ("_call", "_waiting", "inviting")

    def __init__(self, call: Asked) -> None:
        self._call = call
        self.inviting: Sending | None = None
        # Requests on their way, at most ``limits.requests_per_call``.
        self._waiting: list[Later[Response]] = []

    def offer(self, body: bytes, make: Wish) -> Later[Response]:
        """Have the usage make a request with the offer ``body``; keep both descriptions when it is taken."""
        call, answered = self._call, self.ask(make)

        def agreed(response: Any, _now: float) -> None:
            if not isinstance(response, Exception) and response.body:
                call.local_sdp = body or call.local_sdp
                call.heard(response.body)

        answered.then(agreed, call.agent.now)
        return answered

    def ask(self, make: Wish, *, unkeyed: bool = False) -> Later[Response]:
        """Have the usage make a request; return what awaits its final response."""
        call = self._call
        now = call.agent.now
        later: Later[Response] = Later()
        if call.ended:
            later.set(CallEnded(call.ended), now)
            return later
        if len(self._waiting) >= call.agent.limits.requests_per_call:
            call.agent.notices.reached("requests_per_call", call.dialog.id.call_id, now)
            later.set(
                LocalProtocolError("too many requests wait for answers (limits.requests_per_call)"), now
            )
            return later
        try:
            effects = make(now, later)
        except LocalProtocolError as error:
            later.set(error, now)
            return later
        self._waiting.append(later)
        later.then(lambda _result, _now: self._waiting.remove(later), now)
        call.perform(effects, now, later if unkeyed else None)
        return later

    def send(
        self, request: Request, asked: Later[Response] | None, hop: Flow | NextHop | Uri | None, now: float
    ) -> None:
        """Send what the usage made; ``asked`` awaits its answer if no key does."""
        client, peer = self._call.agent.client, self._call.peer
        guarded = client.guarded
        # The peer names any place in Contact: that of a gateway begins a call with the gateway alone.
        chosen = (
            not guarded.active or request.method in BEGIN_NOTHING or (peer is not None and guarded.sent(peer))
        )
        sending = client.send(request, _InCall(self, self._call, asked), now, hop=hop, chosen=chosen)
        if request.method == "INVITE":
            self.inviting = sending

    def end(self, reason: str, now: float) -> None:
        """The call is over: nobody waits any more."""
        for later in list(self._waiting):
            later.set(CallEnded(reason), now)


class _InCall(Asker):
    """A request within a call on its way. ``asked`` awaits its answer if no other code does."""

    __slots__ = ("_asked", "_call", "_requests")

    def __init__(self, requests: Requests, call: Asked, asked: Later[Response] | None) -> None:
        self._requests = requests
        self._call = call
        self._asked = asked

    def provisional(self, sending: Sending, response: Response, now: float) -> None:
        self._take(sending, response, now)

    def final(self, sending: Sending, response: Response, now: float) -> None:
        if self._requests.inviting is sending:
            self._requests.inviting = None
        self._take(sending, response, now)
        if self._asked is not None:
            settle(self._asked, response, now)

    def _take(self, sending: Sending, response: Response, now: float) -> None:
        call = self._call
        call.agent.now = now
        call.perform(call.usage.response_received(sending.request, response, now), now)

    def next_cseq(self, sending: Sending) -> int | None:
        return self._call.dialog.next_cseq()

    def resent(self, sending: Sending, request: Request, now: float) -> None:
        self._call.usage.resent(request)


def settle(later: Later[Response], response: Response, now: float) -> None:
    """Give the final ``response`` to the coroutine that awaits it."""
    later.set(response if response.status < 300 else RequestRefused(response), now)
