"""Kept messages in memory: what a phone gets that registers soon, without a look at the store.

Theory of operation: a user without kept messages is known here from the first message on: each message and
mark is put here once it is durable. So the rows of such a user need not be read. Where all of them take more
octets than ``most``, the users whose messages came first are forgotten: their rows are read from the store,
until there are none any more. Where other nodes write rows, too, nobody is known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sansip.modules.messages.row import Given, Kept

__all__ = ["Recent"]

# Octets of a row or a mark in memory, beside those of its texts.
_OBJECT: Final = 400


class _User:
    """The messages of one user with their marks: by the id of the message, and by the device."""

    __slots__ = ("marks", "octets", "rows")

    def __init__(self) -> None:
        self.rows: dict[str, Kept] = {}
        self.marks: dict[str, dict[str, Given]] = {}
        self.octets = 0


class Recent:
    """The users whose rows are all known.

    Attributes:
        octets: what they take, about.
    """

    __slots__ = ("_users", "octets")

    def __init__(self) -> None:
        self._users: dict[str, _User] = {}
        self.octets = 0

    def begin(self, user: str) -> None:
        """Nothing is kept for ``user``: what is kept from now on is told here."""
        self.forget(user)
        self._users[user] = _User()

    def knows(self, user: str) -> bool:
        """Whether every row of ``user`` is known."""
        return user in self._users

    def put(self, row: Kept, most: int) -> None:
        """``row`` is durable."""
        user = self._users.get(row.user)
        if user is None:
            return
        user.rows[row.id] = row
        self._add(user, _size(row))
        while self.octets > most:
            # The first ones: a phone that comes soon wants the last.
            self.forget(next(iter(self._users)))

    def mark(self, mark: Given) -> None:
        """``mark`` is durable."""
        user = self._users.get(mark.user)
        if user is None or mark.id not in user.rows:
            return
        marks = user.marks.setdefault(mark.id, {})
        if mark.device not in marks:
            self._add(user, _OBJECT + len(mark.device))
        marks[mark.device] = mark

    def remove(self, user: str, id: str) -> None:
        """The message with its marks is gone."""
        found = self._users.get(user)
        row = None if found is None else found.rows.pop(id, None)
        if found is None or row is None:
            return
        marks = found.marks.pop(id, {})
        self._add(found, -_size(row) - sum(_OBJECT + len(one) for one in marks))
        if not found.rows:
            self.forget(user)

    def forget(self, user: str) -> None:
        """Know ``user`` no more."""
        found = self._users.pop(user, None)
        if found is not None:
            self.octets -= found.octets

    def rows(self, user: str) -> list[Kept]:
        """Return all messages of ``user``, in order."""
        rows = self._users[user].rows
        return [rows[one] for one in sorted(rows)]

    def marks(self, user: str, id: str) -> dict[str, Given]:
        """Return the marks of a message, by device."""
        return self._users[user].marks.get(id, {})

    def _add(self, user: _User, octets: int) -> None:
        user.octets += octets
        self.octets += octets


def _size(row: Kept) -> int:
    return _OBJECT + len(row.body) + len(row.fields) + len(row.sender) + len(row.to) + len(row.request)
