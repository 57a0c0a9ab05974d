"""Runtime adapters by name: the entry-point group ``sansip.runtimes``.

Theory of operation: each value of the group is an adapter's blocking front
door, ``run(...)``. asyncio and blocking come with sansip and are found even if the package is not
installed (a checkout on PYTHONPATH); the others are extras. If the operator names none,
``choose`` takes the one that costs the least.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable
from importlib import import_module

from sansip.transport.transports import UDP
from sansip_server.faults import OperatorError, suggestion

__all__ = ["AUTO", "check_runtime", "choose", "installed_runtimes", "load_runtime", "runtime_names"]

GROUP = "sansip.runtimes"
# The setting for "the runtime that costs the least".
AUTO = "auto"
# They need only the standard library.
_OURS = ("asyncio", "blocking")


def runtime_names() -> list[str]:
    """Return the names of the runtimes that there are adapters for, sorted."""
    from importlib.metadata import entry_points

    return sorted({*_OURS, *(entry.name for entry in entry_points(group=GROUP))})


def choose(
    name: str, *, uvloop: bool, transports: Iterable[str], handlers: Iterable[Callable[..., object]]
) -> tuple[str, str]:
    """Return the runtime that ``name`` of the settings means, and why."""
    if name != AUTO:
        return name, "as configured"
    if uvloop:
        return "asyncio", "uvloop is an event loop for it"
    if any(transport != UDP for transport in transports):
        return "asyncio", "not only UDP is listened on"
    if any(map(inspect.iscoroutinefunction, handlers)):
        return "asyncio", "a handler is async def"
    return "blocking", "only UDP is listened on"


def installed_runtimes() -> list[str]:
    """Return those of them that can run: the package behind the adapter is installed as well."""
    found = []
    for name in runtime_names():
        with contextlib.suppress(OperatorError):
            load_runtime(name)
            found.append(name)
    return found


def check_runtime(name: str) -> None:
    """Raise ValueError, with the remedy, if there is no runtime ``name``."""
    if name == AUTO:
        return
    names = runtime_names()
    if name in names:
        return
    meant = suggestion(name, names)
    hint = f"did you mean {meant}?" if meant else f"expected {' or '.join(names)}"
    raise ValueError(f"there is no runtime {name!r} here; {hint}")


def load_runtime(name: str) -> Callable[..., int]:
    """Return the adapter's ``run``; raise OperatorError when it cannot be imported."""
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP):
        if entry.name == name:
            try:
                return entry.load()  # type: ignore[no-any-return]  # Any by design
            except ImportError as error:
                # Our own adapters name the command that installs the missing package.
                hint = "" if "pip install" in str(error) else f"; try pip install 'sansip[{name}]'"
                raise OperatorError(f"runtime {name} cannot be loaded: {error}{hint}") from None
    if name not in _OURS:
        raise OperatorError(f"there is no runtime {name!r} here; expected {' or '.join(runtime_names())}")
    return import_module(f"sansip_{name}").run  # type: ignore[no-any-return]  # Any by design
