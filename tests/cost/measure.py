"""Counting what something costs: lines of the core that were run, and processor time.

Theory of operation: ``steps`` counts each line of sansip's own code that is run and each
call of it, so the same input always gives the same number, on a machine of any load; what
loops in Python shows. What loops in C (a pattern that goes back, text copied once for
each value) shows in processor time alone, of which the least of several tries is taken.

Both are judged by growth. Where each octet costs the same, twice as many cost no more
than twice as much; where it is quadratic, four times.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from types import FrameType
from typing import Any

__all__ = ["grows", "seconds", "slows", "steps"]

ROOT = str(Path(__file__).parents[2] / "sansip")
# Steps that are nothing, however they grow.
SLACK = 400
# Steps that an octet of a message may cost in a scene of several messages.
DEAREST = 25
# Seconds below which nothing is judged by time, and tries of which the least counts.
HARMLESS = 0.004
TRIES = 4


def steps(play: Callable[[], object]) -> int:
    """Return how many lines and calls of the core ``play()`` runs."""
    count = 0

    def local(_frame: FrameType, _event: str, _argument: Any) -> Any:
        nonlocal count
        count += 1
        return local

    def enter(frame: FrameType, _event: str, _argument: Any) -> Any:
        return local(frame, "", None) if frame.f_code.co_filename.startswith(ROOT) else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        play()
    finally:
        sys.settrace(before)
    return count


def seconds(play: Callable[[], object]) -> float:
    """Return the least processor time of a few tries."""
    best = float("inf")
    for _ in range(TRIES):
        began = process_time()
        play()
        best = min(best, process_time() - began)
        if best < HARMLESS:
            break
    return best


def grows(cost: Callable[[int], int], most: int) -> str:
    """Return why ``cost(octets)``, in steps, grows faster than the octets up to ``most``, or ""."""
    quarter, half, whole = (cost(size) for size in (most // 4, most // 2, most))
    if whole > 2.5 * half + SLACK or whole > 6 * quarter + SLACK:
        return f"steps at {most // 4}, {most // 2} and {most} octets: {quarter}, {half}, {whole}"
    if whole > DEAREST * most + 20_000:
        return f"{whole / most:.0f} steps an octet"
    return ""


def slows(cost: Callable[[int], float], most: int) -> str:
    """The same for seconds, of which four times as many octets may take eight times as many."""
    whole = cost(most)
    if whole < HARMLESS:
        return ""
    quarter = cost(most // 4)
    if whole > 8 * quarter:
        return f"seconds at {most // 4} and {most} octets: {quarter:.4f}, {whole:.4f}"
    return ""
