"""The journal: every input of a stack and its actions, for a replay.

Theory of operation: a stack's actions follow from its configuration, its seed and its inputs with their
times, and from nothing else. So a file with these is a bug report that every developer can run: ``again``
builds the same stack, feeds it the same inputs, and compares the actions octet by octet.

The format is JSON, one object a line. The first line is the head: ``sansip_journal``
(the format's number), ``seed``, and what else its reader needs to build the
stack. Every further line is one input::

    {"at": 12.5, "in": "datagram_received", "with": [0, "OPTIONS sip:…", ["192.0.2.9", 5060]],
     "out": [["SendDatagram", 0, "SIP/2.0 200 OK…", ["192.0.2.9", 5060], 1]]}

``at`` is the stack's clock, ``in`` an input of ``sansip.stack.Stack``, ``with`` its arguments, ``out`` the
actions: each its name and its values in the order of ``sansip.actions``. Octets are text: an octet that is
not UTF-8 becomes a lone surrogate, so nothing is lost. docs/testing.md has the rest.

A journal holds whole messages and the seed; keep it as private as the calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sansip.actions import Action, Address, Notify
from sansip.config import Reconfiguration, StackConfig
from sansip.errors import LocalProtocolError
from sansip.journal_values import again_value, octets, plain_action, value_of
from sansip.module import Module, WebRequest, WebResponse
from sansip.routing import Route
from sansip.routing.removal import Removed
from sansip.routing.tasks import Done
from sansip.stack import Stack
from sansip.transport.filter import OpenConnection

__all__ = ["FORMAT", "Entry", "JournalError", "JournaledStack", "Replayed", "again", "entries"]

FORMAT = 3

# The changed fields in a line of ``configure``, each as a value of ``sansip.journal_values``.
_WRITTEN = (
    "listeners", "domains", "aliases", "address_realms", "limits", "timers", "proxy", "registrar", "ua",
    "auth", "dns", "server_name",
)  # fmt: skip

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class JournalError(ValueError):
    """A journal that cannot be read; the text names the line."""


class JournaledStack(Stack):
    """A stack that gives each of its inputs, and the actions it returned, to ``write`` as a line.

    ``head`` is the rest of the first line. ``write`` must not raise.
    """

    def __init__(
        self, config: StackConfig, seed: bytes, write: Callable[[str], object], head: dict[str, Any]
    ) -> None:
        self._journal: Callable[[str], object] | None = None
        # Connection -> the identities that were noted last.
        self._identities: dict[int, tuple[str, ...]] = {}
        super().__init__(config, seed)
        self._journal = write
        write(_encode({"sansip_journal": FORMAT, "seed": seed.hex(), **head}) + "\n")

    def _note(self, name: str, now: float, given: list[Any], out: list[Action]) -> list[Action]:
        if self._journal is not None:
            entry = {"at": now, "in": name, "with": given, "out": [plain_action(one) for one in out]}
            self._journal(_encode(entry) + "\n")
        return out

    # Each input by itself: the signatures are the stack's.

    def datagram_received(self, listener: int, data: bytes, source: Address, now: float) -> list[Action]:
        out = super().datagram_received(listener, data, source, now)
        return self._note(
            "datagram_received", now, [listener, data.decode("utf-8", "surrogateescape"), source], out
        )

    def connection_opened(self, conn: int, flow: Any, now: float) -> list[Action]:
        info = [flow.listener, flow.transport, getattr(flow, "local", ()), flow.remote, flow.incoming]
        info += [getattr(flow, "name", ""), getattr(flow, "identities", ())]
        return self._note("connection_opened", now, [conn, info], super().connection_opened(conn, flow, now))

    def protocol_agreed(self, conn: int, protocol: str, now: float) -> list[Action]:
        return self._note(
            "protocol_agreed", now, [conn, protocol], super().protocol_agreed(conn, protocol, now)
        )

    def data_received(self, conn: int, data: bytes, now: float, *, boundary: bool = False) -> list[Action]:
        self._note_identities(conn, now)
        out = super().data_received(conn, data, now, boundary=boundary)
        return self._note(
            "data_received", now, [conn, data.decode("utf-8", "surrogateescape"), boundary], out
        )

    def _note_identities(self, conn: int, now: float) -> None:
        """Note the names that the peer of ``conn`` has proved, if they changed: filters emit no event."""
        found = self.identities(conn)
        if found != self._identities.get(conn, ()):
            self._identities[conn] = found
            self._note("identified", now, [conn, list(found)], [])

    def connection_writable(self, conn: int, writable: bool, now: float) -> list[Action]:
        out = super().connection_writable(conn, writable, now)
        return self._note("connection_writable", now, [conn, writable], out)

    def connection_closed(self, conn: int, reason: str, now: float) -> list[Action]:
        self._identities.pop(conn, None)
        return self._note(
            "connection_closed", now, [conn, reason], super().connection_closed(conn, reason, now)
        )

    def send_failed(self, owner: int, reason: str, now: float) -> list[Action]:
        return self._note("send_failed", now, [owner, reason], super().send_failed(owner, reason, now))

    def answer(self, id: int, result: Any, now: float) -> list[Action]:
        return self._note("answer", now, [id, value_of(result)], super().answer(id, result, now))

    def time_passed(self, now: float) -> list[Action]:
        return self._note("time_passed", now, [], super().time_passed(now))

    def configure(self, change: Reconfiguration, now: float) -> list[Action]:
        given = {
            "route": None if change.route is None else change.route_name,
            "trusted": None if change.trusted is None else value_of(list(change.trusted)),
            **{name: value_of(found) for name in _WRITTEN if (found := getattr(change, name)) is not None},
            # Accounts and keys of nonces are secrets of others, and not written.
            # By field: the class of another package's settings is known by its module, not by a journal.
            "modules": _settings(change.modules),
            "added": _settings(change.added),
            "removed": [kind.name for kind in change.removed],
        }
        try:
            out = super().configure(change, now)
        except LocalProtocolError:
            # A module that did not start has asked, sent and drawn by then.
            self._note("configure", now, [given], [])
            raise
        return self._note("configure", now, [given], out)

    def drain(self, now: float) -> list[Action]:
        return self._note("drain", now, [], super().drain(now))

    def lift(self, source: str, user: str | None, now: float) -> list[Any]:
        lifted = super().lift(source, user, now)
        self._note("lift", now, [source, user], [])
        return lifted

    def unbind(self, aor: str, now: float, done: Removed) -> list[Action]:
        return self._note("unbind", now, [aor], super().unbind(aor, now, done))

    def join(self, now: float, others: Iterable[Any] = ()) -> None:
        given = list(others)
        super().join(now, given)
        self._note("join", now, [value_of(given)], [])

    def restore(self, bindings: Iterable[Any], now: float, zero: float | None = None) -> int:
        given = list(bindings)
        restored = super().restore(given, now, zero)
        self._note("restore", now, [value_of(given), zero], [])
        return restored

    def command(self, name: str, given: Mapping[str, Any], now: float, done: Done) -> list[Action]:
        return self._note("command", now, [name, dict(given)], super().command(name, given, now, done))

    def web_received(
        self, number: int, request: WebRequest, now: float, answered: Callable[[WebResponse, float], None]
    ) -> list[Action]:
        given = [number, value_of(request)]
        return self._note("web_received", now, given, super().web_received(number, request, now, answered))

    def web_closed(self, number: int, now: float) -> list[Action]:
        return self._note("web_closed", now, [number], super().web_closed(number, now))

    def act(self, verb: str, number: int, given: Mapping[str, Any], now: float, done: Done) -> list[Action]:
        out = super().act(verb, number, given, now, done)
        return self._note("act", now, [verb, number, value_of(dict(given))], out)

    def new_connection(self) -> int:
        number = super().new_connection()
        self._note("new_connection", 0.0, [number], [])
        return number

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "wall_offset" and getattr(self, "_journal", None) is not None:
            self._note("wall_offset", 0.0, [value], [])


def _settings(modules: Mapping[type[Module], Any]) -> dict[str, dict[str, Any]]:
    return {
        kind.name: {one.name: value_of(getattr(settings, one.name)) for one in fields(settings)}
        for kind, settings in modules.items()
    }


@dataclass(slots=True)
class Entry:
    """One line after the head: an input with its time, its arguments, and the actions it led to."""

    line: int
    at: float
    name: str
    given: list[Any]
    out: list[Any]


@dataclass(slots=True)
class Replayed:
    """One input played again: its line, name and time, and both results as JSON."""

    line: int
    name: str
    at: float
    recorded: Any
    again: Any

    @property
    def same(self) -> bool:
        """Whether the stack did the same as then."""
        return bool(self.recorded == self.again)


def entries(lines: Iterable[str]) -> Iterator[dict[str, Any] | Entry]:
    """Yield the head of a journal as it stands, then its entries.

    Raises JournalError for a line that cannot be read; a last line that was cut off
    by the end of the recording process ends the journal.
    """
    pending: JournalError | None = None
    is_head = True
    for number, line in enumerate(lines, 1):
        if pending is not None:
            raise pending
        try:
            given = json.loads(line)
            if is_head:
                if given["sansip_journal"] != FORMAT:
                    raise JournalError(
                        f"line 1: format {given['sansip_journal']}, and this version reads {FORMAT}; "
                        "read it with the sansip that wrote it"
                    )
                is_head = False
                yield given
            else:
                yield Entry(number, given["at"], given["in"], given["with"], given["out"])
        except JournalError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            pending = _unreadable(number, is_head, error)
    if is_head:
        raise pending or JournalError("it is empty")


def _unreadable(number: int, is_head: bool, error: Exception) -> JournalError:
    what = "no journal of sansip" if is_head else "cannot be read"
    return JournalError(f"line {number}: {what} ({type(error).__name__}: {error})")


def again(
    lines: Iterable[str],
    build: Callable[[dict[str, Any]], Stack],
    routes: Callable[[str], Route] | None = None,
    modules: Callable[[str], type[Module]] | None = None,
) -> Iterator[Replayed]:
    """Play a journal again on the stack that ``build`` makes of its head.

    ``routes`` gives the route of a name, where routes were swapped, ``modules`` the module of a name, where
    some were added; a journal holds no code. Raises JournalError as ``entries`` does, and where ``build``
    raises KeyError, TypeError or ValueError.
    """
    stack: Stack | None = None
    for entry in entries(lines):
        if isinstance(entry, dict):
            try:
                stack = build(entry)
            except (KeyError, TypeError, ValueError) as error:
                raise _unreadable(1, True, error) from None
            continue
        assert stack is not None
        try:
            out = _feed(stack, entry, routes, modules)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise _unreadable(entry.line, False, error) from None
        # In the form of the recorded values: tuples are lists in JSON.
        shown = json.loads(_encode([plain_action(one) for one in out]))
        yield Replayed(entry.line, entry.name, entry.at, entry.out, shown)


def _reconfiguration(
    stack: Stack,
    given: dict[str, Any],
    routes: Callable[[str], Route] | None,
    modules: Callable[[str], type[Module]] | None,
) -> Reconfiguration:
    """Return the change that a line describes."""
    change = Reconfiguration(route_name=given["route"] or "")
    if given["route"] is not None:
        if routes is None:
            raise ValueError(f"the route {given['route']} was taken, and is not here")
        change.route = routes(given["route"])
    if given["trusted"] is not None:
        change.trusted = again_value(given["trusted"])
    for name in _WRITTEN:
        if name in given:
            setattr(change, name, again_value(given[name]))
    kinds = {module.name: type(module) for module in stack.modules}
    change.removed = [kinds[name] for name in given.get("removed", ())]
    added = given.get("added", {})
    for name in added:
        if modules is None:
            raise ValueError(f"the module {name} was added, and is not here")
        kinds[name] = modules(name)

    def settings(given: Mapping[str, dict[str, Any]]) -> dict[type[Module], Any]:
        return {
            kinds[name]: kinds[name].Settings(**{key: again_value(one) for key, one in values.items()})
            for name, values in given.items()
        }

    change.modules, change.added = settings(given["modules"]), settings(added)
    return change


def _feed(
    stack: Stack,
    entry: Entry,
    routes: Callable[[str], Route] | None,
    modules: Callable[[str], type[Module]] | None,
) -> list[Action]:
    given, now = entry.given, entry.at
    match entry.name:
        case "datagram_received":
            return stack.datagram_received(given[0], octets(given[1]), tuple(given[2]), now)
        case "connection_opened":
            listener, transport, local, remote, incoming, name, identities = given[1]
            opened = OpenConnection(
                listener, transport, tuple(local), tuple(remote), incoming, name, tuple(identities)
            )
            return stack.connection_opened(given[0], opened, now)
        case "data_received":
            return stack.data_received(given[0], octets(given[1]), now, boundary=given[2])
        case "protocol_agreed":
            return stack.protocol_agreed(given[0], given[1], now)
        case "identified":
            stack.identified(given[0], tuple(given[1]))
        case "connection_writable":
            return stack.connection_writable(given[0], given[1], now)
        case "connection_closed":
            return stack.connection_closed(given[0], given[1], now)
        case "send_failed":
            return stack.send_failed(given[0], given[1], now)
        case "answer":
            return stack.answer(given[0], again_value(given[1]), now)
        case "time_passed":
            return stack.time_passed(now)
        case "configure":
            change = _reconfiguration(stack, given[0], routes, modules)
            try:
                return stack.configure(change, now)
            except LocalProtocolError:
                # Refused then, too.
                return []
        case "drain":
            return stack.drain(now)
        case "lift":
            stack.lift(given[0], given[1], now)
        case "unbind":
            return stack.unbind(given[0], now, lambda result: None)
        case "join":
            stack.join(now, again_value(given[0]) if given else ())
        case "restore":
            stack.restore(again_value(given[0]), now, given[1] if len(given) > 1 else None)
        case "command":
            return stack.command(given[0], given[1], now, lambda result, now: None)
        case "web_received":
            request: WebRequest = again_value(given[1])
            return stack.web_received(given[0], request, now, lambda response, now: None)
        case "web_closed":
            return stack.web_closed(given[0], now)
        case "act":
            return stack.act(given[0], given[1], again_value(given[2]), now, lambda result, now: None)
        case "new_connection":
            number = stack.new_connection()
            if number != given[0]:
                return [Notify(f"connection {number}, not {given[0]}")]
        case "wall_offset":
            stack.wall_offset = given[0]
        case _:
            raise ValueError(f"there is no input {entry.name}")
    return []
