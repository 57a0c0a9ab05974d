"""The modules that a route asks for, by the types of its parameters.

Theory of operation: the first parameter of a route is the request. Each other one without a default names a
module by its type, and the route is called with the modules of the configuration.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from sansip.module.base import Module, ModuleFault

if TYPE_CHECKING:
    from sansip.routing import IncomingRequest

__all__ = ["bound", "lacks", "wanted"]


def bound(
    route: Callable[..., Any], modules: Mapping[type[Module], Module]
) -> Callable[[IncomingRequest], Any]:
    """Return ``route`` with those of ``modules`` that its parameters name by their types.

    Raises ``ModuleFault`` for one that is not configured, and for a parameter that is no module.
    """
    given: dict[str, Module] = {}
    for name, kind in wanted(route).items():
        module = modules.get(kind)
        if module is None:
            raise ModuleFault(lacks(route, kind))
        given[name] = module
    return (lambda request: route(request, **given)) if given else route


def wanted(route: Callable[..., Any]) -> dict[str, type[Module]]:
    """Return the modules that the parameters of ``route`` name by their types.

    Raises ``ModuleFault`` for a parameter that is no module.
    """
    try:
        parameters = list(inspect.signature(route).parameters.values())[1:]
    except (TypeError, ValueError):
        return {}
    named = [
        one
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if not named:
        return {}
    hints = get_type_hints(route)
    found: dict[str, type[Module]] = {}
    for parameter in named:
        kind = hints.get(parameter.name)
        if not (isinstance(kind, type) and issubclass(kind, Module)):
            raise ModuleFault(f"{_where(route)} has the parameter {parameter.name}, whose type is no module")
        found[parameter.name] = kind
    return found


def lacks(route: Callable[..., Any], kind: type[Module]) -> str:
    """Return a text about a route that needs a module which is not configured."""
    return f"{_where(route)} wants the module {kind.name}; add [{kind.name}] to the configuration"


def _where(route: Callable[..., Any]) -> str:
    code = getattr(route, "__code__", None)
    return "the route" if code is None else f"{code.co_filename}:{code.co_firstlineno}: the route"
