"""docs/modules-reference.md: the reference of our modules, written from their classes so that it cannot lie.

Theory of operation: the class of a module holds everything that an operator or a route can use: settings
with their documentation, functions, commands with their parameters, steps, hooks, tables, events.
``python -m sansip_server.modules_reference`` writes the page, a test compares it, and ``page(kinds)`` gives
authors of other packages the same for theirs.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from sansip.module import Command, Module, keys_of
from sansip.module.base import HOOKS, marked
from sansip.module.commands import expected as argument_of
from sansip_server.config.load import expected, row_of
from sansip_server.config.reference import documentation
from sansip_server.modules import loaded

__all__ = ["PAGE", "ours", "page"]

PAGE = Path(__file__).parents[2] / "docs" / "modules-reference.md"

INTRODUCTION = """\
# Reference of the modules

<!-- Written by `python -m sansip_server.modules_reference` from the classes; edit their docstrings. -->

What comes with sansip; `sansip modules NAME` shows the same of any module that is installed, those of
other packages too. [Modules](modules.md) says what the words mean and how to write one.
"""


def ours() -> list[type[Module]]:
    """Return the modules of this package, by name."""
    return [kind for kind in loaded() if kind.__module__.partition(".")[0] == "sansip"]


def page(kinds: Iterable[type[Module]]) -> str:
    """Return the page of ``kinds``."""
    parts = [INTRODUCTION]
    for kind in kinds:
        parts += [f"## {kind.name}\n", *_module(kind)]
    return "\n".join(parts).rstrip() + "\n"


def _module(kind: type[Module]) -> Iterator[str]:
    yield f"{_first(kind)} `{kind.__module__}.{kind.__qualname__}`\n"
    if kind.by_default:
        yield "A server has it without a table of its own in the configuration.\n"
    if kind.requires:
        yield f"Needs {_listed(one.name for one in kind.requires)}.\n"
    yield from _settings(kind)
    yield from _methods(kind)
    commands = [method for _, method in marked(kind, "sansip_command")]
    if commands:
        yield "| Command | Role | Takes | |\n|---|---|---|---|"
        yield from map(_command, commands)
        yield ""
    if kind.protocols:
        yield f"Speaks {_listed(kind.protocols)}.\n"
    mounts = [method.sansip_mount for _, method in marked(kind, "sansip_mount")]
    if mounts:
        yield "| HTTP path | Who may ask | Setting |\n|---|---|---|"
        for path, access, key in mounts:
            yield f"| `{path}` | {access} | {f'`{key}`' if key else ''} |"
        yield ""
    if kind.tables:
        yield "| Table | Version | Key | Columns |\n|---|---|---|---|"
        for table in kind.tables:
            columns = ", ".join(f"{one.name} {one.kind}" for one in table.columns)
            yield f"| `{table.name}` | {table.version} | {', '.join(table.key)} | {columns} |"
        yield ""
    if kind.events:
        yield f"Hears {_listed(one.__name__ for one in kind.events)}.\n"
    hooks = [name for name in HOOKS if getattr(kind, name) is not getattr(Module, name)]
    if hooks:
        yield f"Hooks: {_listed(hooks)}.\n"


def _settings(kind: type[Module]) -> Iterator[str]:
    keys = keys_of(kind.Settings)
    if not keys:
        yield "No settings.\n"
        return
    yield from _table(f"[{kind.name}]", kind.Settings)
    for key in keys:
        row = row_of(key.type)
        if row is not None:
            yield from _table(f"[[{kind.name}.{key.name}]]", row)


def _table(name: str, settings: type) -> Iterator[str]:
    """The keys of one table."""
    docs = documentation(settings)
    yield f"| `{name}` | Takes | Default | |\n|---|---|---|---|"
    for key in keys_of(settings):
        if row_of(key.type) is not None:
            continue
        default = "must be given" if key.default is MISSING else f"`{_toml(key.default)}`"
        yield f"| `{key.name}` | {expected(key.type)} | {default} | {key.doc or docs.get(key.name, '')} |"
    yield ""


def _methods(kind: type[Module]) -> Iterator[str]:
    rows = [
        (f"`{name}{_signature(method)}`", "a function for routes", method)
        for name, method in marked(kind, "sansip_function")
    ] + [
        (f"`{name}`", f"a step of the stage {method.sansip_step}", method)
        for name, method in marked(kind, "sansip_step")
    ]
    if rows:
        yield "| Method | Is | |\n|---|---|---|"
        for shown, what, method in rows:
            yield f"| {shown} | {what} | {_first(method)} |"
        yield ""


def _signature(method: Any) -> str:
    signature = inspect.signature(method)
    return (
        str(signature.replace(parameters=list(signature.parameters.values())[1:]))
        .replace("'", "")
        .replace("|", "\\|")
    )


def _command(method: Any) -> str:
    command = Command.of(method)
    takes = ", ".join(
        f"`{one.name}` {argument_of(one)}" + ("" if one.required else f" (`{one.default}`)")
        for one in command.parameters
        if one.name != "self"
    )
    return f"| `{command.name}` | {command.role} | {takes or 'nothing'} | {_first(method)} |"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return "unset" if value is None else str(value)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _first(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0].replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(ours()), encoding="utf-8")
    print(f"wrote {PAGE}")
