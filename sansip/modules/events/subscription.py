"""One subscription: a watcher, a resource, a dialog, and what it still has to be told.

Theory of operation: the dialog and the order of NOTIFYs are the ``Notifier``'s. This object adds the pace: a
change makes it ``dirty``; the next NOTIFY leaves when none is unanswered and the package's interval, or the
watcher's own (RFC 6446), has passed. The content is made at that moment of the newest state. Where each
transition counts, the changes wait in a queue, and one NOTIFY takes the first of each thing that changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.client import BriefAsker
from sansip.modules.events.content import Verdict

if TYPE_CHECKING:
    from sansip.client import BriefRequest, Sending
    from sansip.dialog import Notifier
    from sansip.transport import Flow
    from sansip.wire import Request, Response

__all__ = ["MOST_CHANGES", "Subscription", "rate_of"]

# Transitions that wait for a watcher. One that falls behind further is told the whole state instead.
MOST_CHANGES: Final = 64
# RFC 6446 9.2: the bounds of a rate.
_LEAST_RATE: Final = 1e-10
_MOST_RATE: Final = 99.9999999999


def rate_of(text: str | None) -> float | None:
    """Return a max-rate or min-rate of Event (RFC 6446 9.2), None where there is none that can be obeyed."""
    if text is None or len(text) > 24 or not text.replace(".", "", 1).isdigit() or not text.isascii():
        return None
    rate = float(text)
    return rate if _LEAST_RATE <= rate <= _MOST_RATE else None


class Subscription(BriefAsker):
    """One subscription.

    Attributes:
        id: our tag of its dialog, which also names its row.
        package: the ``Package`` that is subscribed to.
        resource, watcher: addresses-of-record.
        usage: its dialog and its state.
        verdict: what the watcher may see.
        accept: media types that the watcher takes, in lower case; empty: it named none.
        params: the parameters of Event.
        filter, filter_type, filter_body: what it wants of the state (RFC 4660), and its source.
        flow: where its SUBSCRIBE came from; ``proven``: whether the watcher has proved who it is.
        version: of the last document with a version, -1 before the first (``next_version``).
        full: whether the next NOTIFY must hold the whole state.
        changes: transitions that wait, as (key, value).
        more: whether the last content left out what the next NOTIFY has to tell.
        memo: whatever the package wants to keep with it.
        began: when it began, in seconds since 1970.
        engine: hears of the answers to its NOTIFYs: ``Notifying``, which is above this file.
    """

    __slots__ = (
        "accept",
        "began",
        "changes",
        "counted",
        "dirty",
        "due",
        "engine",
        "filter",
        "filter_body",
        "filter_type",
        "flow",
        "full",
        "head",
        "id",
        "kept",
        "memo",
        "more",
        "moved",
        "number",
        "package",
        "params",
        "proven",
        "reached",
        "reserved",
        "resource",
        "retry_at",
        "seen",
        "sent_at",
        "source",
        "tokens",
        "tries",
        "unanswered",
        "usage",
        "verdict",
        "version",
        "watcher",
    )

    usage: Notifier

    def __init__(
        self,
        id: str,
        package: Any,
        resource: str,
        watcher: str,
        engine: Any = None,
    ) -> None:
        self.id = id
        self.package = package
        self.resource = resource
        self.watcher = watcher
        self.verdict = Verdict.ALLOW
        self.accept: tuple[str, ...] = ()
        self.params: dict[str, str | None] = {}
        self.filter: Any = None
        self.filter_type = ""
        self.filter_body = b""
        self.flow: Flow | None = None
        self.proven = True
        self.version = -1
        # The CSeq (and so the version) that its row allows: a restart goes on from there.
        self.reserved = 0
        self.full = True
        self.dirty = False
        self.changes: list[tuple[Any, Any]] = []
        self.memo: Any = None
        self.more = False
        self.began = 0.0
        self.number = 0
        # The NOTIFYs that may leave at once, and when that was so.
        self.tokens = float(package.burst)
        self.sent_at = -1e9
        # The NOTIFY that failed is sent anew at this time; how often that was.
        self.retry_at: float | None = None
        self.tries = 0
        self.due: float | None = None
        # The key that it counts for while its first NOTIFY has no answer, and the target that has answered.
        self.unanswered: str | None = None
        self.reached = ""
        # Whether a 200 moved the target, and nothing has answered there.
        self.moved = False
        self.source = ""
        # The mark of its last SUBSCRIBE (``screening.mark_of``), 0 for none.
        self.seen = 0
        # Whether it is among the subscriptions of its resource, and whether it has a row.
        self.counted = False
        self.kept = False
        # What its NOTIFYs begin with, while the dialog stays as it is: a ``Head`` of ``writing``, which is
        # above this file.
        self.head: Any = None
        self.engine = engine

    # --- the pace

    @property
    def interval(self) -> float:
        """Seconds between two NOTIFYs that the watcher asks for (RFC 6446 5.2), 0 where it does not."""
        rate = rate_of(self.params.get("max-rate"))
        return 0.0 if rate is None else 1.0 / rate

    def note(self, key: Any, value: Any) -> None:
        """Something changed. ``key`` None: no transition that counts by itself."""
        self.dirty = True
        if key is None or not self.package.each or self.full:
            return
        if len(self.changes) >= MOST_CHANGES:
            self.changes.clear()
            self.full = True
            return
        self.changes.append((key, value))

    def take_changes(self) -> list[tuple[Any, Any]]:
        """Return the transitions that the NOTIFY about to leave tells: the first of each key, in order.

        The others stay, and the next NOTIFY tells them.
        """
        taken: dict[Any, Any] = {}
        rest: list[tuple[Any, Any]] = []
        for key, value in self.changes:
            if key in taken:
                rest.append((key, value))
            else:
                taken[key] = value
        self.changes = rest
        return list(taken.items())

    def may_leave_at(self, now: float) -> float:
        """Return when the next NOTIFY may leave: ``now``, or later."""
        at = now if self.retry_at is None else max(now, self.retry_at)
        package = self.package
        if package.interval <= 0 and not self.params:
            return at
        asked = self.interval
        if asked:
            # RFC 6446 5.3: at the latest when it ends.
            left = (self.usage.expires_at or now) - self.sent_at
            at = max(at, self.sent_at + max(min(asked, left), package.interval))
        elif package.interval > 0:
            tokens = min(float(package.burst), self.tokens + (now - self.sent_at) / package.interval)
            # Not quite one: the time that was waited for is rounded.
            if tokens < 1.0 - 1e-9:
                at = max(at, now + (1.0 - tokens) * package.interval)
        return at

    def left(self, now: float) -> None:
        """A NOTIFY leaves."""
        package = self.package
        if package.interval > 0:
            spent = self.tokens + (now - self.sent_at) / package.interval
            self.tokens = max(0.0, min(float(package.burst), spent) - 1.0)
        self.sent_at = now
        self.retry_at = None
        self.dirty = self.more or bool(self.changes)

    def held_back(self, now: float) -> None:
        """Its filter holds a change back: to find that out takes as long as a NOTIFY, and counts as one."""
        self.dirty = False
        package = self.package
        if package.interval > 0:
            filled = (now - self.sent_at) / package.interval
            self.tokens = min(float(package.burst), self.tokens + filled) - 1.0 - filled

    def failed(self, now: float, wait: float) -> None:
        """The last NOTIFY was not taken: the whole state is told again, after ``wait`` seconds."""
        self.tries += 1
        self.full = self.dirty = True
        self.changes.clear()
        self.retry_at = now + wait

    def next_due(self) -> float | None:
        """Return when the engine has to look at it."""
        usage = self.usage
        if usage.is_over or usage.expires_at is None:
            return None
        due = usage.expires_at
        if not self.params and not self.dirty:
            return due
        if self.dirty and not usage.is_sending:
            due = min(due, self.may_leave_at(self.sent_at))
        rate = rate_of(self.params.get("min-rate"))
        if rate is not None and not usage.is_sending:
            # RFC 6446 6.2: something is told at least so often.
            due = min(due, self.sent_at + max(1.0 / rate, self.package.interval, 1.0))
        return due

    def next_version(self) -> int:
        """Return the version of the document about to leave: 0, then one more each time."""
        self.version += 1
        return self.version

    # --- its NOTIFYs on their way (``sansip.client.Asker``)

    def final(self, sending: Sending, response: Response, now: float) -> None:
        self.engine.answered(self, sending, response, now)

    def taken(self, brief: BriefRequest, now: float) -> None:
        self.engine.taken(self, brief.number, now)

    def next_cseq(self, sending: Sending) -> int | None:
        return self.usage.dialog.next_cseq()

    def resent(self, sending: Sending, request: Request, now: float) -> None:
        self.usage.resent(request)
