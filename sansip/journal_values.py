"""Values of a journal as JSON and back (``sansip.journal``).

Theory of operation: actions are only compared, so they are written in the quickest form, without a way back.
Arguments come back as they were: a tuple, octets, a set, an enum, a dataclass of sansip or an exception
stands as an object with one key that says what it is. A replay makes only objects of sansip's own classes by
name: a journal is a stranger's file, and must not call any function it likes.
"""

from __future__ import annotations

import builtins
import dataclasses
import enum
from importlib import import_module
from typing import Any

from sansip.actions import Action, SendData, SendDatagram

__all__ = ["again_value", "octets", "plain", "plain_action", "value_of"]

_PLAIN = (str, int, float, bool, type(None))
_names: dict[type, tuple[str, ...]] = {}


def octets(text: str) -> bytes:
    """Return the octets that ``text`` stands for."""
    return text.encode("utf-8", "surrogateescape")


def plain_action(action: Action) -> list[Any]:
    """Return an action as its name and its values."""
    if isinstance(action, SendDatagram):
        data = action.data.decode("utf-8", "surrogateescape")
        return ["SendDatagram", action.listener, data, action.address, action.owner]
    if isinstance(action, SendData):
        data = action.data.decode("utf-8", "surrogateescape")
        return ["SendData", action.conn, data, action.owner]
    return [type(action).__name__, *(plain(getattr(action, name)) for name in _fields(type(action)))]


def _fields(kind: type) -> tuple[str, ...]:
    names = _names.get(kind)
    if names is None:
        names = _names[kind] = tuple(one.name for one in dataclasses.fields(kind) if one.init)
    return names


def plain(value: Any) -> Any:
    """Return ``value`` as what JSON can hold, to be read and compared."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, BaseException):
        return f"{kind.__name__}: {value}"
    if dataclasses.is_dataclass(kind):
        return {name: plain(getattr(value, name)) for name in _fields(kind)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    # A text that names an address of memory would differ in each replay.
    spoken = any("__str__" in vars(one) or "__repr__" in vars(one) for one in kind.__mro__[:-1])
    return str(value) if spoken and kind.__module__.startswith("sansip.") else kind.__name__


def value_of(value: Any) -> Any:
    """Return ``value`` as what JSON can hold, for ``again_value``."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, list):
        return [value_of(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [value_of(item) for item in value]}
    if isinstance(value, bytes | memoryview):
        # A view of a mapped file is written as the octets that it shows.
        return {"octets": bytes(value).decode("utf-8", "surrogateescape")}
    if isinstance(value, set | frozenset):
        return {"set": [value_of(item) for item in sorted(value, key=str)]}
    if isinstance(value, enum.Enum):
        return {"enum": [_path(kind), value.name]}
    if isinstance(value, BaseException):
        return {"error": [_path(kind), value_of(list(value.args)), str(value)]}
    if dataclasses.is_dataclass(kind):
        return {"is": [_path(kind), {name: value_of(getattr(value, name)) for name in _fields(kind)}]}
    # A mapping: of the server's, or whatever else looks like one.
    return {"map": [[value_of(key), value_of(item)] for key, item in dict(value).items()]}


def again_value(given: Any) -> Any:
    """Return the value that ``value_of`` wrote. Raises ValueError for a text that it cannot have written."""
    if isinstance(given, list):
        return [again_value(item) for item in given]
    if not isinstance(given, dict):
        return given
    ((what, inner),) = given.items()
    match what:
        case "tuple":
            return tuple(again_value(item) for item in inner)
        case "octets":
            return octets(inner)
        case "set":
            return {again_value(item) for item in inner}
        case "map":
            return {again_value(key): again_value(item) for key, item in inner}
        case "enum":
            return getattr(_class(inner[0], enum.Enum), inner[1])
        case "is":
            fields = {name: again_value(item) for name, item in inner[1].items()}
            return _class(inner[0], object)(**fields)
        case "error":
            return _error(inner[0], again_value(inner[1]), inner[2])
    raise ValueError(f"there is no value of kind {what}")


def _path(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _class(path: str, base: type) -> Any:
    module, _, name = path.partition(":")
    if not module.startswith("sansip."):
        raise ValueError(f"{path} is none of sansip's")
    found = getattr(import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ValueError(f"{path} is no value")
    if base is object and not dataclasses.is_dataclass(found):
        raise ValueError(f"{path} is no value")
    return found


def _error(path: str, args: list[Any], text: str) -> BaseException:
    module, _, name = path.partition(":")
    found: Any = getattr(builtins, name, None) if module == "builtins" else None
    if module.startswith("sansip."):
        found = getattr(import_module(module), name, None)
    if isinstance(found, type) and issubclass(found, Exception):
        try:
            return found(*args)
        except TypeError:
            return RuntimeError(text)
    # An error of a library that may not be installed here: the stack sees only that it failed, and the text.
    return RuntimeError(text)
