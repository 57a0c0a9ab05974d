"""A REFER to us: a phone that lets itself be transferred (RFC 3515, RFC 4488, RFC 5589).

Theory of operation: the peer names a party, and we call that party with the media that we have. NOTIFYs tell
the peer the progress of that call, and the peer decides when it hangs up. We call in our own name, and may
pay for the call: so a user agent refuses unless ``UserAgentConfig.transfers`` says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.events import CallTransferred
from sansip.ua.errors import CallRefused
from sansip.ua.handler import Handler
from sansip.ua.refer_to import FRAGMENT, refer_to, replaces_fields, wants_no_subscription
from sansip.ua.sdp import with_direction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sansip.dialog import Received
    from sansip.limits import Limits
    from sansip.notices import LimitNotices
    from sansip.ua.call import Call
    from sansip.wire import Response

__all__ = ["Transferee"]


class Calling(Protocol):
    """The user agent that places the new call (``sansip.ua.UserAgent``)."""

    limits: Limits
    notices: LimitNotices
    tell: Callable[[Any, float], None]

    def invite(
        self,
        uri: Any,
        sdp: bytes = b"",
        *,
        headers: Iterable[tuple[str, str]] = (),
        handler: Handler | None = None,
        on_progress: Callable[[Any, Response, float], None] | None = None,
        chosen: bool = True,
    ) -> Any: ...


class Transferee(Handler):
    """Answers as a phone would, and calls those that its peers name in a REFER.

    ``may(call, uri)`` says whether it may call a URI; by default it may call all.
    """

    __slots__ = ("_agent", "_may")

    def __init__(self, agent: Calling, may: Callable[[Call, Any], bool] | None = None) -> None:
        self._agent = agent
        self._may = may

    def received(self, call: Call, received: Received, now: float) -> None:
        if received.request.method != "REFER":
            super().received(call, received, now)
            return
        agent = self._agent
        try:
            target, replaces = refer_to(received.request)
        except RemoteProtocolError as error:
            call.answer(received, error.status or 400, now=now)
            return
        if call.transfers >= agent.limits.transfers_per_call:
            agent.notices.reached("transfers_per_call", call.dialog.id.call_id, now)
            call.answer(received, 603, now=now)
            return
        if self._may is not None and not self._may(call, target):
            call.answer(received, 603, now=now)
            return
        call.transfers += 1
        _Transfer(agent, call, received, now).begin(self, target, replaces_fields(replaces), now)


class _Transfer:
    """One REFER being carried out."""

    __slots__ = ("_agent", "_call", "_quiet", "_refer", "_told")

    def __init__(self, agent: Calling, call: Call, received: Received, now: float) -> None:
        self._agent = agent
        self._call = call
        self._refer = received.request
        self._quiet = wants_no_subscription(received.request)
        # RFC 4488 4: a peer that wants no subscription gets none, and we tell it so.
        call.answer(received, 202, headers=[("Refer-Sub", "false")] if self._quiet else [], now=now)
        self._told = 100
        self._notify(100, "Trying")

    def begin(self, handler: Handler, target: Any, headers: list[tuple[str, str]], now: float) -> None:
        """Call ``target``."""
        referred_by = self._refer.get("referred-by")
        if referred_by is not None:
            # RFC 3892 2.2
            headers = [*headers, ("Referred-By", referred_by)]
        try:
            called = self._agent.invite(
                target,
                with_direction(self._call.local_sdp, "sendrecv") if self._call.local_sdp else b"",
                headers=headers,
                handler=handler,
                on_progress=self._progressed,
                chosen=False,
            )
        except LocalProtocolError:
            self._notify(400, "Bad Request")
            return
        called.answered.then(lambda result, at: self._answered(target, result, at), now)

    def _progressed(self, _early: Any, response: Response, now: float) -> None:
        if response.status != self._told:
            self._told = response.status
            self._notify(response.status, response.reason)

    def _answered(self, target: Any, result: Any, now: float) -> None:
        if isinstance(result, CallRefused):
            self._notify(result.response.status, result.response.reason)
        elif isinstance(result, Exception):
            self._notify(503, "Service Unavailable")
        else:
            self._agent.tell(CallTransferred(self._call.number, result.number, str(target)), now)
            self._notify(200, "OK")

    def _notify(self, status: int, reason: str) -> None:
        call = self._call
        if call.ended or self._quiet:
            return
        if status >= 200:
            state = "terminated;reason=noresource"
        else:
            state = f"active;expires={int(self._agent.limits.ring_time)}"
        headers = [
            # RFC 3515 2.4.6: id is the CSeq of the REFER, where there were several.
            ("Event", f"refer;id={self._refer.cseq.number}"),
            ("Subscription-State", state),
            ("Content-Type", FRAGMENT),
        ]
        call.request("NOTIFY", headers, f"SIP/2.0 {status} {reason}\r\n".encode())
