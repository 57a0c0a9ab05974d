"""The handler of a call: it answers the requests of the other side.

Theory of operation: a call tells its handler each wish of the peer, and the handler answers, at once or
later, by ``call.answer``. The one here is that of a simple phone: it answers a changed session with the same
media, answers harmless requests with 200, and keeps the rest as events for the application. The two sides of
a bridge are handlers, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.ua.sdp import answer_to, is_sdp

if TYPE_CHECKING:
    from sansip.dialog import Offered, Progressed, Received
    from sansip.ua.call import Call
    from sansip.wire import Request, Response

__all__ = ["Handler"]


class Handler:
    """Answers by itself as a phone would."""

    __slots__ = ()

    def offered(self, call: Call, offer: Offered, now: float) -> None:
        """The peer sent a re-INVITE or an UPDATE: answer it, now or later, by ``call.answer``."""
        request = offer.message
        local = call.local_sdp
        if not request.body:
            # RFC 3261 14.2, RFC 3264 8: offer our present description again; an UPDATE without a body asks
            # for no description.
            call.answer(offer, 200, local if request.method == "INVITE" else b"", now=now)
        elif is_sdp(request.get("content-type")) and local and (answer := answer_to(request.body, local)):
            call.answer(offer, 200, answer, now=now)
        else:
            # RFC 3261 14.2: the session stays as it is.
            call.answer(offer, 488, now=now)

    def received(self, call: Call, received: Received, now: float) -> None:
        """The peer sent another request within the dialog: answer it by ``call.answer``."""
        method = received.request.method
        if method in ("INFO", "MESSAGE", "NOTIFY", "OPTIONS"):
            call.answer(received, 200, now=now)
        elif method == "REFER":
            # RFC 3515 2.4.2: this handler places no call for a peer.
            call.answer(received, 603, now=now)
        else:
            call.answer(received, 405, now=now)

    def acknowledged(self, call: Call, ack: Request | None, now: float) -> None:
        """The ACK of our 2xx came, perhaps with the answer to our offer; None where it is known to have
        come."""

    def pracked(self, call: Call, request: Request, now: float) -> None:
        """A reliable provisional response of ours arrived; its PRACK may hold the answer to our offer."""

    def progressed(self, call: Call, progress: Progressed, now: float) -> None:
        """A provisional response came to an INVITE of ours; with ``offer``, ``call.prack`` has to answer."""
        if progress.offer:
            call.prack(progress, answer_to(progress.response.body, call.local_sdp), now=now)

    def answered_with_offer(self, call: Call, response: Response, now: float) -> None:
        """The 2xx to an INVITE of ours without an offer brought one: ``call.acknowledge`` has to answer."""
        call.acknowledge(answer_to(response.body, call.local_sdp), now=now)

    def cancelled(self, call: Call, owner: Any, now: float) -> None:
        """The peer gave up its re-INVITE, which got a 487: the handler need not do anything."""

    def partner(self, call: Call) -> Call | None:
        """The call that ``call`` is connected with, of a bridge."""
        return None

    def hang_up(self, call: Call, reason: str | None) -> None:
        """An operator, outside of the call, ends it. ``reason``: a Reason field (RFC 3326)."""
        if call.dialog.state == "early" and call.invitation is not None:
            call.invitation.cancel(reason)
        else:
            call.bye(reason=reason)

    def replaced(self, call: Call, incoming: Any, now: float) -> bool:
        """``incoming``, a ``sansip.ua.IncomingCall``, is to take the place of ``call``, and may (RFC 3891).

        Return whether it is dealt with. Where it is not, ``request.incoming()`` returns it, and
        accepting it hangs up ``call``.
        """
        return False

    def ended(self, call: Call, reason: str, message: Request | Response | None, now: float) -> None:
        """The call is over (``sansip.dialog.Ended`` says how): ``message`` is what ended it, often a BYE."""
