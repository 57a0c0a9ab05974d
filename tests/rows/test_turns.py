"""Rows in memory are answered from the loop: in order, together, in the next turn, without a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sansip.actions import Ask
from sansip.rows import Change, Expected, Read, Scan, Table, Write
from sansip_server.rows.memory import InMemory
from sansip_server.rows.service import RowService


@dataclass
class Row:
    name: str
    value: int


TABLE = Table("turns", Row, key=("name",))


class Bench:
    """A hub of the test's own, and a service whose rows are in memory."""

    def __init__(self, store: Any = None) -> None:
        self.asked: dict[type, Callable[[Ask], None]] = {}
        self.posted: list[Callable[[], None]] = []
        self.answers: list[list[tuple[int, Any]]] = []
        hub: Any = SimpleNamespace(
            answering=SimpleNamespace(ask_by=self.asked.__setitem__),
            inbox=SimpleNamespace(post=self.posted.append),
            answer_all=self.answers.append,
        )
        self.service = RowService(store or InMemory())
        self.service.prepare([TABLE])
        self.service.attach(hub)
        self.service.attach(hub)

    def ask(self, *questions: Any) -> None:
        for number, question in enumerate(questions):
            self.asked[type(question)](Ask(number, question))

    def turn(self) -> list[tuple[int, Any]]:
        posted, self.posted[:] = self.posted[:], []
        for one in posted:
            one()
        return self.answers.pop()


def put(name: str, value: int, *expected: Expected) -> Write:
    return Write((Change(TABLE, ((name, value),), ()),), expected)


def test_in_order_and_together() -> None:
    """What reads after a write sees it, and all answers of a turn enter the stack together."""
    bench = Bench()
    before = threading.active_count()
    bench.ask(Read(TABLE, (("a",),)), put("a", 1), Read(TABLE, (("a",),)), Scan(TABLE))
    assert bench.answers == [], "the stack has not returned from the input that asked"
    assert len(bench.posted) == 1
    assert bench.turn() == [(0, [None]), (1, None), (2, [("a", 1)]), (3, [("a", 1)])]
    assert threading.active_count() == before
    bench.ask(Scan(TABLE))
    assert bench.turn() == [(0, [("a", 1)])]


def test_one_that_is_refused() -> None:
    """A row that is not as expected, or that cannot be written, is the answer of that question alone."""
    bench = Bench()
    bench.ask(put("a", 1), put("a", 2, Expected(TABLE, ("a",), ("a", 7))), put("b", 3))
    assert bench.turn() == [(0, None), (1, False), (2, None)]
    unknown = Table("unknown", Row, key=("name",))
    bench.ask(Write((Change(unknown, (("a", 1),), ()),)), put("c", 4))
    (_, error), good = bench.turn()
    assert isinstance(error, Exception)
    assert good == (1, None)


def test_other_stores_keep_their_thread() -> None:
    """A database waits for its disk: the loop must not."""

    class Other:
        name = "other"

        def prepare(self, tables: Any) -> None:
            pass

    assert Bench(Other()).asked == {}
