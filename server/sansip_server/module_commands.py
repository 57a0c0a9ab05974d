"""Commands and figures of modules, over the control socket.

Theory of operation: a command's name has a dot in it (``dispatcher.list``), so it cannot be a command of the
server itself. It runs in the stack's thread, as an input of the stack; a command that waits is answered when
it ends.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from sansip.module import CommandError, Counter
from sansip.module.commands import expected
from sansip_sockets.pending import Pending

if TYPE_CHECKING:
    from sansip.module import Module, Modules
    from sansip.stack import Stack
    from sansip_sockets import Hub

__all__ = ["described", "done", "figures", "troubles"]


def done(
    stack: Stack, hub: Hub, name: str, given: Any
) -> Generator[dict[str, Any] | Pending[Any] | None, None, None]:
    """Do command ``name``; yield the result that it waits for, then items and its own result.

    Raises ``CommandError`` for a command that cannot be done, whatever exception it raised.
    """
    if not isinstance(given, dict):
        raise CommandError(f"{name}: its arguments are an object")
    pending: Pending[Any] = Pending()
    now = hub.clock()
    hub.perform(stack.command(name, given, now, lambda result, now: pending.give(result)), now)
    result = yield from pending.result()
    if isinstance(result, CommandError):
        raise result
    if isinstance(result, BaseException):
        raise CommandError(f"{name}: {type(result).__name__}: {result}")
    if isinstance(result, list):
        # A line for each item, so that a long list is never one line.
        for one in result:
            yield {"item": one}
        command = stack.modules.commands.get(name)
        columns = {} if result or command is None else {"columns": command.columns}
        result = {"items": len(result), **columns}
    yield {"ok": True, "result": result}


def described(modules: Modules) -> Iterator[dict[str, Any]]:
    """Yield the description of each command of a module."""
    for command in modules.commands.values():
        yield {
            "command": command.name,
            "role": command.role,
            "parameters": [
                {"name": one.name, "expected": expected(one), "required": one.required}
                for one in command.parameters
            ],
            "doc": command.doc,
        }


def figures(modules: Modules) -> dict[str, float]:
    """Return the figures of modules, by ``module.figure{labels}``."""
    found: dict[str, float] = {}
    for module in modules:
        try:
            found |= {f"{module.name}.{name}": value for name, value in module.figures().items()}
        except Exception as error:
            module.core.failed("figures", error)
        for figure in module.core.counted:
            name = f"{module.name}.{figure.name.removeprefix(module.name)[1:]}"
            if isinstance(figure, Counter):
                for labels, value in figure.values.items():
                    found[f"{name}{{{','.join(labels)}}}" if labels else name] = value
            else:
                found[f"{name}.count"], found[f"{name}.sum"] = figure.count, round(figure.sum, 6)
    return found


def troubles(modules: Modules) -> dict[str, dict[str, Any]]:
    """Return the modules that report a fault, as parts of ``health``."""
    said = {module.name: _health(module) for module in modules}
    return {name: {"ok": False, "error": text} for name, text in said.items() if text}


def _health(module: Module) -> str:
    try:
        return str(module.health())
    except Exception as error:
        return f"health: {type(error).__name__}: {error}"
