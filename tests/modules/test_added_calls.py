"""What modules add to a plain call in the compiled build: functions that are interpreted there.

They cost more than all else that a module does for a call that passes as octets: each touches memory that
nothing else of the call does. In a pure build those of the files that the other one compiles are left out.
"""

from __future__ import annotations

import sys
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import sansip
from benchmarks.core import CALLEE, Load
from hatch_build import COMPILED, INTERPRETED
from sansip.module import Use
from sansip.modules.accounting import Accounting
from sansip.modules.calls import Calls
from sansip.modules.dispatcher import Destination, Dispatcher, DispatcherSettings

ROOT = Path(sansip.__file__).parent
FARM = DispatcherSettings([Destination(f"sip:{CALLEE[0]}:{CALLEE[1]}")], takes="calls", probe_interval=0.0)
CALLS = 20


class Profiled(Load):
    """It notes the Python functions that the stack calls."""

    def __init__(self, uses: list[Use]) -> None:
        super().__init__(uses)
        self.seen: Counter[tuple[str, str]] | None = None
        self.stack.time_passed(self.now)
        self.register_callee(1)

    def feed(self, data: bytes, source: tuple[str, int]) -> list[bytes]:
        seen = self.seen
        if seen is None:
            return super().feed(data, source)

        def note(frame: FrameType, event: str, _argument: Any) -> None:
            if event == "call":
                seen[frame.f_code.co_filename, frame.f_code.co_qualname] += 1

        sys.setprofile(note)
        try:
            return super().feed(data, source)
        finally:
            sys.setprofile(None)


def interpreted(file: str) -> bool:
    """Whether the compiled build interprets ``file``."""
    if not file.startswith(str(ROOT)):
        return True
    name = Path(file).relative_to(ROOT).as_posix()
    return name in INTERPRETED or not any(fnmatch(name, pattern) for pattern in COMPILED)


def functions(*uses: Use) -> Counter[str]:
    """Return the functions of a call that are interpreted in the compiled build, by name."""
    load = Profiled(list(uses))
    for number in range(CALLS):
        load.call(number)
    load.seen = Counter()
    for number in range(CALLS, 2 * CALLS):
        load.call(number)
    found: Counter[str] = Counter()
    for (file, name), times in load.seen.items():
        if interpreted(file):
            found[name] += times
    return found


@pytest.mark.parametrize(
    ("uses", "most"),
    [
        ((Use(Calls),), 0),
        ((Use(Calls), Use(Dispatcher, FARM)), 2),
        ((Use(Calls), Use(Accounting)), 20),
    ],
    ids=["calls", "dispatcher", "accounting"],
)
def test_few_are_added(uses: tuple[Use, ...], most: int) -> None:
    """30 November 2026: -2, 0 and 17, where ``calls`` had 60. A plain call makes an event of its end."""
    plain = functions()
    more = functions(*uses)
    more.subtract(plain)
    # The collector calls a function of hypothesis.
    more.pop("gc_cumulative_time.<locals>.gc_callback", None)
    assert sum(more.values()) / CALLS <= most, more.most_common(30)
