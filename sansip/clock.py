"""Time without a clock: timers, and what time of day it is.

Theory of operation: there is one first-in-first-out queue per distinct duration. SIP uses about
a dozen durations (T1, T2, 64*T1, Timer C, ...). Timers of one duration expire in the order in
which they were started, so each duration has a deque that is sorted by construction; starting a
timer is an append, cancelling it is an assignment. A heap has the deadline of the head of each queue, or an
earlier one (that of a timer cancelled since), so that no more queues are looked at than have something due.
A cancelled timer is dropped when it reaches the head.

The next deadline is asked for after each message, so it is one number, ``earliest``, which everything that
changes it keeps true. Queues of another kind (bindings, calls of the user agent) have a part in it: each says
when its first deadline changes (``beside``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from heapq import heapify, heappop, heappush, heapreplace
from math import inf
from typing import Any, Protocol

__all__ = ["Timer", "TimerOwner", "Timers", "Wall"]


class TimerOwner(Protocol):
    """The owner of a timer, who is told its name when it fires."""

    def timer_fired(self, name: Any, now: float) -> None: ...


class Timer:
    """A running timer. Setting ``owner`` to None cancels it (see ``cancel``)."""

    __slots__ = ("deadline", "name", "owner")

    def __init__(self, deadline: float, owner: TimerOwner, name: Any) -> None:
        self.deadline = deadline
        self.owner: TimerOwner | None = owner
        self.name = name

    def cancel(self) -> None:
        """Stop the timer; harmless when it fired or was cancelled before."""
        self.owner = None
        self.name = None


class Timers:
    """All timers of one stack.

    ``earliest``: what ``next_deadline`` returns; ``math.inf`` where that is None.
    ``others``: the same of the queues beside them alone.
    """

    __slots__ = ("_beside", "_heads", "_next", "_queues", "earliest", "others")

    def __init__(self) -> None:
        self._queues: dict[float, deque[Timer]] = {}
        # (no later than the head's deadline, duration, queue) of each queue that is not empty.
        self._heads: list[tuple[float, float, deque[Timer]]] = []
        # No live timer fires before this; it may have been cancelled since.
        self._next = inf
        # The first deadline of each queue of another kind.
        self._beside: list[float] = []
        self.others = inf
        self.earliest = inf

    def beside(self) -> Callable[[float], None]:
        """Return a function for another kind of queue: give it the queue's first deadline when that changes.

        ``math.inf`` where there is none.
        """
        self._beside.append(inf)
        return partial(self._changed, len(self._beside) - 1)

    def _changed(self, place: int, deadline: float) -> None:
        self._beside[place] = deadline
        self.others = others = min(self._beside)
        self.earliest = min(self._next, others)

    def start(self, now: float, duration: float, owner: TimerOwner, name: Any) -> Timer:
        """Start a timer that calls ``owner.timer_fired(name, now)`` after ``duration`` s."""
        deadline = now + duration
        timer = Timer(deadline, owner, name)
        if deadline < self._next:
            self._next = deadline
            if deadline < self.earliest:
                self.earliest = deadline
        queue = self._queues.get(duration)
        if queue is None:
            queue = self._queues[duration] = deque()
        if queue:
            # Leave no cancelled timers at the head: this bounds the number of timers held.
            while queue and queue[0].owner is None:
                queue.popleft()
        else:
            heappush(self._heads, (deadline, duration, queue))
        queue.append(timer)
        return timer

    def put(self, deadline: float, duration: float, owner: TimerOwner, name: Any) -> Timer:
        """Start a timer of ``duration`` that began before now, so that it fires at ``deadline``."""
        timer = Timer(deadline, owner, name)
        if deadline < self._next:
            self._next = deadline
            if deadline < self.earliest:
                self.earliest = deadline
        queue = self._queues.get(duration)
        if queue is None:
            queue = self._queues[duration] = deque()
        # It began a short time ago, so few began after it.
        at = length = len(queue)
        while at and queue[at - 1].deadline > deadline:
            at -= 1
        queue.insert(at, timer)
        if not length:
            heappush(self._heads, (deadline, duration, queue))
        elif at == 0:
            # In place: ``fire_due`` may be at work on it.
            self._heads[:] = [one for one in self._heads if one[1] != duration]
            self._heads.append((deadline, duration, queue))
            heapify(self._heads)
        return timer

    def next_deadline(self) -> float | None:
        """Return a time before which nothing is due, or None when there is nothing.

        It is the next live timer's deadline, or that of one cancelled since the
        last call of ``fire_due``, or a queue's beside them: asked after every batch of messages, so it must
        cost nothing, and a wake-up with nothing to do costs little.
        """
        return None if self.earliest == inf else self.earliest

    def fire_due(self, now: float) -> None:
        """Fire, in order of their deadlines, all timers due at ``now``.

        A timer never sees a time before its own deadline.
        """
        heads = self._heads
        while heads and heads[0][0] <= now:
            listed, duration, queue = heads[0]
            while queue and queue[0].owner is None:
                queue.popleft()
            timer = None
            if queue and queue[0].deadline <= listed:
                timer = queue.popleft()
                while queue and queue[0].owner is None:
                    queue.popleft()
            if queue:
                heapreplace(heads, (queue[0].deadline, duration, queue))
            else:
                heappop(heads)
            if timer is not None:
                owner, timer.owner = timer.owner, None
                if owner is not None:
                    owner.timer_fired(timer.name, now)
        self._next = self.earliest = heads[0][0] if heads else inf
        if self.others < self._next:
            self.earliest = self.others
        if len(self._queues) > 64:
            # Durations that a peer chooses (those of name servers) must not pile up.
            self._queues = {duration: queue for duration, queue in self._queues.items() if queue}

    def __len__(self) -> int:
        """Return how many timers are held, without the cancelled ones at the heads."""
        held = 0
        for queue in self._queues.values():
            at = 0
            while at < len(queue) and queue[at].owner is None:
                at += 1
            held += len(queue) - at
        return held


class Wall:
    """The time of day at one stack: Unix time is ``now + offset``; an offset of None is not known."""

    __slots__ = ("_first", "offset")

    def __init__(self, offset: float | None = None) -> None:
        self.offset = offset
        # The first one that a time was made by.
        self._first: float | None = None

    def unix(self, now: float) -> float:
        """Return the Unix time at ``now``, as well as it is known."""
        offset = self.offset
        if offset is None:
            return now
        if self._first is None:
            self._first = offset
        return now + offset

    def passed(self, now: float) -> float:
        """Return a Unix time that has passed at ``now`` by today's clock and by that of the first use.

        For periods that must not end early because an operator set the clock forward.
        """
        return min(self.unix(now), now + (self._first or 0.0))
