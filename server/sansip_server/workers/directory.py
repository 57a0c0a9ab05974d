"""Which worker has which server transaction: a table in memory that all processes of a server share.

Theory of operation: the table is a hash table of a fixed size, in sets of four places. A worker notes the key
of each new request and finds the worker that noted it before. The oldest entry of a full set goes; the
worker then does not know of that transaction, as if no other worker had it. An entry of a transaction that
is over does no harm: the worker that it names takes the request as new.

Copies of one request may come to two workers at the same moment. So an entry is written under a lock of its
set, a record lock on the memory's file (fcntl(2)), which the kernel takes from a process that dies. A process
that stands still with the lock holds nobody up: after some tries the others go on without.

The processes are forked from one, so they have the same random hash of texts (PEP 456), which a stranger
cannot guess.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import struct
import time
from collections.abc import Callable

__all__ = ["PLACES", "SharedDirectory"]

# Transactions that are remembered: those of more than a minute at 8,000 requests a second; 8 MiB.
PLACES = 1 << 19
_WAYS = 4
# How often a worker tries to lock a set that another one is writing to, and how many seconds it waits before
# each of the later tries: 20 ms in all, where that one stands still.
_TRIES = 40
_PAUSE = 0.001
# The hash of a key, the second in which it was noted, the worker.
_ENTRY = struct.Struct("<QII")
_SET = struct.Struct("<" + "QII" * _WAYS)
_MASK = (1 << 64) - 1


class SharedDirectory:
    """The table. It is made before the workers are forked; ``number`` is set in each of them."""

    def __init__(self, places: int = PLACES, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = os.memfd_create("sansip-transactions", os.MFD_CLOEXEC)
        os.ftruncate(self._file, places * _ENTRY.size)
        self._memory = mmap.mmap(self._file, places * _ENTRY.size)
        self._sets = places // _WAYS
        self._clock = clock
        self.number = 0

    def claim(self, key: str) -> int:
        """Return the worker that has ``key``; if no worker has it, this one has it from now on."""
        mark = hash(key) & _MASK or 1
        begin = mark % self._sets * _SET.size
        # Nearly every key is new: the lock comes first.
        locked = False
        for number in range(_TRIES):
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SET.size, begin)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    # The kernel has no lock left: go on without one.
                    break
                # The other one may have no processor at this moment.
                time.sleep(0.0 if number < _TRIES // 2 else _PAUSE)
                continue
            locked = True
            break
        try:
            number, place = self._look(mark, begin)
            if number >= 0:
                return number
            entry = (mark, int(self._clock()) & 0xFFFF_FFFF, self.number)
            _ENTRY.pack_into(self._memory, begin + place * _ENTRY.size, *entry)
        finally:
            if locked:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _SET.size, begin)
        return self.number

    def _look(self, mark: int, begin: int) -> tuple[int, int]:
        """Return the worker that has ``mark``, -1 for none, and the place that is free, or the oldest."""
        found = _SET.unpack_from(self._memory, begin)
        oldest, place = None, 0
        for way in range(_WAYS):
            noted, second, number = found[3 * way : 3 * way + 3]
            if noted == mark:
                return int(number), way
            if oldest is None or second < oldest:
                oldest, place = second, way
        return -1, place

    def find(self, key: str) -> int | None:
        """Return the worker that has ``key``, or None."""
        mark = hash(key) & _MASK or 1
        number, _ = self._look(mark, mark % self._sets * _SET.size)
        return None if number < 0 else number
