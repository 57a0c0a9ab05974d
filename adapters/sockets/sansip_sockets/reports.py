"""Faults inside, told to the log and other watchers, and not too often.

Theory of operation: if one datagram can trigger a bug, a peer can trigger it as often as it
likes, and a traceback costs more than a call. So only a few reports pass in a second, and the
next one says how many did not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

__all__ = ["PER_SECOND", "Report", "Reports"]

# Reports that pass in one second: enough to see the fault, and few enough for hours of it.
PER_SECOND = 10

Report = Callable[[str, BaseException | None], None]

_log = logging.getLogger("sansip.sockets")


def _to_log(text: str, error: BaseException | None) -> None:
    _log.error("%s: %r", text, error, exc_info=error)


class Reports:
    """Callable like ``report``, which defaults to the log; raises nothing."""

    __slots__ = ("_clock", "_left", "_left_out", "_report", "_second")

    def __init__(self, report: Report | None, clock: Callable[[], float]) -> None:
        self._report = report or _to_log
        self._clock = clock
        self._second = float("-inf")
        self._left = 0
        self._left_out = 0

    def __call__(self, text: str, error: BaseException | None) -> None:
        now = self._clock()
        if now - self._second >= 1.0:
            self._second = now
            self._left = PER_SECOND
        if not self._left:
            self._left_out += 1
            return
        self._left -= 1
        if self._left_out:
            text = f"{text} ({self._left_out} reports before this one left out)"
            self._left_out = 0
        try:
            self._report(text, error)
        except Exception:
            _log.exception("the report function failed")
