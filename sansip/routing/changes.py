"""Changes to a shared location: one writer at a time for each address-of-record.

Theory of operation: a node plans a change from the last record of the address-of-record that it saw. It
writes the change on condition that the store still has that record (compare and swap). Within a node changes
never compete: those of one address-of-record wait in a queue. The node plans all that wait one upon the
other, and writes them as one. Only nodes compete. If another node was quicker, the store answers with the
record that it has. The node runs the plans again from that record, together with the changes that came
meanwhile.

A node that loses against another tries again at once, and a phone that registers in a loop at the other node
must not win for ever. So a node writes an address-of-record ``_BURST`` times in a row, and then leaves
``_PAUSE`` seconds between two writes. In a pause another node has time to read and write, and the changes
that come meanwhile are merged.

A queue is bounded. If it is full, the owner that has most changes in it loses one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from sansip.location import SharedRead, SharedRecord, SharedWrite
from sansip.routing.change import NotStored
from sansip.routing.named_flows import inward_record, outward

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.location import Binding, SharedLocation
    from sansip.routing.change import Change, Done
    from sansip.routing.core import Core

__all__ = ["Changes"]

# Writes in a row without a pause, and the seconds of a pause.
_BURST: Final = 4
_PAUSE: Final = 0.25
# Seconds after which this node forgets the writes in a row.
_QUIET: Final = 1.0


class _Waiting:
    """A change, and how often it was tried."""

    __slots__ = ("attempts", "change", "done")

    def __init__(self, change: Change, done: Done) -> None:
        self.change = change
        self.done = done
        self.attempts = 0


class _Queue:
    """The changes of one address-of-record."""

    __slots__ = ("aor", "batch", "busy", "certain", "pausing", "quiet", "waiting", "writes")

    def __init__(self, aor: str) -> None:
        self.aor = aor
        self.waiting: list[_Waiting] = []
        # Those that are being written, while ``busy``.
        self.batch: list[_Waiting] = []
        self.busy = False
        self.pausing = False
        # The record that this node remembers may be old: good enough for a try, not for an answer.
        self.certain = False
        # Batches in a row, and the timer after which they are forgotten.
        self.writes = 0
        self.quiet: Timer | None = None


class Changes:
    """The queues of one stack.

    Args:
        core: the stack.
        location: its mirror of the shared location.
        reached: is told of the name of a limit, who reached it, and the time.
    """

    __slots__ = ("_core", "_location", "_queues", "_reached")

    def __init__(
        self, core: Core, location: SharedLocation, reached: Callable[[str, str, float], None]
    ) -> None:
        self._core = core
        self._location = location
        self._reached = reached
        self._queues: dict[str, _Queue] = {}

    def __len__(self) -> int:
        """Return how many addresses-of-record have a queue."""
        return len(self._queues)

    def put(self, change: Change, done: Done, now: float) -> None:
        """Make ``change``; ``done`` is called once, maybe later."""
        queue = self._queues.get(change.aor)
        if queue is None:
            queue = self._queues[change.aor] = _Queue(change.aor)
        wanted = _Waiting(change, done)
        queue.waiting.append(wanted)
        if len(queue.waiting) > self._core.limits.changes_per_aor:
            self._reached("changes_per_aor", change.aor, now)
            _most(queue.waiting).done(NotStored("too many changes of one address-of-record wait"), now)
        if not (queue.busy or queue.pausing):
            self._begin(queue, now)

    # --- a batch

    def _begin(self, queue: _Queue, now: float) -> None:
        """Plan and write all that waits."""
        if queue.quiet is not None:
            queue.quiet.cancel()
            queue.quiet = None
        queue.busy = True
        queue.certain = False
        self._try(queue, now)

    def _try(self, queue: _Queue, now: float) -> None:
        queue.batch += queue.waiting
        queue.waiting = []
        aor, location = queue.aor, self._location
        stands: Sequence[Binding] = location.lookup(aor, now)
        planned: list[_Waiting] = []
        changed = False
        for waiting in queue.batch:
            try:
                after = waiting.change.plan(stands, now)
            except Exception as error:
                waiting.done(error, now)
                continue
            planned.append(waiting)
            if after is not None:
                stands, changed = after, True
        queue.batch = planned
        if not changed and (queue.certain or not planned):
            self._end(queue, None, now)
            return
        if not changed:
            self._core.ask(
                SharedRead(aor), lambda found, then: self._answered(queue, "", (), found, then), now
            )
            return
        record = tuple(stands)
        version = self._core.proxy.entropy.token()
        written = tuple(outward(self._core, binding) for binding in record)
        self._core.ask(
            SharedWrite(aor, location.version(aor), version, written),
            lambda found, then: self._answered(queue, version, record, found, then),
            now,
        )

    def _answered(
        self, queue: _Queue, version: str, record: tuple[Binding, ...], found: Any, now: float
    ) -> None:
        """Take the answer to a read, or to the write of ``record``: None, or the record in the store."""
        if found is None:
            self._location.mirror(queue.aor, SharedRecord(version, record), now)
            self._end(queue, None, now)
            return
        if not isinstance(found, SharedRecord):
            self._end(queue, NotStored(str(found)), now)
            return
        self._location.mirror(queue.aor, inward_record(self._core, found), now)
        queue.certain = True
        most = self._core.limits.change_attempts
        lost = []
        for waiting in queue.batch:
            waiting.attempts += 1
            if waiting.attempts >= most:
                lost.append(waiting)
        if lost:
            queue.batch = [waiting for waiting in queue.batch if waiting.attempts < most]
            self._reached("change_attempts", queue.aor, now)
        self._try(queue, now)
        for waiting in lost:
            waiting.done(NotStored("other nodes keep changing it"), now)

    def _end(self, queue: _Queue, error: Exception | None, now: float) -> None:
        """The batch is done, or given up."""
        batch, queue.batch = queue.batch, []
        queue.busy = False
        queue.writes += 1
        # The workers of one server have one owner, which takes their changes in turns.
        if queue.writes >= _BURST and self._core.nodes is not None:
            queue.pausing = True
            self._core.proxy.timers.start(now, _PAUSE, self, (queue, "pause"))
        for waiting in batch:
            waiting.done(error, now)
        # Their callbacks may have begun the next one.
        self._go_on(queue, now)

    def _go_on(self, queue: _Queue, now: float) -> None:
        if queue.busy or queue.pausing:
            return
        if queue.waiting:
            self._begin(queue, now)
        elif queue.quiet is None:
            queue.quiet = self._core.proxy.timers.start(now, _QUIET, self, (queue, "quiet"))

    def timer_fired(self, name: tuple[_Queue, str], now: float) -> None:
        queue, what = name
        if what == "pause":
            queue.pausing = False
            self._go_on(queue, now)
        else:
            del self._queues[queue.aor]


def _most(waiting: list[_Waiting]) -> _Waiting:
    """Take out and return the latest change of the owner that has most in ``waiting``."""
    owners = [one.change.owner() for one in waiting]
    counts = Counter(owners)
    most = max(counts.values())
    latest = max(number for number, owner in enumerate(owners) if counts[owner] == most)
    return waiting.pop(latest)
