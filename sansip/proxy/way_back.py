"""The way back of one request: its server transaction sends a response once modules have seen it.

Theory of operation: RFC 3261 16.7 steps 5 and 9. Provisional responses and every 2xx to an INVITE go back
at once, in the bounds for the dialogs that they begin (``sansip.proxy.ringing``); one other final
response goes back in all. ``ResponseContext`` decides which one.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sansip.proxy.holding import hold
from sansip.proxy.hooks import waits_of
from sansip.proxy.returning import take_back
from sansip.proxy.ringing import begin
from sansip.transport.flow import ensure_length
from sansip.wire import response_to

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.later import Later
    from sansip.proxy.forwarding import Forwarding
    from sansip.proxy.proxy import Proxy
    from sansip.transaction import ClientTransaction, ServerTransaction
    from sansip.wire import Request, Response

__all__ = ["WayBack"]


class WayBack:
    """The user of one server transaction, and of client transactions whose branch is done.

    Attributes:
        cancelled: whether the caller gave up.
        done: whether a final response went back.
    """

    __slots__ = (
        "_confirmed",
        "_early",
        "_tag",
        "_trying_timer",
        "cancelled",
        "done",
        "forwarding",
        "proxy",
        "server",
    )

    def __init__(self, proxy: Proxy, forwarding: Forwarding, server: ServerTransaction) -> None:
        self.proxy = proxy
        self.forwarding = forwarding
        self.server = server
        self.done = False
        self.cancelled = False
        # To tags of the dialogs that its answers began.
        self._early: tuple[str, ...] = ()
        self._confirmed: tuple[str, ...] = ()
        self._tag: str | None = None
        self._trying_timer: Timer | None = None

    @property
    def request(self) -> Request:
        """The request as received; let go once nothing can need it any more."""
        request = self.forwarding.request
        assert request is not None
        return request

    def local_tag(self) -> str:
        """The To tag of responses made here for this request (RFC 3261 8.2.6.2)."""
        if self._tag is None:
            self._tag = self.proxy.entropy.token()
        return self._tag

    def _own(self, status: int, reason: str | None = None) -> Response:
        return response_to(self.request, status, reason, to_tag=self.local_tag())

    # --- what the response context says

    def _accept(self, response: Response, now: float) -> None:
        """A 2xx to an INVITE came."""
        raise NotImplementedError

    def _release(self) -> None:
        """Drop what nothing can need any more."""
        raise NotImplementedError

    # --- what goes back

    def _promise(self, now: float) -> None:
        """Send a 100, or see to it that one goes in time."""
        if self.forwarding.is_invite:
            if not self.server.last:
                # RFC 3261 17.2.1: within 200 ms, so that the caller stops resending.
                self.server.respond(response_to(self.request, 100, to_tag=None), now)
        elif self._trying_timer is None:
            # RFC 4320 4.1: 100 to a non-INVITE neither earlier nor later.
            proxy = self.proxy
            self._trying_timer = proxy.timers.start(now, proxy.trying_after, self, "trying")

    def timer_fired(self, name: str, now: float) -> None:
        self._trying_timer = None
        if not self.done and not self.server.last:
            self.server.respond(response_to(self.request, 100, to_tag=None), now)

    def provisional_received(self, response: Response, now: float) -> None:
        """A provisional response other than 100, without our Via."""
        # RFC 4320 4.1: nothing but 100 goes back on a non-INVITE.
        if self.forwarding.is_invite and not self.done:
            proxy = self.proxy
            early = begin(self._early, response.to_tag, proxy.limits.early_dialogs, proxy.entropy)
            if early is None:
                proxy.notices.reached("early_dialogs", self.server.flow.host, now)
                return
            self._early = early
            call = self.forwarding.call
            if call is not None:
                call.rings(now)
            # RFC 3261 16.7 step 5: every provisional response but 100.
            handle = self.forwarding.handle
            respond = self.server.respond
            if handle is None or handle.modules.hooks.answering(handle, response, respond, now):
                respond(response, now)

    def _pass_2xx(self, response: Response, now: float) -> bool:
        """Send a 2xx to an INVITE back; False where it would begin too many dialogs."""
        server, proxy = self.server, self.proxy
        confirmed = begin(self._confirmed, response.to_tag, proxy.limits.early_dialogs, proxy.entropy)
        if confirmed is None:
            proxy.notices.reached("early_dialogs", server.flow.host, now)
            return False
        self._confirmed = confirmed
        handle = self.forwarding.handle
        if handle is None:
            self._send_2xx(response, now)
        else:
            go = partial(self._send_seen, handle, not self.done)
            if handle.modules.hooks.answering(handle, response, go, now):
                go(response, now)
        return True

    def _send_seen(self, handle: Any, first: bool, response: Response, now: float) -> None:
        hooks = handle.modules.hooks
        data = self._send_2xx(response, now)
        if hooks.changes_responses:
            waits_of(handle).accepted[response.to_tag or ""] = data
        if first:
            hooks.done(handle, now)
        self._release()

    def _send_2xx(self, response: Response, now: float) -> bytes:
        ensure_length(response, self.server.flow)
        data = response.to_bytes()
        self.send_octets(data, now)
        return data

    def send_octets(self, data: bytes, now: float) -> None:
        """Send a 2xx to an INVITE back, for the first time or again."""
        server = self.server
        if server.state == "proceeding" or server.state == "accepted":
            server.feed("send 2xx", data, now)
        elif server.state != "terminated":
            self.proxy.sender.send(server.flow, data, now)
        call = self.forwarding.call
        if call is not None:
            call.answers(self._confirmed, data, now)

    def _record(self, status: int, reason: str, now: float) -> Later[None] | None:
        """Tell the record of the call the one final response; return what that has to wait for."""
        forwarding = self.forwarding
        call = forwarding.call
        if call is None:
            return None
        if forwarding.is_invite:
            call.fails(status, reason, self.cancelled, now)
            return None
        request = self.request
        line = request.first_line
        return call.hung_up(line("from") or "", line("cseq") or "", request.to_tag or "", status, now)

    def _pass_final(self, response: Response, now: float) -> None:
        """Send back the one final response; where modules see it ``_release`` follows."""
        handle = self.forwarding.handle
        waits = self._record(response.status, response.reason, now)
        if handle is None:
            hold(self.proxy, waits, partial(self.server.respond, response), now)
        elif handle.modules.hooks.answering(handle, response, partial(self._end_seen, handle), now):
            self._end_seen(handle, response, now)

    def _end_seen(self, handle: Any, response: Response, now: float) -> None:
        self.server.respond(response, now)
        handle.modules.hooks.done(handle, now)
        self._release()

    def _pass_nothing(self, now: float) -> None:
        """End without an answer."""
        self._record(408, "", now)
        self.server.abandon(now)
        handle = self.forwarding.handle
        if handle is not None:
            handle.modules.hooks.done(handle, now)
        self._release()

    # --- the user of client transactions whose branch is done

    def response_received(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A further 2xx, from another branch of a fork downstream (RFC 6026 7.2)."""
        forwarding = self.forwarding
        take_back(self.proxy, forwarding, response, transaction.flow, stranger=forwarding.strange)
        if "via" in response.keys:
            self._accept(response, now)

    def client_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        """The way back does not wait for it any more."""

    # --- the user of the server transaction

    def ack_received(self, transaction: ServerTransaction, ack: Request, now: float) -> None:
        """An ACK with the INVITE's branch in Accepted: the stack routes it like any other."""

    def server_failed(self, transaction: ServerTransaction, reason: str, now: float) -> None:
        """The caller did not acknowledge the failure: there is nothing left to do."""
