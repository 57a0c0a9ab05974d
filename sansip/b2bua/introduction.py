"""Two calls of ours agree on a session with each other (RFC 3725 flow I).

Theory of operation: the first phone gets a re-INVITE without an offer, and answers with its offer. That offer
goes to the second phone in a re-INVITE of its own, and the second phone's answer goes into the ACK to the
first. So descriptions pass from phone to phone, and neither learns that the other is a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sansip.ua import Handler

if TYPE_CHECKING:
    from sansip.b2bua.origin import Origin
    from sansip.dialog import Offered, Progressed, Received
    from sansip.ua import Call
    from sansip.ua.call import CallHandler
    from sansip.wire import Request, Response

__all__ = ["Introduction"]


class Introduction(Handler):
    """Has ``offering`` make an offer to ``answering``; ``done(whether they agreed, now)`` hears the end.

    ``seen`` are the origins of what each of the two was sent.
    """

    __slots__ = ("_answering", "_done", "_next", "_offering", "_over", "_seen")

    def __init__(
        self,
        offering: Call,
        answering: Call,
        seen: tuple[Origin, Origin],
        done: Callable[[bool, float], None],
        now: float,
    ) -> None:
        self._offering = offering
        self._answering = answering
        self._seen = seen
        self._done = done
        self._over = False
        # The handler of the offering call, which gets the call back afterwards.
        self._next: CallHandler = offering.handler
        offering.handler = self
        offering.reinvite(b"").then(self._offered_or_not, now)

    def _offered_or_not(self, result: Any, now: float) -> None:
        if isinstance(result, Exception) or not result.body:
            self._end(False, now)

    def answered_with_offer(self, call: Call, response: Response, now: float) -> None:
        body = self._seen[1].keep(response.body, response.get("content-type"))
        self._answering.reinvite(body).then(self._agreed, now)

    def _agreed(self, result: Any, now: float) -> None:
        agreed = not isinstance(result, Exception)
        # RFC 3261 13.2.2.4: the 2xx has its ACK, whatever comes of it.
        body = self._seen[0].keep(result.body, result.get("content-type")) if agreed else b""
        self._offering.acknowledge(body, now=now)
        self._end(agreed, now)

    def _end(self, agreed: bool, now: float) -> None:
        if self._over:
            return
        self._over = True
        if self._offering.handler is self:
            self._offering.handler = self._next
        self._done(agreed, now)

    # --- requests of the phone meanwhile

    def offered(self, call: Call, offer: Offered, now: float) -> None:
        # RFC 3261 14.2
        call.answer(offer, 491, now=now)

    def progressed(self, call: Call, progress: Progressed, now: float) -> None:
        self._next.progressed(call, progress, now)

    def received(self, call: Call, received: Received, now: float) -> None:
        self._next.received(call, received, now)

    def partner(self, call: Call) -> Call | None:
        return self._next.partner(call)

    def hang_up(self, call: Call, reason: str | None) -> None:
        self._next.hang_up(call, reason)

    def ended(self, call: Call, reason: str, message: Request | Response | None, now: float) -> None:
        self._end(False, now)
        self._next.ended(call, reason, message, now)
