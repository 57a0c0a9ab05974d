"""What the benchmarks measure with: the share of an idle process, and the slowest set-ups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.calls import Load, parse_arguments
from tools import cpu


def test_a_start_is_no_idling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says that it is ready is busy a little longer, and may wait for its processor before."""
    shares: Iterator[float] = iter([0.0, 0.0, 0.4, 0.3, 0.0, 0.01, 0.0, 0.0, 0.004, 0.5])
    windows: list[float] = []

    def share(_group: int, seconds: float) -> float:
        windows.append(seconds)
        return next(shares)

    monkeypatch.setattr(cpu, "_share", share)
    assert cpu.idle_share(1, 2.0) == 0.004
    assert windows[-1] == 2.0
    assert windows[:-1] == [cpu._WINDOW] * 8


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (99, 99), (100, 99), (101, 100), (200, 198)])
def test_99_of_100_set_ups_take_no_longer(tmp_path: Path, count: int, expected: int) -> None:
    """In the files of all callers, in whatever order calls ended."""
    load = Load(parse_arguments([]), "calls", 5060, tmp_path)
    assert load.setup_ms() is None
    for caller in range(2):
        # It writes whole numbers and others.
        lines = [
            f"8.001;{number - 0.001 if number % 3 else number};setup"
            for number in range(count, 0, -1)
            if number % 2 == caller
        ]
        head = "Date_ms;response_time_ms;rtd_no"
        (tmp_path / f"uac_{caller}_rtt.csv").write_text("\n".join([head, *lines]) + "\n")
    assert load.setup_ms() == pytest.approx(expected, abs=0.01)
