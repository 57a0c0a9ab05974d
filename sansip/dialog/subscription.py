"""The common part of both ends of a subscription (RFC 6665): events, final statuses, running a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from sansip.dialog.dialog import Dialog
from sansip.dialog.effects import Effect, End, Respond, Send, SubscriptionEnded, Tell
from sansip.transaction.table import IGNORE, IMPOSSIBLE, TERMINATED, Machine
from sansip.wire import Request, response_to

__all__ = ["ENDING", "SubscriptionUsage", "event_key"]

Headers = Iterable[tuple[str, object]]

# RFC 6665 4.1.2.2, 4.2.2: statuses that end a subscription, at either end.
ENDING: Final = frozenset((404, 405, 410, 416, *range(480, 486), 489, 501, 604))


def event_key(message: Request) -> tuple[str, str | None]:
    """Return event type and id, octet for octet: they name a subscription in its dialog (RFC 6665 8.2.1).

    Raises RemoteProtocolError for an Event that is malformed.
    """
    event = message.typed("event")
    text = message.get("event") or ""
    return text.partition(";")[0].strip(), None if event is None else event.id


class SubscriptionUsage:
    """One end of one subscription. See ``Subscriber`` and ``Notifier``.

    Attributes:
        dialog: the dialog, which other usages may share.
        event: the Event header field, as it stands in each SUBSCRIBE and NOTIFY.
        state: a state of its table, or "terminated".
        expires_at: when it ends unless refreshed, None before that is known.
    """

    __slots__ = ("_effects", "_headers", "_number", "dialog", "event", "expires_at", "state")

    table: ClassVar[Machine]

    def __init__(self, dialog: Dialog, event: str, state: str, headers: Headers) -> None:
        self.dialog = dialog
        self.event = event
        self.state = state
        self.expires_at: float | None = None
        self._headers = list(headers)
        self._effects: list[Effect] = []
        # The CSeq number of our last request.
        self._number = -1

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state == TERMINATED

    def resent(self, request: Request) -> None:
        """Our last request left again as ``request``, with credentials and another number (RFC 3261 22.2)."""
        self._number = request.cseq.number

    def _input(self, given: str, argument: Any, now: float) -> None:
        if self.state == TERMINATED:
            return
        effect, state = self.table[self.state][given]
        if effect not in (IGNORE, IMPOSSIBLE):
            self.state = state
            getattr(self, effect)(argument, now)

    def _take(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        return effects

    def _send(self, method: str, headers: Headers, body: bytes = b"") -> None:
        request = self.dialog.make(method, [("Event", self.event), *self._headers, *headers], body)
        self._number = request.cseq.number
        self._effects.append(Send(request))

    def _respond(self, request: Request, owner: Any, status: int, headers: Headers = ()) -> None:
        response = response_to(request, status, to_tag=self.dialog.id.local_tag, headers=headers)
        self._effects.append(Respond(owner, response))

    def _contact(self) -> list[tuple[str, object]]:
        target = self.dialog.local_target
        return [] if target is None else [("Contact", f"<{target}>")]

    def _end(self, ended: SubscriptionEnded) -> None:
        self.state = TERMINATED
        self.expires_at = None
        self._effects += (Tell(ended), End())
