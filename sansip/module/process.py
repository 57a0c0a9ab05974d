"""The process that a module runs in: one of the workers of a server, which may be one of several nodes.

Theory of operation: workers share their listeners, and tell each other what their modules know; nodes share a
location, and with a Redis values and rows. A module asks here what it does itself, what goes on with what a
process before it began, and tells its like what they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from sansip.module.tally import Tally
from sansip.seat import FIRST

if TYPE_CHECKING:
    from sansip.entropy import Entropy
    from sansip.routing.core import Core as StackCore
    from sansip.seat import Seat

__all__ = ["Named", "Process"]

_DIGITS = tuple("0123456789abcdef")


class Named(Protocol):
    """A module, of which no more is needed here."""

    name: ClassVar[str]
    over_workers: ClassVar[bool | Literal["first"]]


class Process:
    """The process of ``module``, among those of its server and of others."""

    __slots__ = ("_module", "_stack")

    def __init__(self, stack: StackCore, module: Named) -> None:
        self._stack = stack
        self._module = module

    @property
    def seat(self) -> Seat | None:
        """The place of this process among the workers of one server; None where it is alone.

        A module that the first worker alone has is alone as well.
        """
        found: Seat | None = self._stack.config.seat
        return None if self._module.over_workers == FIRST else found

    @property
    def place(self) -> str:
        """A name of this process that the next one in its place has, too, and no other: where it listens.

        Of several workers each has its own.
        """
        first = next(iter(self._stack.listeners), None)
        name = "" if first is None else f"{first.transport}:{first.host}:{first.port}"
        return name if self.seat is None else f"{name}#{self.seat.number}"

    @property
    def node(self) -> str:
        """The name of this node among those that share a location; "" for a server alone."""
        nodes = self._stack.nodes
        return "" if nodes is None else nodes.me.name

    @property
    def living(self) -> frozenset[str]:
        """The names of the nodes that live, this one included, as far as it knows."""
        nodes = self._stack.nodes
        return frozenset() if nodes is None else frozenset(one.name for one in (nodes.me, *nodes.others))

    @property
    def shares(self) -> bool:
        """Whether nodes share a Redis (``rows``): then ``shared`` and ``limit`` are those of all nodes."""
        return bool(self._stack.config.shares_values)

    @property
    def shares_rows(self) -> bool:
        """Whether other nodes write the same rows (``rows``): then not all of them are this server's."""
        return bool(self._stack.config.shares_rows)

    @property
    def keeps_rows(self) -> bool:
        """Whether rows are there after the end of this process; if not, nobody but the module reads them."""
        return bool(self._stack.config.keeps_rows)

    # --- what its like hear

    @property
    def tally(self) -> Tally | None:
        """The counts that the workers of one server keep together; None where this process is alone."""
        siblings = self._stack.siblings
        return None if siblings is None else Tally(self._module.name, siblings)

    def announce(self, key: str, word: Any, *, own: bool = False) -> None:
        """Tell the module's other processes that ``key`` is ``word``: their ``announced`` is called.

        They are the other workers of this server; alone it does nothing. ``word``: plain values, tuples of
        them, or None to forget it. A worker that starts later hears the last word of each key. ``own``: it is
        about what this process holds, so it is forgotten when the process dies.
        """
        siblings = self._stack.siblings
        if siblings is not None:
            siblings.tell("own" if own else "said", self._module.name, key, word)

    def tells_first(self, event: type) -> bool:
        """Whether only the first worker, which is not this one, has modules that hear ``event``.

        An event does not leave its process: a module tells the first worker what it needs (``announce``).
        """
        seat = self.seat
        return seat is not None and seat.number > 0 and event.__name__ in seat.heard

    @property
    def entropy(self) -> Entropy:
        return self._stack.proxy.entropy

    def secret(self, purpose: str) -> Entropy:
        """Return the key for ``purpose`` that restarts, and nodes with the same secret, share."""
        return self._stack.secret(f"module {self._module.name} {purpose}")

    # --- who does what

    def chosen(self, name: str) -> bool:
        """Whether this process is the one of its server that does ``name`` (``once``: of all nodes)."""
        return self.seat is None or self.seat.owns(f"{self._module.name} {name}")

    def once(self, name: str) -> bool:
        """Whether this node does ``name``: probes, reminders, requests that one node sends for all.

        Of the workers of one server ``name`` chooses one, too.

        Among the nodes that share a location and do not drain, ``name`` chooses one; another as soon as that
        one is gone. While nodes find each other, two may answer yes, so the work must do no harm if it is
        done twice. A server alone is always the one.
        """
        nodes = self._stack.nodes
        if not self.chosen(name):
            # A worker that dies is there again at once.
            return False
        if nodes is None:
            return True
        key = self.secret("once")
        others = [one for one in nodes.others if not one.draining]
        if nodes.me.draining and others:
            return False
        mine = key.keyed_hash(f"{name} {nodes.me.name}")
        return all(key.keyed_hash(f"{name} {one.name}") < mine for one in others)

    def inherits(self, place: str) -> bool:
        """Whether this process goes on with what was kept for ``place`` (of a process, as ``place``)."""
        if place == self.place or self.shares_rows:
            return place == self.place
        base, _, number = place.rpartition("#")
        seat = self.seat
        if seat is None:
            return True
        there = number.isdecimal() and int(number) < seat.count and base == self.place.rpartition("#")[0]
        return seat.number == 0 and not there

    def new_id(self) -> str:
        """Return an id that nobody guesses. Of several workers, ``mine`` knows whose it is."""
        return self.id_mark + self.entropy.token()

    @property
    def id_mark(self) -> str:
        """What ``new_id`` begins with: the digit of this worker, "" where one process serves."""
        return "" if self.seat is None else self.seat.digit

    def mine(self, id: str) -> bool:
        """Whether this process is the one to go on with what has an id of a process before it."""
        seat = self.seat
        if seat is None:
            return True
        # An id of a server without workers has an even length; a worker that is no more has no place.
        number = int(id[:1], 16) if len(id) % 2 and id[:1] in _DIGITS else 0
        return seat.number == (number if number < seat.count else 0)
