"""The module on a virtual clock, with a dictionary for a store."""

from __future__ import annotations

import pytest

from sansip.testing import ModuleBench, check_module
from sansip_quiet_hours import QuietHours, QuietSettings
from sansip_quiet_hours.holidays import Holidays, HolidaysPart

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


def test_each_user_sets_the_own_hours() -> None:
    """By the page; the HTTP server has authenticated the user."""
    night = bench()
    bob = {"user": "sip:bob@example.com"}
    hours = b'{"begin": 22, "end": 7}'
    assert night.web("GET", "/quiet-hours", **bob).status == 404
    assert (
        night.web("PUT", "/quiet-hours", body=hours, **bob).body == b'{"user": "bob", "begin": 22, "end": 7}'
    )
    assert night.call("bob") == ["480 Quiet Hours"]
    assert night.web("PUT", "/quiet-hours", body=b'{"begin": 25}', **bob).status == 400
    assert night.web("DELETE", "/quiet-hours", **bob).status == 204
    assert night.web("POST", "/quiet-hours", **bob).status == 405
    assert night.call("bob") == ["404 Not Found"]


def test_a_board_hears_of_it() -> None:
    """By lines, and by messages of a WebSocket; only for the user that the client asked for."""
    night = bench()
    night.command("quiet_hours.set", user="bob", begin=22, end=7)
    every, carol = night.link("quiet"), night.link("quiet", whole=True)
    every.send(b"*\n")
    carol.send(b"carol")
    night.call("bob")
    told = b'{"user": "bob", "caller": "sip:caller@elsewhere.example"}\n'
    assert (every.received, carol.received) == ([told], [])


def test_holidays() -> None:
    """The outer half reads them for the module; if it raises, the log says so, and the old days count."""
    part = HolidaysPart(QuietSettings(holidays="data:text/plain,2025-11-28%0a2025-12-25"))
    (answer,) = part.handlers().values()
    assert answer(Holidays()) == ["2025-11-28", "2025-12-25"]
    assert (part.figures(), part.health()) == ({"holidays": 2, "reads": 1}, "")
    night = ModuleBench(QuietHours, QuietSettings(holidays="x"), unix=NIGHT, answers={Holidays: answer})
    night.command("quiet_hours.set", user="bob", begin=3, end=4)
    assert night.call("bob") == ["480 Quiet Hours"]
    broken = HolidaysPart(QuietSettings(holidays="file:///nowhere"))
    with pytest.raises(OSError):
        broken.holidays(Holidays())
    assert "nowhere" in broken.health()


def test_it_keeps_what_every_module_promises() -> None:
    check_module(QuietHours)
