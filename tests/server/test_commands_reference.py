"""The page of commands says what their definitions say."""

from __future__ import annotations

from sansip_server.commands_reference import PAGE, page
from tests.server.test_management import Server


def test_the_page_is_current() -> None:
    """A command, argument or role that changes changes the page."""
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m sansip_server.commands_reference"


def test_nothing_is_left_out() -> None:
    """Each command has its line, with its effect."""
    lines = page().splitlines()
    for name, command in Server().management.commands.items():
        (line,) = [one for one in lines if one.startswith(f"| `{name}` | {command.role} |")]
        assert not line.endswith("|  |"), line
