"""A call of ours before it is answered: one INVITE, and a dialog for each phone that it reached.

Theory of operation: proxies on the way may fork the INVITE, so each To tag in its responses is a dialog of
its own (RFC 3261 12.1, 13.2.2). The first 2xx is the call. A further one came too late: we acknowledge it,
because its sender repeats it otherwise, and hang up (13.2.2.4). A CANCEL may cross a 2xx: we hang up that
call, too. After some refusals we send another INVITE (``again``); the user is not told of these refusals.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from sansip.client import Asker
from sansip.dialog import Progressed, Tell
from sansip.errors import RemoteProtocolError
from sansip.later import Later
from sansip.ua.again import Again
from sansip.ua.call import Call, CallHandler
from sansip.ua.contact import contact_of
from sansip.ua.errors import CallRefused
from sansip.wire import response_to

if TYPE_CHECKING:
    from sansip.auth import Account
    from sansip.client import Sending
    from sansip.transport import Flow, Listener
    from sansip.ua.owner import Owner
    from sansip.wire import Request, Response

__all__ = ["OnProgress", "OutgoingCall"]

# Told the early call (None where the response began no dialog), the response and the time.
OnProgress: TypeAlias = "Callable[[Call | None, Response, float], None]"


class OutgoingCall(Asker):
    """An INVITE on its way. Made by ``UserAgent.invite``.

    Attributes:
        answered: awaits the call, or ``CallRefused``.
        early: the calls that 1xx responses began, by the peer's tag.
        winner: the call, once it is answered.
        chosen: whether this node chose the callee (``Client.send``).
        depth: how many calls of ours it is within.
    """

    __slots__ = (
        "_accounts",
        "_again",
        "_agent",
        "_cancelled",
        "_handler",
        "_hop",
        "_on_progress",
        "_sending",
        "_until",
        "_user",
        "answered",
        "chosen",
        "depth",
        "early",
        "final_response",
        "number",
        "request",
        "winner",
    )

    def __init__(
        self,
        agent: Owner,
        request: Request,
        handler: CallHandler,
        user: str,
        on_progress: OnProgress | None,
        redirects: int = 0,
    ) -> None:
        self._agent = agent
        self._handler = handler
        self._user = user
        self._on_progress = on_progress
        self._cancelled = False
        # The 2xx that the call was answered with.
        self.final_response: Response | None = None
        self._again = Again(request, redirects, agent.limits.modification_attempts)
        self._sending: Sending | None = None
        # The flow that it was told to go over.
        self._hop: Flow | None = None
        self._accounts: Sequence[Account] | None = None
        # When the caller's patience ends.
        self._until: float | None = None
        self.number = agent.next_number()
        self.request = request
        self.answered: Later[Call] = Later()
        self.early: dict[str, Call] = {}
        self.winner: Call | None = None
        self.depth = 0
        self.chosen = True

    def __await__(self) -> Generator[Any, Any, Call]:
        return self.answered.__await__()

    def begin(
        self, hop: Flow | None, accounts: Sequence[Account] | None, within: float | None, now: float
    ) -> None:
        """Send the INVITE. Only for ``UserAgent.invite``."""
        self._hop = hop
        self._accounts = accounts
        self._until = None if within is None else now + within
        self._send(now)

    def _send(self, now: float) -> None:
        within = None if self._until is None else self._until - now
        client = self._agent.client
        self._sending = client.send(
            self.request,
            self,
            now,
            hop=self._hop,
            accounts=self._accounts,
            within=within,
            chosen=self.chosen,
        )

    def cancel(self, reason: str | None = None) -> None:
        """Give up (RFC 3261 9.1); ``reason``: a Reason field (RFC 3326). If the callee took the call
        meanwhile, we hang up."""
        if self.winner is None and not self._cancelled and self._sending is not None:
            self._cancelled = True
            self._sending.cancel(self._agent.now, reason)

    @property
    def heard(self) -> bool:
        """Whether any response came, a 100 at least."""
        return self._sending is not None and (self._sending.provisional or self._sending.final is not None)

    def give_up(self) -> None:
        """Wait no longer: make a 408 at once (RFC 3261 8.1.3.1). Hang up if the callee answers later."""
        if self.winner is None and not self._cancelled and self._sending is not None:
            self._sending.feed("give up", None, self._agent.now)

    # --- called by the client

    def leaving(self, sending: Sending, request: Request, listener: Listener, now: float) -> None:
        secure = request.uri.scheme == "sips"
        # RFC 3261 8.1.1.8: where we can be reached within the dialog.
        request.set("Contact", f"<{contact_of(listener, self._user, secure=secure)}>")

    def resent(self, sending: Sending, request: Request, now: float) -> None:
        # RFC 3261 22.2: early dialogs of the challenged INVITE have ended with it.
        self._agent.now = now

    def provisional(self, sending: Sending, response: Response, now: float) -> None:
        self._agent.now = now
        if self._cancelled or self.winner is not None:
            return
        call = self._call_of(sending, response, now)
        fresh = call is None
        if call is not None and not call.ended:
            if response.body:
                call.heard(response.body)
            effects = call.usage.response_received(sending.request, response, now)
            # RFC 3262 4: a reliable one that is repeated, or comes too early, is not heard.
            fresh = any(isinstance(one, Tell) and isinstance(one.event, Progressed) for one in effects)
            call.perform(effects, now)
        if fresh and self._on_progress is not None:
            self._on_progress(call, response, now)

    def final(self, sending: Sending, response: Response, now: float) -> None:
        self._agent.now = now
        if response.status >= 300:
            self._failed(sending, response, now)
            return
        call = self._call_of(sending, response, now)
        if call is None:
            if self.winner is None and not sending.made:
                self._give_up(response, now)
            return
        late = self._cancelled or (self.winner is not None and call is not self.winner)
        # Also late: a 2xx to an INVITE that another one followed, or that was given up, so the caller has its
        # refusal.
        late = late or sending is not self._sending or (self.winner is None and self.answered.done)
        first = self.winner is None and not late
        if first:
            self.winner = call
            self._agent.renumber(call, self.number)
            self.final_response = response
            if response.body:
                call.heard(response.body)
        call.perform(call.usage.response_received(sending.request, response, now), now)
        if late and not call.ended:
            # RFC 3261 13.2.2.4: acknowledged, for that stops its repetitions, and ended.
            call.acknowledge(now=now)
            call.bye()
            if sending is self._sending:
                self.answered.set(CallRefused(response_to(self.request, 487, to_tag=None)), now)
        elif first:
            self.answered.set(call, now)

    def ended(self, sending: Sending, now: float) -> None:
        if sending is not self._sending:
            return
        self._agent.settled(self)
        # RFC 3261 13.2.2.4: 64*T1 after the first 2xx the other early dialogs are over.
        for call in list(self.early.values()):
            call.invitation = None
            if call is not self.winner and call.dialog.state == "early":
                call.perform(call.usage.abandon(now), now)

    # --- dialogs

    def _call_of(self, sending: Sending, response: Response, now: float) -> Call | None:
        """Return the call that ``response`` belongs to, made where it is its first; None where there is
        none."""
        tag = response.to_tag
        if tag is None:
            return None
        call = self.early.get(tag)
        if call is not None:
            return call
        agent = self._agent
        full = "forks_per_call" if len(self.early) >= agent.limits.forks_per_call else ""
        if not full and agent.dialogs >= agent.limits.call_dialogs:
            full = "call_dialogs"
        if full:
            agent.notices.reached(full, response.call_id, now)
            return None
        try:
            usage = self._agent.usage_of_caller(sending.request, response, sending.flow)
        except RemoteProtocolError:
            # RFC 3261 8.1.3: a response that begins no dialog; a 2xx without a usable Contact cannot be
            # ended.
            return None
        call = Call(
            self._agent, usage, self._agent.way_back(sending.flow, response, self._hop), self._handler
        )
        call.peer = sending.flow
        call.local_sdp = self.request.body
        call.invitation = self
        self.early[tag] = call
        self._agent.add(call)
        return call

    def _failed(self, sending: Sending, response: Response, now: float) -> None:
        for call in list(self.early.values()):
            call.perform(call.usage.response_received(sending.request, response, now), now)
        if sending.made:
            # A 2xx may come all the same: it begins its dialog anew, to be acknowledged and hung up.
            self.early.clear()
        if self.winner is not None or sending is not self._sending:
            return
        if not self._cancelled and (self._until is None or now < self._until):
            further = self._again.after(sending.request, response)
            if further is not None:
                # RFC 3261 12.3: the early dialogs ended with their INVITE.
                self.early.clear()
                self.request = further.request
                if further.redirected:
                    self._hop = None
                    # The callee did.
                    self.chosen = False
                self._send(now)
                return
        self.answered.set(CallRefused(response), now)

    def _give_up(self, response: Response, now: float) -> None:
        made = response.copy()
        made.set_status(500, "Unusable 2xx")
        self.answered.set(CallRefused(made), now)
