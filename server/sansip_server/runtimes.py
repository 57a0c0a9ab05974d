"""Runtime adapters by name: the entry-point group ``sansip.runtimes``.

Theory of operation: each value of the group is an adapter's blocking front
door, ``run(...)``. asyncio comes with sansip and is found even where the
package is not installed (a checkout on PYTHONPATH); the others are extras.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from sansip_server.faults import OperatorError, suggestion

__all__ = ["check_runtime", "installed_runtimes", "load_runtime", "runtime_names"]

GROUP = "sansip.runtimes"


def runtime_names() -> list[str]:
    """Return the names of the runtimes that there are adapters for, sorted."""
    from importlib.metadata import entry_points

    return sorted({"asyncio", *(entry.name for entry in entry_points(group=GROUP))})


def installed_runtimes() -> list[str]:
    """Return those of them that can be run: the package behind the adapter is here as well."""
    found = []
    for name in runtime_names():
        with contextlib.suppress(OperatorError):
            load_runtime(name)
            found.append(name)
    return found


def check_runtime(name: str) -> None:
    """Raise ValueError when there is no runtime ``name``, with what to do."""
    if name == "asyncio":
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
                return entry.load()  # type: ignore[no-any-return]
            except ImportError as error:
                # An adapter of ours says itself which command installs what is missing.
                hint = "" if "pip install" in str(error) else f"; try pip install 'sansip[{name}]'"
                raise OperatorError(f"runtime {name} cannot be loaded: {error}{hint}") from None
    if name != "asyncio":
        raise OperatorError(f"there is no runtime {name!r} here; expected {' or '.join(runtime_names())}")
    from sansip_asyncio import run

    return run
