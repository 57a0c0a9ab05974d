"""Read a TOML file against the schema and name every fault in it.

Theory of operation: the data is walked beside the schema's dataclasses. Each
leaf is converted by itself (msgspec does the typing and would stop at its first
error), so one faulty key does not hide the next; then the rules across keys are
judged. Only a file without faults becomes ``Settings``.
"""

from __future__ import annotations

import tomllib
import types
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from sansip.module.settings import files_of
from sansip.module.table_file import TableFault, read_rows, rows_files
from sansip_server import modules
from sansip_server.config.lines import KeyLines
from sansip_server.config.protocols import protocol_faults
from sansip_server.config.rules import check_value, cross_faults
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError, os_reason, suggestion
from sansip_server.targets import is_url
from sansip_sockets.tls import TlsConfig, TlsContexts, TlsError

__all__ = ["ConfigFault", "Loaded", "expected", "load_file", "load_text", "settings_of"]


# What tomllib says of the commonest slips -> what to do about them.
_TOML_FIXES = {
    "Invalid value": '; a text stands in quotes, "like this"',
    "Cannot overwrite a value": "; this key stands in this table already",
    "Cannot declare a table twice": "",
    "Invalid statement": "; expected KEY = VALUE or [TABLE]",
}


@dataclass(slots=True)
class ConfigFault:
    """One fault: where it is, what is wrong, and what was expected.

    ``path`` is dotted (``limits.branches``, ``listen[1]``), empty for the file as a whole.
    """

    path: str
    problem: str
    line: int | None = None
    suggestion: str | None = None

    def text(self, file: str) -> str:
        """Return the fault as one line that begins like a compiler's message."""
        where = file if self.line is None else f"{file}:{self.line}"
        hint = f"; did you mean {self.suggestion}?" if self.suggestion else ""
        return f"{where}: {self.path + ': ' if self.path else ''}{self.problem}{hint}"


@dataclass(slots=True)
class Loaded:
    """A file that was read: its settings, or None and the faults that forbid them.

    ``route`` is the routing script that it names, even when other keys are faulty.
    """

    settings: Settings | None
    faults: list[ConfigFault]
    route: Path | None = None


def load_file(path: Path) -> Loaded:
    """Read and judge the file at ``path``; raise OperatorError when it cannot be read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OperatorError(f"cannot read {path}: {os_reason(error)}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Loaded(None, [ConfigFault("", "not UTF-8, which TOML requires", line)])
    loaded = load_text(text, path.parent)
    if loaded.settings is not None:
        loaded.settings.file = path
    return loaded


def load_text(text: str, folder: Path = Path()) -> Loaded:
    """Judge the TOML ``text``; relative file names in it are relative to ``folder``."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # The message ends in "(at line 3, column 5)" or "(at end of document)".
        problem, _, where = str(error).partition(" (at ")
        problem = f"{problem}{_TOML_FIXES.get(problem, '')}"
        digits = where.removeprefix("line ").partition(",")[0]
        line = int(digits) if digits.isdigit() else text.count("\n") + 1
        return Loaded(None, [ConfigFault("", f"not valid TOML: {problem[:1].lower()}{problem[1:]}", line)])
    except RecursionError:
        return Loaded(None, [ConfigFault("", "not valid TOML: nested too deeply")])
    settings, faults = settings_of(data)
    route = folder / data["route"] if isinstance(data.get("route"), str) else None
    if route is not None and not route.is_file():
        faults.append(ConfigFault("route", f"there is no file {route}"))
        route = None
    if settings is not None:
        settings.route = None if route is None else str(route)
        for name in ("secret_file", "nonce_file", "ephemeral_file"):
            if (file := getattr(settings, name)) is not None:
                setattr(settings, name, str(folder / file))
        for upstream in settings.upstream:
            if upstream.password_file is not None:
                upstream.password_file = str(folder / upstream.password_file)
        if settings.store is not None and not is_url(settings.store):
            settings.store = str(folder / settings.store)
        if settings.control:
            settings.control = str(folder / settings.control)
        if settings.bearer.keys is not None:
            settings.bearer.keys = str(folder / settings.bearer.keys)
        if settings.http.keys is not None:
            settings.http.keys = str(folder / settings.http.keys)
        if settings.store_password_file is not None:
            settings.store_password_file = str(folder / settings.store_password_file)
        for name in ("password_file", "authorities"):
            if (file := getattr(settings.redis, name)) is not None:
                setattr(settings.redis, name, str(folder / file))
        settings.modules = {
            name: rows_in(name, one, folder, faults) for name, one in settings.modules.items()
        }
        settings.tls = tls_in(settings.tls, folder)
        if not faults:
            try:
                TlsContexts(settings.tls)
            except TlsError as error:
                faults.append(ConfigFault("tls", str(error)))
    lines = KeyLines(text)
    for fault in faults:
        fault.line = lines.find(fault.path)
    faults.sort(key=lambda fault: fault.line or 0)
    return Loaded(None if faults else settings, faults, route)


def tls_in(tls: TlsConfig, folder: Path) -> TlsConfig:
    """Return ``tls`` with its file names relative to ``folder``."""

    def inside(name: str | None) -> str | None:
        return None if name is None else str(folder / name)

    names = [" ".join((words[0], *(str(folder / file) for file in words[1:])))
             for words in map(str.split, tls.names)]  # fmt: skip
    return replace(
        tls,
        certificate=inside(tls.certificate),
        key=inside(tls.key),
        authorities=inside(tls.authorities),
        crls=[str(folder / file) for file in tls.crls],
        names=names,
    )


def rows_in(name: str, settings: Any, folder: Path, faults: list[ConfigFault]) -> Any:
    """Return the settings of module ``name`` with the rows of the files that they name."""
    named = {key: str(folder / file) for key in files_of(type(settings)) if (file := getattr(settings, key))}
    if named:
        settings = replace(settings, **named)
    for key, (mark, kind) in rows_files(type(settings)).items():
        if not (file := getattr(settings, key)):
            continue
        try:
            data = (folder / file).read_bytes()
            rows: list[Any] = read_rows(kind, data.decode("utf-8-sig"), mark.key)
            settings = replace(settings, **{mark.rows: [*getattr(settings, mark.rows), *rows]})
        except OSError as error:
            faults.append(ConfigFault(f"{name}.{key}", f"cannot read {folder / file}: {os_reason(error)}"))
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            faults.append(ConfigFault(f"{name}.{key}", f"{file}:{line}: not UTF-8"))
        except TableFault as fault:
            faults.append(ConfigFault(f"{name}.{key}", f"{file}:{fault}"))
        except ValueError as error:
            # Rows of the file beside those of the table.
            faults.append(ConfigFault(f"{name}.{key}", f"{file}: {error}"))
    return settings


def settings_of(data: dict[str, Any]) -> tuple[Settings | None, list[ConfigFault]]:
    """Convert parsed TOML; settings are None when they could not even be built."""
    faults: list[ConfigFault] = []
    known = keys_of(Settings)
    ours = {name: value for name, value in data.items() if name in known or name not in modules.names()}
    values = _table(Settings, ours, "", faults)
    for fault in faults:
        _look_among_modules(fault, data)
    tables = {name: _module(name, value, faults) for name, value in data.items() if name not in ours}
    if faults:
        return None, faults
    settings: Settings = values
    settings.modules = tables
    faults += [ConfigFault(path, problem) for path, problem in cross_faults(settings)]
    faults += [ConfigFault(path, problem) for path, problem in protocol_faults(settings)]
    return settings, faults


def _look_among_modules(fault: ConfigFault, data: dict[str, Any]) -> None:
    """Say of a table that the server does not know that it may be meant for a module."""
    if isinstance(data.get(fault.path), dict) and fault.problem.startswith("unknown key"):
        fault.problem = "unknown table, and no module of this name is installed (`sansip modules` lists them)"
        fault.suggestion = suggestion(fault.path, (*keys_of(Settings), *modules.names()))


def _module(name: str, value: Any, faults: list[ConfigFault]) -> Any:
    """Return the settings of a module, or anything once there are faults."""
    if not isinstance(value, dict):
        faults.append(ConfigFault(name, f"expected a table, [{name}]; found {found(value)}"))
        return None
    try:
        kind = modules.load(name)
    except OperatorError as error:
        faults.append(ConfigFault(name, str(error)))
        return None
    return _table(kind.Settings, value, f"{name}.", faults)


def keys_of(cls: type) -> dict[str, Any]:
    """Return the name and type of each key of a table's dataclass."""
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls) if field.init}


def _table(cls: type, data: dict[str, Any], prefix: str, faults: list[ConfigFault]) -> Any:
    """Return an instance of ``cls``, or anything once there are faults."""
    keys = keys_of(cls)
    values: dict[str, Any] = {}
    before = len(faults)
    for name, value in data.items():
        path = prefix + name
        if name not in keys:
            faults.append(_unknown(name, path, keys))
        elif is_dataclass(keys[name]):
            table = keys[name]
            if isinstance(value, dict) and isinstance(table, type):
                values[name] = _table(table, value, f"{path}.", faults)
            else:
                faults.append(ConfigFault(path, f"expected a table, [{path}]; found {found(value)}"))
        else:
            values[name] = _leaf(keys[name], value, path, faults)
    if len(faults) > before:
        return None
    try:
        return cls(**values)
    except ValueError as error:
        # The core's own dataclasses refuse combinations that cannot work.
        faults.append(ConfigFault(prefix.rstrip("."), str(error)))
        return None


def _leaf(hint: Any, value: Any, path: str, faults: list[ConfigFault]) -> Any:
    row = row_of(hint)
    if row is not None:
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            problem = f"expected tables, each begun by [[{path}]]; found {found(value)}"
            faults.append(ConfigFault(path, problem))
            return None
        return [_table(row, item, f"{path}[{i}].", faults) for i, item in enumerate(value)]
    if get_origin(hint) in (list, tuple, frozenset):
        if not isinstance(value, list):
            faults.append(ConfigFault(path, f"expected {expected(hint)}; found {found(value)}"))
            return None
        element = get_args(hint)[0]
        items = [_scalar(element, item, f"{path}[{i}]", f"{path}[]", faults) for i, item in enumerate(value)]
        return get_origin(hint)(items) if None not in items else None
    return _scalar(hint, value, path, path, faults)


def _scalar(hint: Any, value: Any, path: str, rule: str, faults: list[ConfigFault]) -> Any:
    try:
        converted = msgspec.convert(value, hint)
    except msgspec.ValidationError:
        choices = [choice for choice in literals(hint) if isinstance(choice, str)]
        meant = suggestion(value, choices) if isinstance(value, str) else None
        faults.append(ConfigFault(path, f"expected {expected(hint)}; found {found(value)}", suggestion=meant))
        return None
    try:
        check_value(rule, converted)
    except ValueError as error:
        faults.append(ConfigFault(path, str(error)))
    return converted


def _unknown(name: str, path: str, keys: dict[str, Any]) -> ConfigFault:
    meant = suggestion(name, keys)
    if meant is not None:
        return ConfigFault(path, "unknown key", suggestion=path.removesuffix(name) + meant)
    # A key in the wrong table is the other common slip.
    homes = [
        f"{table}.{name}"
        for table, hint in keys_of(Settings).items()
        if is_dataclass(hint) and isinstance(hint, type) and name in keys_of(hint)
    ]
    if name in keys_of(Settings):
        homes.insert(0, f"{name}, at the top of the file before the first table")
    if homes:
        return ConfigFault(path, "unknown key", suggestion=homes[0])
    return ConfigFault(path, f"unknown key; expected one of {', '.join(keys)}")


def row_of(hint: Any) -> type | None:
    """Return the dataclass of a table that may be repeated, ``[[name]]``, or None for any other key."""
    row = get_args(hint)[0] if get_origin(hint) is list else None
    return row if isinstance(row, type) and is_dataclass(row) else None


def literals(hint: Any) -> list[Any]:
    """Return the choices of a ``Literal``, also inside ``X | None``; else an empty list."""
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    if get_origin(hint) in (Union, types.UnionType):
        return [choice for part in get_args(hint) for choice in literals(part)]
    return []


def expected(hint: Any) -> str:
    """Return in words the values that a key of this type accepts."""
    if get_origin(hint) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(hint))
    if get_origin(hint) in (list, tuple, frozenset):
        return {int: "a list of whole numbers", float: "a list of numbers"}.get(
            get_args(hint)[0], "a list of strings"
        )
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(expected(part) for part in get_args(hint) if part is not type(None))
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}.get(
        hint, str(hint)
    )


def found(value: Any) -> str:
    """Return in words the value in the file, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 40 else f'"{value[:37]}..."'
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return f"{type(value).__name__} {value}" if not isinstance(value, int | float) else f"{value}"
