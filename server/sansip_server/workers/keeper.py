"""The bindings of all workers: one owner decides, and all workers hold the result before a 200 leaves.

Theory of operation: the parent of the workers owns every address-of-record. A worker plans a change from the
record that it holds, and asks to put the new one in place of that version. If another worker was quicker it
gets the record that stands, and plans again: so the order of CSeq and the limits are judged against what
really stands (RFC 3261 10.3). The keeper has the store write the change, tells all workers, and answers the
asking worker when all of them have it. Changes of one address-of-record wait for each other. Where several
nodes share a location (``share``), that decides instead, and the keeper writes for all workers of this node.

The keeper also knows the connections of each worker, and what their modules have in common (``boards``). It
passes on what workers tell each other: everything that it sends to one worker arrives in the order in which
it was sent. So a worker knows a connection before it hears of a binding over it.

This file neither waits nor knows sockets: messages and the time come in, ``send`` takes what goes out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, islice
from math import inf
from typing import Any

from sansip.limits import Limits
from sansip.location import Binding, LocationUpdate, Record, SharedRecord, SharedWrite
from sansip.location.expiry import ExpiryBuckets
from sansip_server.workers.boards import Boards
from sansip_server.workers.records import packed, unpacked, until

__all__ = ["Keeper"]

# Records of one message where a worker is told all of them.
_CHUNK = 200
# Addresses-of-record looked at for expiry in one turn.
_SWEEP = 1_000

# Puts a change into the store; the function gets None, or the exception.
Save = Callable[[LocationUpdate, Callable[[Any], None]], None]
# Puts a record into the shared location; the function gets None, the record that stands, or the exception.
Share = Callable[[SharedWrite, Callable[[Any], None]], None]
# Worker, its life, its question, address-of-record, versions expected and new, last expiry, the bindings.
_Write = tuple[int, int, int, str, str, str, float, bytes]


class Keeper:
    """The state that workers share.

    Args:
        send: sends a message to a worker, by its number.
        limits: ``aors`` bounds the memory.
        save: writes a change to the store; None without one.
        share: writes a change to the location that nodes share, which decides whether it still stands; None
            without one.
    """

    def __init__(
        self,
        send: Callable[[int, tuple[Any, ...]], None],
        limits: Limits,
        save: Save | None,
        share: Share | None = None,
    ) -> None:
        self._send = send
        self._limits = limits
        self._save = save
        self._share = share
        # Address-of-record -> version, when the last binding expires, the bindings.
        self._records: dict[str, tuple[str, float, bytes]] = {}
        self._expiry = ExpiryBuckets()
        # By worker that lives: its connections, and the last change that it has.
        self._connections: dict[int, dict[int, tuple[Any, ...]]] = {}
        self._has: dict[int, int] = {}
        # By worker, how many of its processes have died: the next one counts its questions anew.
        self._lives: dict[int, int] = {}
        self._changes = 0
        # Changes that not all workers have yet, the worker that asked for each, and the function to call once
        # all others have it.
        self._waiting: deque[tuple[int, int, Callable[[], None]]] = deque()
        self.boards = Boards(limits)
        # Changes of an address-of-record behind the one under way.
        self._busy: dict[str, deque[_Write]] = {}
        self._restored = 0
        # Unix time minus the clock, as the store knows it, by which GRUUs are dated.
        self.zero: float | None = None

    def __len__(self) -> int:
        """Return how many addresses-of-record are held."""
        return len(self._records)

    # --- as the store needs a stack (``Storage``)

    @property
    def location(self) -> Keeper:
        return self

    def names(self) -> list[str]:
        """Return the addresses-of-record."""
        return list(self._records)

    def standing(self, aor: str) -> Record:
        """Return the bindings of ``aor``."""
        found = self._records.get(aor)
        return () if found is None else unpacked(aor, found[2])

    def restore(self, bindings: Iterable[Binding], now: float, zero: float | None = None) -> int:
        """Take bindings from the store; return how many live. The workers are told with their state."""
        if zero is not None:
            self.zero = zero
        restored = 0
        live = (one for one in bindings if not one.expired(now))
        for aor, several in groupby(live, lambda one: one.aor):
            after = tuple(sorted((*self.standing(aor), *several), key=lambda one: one.rank))
            restored += len(after) - len(self.standing(aor))
            self._restored += 1
            self._put(aor, f"restored{self._restored:08x}", until(after), packed(after))
            if self._has:
                self._tell(("record", aor, self._records[aor][0], self._records[aor][2]))
        return restored

    # --- workers

    def state(self, number: int) -> Iterator[tuple[Any, ...]]:
        """Have worker ``number`` from now on; yield the messages that tell it everything, first of all."""
        opened = [
            ("opened", conn, *values)
            for other, connections in self._connections.items()
            if other != number
            for conn, values in connections.items()
        ]
        opened += self.boards.counts()
        self._connections[number] = {}
        self._has[number] = self._changes
        return self._state(opened)

    def _state(self, opened: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        yield ("facts", 0, opened)
        names = iter(self.names())
        while chunk := list(islice(names, _CHUNK)):
            found = [(aor, self._records.get(aor)) for aor in chunk]
            yield ("facts", 0, [("record", aor, one[0], one[2]) for aor, one in found if one is not None])
        for words in self.boards.words():
            yield ("facts", 0, words)
        yield ("begin", self.zero)

    def gone(self, number: int) -> None:
        """Worker ``number`` is dead: its connections are closed, and no change waits for it."""
        connections = self._connections.pop(number, {})
        self._has.pop(number, None)
        self._lives[number] = self._lives.get(number, 0) + 1
        heir = min(self._has, default=None)
        counted = self.boards.gone(number)
        for other in list(self._has):
            closed = [("closed", conn, "its worker died", other == heir) for conn in connections]
            if closed or counted:
                self._send(other, ("facts", 0, [*closed, *counted]))
        self._release()

    def received(self, number: int, message: tuple[Any, ...], now: float) -> bool:
        """Take a message of worker ``number``; return whether it was for the keeper."""
        match message:
            case ("write", question, aor, expected, version, last, bindings):
                life = self._lives.get(number, 0)
                write = (number, life, question, aor, expected, version, last, bindings)
                if aor in self._busy:
                    self._busy[aor].append(write)
                else:
                    self._write(write, now)
            case ("read", question, aor):
                version, _, bindings = self._standing(aor, now)
                self._send(number, ("stands", question, version, bindings))
            case ("has", change):
                if number in self._has:
                    self._has[number] = change
                    self._release()
            case ("tell", facts):
                self._note(number, facts)
                self._pass(number, facts)
            case _:
                return False
        return True

    # --- connections, and facts that workers tell each other

    def _note(self, number: int, facts: list[tuple[Any, ...]]) -> None:
        connections = self._connections.get(number)
        if connections is None:
            return
        for fact in facts:
            if fact[0] == "opened":
                connections[fact[1]] = fact[2:]
            elif fact[0] == "closed":
                connections.pop(fact[1], None)
            else:
                self.boards.note(number, fact)

    def _pass(self, number: int, facts: list[tuple[Any, ...]]) -> None:
        for other in list(self._has):
            if other != number:
                self._send(other, ("facts", 0, facts))

    def admit(self, number: int, key: str, most: int) -> bool:
        """Count one more of ``key`` for a worker, if there are fewer than ``most``; return whether."""
        allowed = self.boards.admit(number, key, most)
        if allowed:
            self._pass(number, [("held", key, 1)])
        return allowed

    def tell_all(self, number: int, fact: tuple[Any, ...], done: Callable[[], None]) -> None:
        """Tell ``fact`` to all workers but ``number``; ``done`` is called when all of them have it."""
        self._tell(fact, but=number)
        self._waiting.append((self._changes, number, done))
        self._release()

    def _tell(self, fact: tuple[Any, ...], but: int = -1) -> None:
        """Tell all workers of a change, and ask them to say that they have it.

        The answer tells the worker ``but``, which asked for it: it comes behind all changes before.
        """
        self._changes += 1
        for other in list(self._has):
            if other != but:
                self._send(other, ("facts", self._changes, [fact]))

    # --- changes of bindings

    def _standing(self, aor: str, now: float) -> tuple[str, float, bytes]:
        found = self._records.get(aor)
        return ("", -inf, b"") if found is None or found[1] <= now else found

    def _lives_still(self, number: int, life: int) -> bool:
        return self._lives.get(number, 0) == life

    def _answer(self, number: int, life: int, message: tuple[Any, ...]) -> None:
        """Answer the process that asked, and none that has its place by now."""
        if self._lives_still(number, life):
            self._send(number, message)

    def _write(self, write: _Write, now: float) -> None:
        number, _, question, aor, expected, _, _, bindings = write
        if self._share is not None:
            self._busy[aor] = deque()
            wanted = SharedWrite(aor, expected, write[5], unpacked(aor, bindings))
            self._share(wanted, lambda found: self._shared(write, found))
            return
        stands, _, before = self._standing(aor, now)
        if stands != expected:
            self._send(number, ("stands", question, stands, before))
            return
        if bindings and aor not in self._records and len(self._records) >= self._limits.aors:
            self._send(number, ("failed", question, "too many addresses-of-record (limits.aors)"))
            return
        self._busy[aor] = deque()
        if self._save is None:
            self._saved(write, None)
            return
        old, new = unpacked(aor, before), unpacked(aor, bindings)
        # The store writes those that are not the same object in both.
        kept = tuple(next((one for one in old if one == each), each) for each in new)
        self._save(LocationUpdate(aor, old, kept), lambda error: self._saved(write, error))

    def _saved(self, write: _Write, error: Any) -> None:
        number, life, question, aor, _, version, last, bindings = write
        if isinstance(error, Exception):
            self._answer(number, life, ("failed", question, str(error) or type(error).__name__))
            self._next(aor)
            return
        self._put(aor, version, last, bindings)
        asker = number if self._lives_still(number, life) else -1
        self._tell(("record", aor, version, bindings), but=asker)

        def had() -> None:
            self._answer(number, life, ("written", question))
            self._next(aor)

        self._waiting.append((self._changes, asker, had))
        self._release()

    def _shared(self, write: _Write, found: Any) -> None:
        """Take the answer of the location that nodes share."""
        if not isinstance(found, SharedRecord):
            self._saved(write, found)
            return
        # Another node was quicker: the worker plans again, from what stands there.
        number, life, question, aor = write[:4]
        bindings = packed(found.bindings)
        self._put(aor, found.version, until(found.bindings), bindings)
        self._tell(("record", aor, found.version, bindings))
        self._answer(number, life, ("stands", question, found.version, bindings))
        self._next(aor)

    def _put(self, aor: str, version: str, last: float, bindings: bytes) -> None:
        before = self._records.get(aor)
        if self._share is not None and before is None and len(self._records) >= self._limits.aors:
            # The location has it; here it is not remembered.
            return
        old = None if before is None else _second(before[1])
        if bindings:
            self._records[aor] = (version, last, bindings)
            self._expiry.move(aor, old, _second(last))
        elif before is not None:
            del self._records[aor]
            self._expiry.move(aor, old, None)

    def _release(self) -> None:
        """Answer the changes that all workers have, in order."""
        while self._waiting:
            change, asker, answer = self._waiting[0]
            if any(has < change for number, has in self._has.items() if number != asker):
                break
            self._waiting.popleft()
            answer()

    def _next(self, aor: str) -> None:
        behind = self._busy.pop(aor)
        if behind:
            # Each of them was planned from an older record, and is told the present one.
            for write in behind:
                stands = self._records.get(aor, ("", -inf, b""))
                self._answer(write[0], write[1], ("stands", write[2], stands[0], stands[2]))

    # --- time

    def next_due(self) -> float | None:
        """Return when ``time_passed`` has something to do, or None."""
        return self._expiry.next_due()

    def time_passed(self, now: float) -> None:
        """Forget records whose last binding has expired; each worker does so itself."""
        for _ in range(_SWEEP):
            aor = self._expiry.pop_due(now)
            if aor is None:
                return
            del self._records[aor]


def _second(last: float) -> int | None:
    return None if last == inf else int(last) + 1
