"""Provisional responses to a caller while any number of phones ring (RFC 3960, RFC 6228).

Theory of operation: the caller has one dialog with us, and each phone that rings has one of its own. So the
caller gets only one of the phones' early descriptions: that of the first phone that has one, and that of the
next if the first one gave up. A reliable response of a phone reaches the caller reliably, if the caller
supports it; then that description is the answer (RFC 3262 5). If another phone takes the call in the end, a
re-INVITE brings the two together (``introduction``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.dialog.invite_server import wants_reliable
from sansip.errors import LocalProtocolError
from sansip.ua.screening import EXTENSIONS
from sansip.ua.sdp import answer_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sansip.b2bua.policy import Policy
    from sansip.dialog import Progressed
    from sansip.ua import Call, IncomingCall
    from sansip.wire import Request, Response

__all__ = ["EarlyMedia"]

_UNRELIABLE: Final = tuple(one for one in EXTENSIONS if one != "100rel")


class EarlyMedia:
    """The early dialogs of one call.

    Attributes:
        call: that of the phone whose description the caller has, None before.
        extensions: the extensions in Supported of our INVITEs, None for all.
    """

    __slots__ = ("_given", "_incoming", "_offer", "_policy", "_wants", "call", "extensions")

    def __init__(self, incoming: IncomingCall, policy: Policy) -> None:
        self._incoming = incoming
        self._policy = policy
        allowed, _ = wants_reliable(incoming.request)
        # Whether the caller waits for an offer of the callee.
        self._wants = not incoming.sdp
        # RFC 3262 5: an offer in a 1xx is answered by a PRACK, which needs a caller that sends one.
        self.extensions: Sequence[str] | None = _UNRELIABLE if self._wants and not allowed else None
        self.call: Call | None = None
        # The call whose description the caller has for good.
        self._given: Call | None = None
        # The call whose reliable 1xx brought the offer that the caller has, and that response.
        self._offer: tuple[Call, Progressed] | None = None

    def body_of(self, call: Call | None, response: Response) -> bytes:
        """Return the description for the caller, from a provisional ``response``."""
        if self.call is not None and self.call.ended:
            self.call = None
        body = response.body
        if self._policy.early == "none" and not self._wants:
            return b""
        if body and self.call is None:
            self.call = call
        return body if call is self.call and call is not None else b""

    def ring(
        self, call: Call | None, response: Response, body: bytes, headers: list[tuple[str, str]]
    ) -> None:
        """Send a provisional response to the caller, with ``body`` and ``headers``."""
        incoming = self._incoming
        if incoming.decided:
            return
        reliable = bool(response.has("rseq")) and call is self.call
        _, demanded = wants_reliable(incoming.request)
        try:
            incoming.ring(response.status, body, headers, reliable=reliable)
        except LocalProtocolError:
            # ``limits.reliable_waiting``: a caller that sends no PRACK gets no more of them.
            return
        if body and (reliable or demanded) and wants_reliable(incoming.request)[0]:
            self._given = call

    def answer_of(self, call: Call, response: Response) -> tuple[bytes, bool]:
        """Return the body of the 200 to the caller, and whether caller and ``call`` still have to agree."""
        if self._given is not None:
            # RFC 6337 3.1.1: it has its answer.
            return b"", self._given is not call
        # Without a body its answer was in a reliable 1xx, which the caller has seen no part of.
        return response.body or call.remote_sdp, False

    # --- offers of the callee

    def offered(self, call: Call, progress: Progressed, now: float) -> None:
        """A reliable 1xx of ``call`` brings an offer: the caller's PRACK brings what answers it."""
        if self._offer is None and (self.call is None or self.call is call):
            self._offer = call, progress
        else:
            # The caller has the offer of another phone; this one is asked again if it takes the call.
            call.prack(progress, answer_to(progress.response.body, b""), now=now)

    def answered(self, request: Request, now: float) -> None:
        """A PRACK of the caller has the answer."""
        waiting, self._offer = self._offer, None
        if waiting is not None and not waiting[0].ended:
            waiting[0].prack(waiting[1], request.body, now=now)
