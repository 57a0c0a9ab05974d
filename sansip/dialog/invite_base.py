"""The common part of an INVITE usage: its state, its timers, and how it sends and answers.

Theory of operation: every input of ``InviteUsage`` finds its row in ``INVITE_USAGE`` and calls
the method that the row names; the methods stand in four files, by whose request they are about:
``invite_server`` and ``invite_requests`` (the peer's), ``invite_client`` (ours), and ``invite`` (the
session as a whole). Effects gather in a list, which the input returns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sansip.dialog.dialog import Dialog
from sansip.dialog.effects import Effect, End, Ended, Event, Respond, Send, SendAck, Tell
from sansip.dialog.invite_table import INVITE_USAGE, MISUSE, OVER
from sansip.dialog.offer_answer import OfferAnswer
from sansip.dialog.reliable import ReliableReceiver, ReliableSender
from sansip.dialog.session_timer import SessionTimer, SessionTimerSettings
from sansip.entropy import Entropy
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.limits import Limits
from sansip.transaction.table import IGNORE, IMPOSSIBLE
from sansip.transaction.timers import TimerValues
from sansip.wire import Request, Response, response_to

__all__ = ["Attempt", "InviteBase", "Pending"]

Headers = Iterable[tuple[str, object]]

# ACKs that are kept for repeated 2xx: RFC 5407 3.1.4: a re-INVITE may follow one that was lost.
_ACKS: Final = 2
# RFC 3261 14.2, RFC 3311 5.2: Retry-After is between 0 and 10 seconds.
_RETRY_AFTER: Final = 11


@dataclass(slots=True)
class Attempt:
    """A re-INVITE or UPDATE of ours, from the wish to its final response.

    ``tries`` counts those that were refused and sent again (491, 422); ``refresh`` says that the session
    timer caused it, so the user is not told.
    """

    method: str
    body: bytes
    headers: list[tuple[str, object]]
    key: Any = None
    refresh: bool = False
    tries: int = 0


@dataclass(slots=True)
class Pending:
    """A request of the peer that our user has still to answer."""

    request: Request
    owner: Any
    due: float | None = None


class InviteBase:
    """State and helpers. See ``InviteUsage``."""

    __slots__ = (
        "_acks",
        "_again",
        "_again_status",
        "_attempt",
        "_bye_headers",
        "_bye_key",
        "_due",
        "_effects",
        "_entropy",
        "_headers",
        "_held",
        "_interval",
        "_invite",
        "_inviting",
        "_last_number",
        "_limits",
        "_pending",
        "_receiver",
        "_sender",
        "_session_body",
        "_told",
        "_unacknowledged",
        "_update",
        "_values",
        "dialog",
        "exchange",
        "peer_updates",
        "state",
        "timer",
    )

    def __init__(
        self,
        dialog: Dialog,
        state: str,
        values: TimerValues,
        session: SessionTimerSettings,
        headers: Headers,
        entropy: Entropy,
        limits: Limits,
    ) -> None:
        self.dialog = dialog
        self.state = state
        self.exchange = OfferAnswer()
        self.timer = SessionTimer(session)
        # Whether the peer's Allow lists UPDATE (RFC 4028 7.4).
        self.peer_updates = False
        self._values = values
        self._entropy = entropy
        self._limits = limits
        # Allow, Supported and the like, for our messages.
        self._headers = list(headers)
        self._effects: list[Effect] = []
        self._due: dict[str, float] = {}
        self._told = False
        # The description that holds on our side, with its type, for a refresh by re-INVITE.
        self._session_body: tuple[bytes, str] | None = None
        # --- the peer's INVITE: itself, its 2xx that is repeated, an acceptance that waits for a PRACK
        self._invite: Pending | None = None
        self._again: Response | None = None
        self._again_status = (180, False)
        self._interval = 0.0
        self._held: tuple[int, bytes, list[tuple[str, object]]] | None = None
        self._sender: ReliableSender | None = None
        # --- the peer's other requests that our user has to answer
        self._pending: list[Pending] = []
        # --- our INVITE: under way, the number of the last one that had a 2xx, the ACKs by their numbers
        self._inviting = False
        self._last_number = -1
        self._acks: dict[int, Request] = {}
        self._receiver = ReliableReceiver()
        self._unacknowledged: Request | None = None
        # --- our BYE: the values that its user gave
        self._bye_key: Any = None
        self._bye_headers: list[tuple[str, object]] = []
        # Requests that wait to be sent, or are under way.
        self._attempt: Attempt | None = None
        self._update: Attempt | None = None

    # --- running the table

    def _input(self, given: str, argument: Any, now: float) -> None:
        effect, state = INVITE_USAGE[self.state][given]
        if effect == MISUSE:
            raise LocalProtocolError(f"cannot {given} now: the call is {self.state}")
        if effect not in (IGNORE, IMPOSSIBLE):
            self.state = state
            getattr(self, effect)(argument, now)

    def _allowed(self, given: str) -> None:
        """Raise LocalProtocolError where the user must not do ``given`` now, before anything changes."""
        if INVITE_USAGE[self.state][given][0] == MISUSE:
            raise LocalProtocolError(f"cannot {given} now: the call is {self.state}")

    def _take(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    def _tell(self, event: Event) -> None:
        self._effects.append(Tell(event))

    # --- sending

    def _send(self, method: str, headers: Headers = (), body: bytes = b"") -> Request:
        request = self.dialog.make(method, headers, body)
        self._effects.append(Send(request))
        return request

    def _send_ack(self, invite: Request, body: bytes = b"", headers: Headers = ()) -> None:
        # RFC 3261 13.2.2.4; kept, for every repeated 2xx is acknowledged by the same.
        ack = self.dialog.ack(invite, headers, body)
        if len(self._acks) >= _ACKS:
            del self._acks[next(iter(self._acks))]
        self._acks[invite.cseq.number] = ack
        self._effects.append(SendAck(ack))

    def _send_bye(self, headers: Headers = ()) -> None:
        self._send("BYE", headers)

    def _respond(
        self,
        pending: Pending,
        status: int,
        reason: str | None = None,
        headers: Headers = (),
        body: bytes = b"",
    ) -> Response:
        response = response_to(
            pending.request, status, reason, to_tag=self.dialog.id.local_tag, headers=headers, body=body
        )
        self._effects.append(Respond(pending.owner, response))
        return response

    def _contact(self) -> list[tuple[str, object]]:
        target = self.dialog.local_target
        return [] if target is None else [("Contact", f"<{target}>")]

    def _retry_after(self) -> list[tuple[str, object]]:
        return [("Retry-After", self._entropy.number(_RETRY_AFTER))]

    def _glare_wait(self) -> float:
        # RFC 3261 14.1, RFC 3311 5.3: in units of 10 ms, the owner of the Call-ID waits longer.
        if self.dialog.is_caller:
            return 2.1 + self._entropy.number(191) / 100
        return self._entropy.number(201) / 100

    def _keep_session(self, body: bytes, headers: Headers) -> None:
        """Remember our last offer or answer."""
        kind = next((str(value) for name, value in headers if name.lower() in ("content-type", "c")), "")
        if len(body) <= self._limits.session_size:
            self._session_body = (body, kind)
        else:
            self._session_body = None

    def _hear(self, message: Request | Response) -> None:
        """Note the capabilities of the peer."""
        try:
            allow = message.typed("allow")
        except RemoteProtocolError:
            return
        if allow is not None:
            self.peer_updates = "UPDATE" in allow

    def _stop_repeating(self) -> None:
        """Our 2xx has its ACK, or never gets one."""
        self._due.pop("2xx again", None)
        self._due.pop("no ACK", None)
        self._invite = self._again = None

    def _proceed(self, now: float) -> None:
        """No INVITE is under way any longer: send the request that has waited for that."""
        raise NotImplementedError

    # --- the end

    def _ended(self, reason: str, message: Request | Response | None = None) -> None:
        """The session is over: say so once."""
        if not self._told:
            self._told = True
            self.timer.stop()
            self._tell(Ended(reason, message))

    def _finish(self, now: float) -> None:
        """The dialog is over. Remain only as long as a 2xx or a PRACK may still come."""
        self.state = OVER
        self.dialog.end()
        lasting = self._due.get("forgotten", 0.0)
        self._keep_repeating()
        self._attempt = self._update = None
        if self._sender is not None:
            self._sender.finish()
        if self._inviting or (self._sender is not None and self._sender.current is not None):
            # RFC 5407 3.2.3: its 2xx has to be acknowledged. RFC 3262 3: a PRACK is still taken.
            lasting = now + self._values.t1x64
        if lasting > now:
            self._due["forgotten"] = lasting
        self._forget_if_done()

    def _keep_repeating(self) -> None:
        """Drop all timers but those of a 2xx that has no ACK yet.

        RFC 5407 3.1.3, 3.1.6: it is repeated whatever became of the session, for the INVITE's
        client would wait for ever.
        """
        kept = {name: at for name, at in self._due.items() if name in ("2xx again", "no ACK")}
        self._due = kept if self._again is not None else {}

    def _forget_if_done(self) -> None:
        if self.state == OVER and "forgotten" not in self._due and self._again is None:
            self._effects.append(End())

    def forget(self, _argument: Any, now: float) -> None:
        self._forget_if_done()

    def _refuse_pending(self, status: int) -> None:
        """Answer whatever of the peer is not yet answered (RFC 3261 15.1.2: 487)."""
        pending, self._pending = self._pending, []
        for one in pending:
            self._respond(one, status)
        if self._invite is not None and self._again is None:
            self._respond(self._invite, status)
            self._invite = None
            self._held = None
            self.exchange.close("INVITE")
