"""sansip_server.workers.outside: questions of modules as octets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from sansip.module import Module
from sansip.modules.accounting.module import Append
from sansip.modules.aliases import ALIASES, Aliases
from sansip.rows import Change, Write
from sansip_server.workers.outside import Carrier, held_tables, tables_of


class Odd(Exception):
    """An exception that can be written, and not be read."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


def test_questions_and_answers_arrive_as_they_were() -> None:
    """A table is the same object there: its functions need not be carried."""
    carrier = Carrier(tables_of([Aliases]))
    asked = Write((Change(ALIASES, (("sip:a@b", "sip:\udce4@b"),), (("sip:x@y",),)),))
    found = carrier.unpacked(carrier.packed(asked))
    assert found == asked
    assert found.changes[0].table is ALIASES
    for value in (Append({"a": "line"}), None, [("a", 1, 2.5, b"x", None)]):
        assert carrier.unpacked(carrier.packed(value)) == value
    error = carrier.unpacked(carrier.packed(TimeoutError("late")))
    assert (type(error), str(error)) == (TimeoutError, "late")


@pytest.mark.parametrize("value", [Odd("a", "b"), lambda: 0])
def test_what_cannot_be_carried_is_an_error_that_says_so(value: Any) -> None:
    """The module that asked hears of it, and no link ends."""
    carrier = Carrier()
    error = carrier.unpacked(carrier.packed(value))
    assert isinstance(error, OSError)
    assert str(error)


def test_tables_that_modules_hold_in_memory() -> None:
    """Only who asks for it is told of rows: calls that are kept are thousands a second."""

    @dataclass
    class Row:
        name: str

    class Quiet(Module):
        name = "quiet"
        tables = ()

    assert held_tables([Aliases, Quiet]) == {"aliases", "aliases_short"}
