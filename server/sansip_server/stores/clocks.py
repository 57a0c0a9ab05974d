"""Times in a store that stay right when the machine's clock is set.

Theory of operation: the stack's clock counts seconds since the machine started, and
never steps. Rows have Unix times, which people can read and which hold after a reboot. But Unix
time is set while servers run: by NTP a minute after the boot of a machine without a battery, when
a virtual machine is resumed, or by hand. So each row names the *reading* by which it was written:
the boot of the machine, and Unix time minus the stack's clock (``zero``). When the two move apart
by more than a second, there is a new reading.

A row of this boot gives the stack's clock back exactly, even if Unix time was set since. For a
row of another boot only Unix time is left; the last reading of that boot says by how much the
clock was corrected after the row was written. No row has to be rewritten after a step, so a
restart never finds half of the rows rewritten.

    row of this boot         stack's clock = row - zero
    row of another boot      Unix time = row - zero + zero of that boot's last reading
    row without a reading    Unix time = row (``sansip import``, sansip before version 3)

``registered`` is the time from which a temporary GRUU is valid; the GRUU has the time of its issue in it (RFC
5627). Both are counted by the first reading of a boot, so that no step comes between the two.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["SLACK", "Clocks", "Reading", "boot_id", "spent"]

# Seconds by which Unix time and the stack's clock may move apart under one reading: corrections that NTP
# slews are below, those that it steps are above.
SLACK = 1.0
# Readings kept in a store; if there are more, those of old boots without rows are deleted.
KEPT = 200
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Reading(NamedTuple):
    """``zero``: the Unix time at which the stack's clock stood at 0, on the machine's boot ``boot``."""

    id: int
    boot: str
    zero: float


class Clocks:
    """The readings of a store, as seen from ``boot``, where Unix time minus the stack's clock is ``zero``.

    ``boot`` is "" if it is not known: then no row counts as written on it.
    """

    def __init__(self, readings: Iterable[Reading], boot: str, zero: float) -> None:
        self._boot = boot
        self._zero = zero
        self._readings = {one.id: one for one in sorted(readings)}
        self._first: dict[str, float] = {}
        self._last: dict[str, float] = {}
        for one in self._readings.values():
            self._first.setdefault(one.boot, one.zero)
            self._last[one.boot] = one.zero
        # Reading -> seconds to subtract from a row's times, and from ``registered``.
        self._shifts: dict[int | None, tuple[float, float]] = {}

    @property
    def first(self) -> float:
        """Seconds to add to the stack's clock to give the time by which GRUUs are dated."""
        return self._first.get(self._boot, self._zero) if self._boot else self._zero

    def known(self, zero: float) -> Reading | None:
        """Return the latest reading of this boot, if it still holds at ``zero``."""
        for one in reversed(self._readings.values()):
            if one.boot == self._boot and self._boot:
                return one if abs(one.zero - zero) <= SLACK else None
        return None

    def is_certain(self, number: int | None) -> bool:
        """Whether rows of reading ``number`` are of this boot, so that no step touches them."""
        one = None if number is None else self._readings.get(number)
        return one is not None and bool(self._boot) and one.boot == self._boot

    def shifts(self, number: int | None) -> tuple[float, float]:
        """Return the seconds to subtract from times of reading ``number`` to give the stack's clock.

        The second one is for ``registered``.
        """
        known = self._shifts.get(number)
        if known is None:
            known = self._shifts[number] = self._shift(number)
        return known

    def _shift(self, number: int | None) -> tuple[float, float]:
        one = None if number is None else self._readings.get(number)
        if one is None:
            return self._zero, self.first
        registered = one.zero - self._first[one.boot] + self.first
        if self.is_certain(number):
            return one.zero, registered
        return one.zero - self._last[one.boot] + self._zero, registered


def spent(readings: Iterable[Reading], used: Iterable[int | None], boot: str) -> list[int]:
    """Return the readings that a store may delete: of other boots, of which no row has a reading."""
    ordered = sorted(readings)
    named = set(used)
    boots = {one.boot for one in ordered if one.id in named} | {boot}
    # The youngest may be those of a server that has not written yet.
    return [one.id for one in ordered[:-KEPT] if one.boot not in boots]


def boot_id() -> str:
    """Return the name of this boot of this machine, "" if the system does not tell it."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
