"""Commands: one method of a module, for the control socket, the API and the reference page.

Theory of operation: the method's signature is the definition. JSON arguments are converted by its
annotations, and an error names the argument that does not fit; the result is whatever JSON can hold: numbers,
text, lists, and dataclasses as objects.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

__all__ = ["Command", "CommandError", "Parameter", "expected", "plain_result"]


class CommandError(Exception):
    """A command that cannot be done; the text names cause and fix."""


@dataclass(slots=True)
class Parameter:
    """One argument. ``required``: it has no default."""

    name: str
    type: Any
    required: bool
    default: Any = None


@dataclass(slots=True)
class Command:
    """One command: its name, the role that it needs, and the method that does it.

    ``takes_now``: the method has a parameter ``now``, which is the time and none of the arguments.
    """

    name: str
    role: Literal["read", "operate"]
    method: Callable[..., Any]
    doc: str
    parameters: list[Parameter]
    takes_now: bool = False
    # The fields of the rows, where it returns a list of dataclasses.
    columns: tuple[str, ...] = ()

    @classmethod
    def of(cls, method: Callable[..., Any]) -> Command:
        """Return the command that a bound method was marked as."""
        name, role = method.sansip_command  # type: ignore[attr-defined]  # a mark that functions carry
        hints = get_type_hints(method)
        signature = inspect.signature(method).parameters
        parameters = [
            Parameter(one.name, hints.get(one.name, str), one.default is inspect.Parameter.empty, one.default)
            for one in signature.values()
            if one.name != "now"
        ]
        columns = _columns(hints.get("return"))
        return cls(name, role, method, inspect.getdoc(method) or "", parameters, "now" in signature, columns)

    def call(self, given: Mapping[str, Any], now: float) -> Any:
        """Do it. Raises ``CommandError`` for arguments that do not fit, and the exceptions of the method."""
        arguments = self.arguments(given)
        if self.takes_now:
            arguments["now"] = now
        return self.method(**arguments)

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``given`` as the method takes it. Raises ``CommandError`` that names the wrong part."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                takes = ", ".join(known) or "nothing"
                raise CommandError(f"{self.name}: there is no argument {name}; it takes {takes}")
        values = {}
        for parameter in self.parameters:
            if parameter.name in given:
                values[parameter.name] = _converted(self.name, parameter, given[parameter.name])
            elif parameter.required:
                raise CommandError(f"{self.name}: {parameter.name} is missing")
        return values


def _columns(hint: Any) -> tuple[str, ...]:
    (row,) = get_args(hint) if get_origin(hint) is list else (None,)
    return tuple(one.name for one in dataclasses.fields(row)) if dataclasses.is_dataclass(row) else ()


def _converted(command: str, parameter: Parameter, value: Any) -> Any:
    kinds = _kinds(parameter.type)
    choices = _choices(kinds)
    if value is None and type(None) in kinds:
        return None
    if value in choices:
        return value
    for kind in kinds:
        if kind is bool and (isinstance(value, bool) or value in ("true", "false")):
            return value is True or value == "true"
        if kind in (int, float) and not isinstance(value, bool):
            # A number from the command line is text.
            try:
                number = kind(value)
            except (TypeError, ValueError, OverflowError):
                continue
            if math.isfinite(number) and not (kind is int and isinstance(value, float) and value != number):
                return number
        if kind is str and isinstance(value, str):
            return value
        if get_origin(kind) is list and isinstance(value, list):
            (inner,) = get_args(kind) or (str,)
            return [_converted(command, Parameter(parameter.name, inner, True), one) for one in value]
    raise CommandError(f"{command}: {parameter.name} is {value!r:.80}; expected {expected(parameter)}")


def expected(parameter: Parameter) -> str:
    """Return in words the values that an argument may have."""
    kinds = _kinds(parameter.type)
    return " or ".join(map(repr, _choices(kinds)) if _choices(kinds) else map(_named, kinds))


def _choices(kinds: tuple[Any, ...]) -> list[Any]:
    return [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]


def _kinds(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _named(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(kind, "nothing" if kind is type(None) else str(kind))


def plain_result(value: Any) -> Any:
    """Return the result of a command as JSON holds it.

    An object that has a method ``as_shown`` says itself, by that, which values it shows.
    """
    as_shown = getattr(value, "as_shown", None)
    if as_shown is not None:
        return plain_result(as_shown())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain_result(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain_result(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_result(item) for item in value]
    if isinstance(value, str | int | float | bool | type(None)):
        return value
    return str(value)
