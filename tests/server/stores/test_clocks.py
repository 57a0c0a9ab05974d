"""Rows by readings of the clock: their meaning on this boot, on another one, and without a reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from sansip_server.stores import clocks
from sansip_server.stores.clocks import KEPT, Clocks, Reading, boot_id, spent

# One boot that began two hours behind and was corrected; a later one.
BEHIND, RIGHT, LATER = Reading(1, "a", 1_000.0), Reading(2, "a", 8_200.0), Reading(3, "b", 50_000.0)


def test_of_this_boot() -> None:
    """The stack's clock again, exactly: by which reading does not matter."""
    found = Clocks([RIGHT, BEHIND], "a", 8_200.0)
    assert found.shifts(1) == (1_000.0, 1_000.0)
    # The date of GRUUs does not step.
    assert found.shifts(2) == (8_200.0, 8_200.0)
    assert found.first == 1_000.0
    assert found.is_certain(1)


def test_of_another_boot() -> None:
    """Unix time as the machine knew it in the end: a row from before the correction is 7,200 s later."""
    found = Clocks([BEHIND, RIGHT, LATER], "b", 50_000.0)
    row = 1_000.0 + 60.0
    assert row - found.shifts(1)[0] + 50_000.0 == row + 7_200.0
    assert 8_260.0 - found.shifts(2)[0] + 50_000.0 == 8_260.0
    # Registered at 60 of that boot; its GRUU says 1,060, in both lives.
    assert row - found.shifts(1)[1] + found.first == row
    assert 8_260.0 - found.shifts(2)[1] + found.first == row
    assert not found.is_certain(1)


@pytest.mark.parametrize("number", [None, 9])
def test_without_a_reading(number: int | None) -> None:
    """Unix time it is: imported, of version 2, or of a reading that somebody deleted."""
    assert Clocks([BEHIND], "b", 50_000.0).shifts(number) == (50_000.0, 50_000.0)


def test_an_unknown_boot_is_no_boot() -> None:
    """Where the system does not name it, two boots must not be taken for one."""
    found = Clocks([Reading(1, "", 1_000.0)], "", 5_000.0)
    assert not found.is_certain(1)
    assert found.known(1_000.0) is None
    assert found.shifts(1)[0] == 5_000.0


def test_a_reading_holds_while_the_clock_is_slewed() -> None:
    """A restart without a step goes on with the reading that is there, and no more than a second off."""
    found = Clocks([BEHIND, RIGHT, LATER], "a", 8_200.0)
    assert found.known(8_200.9) == RIGHT
    assert found.known(8_198.9) is None
    # Set back again: the older reading is the latest no more.
    assert found.known(1_000.0) is None


def test_old_readings_go() -> None:
    """A laptop that is suspended twice a day has a step each time; whole boots go, and only without rows."""
    many = [Reading(number, f"boot{number // 10}", 0.0) for number in range(KEPT + 50)]
    gone = spent(many, [33, None], "boot1")
    assert gone == [*range(10), *range(20, 30), *range(40, 50)]
    assert spent(many[:KEPT], [], "boot1") == []


def test_boot_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for all processes of a boot; nothing where the system has none."""
    assert boot_id() == boot_id()
    monkeypatch.setattr(clocks, "_BOOT_ID", tmp_path / "none")
    assert boot_id() == ""
