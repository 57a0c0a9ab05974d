"""The commands of ``sansip ctl``: an operator asks a running server, and it answers.

Theory of operation: a command is one JSON object in one line, like ``{"command":
"bindings", "aor": "sip:alice@example.org"}``. Its reply is lines of JSON, too: items
first, each ``{"item": …}``, and one last line with ``"ok"`` and the ``result`` or the
``error``. The server's own commands are methods marked like those of modules, so one
definition serves the control socket and JSON-RPC (``sansip_server.http``).
All of it runs in the stack's thread, so every answer is a state that really existed; lists are
computed while the operator reads them (``sansip_sockets.control``).
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sansip.errors import RemoteProtocolError
from sansip.location import Binding
from sansip.module import CommandError, command
from sansip.module.commands import Command
from sansip.modules.keepalive import Keepalive
from sansip.wire import SipUri, parse_uri
from sansip_server import module_commands
from sansip_server.bans import lifted, standing
from sansip_server.calls import hung_up, running
from sansip_server.versions import version_of
from sansip_sockets.pending import Late, Pending

if TYPE_CHECKING:
    from sansip.stack import Stack
    from sansip_server.provision import Provision
    from sansip_server.reload import Outcome
    from sansip_server.storage import Storage
    from sansip_sockets import Hub

__all__ = ["Management", "Part", "Refused", "late"]

# One line of a reply; None: other work may go on before the next; ``Pending``: a result that it waits for.
Part: TypeAlias = dict[str, Any] | Pending[Any] | None
# Addresses-of-record in one write.
_CHUNK = 200


class Refused(Exception):
    """The server cannot do a command; the text tells the operator why."""


class Management:
    """Answers commands about one running server.

    Args:
        stack, hub: the running server.
        storage: its store, if it has one.
        reload: does the same as SIGHUP, and passes on its outcome.
        end: does the same as SIGTERM.
        parts: name of a part of the server to the function that returns its state: a dict with
            ``ok``, and other values that an operator should see in ``health``.
        provision: rows and outer halves of modules, which come and go.
    """

    def __init__(
        self,
        stack: Stack,
        hub: Hub,
        *,
        storage: Storage | None,
        reload: Callable[[Callable[[Outcome], None]], None],
        end: Callable[[], None],
        parts: dict[str, Callable[[], dict[str, Any]]] | None = None,
        provision: Provision | None = None,
    ) -> None:
        self._stack = stack
        self._hub = hub
        self._storage = storage
        self._reload = reload
        self._end = end
        self._started = time.time()
        self._parts = dict(parts or {})
        self._provision = provision
        if storage is not None:
            self._parts["store"] = storage.health
        self.commands = {one.name: one for one in map(Command.of, self._marked())}

    def _marked(self) -> Iterator[Callable[..., Any]]:
        for name in vars(Management):
            method = getattr(self, name)
            if hasattr(method, "sansip_command"):
                yield method

    def find(self, name: str) -> Command | None:
        """Return the command ``name``, of the server or of a module."""
        return self.commands.get(name) or self._stack.modules.commands.get(name)

    def do(self, name: Any, arguments: Any) -> Iterator[Part]:
        """Do a command; yield items and the result, and between them None or a result to wait for.

        Raises ``Refused``, ``CommandError`` and ``ValueError`` for a command that it cannot do.
        """
        if isinstance(name, str) and "." in name:
            return module_commands.done(self._stack, self._hub, name, arguments)
        found = self.commands.get(name) if isinstance(name, str) else None
        if found is None:
            raise Refused(f"expected a command of {', '.join(self.commands)}, or of a module")
        if not isinstance(arguments, dict):
            raise Refused(f"{name}: its arguments are an object")
        parts: Iterator[Part] = found.method(**found.arguments(arguments))
        return parts

    def answer(self, line: bytes) -> Generator[bytes | Pending[Any] | None, None, None]:
        """Return the reply to one line, piece by piece; no content of the line makes it raise."""
        try:
            question = json.loads(line)
            if not isinstance(question, dict):
                raise Refused("expected a JSON object")
            name = question.pop("command", "")
            parts = self.do(name, question.get("arguments", question))
            for part in parts:
                yield _line(part) if isinstance(part, dict) else part
        except (Refused, CommandError, ValueError, TypeError, RecursionError) as error:
            yield _line({"ok": False, "error": str(error)})
        except Late as error:
            # The command may have several parts, and ``name`` is an existing one.
            yield _line({"ok": False, "error": late(name, error)})

    # --- commands

    @command("health", role="read")
    def health(self) -> Iterator[Part]:
        """Tell whether the server and each of its parts is well."""
        told = self._parts if self._provision is None else {**self._parts, **self._provision.health}
        parts = {name: state() for name, state in told.items()}
        parts |= module_commands.troubles(self._stack.modules)
        draining = self._stack.draining
        failing = [name for name, state in parts.items() if not state["ok"]]
        status = "draining" if draining else "degraded" if failing else "ok"
        yield _done({"status": status, "failing": failing, "uptime": round(self._uptime, 3), "parts": parts})

    @command("stats", role="read")
    def stats(self) -> Iterator[Part]:
        """Tell how much of everything there is at this moment."""
        location = self._stack.location
        limits = self._stack.limits
        result: dict[str, Any] = {
            "version": version_of("sansip"),
            "pid": os.getpid(),
            "uptime": round(self._uptime, 3),
            "memory": _resident(),
            "bindings": len(location),
            "addresses_of_record": location.aors,
            "sockets": len(self._hub.streams),
        }
        result |= {name: n for name, n in self._stack.snapshot().items() if name != "addresses_of_record"}
        result["limits"] = {
            name: getattr(limits, name) for name in ("aors", "connections", "transactions", "questions")
        }
        if self._storage is not None:
            result["store"] = self._storage.figures()
        if counted := module_commands.figures(self._stack.modules):
            result["modules"] = counted
        if self._provision is not None and (figures := self._provision.figures()):
            result["parts"] = figures
        yield _done(result)

    @command("bindings", role="read")
    def bindings(self, aor: str | None = None, after: str | None = None) -> Iterator[Part]:
        """List who is registered: all, or one address-of-record.

        ``after``: only those behind this address-of-record, as they are listed.
        """
        now = self._hub.clock()
        location = self._stack.location
        if aor is not None:
            name = self._aor(aor)
            found = location.lookup(name, now) if self._lists(name) else []
            yield from ({"item": self._shown(binding, now)} for binding in found)
            yield _done({"bindings": len(found)})
            return
        # The names now, the bindings when their turn comes: some may be gone by then.
        names = iter(location.names())
        count = 0
        skipping = after is not None
        while chunk := list(islice(names, _CHUNK)):
            if skipping:
                if after not in chunk:
                    yield None
                    continue
                chunk = chunk[chunk.index(after) + 1 :]
                skipping = False
            for name in filter(self._lists, chunk):
                for binding in location.lookup(name, now):
                    count += 1
                    yield {"item": self._shown(binding, now)}
        if skipping:
            raise Refused(f"after: {after} is not registered any more; begin again without it")
        yield _done({"bindings": count})

    @command("remove", role="operate")
    def remove(self, aor: str) -> Generator[Part, None, None]:
        """Remove the registrations of an address-of-record, from the store too."""
        name = self._aor(aor)
        removed: Pending[int | Exception] = Pending()
        now = self._hub.clock()
        self._hub.perform(self._stack.unbind(name, now, removed.give), now)
        result = yield from removed.result()
        if isinstance(result, Exception):
            raise Refused(f"{name} stays as it was, for the store fails: {result}".splitlines()[0])
        yield _done({"aor": name, "removed": result})

    @command("bans", role="read")
    def bans(self, source: str | None = None, user: str | None = None) -> Iterator[Part]:
        """List who is not listened to: all, or an address, or a user name."""
        yield from standing(self._stack, self._hub.clock(), source, user)

    @command("lift", role="operate")
    def lift(self, source: str, user: str | None = None) -> Iterator[Part]:
        """Lift the bans of an address, and count anew."""
        yield from lifted(self._stack, self._hub.clock(), source, user)

    @command("calls", role="read")
    def calls(self) -> Iterator[Part]:
        """List the calls of the server: those it relays, answers, makes, and bridges."""
        yield from running(self._stack, self._hub.clock())

    @command("hangup", role="operate")
    def hang_up(self, number: int, reason: str | None = None) -> Generator[Part, None, None]:
        """Hang up a call by its number, and the other side of a bridge; REASON as in RFC 3326."""
        failed = yield from hung_up(self._stack, self._hub, number, reason)
        if failed is not None:
            raise Refused(str(failed))
        yield _done({"number": number})

    @command("commands", role="read")
    def listed(self) -> Iterator[Part]:
        """List the commands of the modules, with their parameters and roles."""
        found = list(module_commands.described(self._stack.modules))
        yield from ({"item": one} for one in found)
        yield _done({"commands": len(found)})

    @command("drain", role="operate")
    def drain(self) -> Iterator[Part]:
        """Refuse new calls, let running transactions finish, and end."""
        already = self._stack.draining
        # The reply goes first: an idle server ends at once.
        yield _done({"draining": True, "already": already})
        if not already:
            self._end()

    @command("reload", role="operate")
    def reload(self) -> Generator[Part, None, None]:
        """Read everything again, and take all of it or nothing."""
        reloaded: Pending[Outcome] = Pending()
        self._reload(reloaded.give)
        outcome = yield from reloaded.result()
        yield _done({"reloaded": outcome.done, "failed": outcome.failed})

    # --- what is shown

    def _lists(self, aor: str) -> bool:
        """Whether this process lists ``aor``: of several workers the one that pings its phones."""
        seat = self._stack.seat
        return seat is None or seat.owns(aor)

    @property
    def _uptime(self) -> float:
        return time.time() - self._started

    def _aor(self, text: str) -> str:
        if not text:
            raise Refused("expected an address-of-record, like alice@example.org")
        try:
            uri = parse_uri(text if text.startswith(("sip:", "sips:", "tel:")) else f"sip:{text}")
        except RemoteProtocolError as error:
            raise Refused(f"{text}: {error.reason}") from None
        if not isinstance(uri, SipUri):
            raise Refused(f"{text}: expected a SIP address, like alice@example.org")
        if not self._stack.listeners.serves(uri.host, uri.port):
            # The stack takes each address for one of ours, so the command would remove other phones.
            served = ", ".join(self._stack.config.domains)
            raise Refused(f"{text}: {uri.host} is no domain of this server, which serves {served}")
        return self._stack.addresses.of(uri)

    def _shown(self, binding: Binding, now: float) -> dict[str, Any]:
        left = binding.expires_at - now
        flow = binding.flow
        keepalive = self._stack.modules.find(Keepalive)
        health = None if keepalive is None else keepalive.of(binding.aor, binding.contact)
        return {
            "aor": binding.aor,
            "contact": binding.contact,
            "expires_in": None if left == math.inf else round(left, 1),
            "q": None if binding.q is None else binding.q / 1000,
            "path": list(binding.path),
            "received": None if binding.received is None else str(binding.received),
            "flow": None if flow is None else str(flow),
            "instance": binding.instance,
            "reg_id": binding.reg_id,
            # Of keepalives (docs/nat.md): seconds of the last round trip, rounds without an answer.
            "rtt": None if health is None or health.rtt is None else round(health.rtt, 6),
            "unanswered": 0 if health is None else health.failures,
            "call_id": binding.call_id,
            "cseq": binding.cseq,
            "params": binding.params,
            "registered": round(self._stack.wall.unix(binding.registered_at), 3),
            "refreshed": round(self._stack.wall.unix(binding.refreshed_at), 3),
            "user_agent": binding.user_agent,
        }


def late(name: str, error: Late) -> str:
    """Return the error text of a command whose result did not come in time."""
    return (
        f"{name}: {error}: a store, a module or a route hangs; `health` says which part fails."
        " What was asked for may still be done"
    )


def _done(result: dict[str, Any]) -> dict[str, Any]:
    return {"ok": True, "result": result}


def _line(part: dict[str, Any]) -> bytes:
    # Octets that are not UTF-8 become escapes of JSON.
    return json.dumps(part).encode() + b"\n"


def _resident() -> int | None:
    """Return the octets of memory this process holds, where /proc tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return None
