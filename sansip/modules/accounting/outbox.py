"""Records on their way to the disk: none is lost while it cannot be written, none is doubled on purpose.

Theory of operation: a record is put in and stays until a write that had it among its own went well. One write
is under way at a time and takes all that wait: a disk that needs 10 ms for a write takes as many records as
came meanwhile with the next. Where a write fails all of its records wait for the next try; those that the
spool has taken meanwhile are safe, and nothing waits for them any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from sansip.later import Later
from sansip.modules.accounting.record import Record

__all__ = ["Outbox"]


class Outbox:
    """Records that are not on the disk yet. ``most``: how many may wait; ``lost`` counts those beyond."""

    __slots__ = ("_late", "_safe", "_saving", "_unsafe", "_waiting", "busy", "lost", "most", "trouble")

    def __init__(self, most: int) -> None:
        self.most = most
        self.lost = 0
        # A write is under way.
        self.busy = False
        # Why the last write failed, "" where it went well.
        self.trouble = ""
        self._waiting: dict[str, tuple[Record, Later[None]]] = {}
        # Those that no disk has, and the names of those in the spool.
        self._unsafe: dict[str, Record] = {}
        self._safe: set[str] = set()
        # Those that the spool was asked to take last, and which of them were written since.
        self._saving: set[str] = set()
        self._late: list[str] = []

    def put(self, record: Record) -> Later[None]:
        """Take a record; the ``Later`` ends when it is on the disk."""
        known = self._waiting.get(record.name)
        if known is not None:
            return known[1]
        if len(self._waiting) >= self.most:
            # The oldest record: its callers have waited long.
            name = next(iter(self._waiting))
            del self._waiting[name]
            if self._unsafe.pop(name, None) is not None:
                self.lost += 1
        written: Later[None] = Later()
        self._waiting[record.name] = (record, written)
        self._unsafe[record.name] = record
        return written

    def batch(self, most: int = 1_000) -> list[Record]:
        """Return the records to write next, the oldest first."""
        return [record for record, _ in islice(self._waiting.values(), most)]

    def written(self, records: Sequence[Record], now: float) -> None:
        """These are on the disk."""
        for record in records:
            entry = self._waiting.pop(record.name, None)
            self._unsafe.pop(record.name, None)
            if record.name in self._saving:
                self._late.append(record.name)
            if entry is not None:
                entry[1].set(None, now)

    def unsafe(self, most: int) -> list[Record]:
        """Return those that no disk has, the oldest first: the spool is asked to take them."""
        records = list(islice(self._unsafe.values(), most))
        self._saving = {one.name for one in records}
        return records

    def keep(self, record: Record, now: float) -> None:
        """Take a record that the spool has from the process before."""
        self.put(record)
        self.spooled([record], now)

    def spooled(self, records: Sequence[Record], now: float) -> tuple[str, ...]:
        """These are in the spool: what waited for them goes on.

        Return the names of those that were written meanwhile, which it can forget.
        """
        for record in records:
            entry = self._waiting.get(record.name)
            if entry is not None and self._unsafe.pop(record.name, None) is not None:
                self._safe.add(record.name)
                entry[1].set(None, now)
        late, self._late = tuple(self._late), []
        return late

    def settled(self, records: Sequence[Record]) -> tuple[str, ...]:
        """Return the names that the spool can forget, now that ``records`` are written."""
        names = tuple(one.name for one in records if one.name in self._safe)
        self._safe.difference_update(names)
        return names

    def __len__(self) -> int:
        return len(self._waiting)
