"""The groups and their members: the table of the configuration, and over it the operator's changes.

Theory of operation: both are replaced whole, and the members are laid out anew; a member that is in the old
layout and the new is the same object, so its state lasts. The operator's changes beat the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sansip.errors import LocalProtocolError
from sansip.modules.dispatcher.member import Member
from sansip.modules.dispatcher.settings import Destination
from sansip.rows import Table

__all__ = ["CHANGES", "Change", "Groups"]


@dataclass(slots=True)
class Change:
    """A row: the operator's changes to a destination.

    ``state`` is ``active``, ``draining``, ``disabled`` or ``removed``; ``added``: it stands in no file.
    """

    group: str
    uri: str
    state: str
    weight: int
    priority: int
    max_calls: int
    added: bool


CHANGES = Table("dispatcher_changes", Change, key=("group", "uri"))


class Groups:
    """All members, by group."""

    __slots__ = ("_base", "_changes", "_groups")

    def __init__(self) -> None:
        self._base: tuple[Destination, ...] = ()
        self._changes: dict[tuple[str, str], Change] = {}
        self._groups: dict[str, tuple[Member, ...]] = {}

    def take(self, base: Iterable[Destination]) -> None:
        """Take another table."""
        self._base = tuple(base)
        self._lay_out()

    def restore(self, changes: Iterable[Change]) -> None:
        """Take all changes, as the store has them."""
        self._changes = {(one.group, one.uri): one for one in changes}
        self._lay_out()

    def change(self, change: Change) -> None:
        """Take one change, which is stored."""
        self._changes[change.group, change.uri] = change
        self._lay_out()

    def forget(self, group: str, uri: str) -> None:
        """Take a change back."""
        self._changes.pop((group, uri), None)
        self._lay_out()

    def changed(self, group: str, uri: str) -> Change | None:
        """Return the changes to a destination."""
        return self._changes.get((group, uri))

    def in_file(self, group: str, uri: str) -> bool:
        """Whether the configuration has it."""
        return any((one.group, one.uri) == (group, uri) for one in self._base)

    def _lay_out(self) -> None:
        known = {(one.destination.group, one.destination.uri): one for one in self}
        wanted = {(one.group, one.uri): one for one in self._base}
        for key, change in self._changes.items():
            base = wanted.get(key)
            if change.state == "removed":
                wanted.pop(key, None)
            elif base is not None or change.added:
                probe = True if base is None else base.probe
                wanted[key] = Destination(
                    change.uri, change.group, change.weight, change.priority, change.max_calls, probe
                )
        groups: dict[str, list[Member]] = {}
        for key, destination in wanted.items():
            member = known.get(key)
            if member is None:
                member = Member(destination.parsed, destination=destination)
            member.destination = destination
            change_of = self._changes.get(key)
            admin: Any = "active" if change_of is None else change_of.state
            member.health.admin = admin
            groups.setdefault(destination.group, []).append(member)
        self._groups = {name: tuple(members) for name, members in groups.items()}

    def names(self) -> list[str]:
        """Return the names of the groups, in order."""
        return sorted(self._groups)

    def items(self) -> Iterable[tuple[str, tuple[Member, ...]]]:
        """Return each group's name and members."""
        return self._groups.items()

    def __iter__(self) -> Iterator[Member]:
        return (one for members in self._groups.values() for one in members)

    def __contains__(self, name: str) -> bool:
        return name in self._groups

    def of(self, name: str) -> tuple[Member, ...]:
        """Return the members of a group. Raises ``LocalProtocolError`` that names those there are."""
        group = self._groups.get(name)
        if group is None:
            there = ", ".join(self.names()) or "none"
            raise LocalProtocolError(f"dispatcher: there is no group {name!r:.80}; there are {there}")
        return group
