"""Time without a clock: timers, and what time of day it is.

Theory of operation: there is one first-in-first-out queue per distinct duration. SIP uses about
a dozen durations (T1, T2, 64*T1, Timer C, ...). Timers of one duration expire in the order in
which they were started, so each duration has a deque that is sorted by construction; starting a
timer is an append, cancelling it is an assignment, and the next deadline is the least of a dozen
heads. A cancelled timer is dropped when it reaches the head.
"""

from __future__ import annotations

from collections import deque
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
    """All timers of one stack."""

    __slots__ = ("_next", "_queues")

    def __init__(self) -> None:
        self._queues: dict[float, deque[Timer]] = {}
        # No live timer fires before this; it may have been cancelled since.
        self._next = inf

    def start(self, now: float, duration: float, owner: TimerOwner, name: Any) -> Timer:
        """Start a timer that calls ``owner.timer_fired(name, now)`` after ``duration`` s."""
        deadline = now + duration
        timer = Timer(deadline, owner, name)
        if deadline < self._next:
            self._next = deadline
        queue = self._queues.get(duration)
        if queue is None:
            queue = self._queues[duration] = deque()
        else:
            # Leave no cancelled timers at the head: this bounds the number of timers held.
            while queue and queue[0].owner is None:
                queue.popleft()
        queue.append(timer)
        return timer

    def next_deadline(self) -> float | None:
        """Return a time at or before which no timer fires, or None when there is none.

        It is the next live timer's deadline, or that of one cancelled since the
        last call of ``fire_due``: asked after every batch of messages, so it must
        cost nothing, and a wake-up with nothing to do costs little.
        """
        return None if self._next == inf else self._next

    def _earliest(self) -> float:
        earliest = inf
        for queue in self._queues.values():
            while queue and queue[0].owner is None:
                queue.popleft()
            if queue and queue[0].deadline < earliest:
                earliest = queue[0].deadline
        if len(self._queues) > 64:
            # Durations that a peer chooses (those of name servers) must not pile up.
            self._queues = {duration: queue for duration, queue in self._queues.items() if queue}
        return earliest

    def fire_due(self, now: float) -> None:
        """Fire, in order of their deadlines, all timers due at ``now``.

        A timer never sees a time before its own deadline.
        """
        while True:
            due: deque[Timer] | None = None
            deadline = now
            for queue in self._queues.values():
                while queue and queue[0].owner is None:
                    queue.popleft()
                if queue and (queue[0].deadline < deadline or (due is None and queue[0].deadline <= now)):
                    due = queue
                    deadline = queue[0].deadline
            if due is None:
                self._next = self._earliest()
                return
            timer = due.popleft()
            owner, timer.owner = timer.owner, None
            if owner is not None:
                owner.timer_fired(timer.name, now)

    def __len__(self) -> int:
        """Return how many timers are held, cancelled ones included."""
        return sum(map(len, self._queues.values()))


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
