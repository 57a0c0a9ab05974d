"""Whole calls through the stack, on the virtual clock: each destination gets the share that it was promised.

Theory of operation: the calls of ``benchmarks.core``, each from the INVITE to the 200 of its BYE; a call is
at the destination whose address its INVITE left for. ``SANSIP_SHARES=100000`` plays so many calls of each
algorithm (a minute each in a pure build); the draws of ``test_order.py`` are always so many.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from math import sqrt

import pytest

from benchmarks.core import Load
from sansip.module import Use
from sansip.modules.calls import Calls
from sansip.modules.dispatcher import Destination, Dispatcher, DispatcherSettings
from sansip.modules.dispatcher.settings import Algorithm

CALLS = int(os.environ.get("SANSIP_SHARES", "5000"))
WEIGHTS = (1, 2, 3, 5, 9)
_PLACE = re.compile(rb"INVITE sip:user0@127\.0\.0\.1:(\d+) ")


class Counted(Load):
    """It counts the INVITEs by the port that they leave for."""

    # Ended transactions are gone after some hundred calls.
    step = 0.05

    def __init__(self, algorithm: Algorithm) -> None:
        farm = [Destination(f"sip:127.0.0.1:{6000 + at}", weight=one) for at, one in enumerate(WEIGHTS)]
        settings = DispatcherSettings(
            farm, takes="calls", probe_interval=0.0, algorithm=algorithm, key="call-id"
        )
        super().__init__([Use(Calls), Use(Dispatcher, settings)])
        self.got: Counter[int] = Counter()
        self.stack.time_passed(self.now)

    def feed(self, data: bytes, source: tuple[str, int]) -> list[bytes]:
        sent = super().feed(data, source)
        for one in sent:
            if (found := _PLACE.match(one)) is not None:
                self.got[int(found[1]) - 6000] += 1
        return sent


@pytest.mark.timeout(900)
@pytest.mark.parametrize("algorithm", ["round-robin", "hash", "random"])
def test_shares_of_calls(algorithm: Algorithm) -> None:
    """In turn: exact to one call. By hash or by chance: within four standard deviations."""
    load = Counted(algorithm)
    for number in range(CALLS):
        load.call(number)
    assert load.got.total() == CALLS
    for at, weight in enumerate(WEIGHTS):
        share = weight / sum(WEIGHTS)
        room = 1.0 if algorithm == "round-robin" else 4 * sqrt(CALLS * share * (1 - share))
        assert abs(load.got[at] - CALLS * share) <= room, load.got
    # And none of them counts any more.
    assert len(load.stack.modules.get(Calls).present()) == 0
