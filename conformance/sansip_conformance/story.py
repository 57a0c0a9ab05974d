"""The state of one run of one trace: messages by name, values of names, time.

Theory of operation: the parts of the player share one ``Story``. It changes nothing by itself: it
remembers, and looks up the value of a ``<name>``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sansip.testing import Draft, Received
from sansip.wire import Request, Response
from sansip_conformance.msrp import MsrpEnd
from sansip_conformance.names import Names
from sansip_conformance.trace import Trace
from sansip_conformance.world import World

__all__ = ["Named", "Story", "TraceFailedError"]


class TraceFailedError(Exception):
    """The server under test did not behave as the trace says."""

    def __init__(self, line: int, reason: str, rfc: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason
        self.rfc = rfc


@dataclass(slots=True)
class Named:
    """A message under its name, with the endpoint that sent or received it, and how."""

    message: Request | Response | Draft
    party: str
    received: Received | None = None
    data: bytes = b""
    transport: str | None = None
    pipe: Any = None


class Story:
    """One trace in one world, as far as it has gone.

    Attributes:
        start: when the trace began, on the world's clock.
        due: when the message that is expected now must come, in seconds of the trace.
        taken: by endpoint, the messages that an expectation has taken.
        known: by endpoint, the octets that came already; copies are skipped.
        registered: addresses-of-record that were registered, with the endpoint, for the clean-up.
        timeline: (time, endpoint, whether it sent, octets) of everything, for ladders.
        begun: where the setup ends in ``timeline``.
    """

    def __init__(self, trace: Trace, world: World) -> None:
        self.trace = trace
        self.world = world
        self.names = Names(self._lookup, world.rewrite)
        self.named: dict[str, Named] = {}
        self.tolerance = max(world.tolerance, trace.tolerance)
        self.start = 0.0
        self.due = 0.0
        self.taken: dict[str, set[int]] = {name: set() for name in world.parties}
        self.known: dict[str, set[bytes]] = {name: set() for name in world.parties}
        self.registered: dict[str, str] = {}
        self.timeline: list[tuple[float, str, bool, bytes]] = []
        self.begun = 0
        self._harvested: dict[str, int] = dict.fromkeys(world.parties, 0)

    # --- names

    def _lookup(self, name: str) -> str | None:
        head, _, part = name.partition(".")
        setup = self.trace.setup
        if head == setup.server:
            transport = part if part in setup.transports else setup.transports[0]
            host, port = self.world.server_address(transport)
        elif head in self.world.parties:
            party = self.world.parties[head]
            host, port = party.host, party.port
            if part == "aor":
                return party.agent.aor
            if isinstance(party, MsrpEnd) and part in party.values:
                return party.values[part]
        elif name in setup.texts:
            return setup.texts[name]
        elif name == "domain":
            return setup.domains[0]
        else:
            return None
        shown = f"[{host}]" if ":" in host else host
        if part == "host":
            return shown
        if part == "ip":
            return host
        if part == "port":
            return str(port)
        return f"{shown}:{port}"

    def get(self, name: str, line: int) -> Named:
        named = self.named.get(name)
        if named is None:
            raise TraceFailedError(line, f"no message is named {name} yet; name one with `as {name}`")
        return named

    def name(self, name: str, named: Named) -> None:
        """Call a message ``name`` from here on."""
        self.names.messages[name] = named.message
        self.named[name] = named

    def failure(self, step: Any, reason: str, line: int | None = None) -> TraceFailedError:
        return TraceFailedError(line or step.line, reason, step.rfc or self.trace.rfc)

    # --- what happened

    def harvest(self) -> None:
        """Put the messages that came since the last call into ``timeline``."""
        came = []
        for name, party in self.world.parties.items():
            came += [(one.time, name, False, one.data) for one in party.inbox[self._harvested[name] :]]
            self._harvested[name] = len(party.inbox)
        self.timeline += sorted(came, key=lambda one: one[0])

    def note_sent(self, name: str, data: bytes) -> None:
        self.harvest()
        self.timeline.append((self.world.now, name, True, data))
