"""A module's class is judged when it is made: a slip is an error at once, not a hook that is never called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from sansip.module import Module, ModuleFault, command, function, step
from sansip.rows import Table


@dataclass
class Row:
    key: str


def misspelled() -> None:
    class Probe(Module):
        name = "probe"

        def request_recieved(self, request: Any) -> bool:
            return False


def short() -> None:
    class Probe(Module):
        name = "probe"

        def stray_received(self, response: Any) -> bool:  # type: ignore[override]  # narrower on purpose
            return False


def waits() -> None:
    class Probe(Module):
        name = "probe"

        async def request_ended(self, request: Any) -> None:  # type: ignore[override]  # narrower on purpose
            pass


def marked() -> None:
    class Probe(Module):
        name = "probe"

        @function
        def start(self, core: Any, now: float) -> None:
            pass


def nameless() -> None:
    class Probe(Module):
        pass


def without_settings() -> None:
    class Probe(Module):
        name = "probe"
        Settings = dict


def foreign_command() -> None:
    class Probe(Module):
        name = "probe"

        @command("other.list")
        def listed(self) -> list[str]:
            return []


def foreign_table() -> None:
    class Probe(Module):
        name = "probe"
        tables = (Table("users", Row, ("key",)),)


def plain_step() -> None:
    class Probe(Module):
        name = "probe"

        @step("screen")
        def look(self, request: Any) -> None:
            pass


def unknown_stage() -> None:
    step("sceen")


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        (misspelled, r"request_recieved is no hook; mark it with @function"),
        (short, r"stray_received takes \(self, response, flow, now\)"),
        (waits, r"request_ended cannot wait"),
        (marked, r"start is a hook"),
        (nameless, r"name is ''"),
        (without_settings, r"no dataclass"),
        (foreign_command, r"other.list must begin with probe\."),
        (foreign_table, r"users must begin with probe_"),
        (plain_step, r"must be an async def"),
        (unknown_stage, r"no stage 'sceen'; there are screen, identify"),
    ],
)
def test_slips_are_found_when_the_class_is_made(slip: Callable[[], None], said: str) -> None:
    """The error tells the author the fault and the fix."""
    with pytest.raises(ModuleFault, match=said):
        slip()


def test_a_module_may_have_helpers() -> None:
    """Names with an underscore, properties and class methods are its own."""

    class Probe(Module):
        name = "probe"

        def _help(self) -> int:
            return 1

        @property
        def seen(self) -> int:
            return self._help()

        @function
        def count(self, request: Any) -> int:
            return self.seen

    assert Probe(Probe.Settings()).count(None) == 1
