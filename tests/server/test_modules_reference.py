"""The reference page says what the classes say, and leaves nothing out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from sansip.events import BindingsChanged
from sansip.module import Doc, Module, command, function, step
from sansip.rows import Table
from sansip_server.modules_reference import PAGE, ours, page


def test_the_page_is_current() -> None:
    """A key or a command that changes changes the page."""
    assert PAGE.read_text(encoding="utf-8") == page(ours()), "run python -m sansip_server.modules_reference"


def test_ours_are_documented() -> None:
    """Each key, command and function has its sentence."""
    assert [kind.name for kind in ours()] == sorted(kind.name for kind in ours())
    assert {"keepalive", "upstream"} <= {kind.name for kind in ours()}
    for line in page(ours()).splitlines():
        assert not line.endswith("|  |"), f"it says nothing: {line}"


@dataclass
class Row:
    name: str
    size: int = 0


@dataclass
class Settings:
    limit: Annotated[int, Doc("How many.")] = 3
    names: Annotated[tuple[str, ...], Doc("Which ones.")] = ("a", "b")


class Whole(Module):
    """Has one of each."""

    name = "whole"
    Settings = Settings
    tables = (Table("whole", Row, key=("name",)),)
    events = (BindingsChanged,)

    def request_ended(self, request: Any) -> None: ...

    @function
    def count(self, request: Any, user: str) -> int:
        """Return how many there are."""
        return 0

    @step("select")
    async def choose(self, request: Any) -> None:
        """Choose one."""

    @command("whole.list")
    def list_all(self, first: int = 0) -> list[Row]:
        """Return all of them."""
        return []


def test_everything_of_a_module() -> None:
    """Settings, functions, steps, commands, tables, events, hooks."""
    shown = page([Whole])
    for line in (
        "| `limit` | a whole number | `3` | How many. |",
        '| `names` | a list of strings | `["a", "b"]` | Which ones. |',
        "| `count(request: Any, user: str) -> int` | a function for routes | Return how many there are. |",
        "| `choose` | a step of the stage select | Choose one. |",
        "| `whole.list` | read | `first` a whole number (`0`) | Return all of them. |",
        "| `whole` | 1 | name | name text, size integer |",
        "Hears `BindingsChanged`.",
        "Hooks: `request_ended`.",
    ):
        assert line in shown, shown
