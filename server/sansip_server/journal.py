"""The journal: every input of a stack and what it did about it, to be played again.

Theory of operation: a stack's actions follow from its configuration, its seed
and its inputs with their times, and from nothing else. So a file with these is a
bug report that anybody can run: ``replay`` builds the same stack, feeds it the
same inputs, and compares the actions. One JSON object a line: first what the
stack was built from, then one for each input with the actions it returned.

A journal holds whole messages and the seed; keep it as private as the calls.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from sansip.actions import Action, Address, SendData, SendDatagram
from sansip.config import ListenerConfig, StackConfig
from sansip.stack import Stack
from sansip.transport.dns import DnsConfig
from sansip_server.config import build
from sansip_server.config.load import settings_of
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError, os_reason

__all__ = [
    "FORMAT",
    "JournalError",
    "JournaledStack",
    "Replayed",
    "header",
    "open_journal",
    "replay",
    "stack_of",
]

FORMAT = 1

logger = logging.getLogger("sansip.journal")


class JournalError(ValueError):
    """A journal that cannot be read; the text names the line."""


def open_journal(path: Path) -> TextIO:
    """Begin the journal at ``path``, for the server's user alone; raise OperatorError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise OperatorError(f"--journal {path}: {os_reason(error)}") from None
    # By the line: a journal is wanted most when the process has died.
    return os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)


def header(settings: Settings, config: StackConfig, seed: bytes) -> dict[str, Any]:
    """Return the first line: all that the stack was built from, but for the route's code."""
    return {
        "sansip_journal": FORMAT,
        "seed": seed.hex(),
        "secret": None if config.secret is None else config.secret.hex(),
        "settings": _plain(settings),
        "listeners": [_plain(listener) for listener in config.listeners],
        "domains": list(config.domains),
        "aliases": list(config.aliases),
        # What the machine said then, and not what the one that replays it says.
        "dns": None if config.dns is None else _plain(config.dns),
    }


def stack_of(first: dict[str, Any], route: Callable[..., Any]) -> Stack:
    """Return the stack that a journal's first line describes, deciding by ``route``.

    Raises KeyError, TypeError or ValueError where it describes none.
    """
    given = _without_none(first["settings"])
    # Files of the machine where it was recorded.
    for name in ("route", "secret_file"):
        given.pop(name, None)
    settings, faults = settings_of(given)
    if settings is None or faults:
        raise ValueError("; ".join(f"{fault.path}: {fault.problem}" for fault in faults))
    secret = None if first["secret"] is None else bytes.fromhex(first["secret"])
    listeners = [ListenerConfig(**listener) for listener in first["listeners"]]
    config = build.stack_config(settings, listeners, first["domains"], first["aliases"], route, secret)
    # Journals of before there was a resolver have none.
    dns = first.get("dns")
    if dns is not None:
        config.dns = DnsConfig(**{**dns, "servers": [(host, port) for host, port in dns["servers"]]})
    return Stack(config, bytes.fromhex(first["seed"]))


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    """Return ``table`` without unset keys: a TOML file has no null."""
    return {
        name: _without_none(value) if isinstance(value, dict) else value
        for name, value in table.items()
        if value is not None
    }


class JournaledStack(Stack):
    """A stack that writes each of its inputs, and the actions it returned, to ``journal``."""

    def __init__(self, config: StackConfig, seed: bytes, journal: TextIO, first: dict[str, Any]) -> None:
        self._journal: TextIO | None = None
        super().__init__(config, seed)
        self._journal = journal
        self._write(first)

    def _write(self, entry: dict[str, Any]) -> None:
        if self._journal is None:
            return
        try:
            self._journal.write(json.dumps(entry) + "\n")
        except OSError as error:
            # A full disk ends the journal, not the server.
            logger.error("the journal ends here: %s", os_reason(error))
            self._journal = None

    def _note(self, name: str, now: float, arguments: list[Any], out: list[Action]) -> list[Action]:
        self._write({"at": now, "in": name, "with": _plain(arguments), "out": [_action(one) for one in out]})
        return out

    # Each input by itself: the signatures are the stack's.

    def datagram_received(self, listener: int, data: bytes, source: Address, now: float) -> list[Action]:
        out = super().datagram_received(listener, data, source, now)
        return self._note("datagram_received", now, [listener, data, list(source)], out)

    def connection_opened(self, conn: int, flow: Any, now: float) -> list[Action]:
        info = [flow.listener, flow.transport, list(flow.remote), flow.incoming]
        return self._note("connection_opened", now, [conn, info], super().connection_opened(conn, flow, now))

    def data_received(self, conn: int, data: bytes, now: float, *, boundary: bool = False) -> list[Action]:
        out = super().data_received(conn, data, now, boundary=boundary)
        return self._note("data_received", now, [conn, data, boundary], out)

    def connection_closed(self, conn: int, reason: str, now: float) -> list[Action]:
        return self._note(
            "connection_closed", now, [conn, reason], super().connection_closed(conn, reason, now)
        )

    def send_failed(self, action: SendDatagram | SendData, reason: str, now: float) -> list[Action]:
        out = super().send_failed(action, reason, now)
        return self._note("send_failed", now, [_action(action), reason], out)

    def answer(self, id: int, result: Any, now: float) -> list[Action]:
        return self._note("answer", now, [id, _plain(result)], super().answer(id, result, now))

    def time_passed(self, now: float) -> list[Action]:
        out = super().time_passed(now)
        return self._note("time_passed", now, [], out)

    def drain(self, now: float) -> list[Action]:
        return self._note("drain", now, [], super().drain(now))

    def new_connection(self) -> int:
        number = super().new_connection()
        self._write({"in": "new_connection", "with": [], "out": number})
        return number

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "wall_offset" and getattr(self, "_journal", None) is not None:
            self._write({"in": "wall_offset", "with": [value], "out": None})


@dataclasses.dataclass(slots=True)
class Replayed:
    """One input played again: its line, its name and time, and both results as JSON."""

    line: int
    name: str
    at: float
    recorded: Any
    again: Any

    @property
    def same(self) -> bool:
        """Whether the stack did what it did then."""
        return bool(self.recorded == self.again)


def replay(lines: Iterable[str], route: Callable[..., Any]) -> Iterator[Replayed]:
    """Play a journal again on a stack like the one recorded, deciding by ``route``.

    Raises JournalError for a line that cannot be read; a last line that was cut off
    by the end of the recording process ends the journal.
    """
    stack: Stack | None = None
    pending: JournalError | None = None
    for number, line in enumerate(lines, 1):
        if pending is not None:
            raise pending
        try:
            entry = json.loads(line)
            if stack is None:
                if entry["sansip_journal"] != FORMAT:
                    raise JournalError(
                        f"line 1: format {entry['sansip_journal']}, this version reads {FORMAT}"
                    )
                stack = stack_of(entry, route)
                continue
            yield _again(stack, number, entry)
        except JournalError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = "no journal of sansip" if stack is None else "cannot be read"
            what += f" ({type(error).__name__}: {error})"
            pending = JournalError(f"line {number}: {what}")
    if stack is None:
        raise pending or JournalError("it is empty")


def _again(stack: Stack, number: int, entry: dict[str, Any]) -> Replayed:
    name, arguments, at = entry["in"], entry["with"], entry.get("at", 0.0)
    match name:
        case "datagram_received":
            listener, data, source = arguments
            out = stack.datagram_received(listener, _octets(data), tuple(source), at)
        case "connection_opened":
            conn, (listener, transport, remote, incoming) = arguments
            out = stack.connection_opened(conn, _Connection(listener, transport, tuple(remote), incoming), at)
        case "data_received":
            conn, data, boundary = arguments
            out = stack.data_received(conn, _octets(data), at, boundary=boundary)
        case "connection_closed":
            conn, reason = arguments
            out = stack.connection_closed(conn, reason, at)
        case "send_failed":
            given, reason = arguments
            out = stack.send_failed(_failed(given), reason, at)
        case "answer":
            question, result = arguments
            out = stack.answer(question, _result(result), at)
        case "time_passed":
            out = stack.time_passed(at)
        case "drain":
            out = stack.drain(at)
        case "new_connection":
            return Replayed(number, name, at, entry["out"], stack.new_connection())
        case "wall_offset":
            stack.wall_offset = arguments[0]
            return Replayed(number, name, at, None, None)
        case _:
            raise ValueError(f"there is no input {name}")
    return Replayed(number, name, at, entry["out"], [_action(one) for one in out])


@dataclasses.dataclass(slots=True)
class _Connection:
    """What a stack is told of a connection (``sansip.stack.ConnectionInfo``)."""

    listener: int
    transport: str
    remote: Address
    incoming: bool


# --- values as JSON and back


def _action(action: Action) -> dict[str, Any]:
    shown = {field.name: _plain(getattr(action, field.name)) for field in dataclasses.fields(action)}
    return {"do": type(action).__name__, **shown}


def _failed(given: dict[str, Any]) -> SendDatagram | SendData:
    if given["do"] == "SendData":
        return SendData(given["conn"], _octets(given["data"]))
    return SendDatagram(given["listener"], _octets(given["data"]), tuple(given["address"]))


def _plain(value: Any) -> Any:
    """Return ``value`` as what JSON can hold; octets as text where they are UTF-8."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, BaseException):
        return {"exception": f"{type(value).__name__}: {value}"}
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return repr(value)


def _octets(value: Any) -> bytes:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode("utf-8")


def _result(value: Any) -> Any:
    if isinstance(value, dict) and "exception" in value:
        return RuntimeError(value["exception"])
    # Addresses are tuples, in a list.
    return (
        [tuple(item) if isinstance(item, list) else item for item in value]
        if isinstance(value, list)
        else value
    )
