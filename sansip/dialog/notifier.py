"""The notifier's end (RFC 6665 4.2): SUBSCRIBE or REFER accepted, NOTIFY for each change, expiry.

Theory of operation: one NOTIFY is under way at a time, for two could overtake each other and the older
one would be refused (RFC 3261 12.2.2). A change meanwhile waits, and a later one takes its place: the
subscriber gets the newest state, and the memory held is one body. A user with many subscriptions holds no
body at all: its ``content`` is asked for one when a NOTIFY is about to leave.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Self, TypeAlias

from sansip.dialog.dialog import CONFIRMED, EARLY, ENDED, Dialog, Refusal
from sansip.dialog.effects import Effect, End, SendNotify, Subscribed, SubscriptionEnded, Tell
from sansip.dialog.route_set import record_routes_to_copy
from sansip.dialog.subscription import ENDING, Headers, SubscriptionUsage
from sansip.dialog.subscription_table import ACTIVE, NOTIFIER, PENDING
from sansip.transaction.table import TERMINATED
from sansip.wire import Request, Response

__all__ = ["Notifier", "duration", "refer_event"]

# From the words of Subscription-State ("active", "terminated;reason=timeout") to the fields and the body of
# the NOTIFY that is about to leave.
MakeContent: TypeAlias = Callable[[str], tuple[Headers, bytes]]

# RFC 6665 4.2.1.1: an hour is never too brief.
_HOUR: Final = 3600


def duration(request: Request, *, default: int, least: int, most: int) -> int | Refusal:
    """Return how long a SUBSCRIBE shall last, 0 to end it, or the 423 for one that is too brief (4.2.1.1)."""
    asked = request.expires
    if asked is None:
        asked = default
    if 0 < asked < min(least, _HOUR):
        return Refusal(423, None, (("Min-Expires", str(least)),))
    return min(asked, most)


def refer_event(request: Request, *, first: bool) -> str:
    """Return the Event of the subscription that a REFER makes (RFC 3515 2.4.6).

    The second REFER of a dialog, and each after it, is told from the first by its number.
    """
    return "refer" if first else f"refer;id={request.cseq.number}"


class Notifier(SubscriptionUsage):
    """One subscription of a peer. Made by ``accepted``, which answers the SUBSCRIBE or REFER.

    Attributes:
        least, most: bounds of the duration of a refresh, seconds.
        usual: the duration of a refresh that names none (RFC 6665 4.2.1.1).
        content: makes the content of each NOTIFY; None: ``change`` brings it.
        lean: each NOTIFY is an effect ``SendNotify``, and ``notify`` makes it; else a ``Send``.
        is_sending: whether a NOTIFY has no answer yet.
        params: what follows in each Subscription-State of a subscription that lasts (RFC 6446 9.3).
    """

    __slots__ = (
        "_body",
        "_changed",
        "_fields",
        "content",
        "is_sending",
        "lean",
        "least",
        "most",
        "params",
        "usual",
    )

    table = NOTIFIER

    least: int
    most: int
    usual: int
    content: MakeContent | None
    params: str
    lean: bool
    is_sending: bool
    # Content of the next NOTIFY, and whether that of the one under way is out of date.
    _body: bytes
    _fields: Headers
    _changed: bool

    @classmethod
    def accepted(
        cls,
        request: Request,
        owner: Any,
        dialog: Dialog,
        *,
        event: str,
        expires: int,
        now: float,
        body: bytes = b"",
        fields: Headers = (),
        pending: bool = False,
        headers: Headers = (),
        least: int = 60,
        most: int = 86_400,
        usual: int | None = None,
        content: MakeContent | None = None,
        params: str = "",
    ) -> tuple[Self, list[Effect]]:
        """Accept a SUBSCRIBE (200) or REFER (202), and send the first NOTIFY at once (RFC 6665 4.2.1.2).

        ``fields`` and ``body`` are the content of this NOTIFY (with its Content-Type); ``headers`` go into
        each NOTIFY. ``expires`` of 0 is a poll: that NOTIFY is the last (4.4.3).
        """
        usage = cls(dialog, event, PENDING if pending else ACTIVE, headers)
        usage._begin(least, most, usual, content, params)
        usage._body, usage._fields = body, list(fields)
        return usage, usage.accept(request, owner, expires, now)

    def accept(self, request: Request, owner: Any, expires: int, now: float) -> list[Effect]:
        """Answer the SUBSCRIBE or REFER that it was made for, and send the first NOTIFY (4.2.1.2)."""
        dialog = self.dialog
        recorded = record_routes_to_copy(request) if dialog.state == EARLY else []
        answer = [*recorded, *self._contact(), *self._headers]
        if request.method == "SUBSCRIBE":
            answer.append(("Expires", expires))
        self._respond(request, owner, 202 if request.method == "REFER" else 200, answer)
        if dialog.state == EARLY:
            dialog.state = CONFIRMED
        else:
            dialog.refresh(request)
        self.expires_at = now + expires
        if expires:
            self.notify_now(None, now)
        else:
            self._input("expired", None, now)
        return self._take()

    def accept_by(self, expires_at: float, now: float) -> list[Effect]:
        """As ``accept``, of a SUBSCRIBE without Record-Route that the caller answers with 200."""
        self.dialog.confirm()
        self.expires_at = expires_at
        self.notify_now(None, now)
        return self._take()

    @classmethod
    def restored(
        cls,
        dialog: Dialog,
        *,
        event: str,
        expires_at: float,
        content: MakeContent,
        pending: bool = False,
        headers: Headers = (),
        least: int = 60,
        most: int = 86_400,
        usual: int | None = None,
        params: str = "",
        lean: bool = False,
    ) -> Self:
        """Return a subscription of which nothing is to be sent yet.

        It is stored before it is answered (``accept`` follows), or was accepted by another process.
        """
        usage = cls(dialog, event, PENDING if pending else ACTIVE, headers)
        usage._begin(least, most, usual, content, params)
        usage.expires_at = expires_at
        usage.lean = lean
        return usage

    def _begin(
        self, least: int, most: int, usual: int | None, content: MakeContent | None, params: str
    ) -> None:
        self.least, self.most = least, most
        self.usual = most if usual is None else usual
        self.content, self.params = content, params
        self._body, self._fields = b"", []
        self._changed = self.is_sending = self.lean = False

    # --- what arrives

    def received(
        self, request: Request, owner: Any, now: float, wanted: int | Refusal | None = None
    ) -> list[Effect]:
        """A SUBSCRIBE in the dialog, of this event: a refresh, or the end (RFC 6665 4.2.1.4).

        ``wanted``: what ``duration`` has said of it.
        """
        refusal = self.dialog.take(request)
        if wanted is None:
            wanted = duration(request, default=self.usual, least=self.least, most=self.most)
        if refusal is None and isinstance(wanted, Refusal):
            refusal = wanted
        if refusal is None and self.is_over:
            refusal = Refusal(481)
        if refusal is not None:
            self._respond(request, owner, refusal.status, refusal.headers)
        else:
            self._input("SUBSCRIBE" if wanted else "unsubscribe", (request, owner, wanted), now)
        return self._take()

    def takes_refresh(self, number: int) -> bool:
        """Whether ``refresh_by`` does what ``received`` would do with a SUBSCRIBE of CSeq ``number``."""
        before = self.dialog.remote_cseq
        return (
            self.state == ACTIVE
            and self.dialog.state != ENDED
            and self.lean
            and (before is None or number > before)
            and self.content is not None
        )

    def refresh_by(self, number: int, expires_at: float) -> bool:
        """As ``received``, of a SUBSCRIBE that only refreshes, which the caller answers with 200.

        Return whether the caller sends a NOTIFY (``tell``); not while one has no answer.
        """
        self.dialog.remote_cseq = number
        self.expires_at = expires_at
        if self.is_sending:
            self._changed = True
        return not self.is_sending

    def response_received(self, request: Request, response: Response, now: float) -> list[Effect]:
        """A final response, received or made, to a NOTIFY."""
        status = response.status
        if status >= 200:
            self.is_sending = False
            # RFC 6665 4.2.2: these statuses end it, and so does silence (408).
            ends = status in ENDING or status == 408
            self._input("NOTIFY refused" if ends else "NOTIFY answered", response, now)
        return self._take()

    def taken(self, number: int, now: float) -> Sequence[Effect]:
        """A 2xx to NOTIFY ``number``, which says nothing else."""
        self.is_sending = False
        if self.state == ACTIVE and not self._changed:
            return ()
        self._input("NOTIFY answered", number, now)
        return self._take()

    def lost(self, response: Response, now: float) -> list[Effect]:
        """No NOTIFY gets through any more: it ends (RFC 6665 4.2.2)."""
        self.is_sending = False
        self._input("NOTIFY refused", response, now)
        return self._take()

    # --- what our user wishes

    def change(self, body: bytes, fields: Headers, now: float) -> list[Effect]:
        """Tell the subscriber of a new state."""
        self._body, self._fields = body, list(fields)
        self._input("change", None, now)
        return self._take()

    def grant(self, now: float, body: bytes | None = None, fields: Headers = ()) -> list[Effect]:
        """A pending subscription is authorized."""
        if body is not None:
            self._body, self._fields = body, list(fields)
        self._input("grant", None, now)
        return self._take()

    def end(self, reason: str, now: float, retry_after: int | None = None) -> list[Effect]:
        """End it with ``reason`` (RFC 6665 4.1.3): ``"noresource"``, ``"rejected"``, …"""
        self._input("end", (reason, retry_after), now)
        return self._take()

    # --- time

    def next_due(self) -> float | None:
        """Return when ``time_passed`` has something to do, or None."""
        return None if self.is_over else self.expires_at

    def time_passed(self, now: float) -> list[Effect]:
        """Do the work that is due."""
        if self.expires_at is not None and self.expires_at <= now:
            self.expires_at = None
            self._input("expired", None, now)
        return self._take()

    # --- effects

    def notify_now(self, _argument: Any, now: float) -> None:
        if self.is_sending:
            self._changed = True
            return
        self._changed = False
        # RFC 6665 4.2.2: it must give the remaining time.
        left = max(0, int((self.expires_at or now) - now))
        self._notify(self.state, f"{self.state};expires={left}{self.params}")

    def _notify(self, words: str, state: str) -> None:
        self.is_sending = True
        if self.content is None:
            fields, body = self._fields, self._body
        else:
            fields, body = self.content(words)
        if self.lean:
            number = self._number = self.dialog.next_cseq()
            self._effects.append(SendNotify(number, state, fields, body))
        else:
            self._send("NOTIFY", [("Subscription-State", state), *fields], body)

    def tell(self, now: float) -> SendNotify | None:
        """As ``change`` of a ``lean`` one: return the NOTIFY to send; None while one has no answer."""
        content = self.content
        if self.is_sending or self.state != ACTIVE or self.expires_at is None or content is None:
            effects = self.change(b"", (), now)
            return effects[0] if effects and isinstance(effects[0], SendNotify) else None
        number = self.begin()
        fields, body = content(ACTIVE)
        # As ``notify_now``.
        left = max(0, int(self.expires_at - now))
        return SendNotify(number, f"{ACTIVE};expires={left}{self.params}", fields, body)

    def begin(self) -> int:
        """Note that a NOTIFY leaves, as ``tell`` does; return its number."""
        self._changed, self.is_sending = False, True
        number = self._number = self.dialog.next_cseq()
        return number

    @property
    def headers(self) -> Headers:
        """The fields of each NOTIFY that are its user's."""
        return self._headers

    def notify(self, made: SendNotify) -> Request:
        """Return the NOTIFY that ``made`` says."""
        headers = [("Event", self.event), *self._headers, ("Subscription-State", made.state), *made.fields]
        return self.dialog.make("NOTIFY", headers, made.body, number=made.number)

    def go_on(self, _answer: Response | int, now: float) -> None:
        if self._changed:
            self.notify_now(None, now)

    def refresh(self, given: tuple[Request, Any, int], now: float) -> None:
        request, owner, expires = given
        self.dialog.refresh(request)
        self.expires_at = now + expires
        self._respond(request, owner, 200, [*self._contact(), *self._headers, ("Expires", expires)])
        self._effects.append(Tell(Subscribed(request, expires)))
        # 4.2.1.2: a NOTIFY follows each.
        self.notify_now(None, now)

    def take_unsubscribe(self, given: tuple[Request, Any, int], now: float) -> None:
        request, owner, _expires = given
        self.dialog.refresh(request)
        self._respond(request, owner, 200, [*self._contact(), *self._headers, ("Expires", 0)])
        self.send_last(("timeout", None), now)

    def time_out(self, _argument: Any, now: float) -> None:
        self.send_last(("timeout", None), now)

    def send_last(self, given: tuple[str, int | None], now: float) -> None:
        reason, retry_after = given
        self.expires_at = None
        text = f"terminated;reason={reason}"
        if retry_after is not None:
            text += f";retry-after={retry_after}"
        # One that is under way carries an older number: refused or not, this one is the last word.
        self._notify(text, text)
        self._effects.append(Tell(SubscriptionEnded(reason, retry_after)))

    def refuse(self, given: tuple[Request, Any, int], now: float) -> None:
        request, owner, _expires = given
        self._respond(request, owner, 481)

    def lose(self, response: Response, now: float) -> None:
        self._end(SubscriptionEnded("lost", None, response))

    def finish(self, answer: Response | int, now: float) -> None:
        # An older one may be answered before.
        if (answer if isinstance(answer, int) else answer.cseq.number) == self._number:
            self.state = TERMINATED
            self._effects.append(End())
