"""The order of modules, and of their hooks: ``requires`` first, then the name.

Theory of operation: hooks run in the order of the modules for requests that come in, and reversed for
responses that go back: the module that saw a request first sees its responses last.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import pairwise
from typing import Any, TypeAlias

from sansip.module.base import FIRST, Module, ModuleFault

__all__ = ["BACKWARD", "Method", "Wrap", "ordered", "overriding"]

Method: TypeAlias = tuple[Module, Callable[..., Any]]
# (module, hook, method) -> the function called in its place.
Wrap: TypeAlias = Callable[[Module, str, Callable[..., Any]], Callable[..., Any]]
# Hooks of responses that go back: the last module sees one first.
BACKWARD = frozenset(("response_received", "response_leaving", "branch_ended", "request_ended"))


def ordered(kinds: Iterable[type[Module]], *, lacks_first: bool = False) -> list[type[Module]]:
    """Return ``kinds`` so that each stands behind those that it requires, else by name.

    ``lacks_first``: this is a worker that has none of the modules that the first worker alone has.
    Raises ``ModuleFault`` for two of one name, one that is missing, and a circle.
    """
    given = sorted(kinds, key=lambda kind: kind.name)
    for one, other in pairwise(given):
        if one.name == other.name:
            text = f"two modules are called {one.name}: {_path(one)} and {_path(other)}"
            raise ModuleFault(text, one.name)
    done: list[type[Module]] = []
    under_way: list[type[Module]] = []

    def visit(kind: type[Module]) -> None:
        if kind in done:
            return
        if kind in under_way:
            circle = " needs ".join(one.name for one in [*under_way[under_way.index(kind) :], kind])
            raise ModuleFault(f"modules need each other in a circle: {circle}", kind.name)
        under_way.append(kind)
        for wanted in kind.requires:
            if wanted not in given:
                if lacks_first and wanted.over_workers == FIRST:
                    continue
                name = wanted.name
                text = f"module {kind.name} needs the module {name}; add [{name}] to the configuration"
                raise ModuleFault(text, kind.name)
            visit(wanted)
        for wanted in kind.uses:
            if wanted in given:
                visit(wanted)
        under_way.pop()
        done.append(kind)

    for kind in given:
        visit(kind)
    return done


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def overriding(modules: Collection[Module], name: str, wrap: Wrap | None) -> tuple[Method, ...]:
    """Return the methods of ``modules`` that override the hook ``name``, wrapped, as they are called."""
    found = [
        (module, getattr(module, name))
        for module in modules
        if getattr(type(module), name) is not getattr(Module, name)
    ]
    if wrap is not None:
        found = [(module, wrap(module, name, method)) for module, method in found]
    return tuple(reversed(found) if name in BACKWARD else found)
