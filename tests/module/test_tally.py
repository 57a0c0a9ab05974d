"""The functions of ``Core`` for several workers of one server: counts, words, rows, ids and places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from sansip import Stack, StackConfig
from sansip.actions import Ask, Notify, Tell
from sansip.module import Module, Use, command
from sansip.module.tally import Admit, Tally
from sansip.rows import Table
from sansip.seat import Seat
from tests.rig import LISTENERS


@dataclass
class Word:
    name: str


WORDS = Table("words", Word, key=("name",))


class Words(Module):
    """Keeps what it heard."""

    name = "words"
    tables = (WORDS,)
    over_workers = True

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.heard: list[Any] = []

    def announced(self, key: str, word: Any, now: float) -> None:
        if word == "bad":
            raise ValueError(key)
        self.heard.append((key, word))

    def rows_changed(self, table: Any, rows: Any, deleted: Any, now: float) -> None:
        self.heard.append((table, list(rows), list(deleted)))

    @command("words.admit")
    async def admit(self, key: str) -> bool:
        assert self.core.tally is not None
        return await self.core.tally.admit(key, 2)


class Nobody:
    def claim(self, key: str) -> int:
        return 0

    def find(self, key: str) -> int | None:
        return None


def worker(number: int | None, count: int = 3, started: bool = True) -> tuple[Stack, Words]:
    seat = None if number is None else Seat(number, count, 7, 0, Nobody())
    config = StackConfig(list(LISTENERS), ["example.com"], secret=b"s" * 32, seat=seat, modules=[Use(Words)])
    stack = Stack(config, b"x" * 32)
    if started:
        stack.time_passed(0.0)
    return stack, stack.modules.get(Words)


def test_counts_of_the_others_are_known_at_once() -> None:
    """`least-calls` asks for each call: no question may leave for that."""
    stack, module = worker(1)
    stack.told([("held", "words a", 2), ("held", "words b", 1), ("held", "other a", 5)], 0.0)
    tally = module.core.tally
    assert tally is not None
    assert (tally.elsewhere("a"), tally.elsewhere("c")) == (2, 0)
    assert dict(tally.all()) == {"a": 2, "b": 1}
    stack.told([("held", "words a", -2), ("held", "words b", -3)], 0.0)
    assert dict(tally.all()) == {}
    tally.add("a")
    tally.drop("a")
    told = [one.fact for one in stack.time_passed(0.0) if isinstance(one, Tell)]
    assert told == [("held", "words a", 1), ("held", "words a", -1)]


@pytest.mark.parametrize(("answer", "expected"), [(True, True), (False, False), (OSError("gone"), False)])
def test_one_place_admits(answer: Any, expected: bool) -> None:
    """Where the parent does not answer nobody can say that there is room: the call is refused."""
    stack, _ = worker(0)
    results: list[Any] = []
    [asked] = [
        one
        for one in stack.command("words.admit", {"key": "a"}, 0.0, lambda result, now: results.append(result))
        if isinstance(one, Ask)
    ]
    assert asked.question == Admit("words a", 2)
    assert stack.questions.waits(asked.id)
    stack.answer(asked.id, answer, 0.0)
    assert results == [expected]
    assert not stack.questions.waits(asked.id)


def test_words_reach_a_module_once_it_is_started() -> None:
    """A worker that starts gets them before its modules begin."""
    stack, module = worker(1, started=False)
    stack.told([("said", "words", "a", (1, "x")), ("own", "words", "b", None)], 0.0)
    assert module.heard == []
    stack.time_passed(0.0)
    assert module.heard == [("a", (1, "x")), ("b", None)]
    stack.told([("said", "others", "a", 1), ("said", "words", "c", 2)], 0.0)
    assert module.heard[2:] == [("c", 2)]
    # An exception is the module's own.
    assert any(isinstance(one, Notify) for one in stack.told([("said", "words", "c", "bad")], 0.0))
    module.core.announce("d", 4)
    module.core.announce("e", 5, own=True)
    told = [one.fact for one in stack.time_passed(0.0) if isinstance(one, Tell)]
    assert told == [("said", "words", "d", 4), ("own", "words", "e", 5)]


def test_rows_of_another_worker() -> None:
    """A drain by `ctl` holds in all workers: the others take the row into their memory."""
    stack, module = worker(1)
    stack.told([("rows", "words", (("a",),), (("b",),)), ("rows", "others", (), ())], 0.0)
    assert module.heard == [(WORDS, [Word("a")], [("b",)])]


def test_each_id_and_place_has_one_heir() -> None:
    """After a restart each record is taken up, and by one process, also with fewer workers or none."""
    before = [worker(number)[1].core for number in range(3)]
    alone = worker(None)[1].core
    names = [core.new_id() for core in [*before, alone] for _ in range(20)]
    places = [core.place for core in [*before, alone]]
    for count in (1, 2, 3, 16):
        after = [alone] if count == 1 else [worker(number, count)[1].core for number in range(count)]
        assert all(sum(core.mine(name) for core in after) == 1 for name in names)
        assert all(sum(core.inherits(place) for core in after) == 1 for place in places)
    assert [core.mine(before[1].new_id()) for core in before] == [False, True, False]
    assert [core.inherits(before[2].place) for core in before] == [False, False, True]
    assert sum(core.chosen("probe") for core in before) == 1
    assert alone.chosen("probe")


def test_a_server_alone_has_none_of_it() -> None:
    """One process pays nothing, and a module need not know."""
    stack, module = worker(None)
    assert module.core.tally is None
    module.core.announce("a", 1)
    assert stack.time_passed(0.0) == []
    assert isinstance(worker(0)[1].core.tally, Tally)
