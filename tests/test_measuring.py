"""What the benchmarks measure with: the share of an idle process, and the slowest set-ups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.calls import Load, parse_arguments
from benchmarks.modules import Window, added, verdict
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


def windows(server: str, case: str, costs: list[float]) -> list[Window]:
    return [Window(server, case, number, cost, 600, 0, 0, 0.0) for number, cost in enumerate(costs, 1)]


def test_what_a_module_adds_is_told_of_pairs() -> None:
    """What slows a whole round is in both: medians apart would say -20 here; the bounds hold 30."""
    slow = [0.0, 200.0, 10.0, 90.0, 40.0, 160.0, 70.0, 120.0]
    plain = [300.0 + one for one in slow]
    with_calls = [330.0 + one + wobble for one, wobble in zip(slow, (-3, 2, 1, 0, -1, 3, -2, 1), strict=True)]
    measured = windows("sansip", "plain", plain) + windows("sansip", "calls", with_calls)
    found = added(measured, "sansip", "calls")
    assert 28.0 <= found.low <= found.median == 30.5 <= found.high <= 33.0
    # A round that one of them missed compares with nothing.
    assert added(measured[1:], "sansip", "calls").median == 31.0


def test_no_ratio_to_noise() -> None:
    """Kamailio's -16 for dialogs was noise: where its bounds hold zero, no ratio says anything."""
    wobble = [-90.0, 80.0, -70.0, 60.0, -50.0, 70.0, -80.0, 90.0]
    measured = windows("sansip", "plain", [300.0] * 8) + windows("sansip", "calls", [330.0] * 8)
    measured += windows("kamailio", "plain", [200.0] * 8)
    noisy = measured + windows("kamailio", "calls", [200.0 + one for one in wobble])
    assert "no ratio" in verdict(noisy, ["plain", "calls"], ["sansip", "kamailio"])
    clear = measured + windows("kamailio", "calls", [220.0] * 8)
    assert "ratio 1.50 (1.50 to 1.50)" in verdict(clear, ["plain", "calls"], ["sansip", "kamailio"])
