"""The module on a virtual clock, with a dictionary for a store."""

from __future__ import annotations

from sansip.testing import ModuleBench, check_module
from sansip_quiet_hours import QuietHours, QuietSettings

NIGHT = 1_764_367_200.0  # 22:00 UTC


def bench(**settings: int) -> ModuleBench[QuietHours]:
    return ModuleBench(QuietHours, QuietSettings(**settings), unix=NIGHT)


def test_callers_are_turned_away_at_night() -> None:
    night = bench()
    night.command("quiet_hours.set", user="bob", begin=22, end=7)
    assert night.call("bob") == ["480 Quiet Hours"]
    assert night.call("carol") == ["404 Not Found"]
    assert night.figure("refused") == {("bob",): 1}


def test_local_time_counts() -> None:
    afternoon = bench(utc_offset=-8)
    afternoon.command("quiet_hours.set", user="bob", begin=22, end=7)
    assert afternoon.call("bob") == ["404 Not Found"]


def test_rows_outlive_the_process() -> None:
    first = bench()
    first.command("quiet_hours.set", user="bob", begin=0, end=23)
    again = first.restarted()
    assert again.command("quiet_hours.list") == [{"user": "bob", "begin": 0, "end": 23}]
    assert again.command("quiet_hours.remove", user="bob") is True
    assert again.restarted().command("quiet_hours.list") == []


def test_hours_are_hours() -> None:
    assert "0 to 23" in str(bench().command("quiet_hours.set", user="bob", begin=7, end=24))


def test_it_keeps_what_every_module_promises() -> None:
    check_module(QuietHours)
