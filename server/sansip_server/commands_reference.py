"""docs/commands-reference.md: the commands of a running server, written from their definitions.

Theory of operation: one definition serves the control socket, `sansip ctl`, JSON-RPC over HTTP and WebSocket,
and this page, which ``python -m sansip_server.commands_reference`` writes and a test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MethodType

from sansip.module import Command
from sansip.module.commands import expected
from sansip_server.management import Management

__all__ = ["PAGE", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "commands-reference.md"

INTRODUCTION = """\
# Reference of the commands of a running server

<!-- Written by `python -m sansip_server.commands_reference` from the methods; edit their docstrings. -->

Each is a command of [`sansip ctl`](commands.md#sansip-ctl) and a method of [JSON-RPC](http.md), over HTTP and
WebSocket; those of modules are on [their page](modules-reference.md). The role is what a token or a user
needs; the control socket is for its owner, who may do all. Lists come a page at a time over JSON-RPC: `limit`
and `after` choose it.

| Command | Role | Arguments | |
|---|---|---|---|
"""
SOCKET = """
Over WebSocket there are two more, for the role read, without arguments:

| Method | |
|---|---|
| `events.follow` | Has each event sent as a notification `events.event` from now on. |
| `events.leave` | Ends that. |
"""


def page() -> str:
    """Return the page."""
    methods = [method for method in vars(Management).values() if hasattr(method, "sansip_command")]
    rows = [_row(Command.of(MethodType(method, object()))) for method in methods]
    return INTRODUCTION + "\n".join(rows) + "\n" + SOCKET


def _row(command: Command) -> str:
    doc = command.doc.partition("\n")[0]
    return f"| `{command.name}` | {command.role} | {', '.join(_arguments(command))} | {doc} |"


def _arguments(command: Command) -> Iterator[str]:
    for one in command.parameters:
        yield f"`{one.name}`: {expected(one)}" + ("" if one.required else " (may be left out)")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
