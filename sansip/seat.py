"""One of several stacks that serve the same sockets together: the workers of a server.

Theory of operation: the kernel gives each datagram and each connection to one worker. Whatever another
worker has to know of it comes to this one as an input. The branches, and the tags of our own dialogs, that a
worker makes carry its *mark*, so every worker knows where a response, or a request within such a dialog,
belongs. A mark names a place among the workers, not a process: the next process in that place takes it over.
"""

from __future__ import annotations

from binascii import crc32
from dataclasses import dataclass
from typing import Final, Protocol

__all__ = ["FIRST", "MOST", "Directory", "Seat", "owner", "seat_of_branch", "seat_of_connection"]

# Workers of one server: the marks are one letter each, and each worker holds all bindings.
MOST: Final = 16
_FIRST: Final = ord("A")
# ``Module.over_workers`` of a module that the first worker alone has.
FIRST: Final = "first"
_DIGITS: Final = "0123456789abcdef"
# RFC 3261 8.1.1.7: the length of ``z9hG4bK``; the mark stands behind it.
_COOKIE: Final = 7
# A number of a connection: which worker, which life of it, and a count.
_LIVES: Final = 1 << 15
_COUNT_BITS: Final = 28


class Directory(Protocol):
    """Which worker has the server transaction with a key (RFC 3261 17.2.3); all workers see the same one."""

    def claim(self, key: str) -> int:
        """Return the worker that has ``key``; if no worker has it, this one has it from now on."""
        ...

    def find(self, key: str) -> int | None:
        """Return the worker that has ``key``, or None."""
        ...


@dataclass(slots=True)
class Seat:
    """The place of one stack among the workers of its server (``StackConfig.seat``).

    Attributes:
        number: from 0 to ``count`` - 1.
        count: how many workers there are.
        life: a number that all workers of this run of the server share; flow tokens of another run are void.
        incarnation: counts the processes that had this place before.
        directory: the server transactions of all workers.
        gathers: methods of requests that the first worker serves for all, as its modules alone know what
            they are about (``Module.gathers``).
        heard: names of the classes of events that modules hear which the first worker alone has.
    """

    number: int
    count: int
    life: int
    incarnation: int
    directory: Directory
    gathers: frozenset[str] = frozenset()
    heard: frozenset[str] = frozenset()

    @property
    def mark(self) -> str:
        """The letter that stands for this place in branches and tags."""
        return chr(_FIRST + self.number)

    @property
    def digit(self) -> str:
        """The hexadecimal digit that stands for this place in marks of dialogs."""
        return f"{self.number:x}"

    @property
    def first_connection(self) -> int:
        """The number below the first connection of this process: no other process has the same."""
        return ((self.number * _LIVES) + self.incarnation % _LIVES + 1) << _COUNT_BITS

    def owns(self, key: str) -> bool:
        """Whether this worker is the one of all that does the work for ``key``."""
        return owner(key, self.count) == self.number

    def other_by(self, digit: str) -> int | None:
        """Return the number of the other worker that ``digit`` stands for, None for this one and for none."""
        number = _DIGITS.find(digit) if digit else -1
        return number if 0 <= number < self.count and number != self.number else None

    def other(self, mark: str) -> int | None:
        """Return the number of the other worker that ``mark`` stands for, None for this one and for none."""
        if len(mark) != 1:
            return None
        number = ord(mark) - _FIRST
        return number if 0 <= number < self.count and number != self.number else None


def owner(key: str, count: int) -> int:
    """Return which of ``count`` workers does the work for ``key``."""
    return crc32(key.encode("utf-8", "surrogateescape")) % count


def seat_of_branch(seat: Seat, branch: str | None) -> int | None:
    """Return the other worker that made ``branch``, or None."""
    return None if branch is None else seat.other(branch[_COOKIE : _COOKIE + 1])


def seat_of_connection(conn: int) -> int:
    """Return the number of the worker that connection ``conn`` belongs to."""
    return ((conn >> _COUNT_BITS) - 1) // _LIVES
