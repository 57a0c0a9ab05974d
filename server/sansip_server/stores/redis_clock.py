"""Redis's clock, by which the nodes count: their own may differ, and may be set.

Theory of operation: a record gives the expiry of its bindings in Unix time, and all nodes must
agree on that time. So each node asks Redis for the time with its signs of life, and counts on by
its own steady clock, which cannot be set. The node's own Unix time is only compared: if it is
wrong, nonces and certificates suffer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["SKEW", "RedisClock"]

# Seconds by which a node's clock may be off before the operator hears of it.
SKEW = 1.0
# Seconds for which an answer is good; and how far the node's own clock may move against its
# steady one meanwhile: if it moves further, the machine was suspended, or its clock was set.
_FRESH, _MOVED = 10.0, 0.5


class _Sample(NamedTuple):
    """One answer: when it came, and Unix time minus the steady clock, of Redis and of this node."""

    came: float
    offset: float
    own: float
    # Half of the time that the answer took.
    uncertain: float


class RedisClock:
    """The state of Redis's clock. ``steady`` is the stack's clock, ``wall`` this node's Unix time."""

    def __init__(
        self, steady: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._steady = steady
        self._wall = wall
        # Replaced whole: it is read in several threads.
        self._sample: _Sample | None = None
        # Seconds by which it stepped at the last answer, 0 if it did not.
        self.stepped = 0.0

    def ask(self, read: Callable[[], float]) -> None:
        """Compare with ``read``, which asks Redis for its Unix time."""
        sent = self._steady()
        unix = read()
        self.took(sent, unix)

    def took(self, sent: float, unix: float) -> None:
        """Take ``unix``, the answer of Redis to a question that was sent at ``sent``."""
        came = self._steady()
        sample = _Sample(came, unix - (sent + came) / 2, self._wall() - came, (came - sent) / 2)
        before, self._sample = self._sample, sample
        step = 0.0 if before is None else sample.offset - before.offset
        noise = 0.0 if before is None else sample.uncertain + before.uncertain
        self.stepped = step if abs(step) > SKEW + noise else 0.0

    @property
    def known(self) -> float | None:
        """Redis's Unix time minus the stack's clock; None if the last answer is old."""
        sample = self._sample
        now = self._steady()
        if sample is None or now - sample.came > _FRESH or abs(self._wall() - now - sample.own) > _MOVED:
            return None
        return sample.offset

    def offset(self, read: Callable[[], float]) -> float:
        """Return Redis's Unix time minus the stack's clock, asked for again if the last answer is old."""
        known = self.known
        if known is not None:
            return known
        self.ask(read)
        sample = self._sample
        assert sample is not None
        return sample.offset

    @property
    def skew(self) -> float | None:
        """Seconds by which this node's clock is ahead of Redis's, None before it was asked."""
        sample = self._sample
        return None if sample is None else sample.own - sample.offset

    @property
    def is_off(self) -> bool:
        """Whether that is more than ``SKEW``, and more than the answer's way explains."""
        sample, skew = self._sample, self.skew
        return sample is not None and skew is not None and abs(skew) > SKEW + sample.uncertain
