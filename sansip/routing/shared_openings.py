"""A plain INVITE whose callee is to be looked up in a shared location: held as octets until the answer.

Theory of operation: where nodes share the location, the bindings of the callee are a question to the outside.
An INVITE that could pass as octets (``openings``) is held as such meanwhile, in a transaction that absorbs
retransmissions, sends a 100 after 200 ms and takes a CANCEL. With the answer the bindings stand in this
node's mirror, the transaction makes room, and the INVITE is taken as if it came now: as octets where the
bindings are plain, else the long way, which finds the answer and does not ask again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sansip.location import SharedLocation
from sansip.routing.shared import take_record
from sansip.transport import Flow
from sansip.transport.transports import UDP
from sansip.transport.via import read_noted
from sansip.wire import Request, response_to
from sansip.wire.opening import Opening, read_opening

if TYPE_CHECKING:
    from sansip.actions import Address
    from sansip.clock import Timer
    from sansip.routing.core import Core
    from sansip.routing.gate import Gate
    from sansip.transaction import ServerTransaction

__all__ = ["SharedOpenings"]

# RFC 3261 17.2.1
_TRYING_WITHIN: Final = 0.2
# Takes the INVITE in ``data`` and what was read of it; it came by ``flow``, and counted against the limits of
# its sender.
Located = Callable[[bytes, Opening, Flow, float], None]


class SharedOpenings:
    """INVITEs of one node that wait for the bindings of their callees; ``located`` takes them then."""

    __slots__ = ("_core", "_gate", "located")

    def __init__(self, core: Core, gate: Gate, located: Located) -> None:
        self._core = core
        self._gate = gate
        self.located = located

    def sends(
        self,
        data: bytes,
        listener: int,
        source: Address,
        force_rport: str,
        now: float,
        over: Flow | None = None,
    ) -> bool:
        """Hold the INVITE in ``data``, a datagram, and return True; or do nothing.

        The default route is to decide on it. The checks are those of ``Openings`` that need no binding.
        What came ``over`` a connection is not held.
        """
        if over is not None:
            return False
        core = self._core
        modules = core.modules
        hooks = modules.stack_hooks
        stages = modules.stages_of("INVITE")
        if (
            hooks.message_arrived
            or (hooks.request_received and not modules.rides)
            or stages["screen"]
            or stages["identify"]
            or stages["translate"]
        ):
            return False
        opening = read_opening(data, core.limits)
        if opening is None:
            return False
        host, port = source[:2]
        domains = core.addresses.domains
        listeners = core.listeners
        transactions = core.proxy.transactions
        key = f"{opening.branch} {opening.sent_host}:{port}"
        if (
            opening.sent_host != host
            or opening.sent_port != port
            or ":" in host
            or (force_rport == "always" and not opening.rport)
            or transactions.find_server(key, "INVITE") is not None
            or transactions.crowded_by(1)
            or not listeners.serves(opening.host, opening.port)
            or (domains and opening.host not in domains)
            # RFC 3261 16.3 step 4: it may be a loop.
            or listeners.has_own_sent_by(opening.via)
            # RFC 3261 22: a user of ours has to prove that first.
            or (core.authenticator is not None and listeners.serves(opening.from_host))
        ):
            return False
        flow = Flow(UDP, listener, source)
        if not self._gate.allows(flow, now):
            return True
        core.ua.now = now
        held = Held(self, core, data, opening, flow, force_rport, f"sip:{opening.user}@{opening.host}")
        held.server = transactions.open_server(key, "INVITE", flow, held)
        held.ask(now)
        return True


class Held:
    """One INVITE that waits. It is the user of its transaction."""

    __slots__ = ("_aor", "_core", "_data", "_flow", "_force_rport", "_opening", "_seen", "_trying",
                 "_waiting", "openings", "server")  # fmt: skip

    def __init__(
        self,
        openings: SharedOpenings,
        core: Core,
        data: bytes,
        opening: Opening,
        flow: Flow,
        force_rport: str,
        aor: str,
    ) -> None:
        self.openings = openings
        self._core = core
        self._data = data
        self._opening = opening
        self._flow = flow
        self._force_rport = force_rport
        self._aor = aor
        self._seen = ""
        self._waiting = True
        self.server: ServerTransaction | None = None
        self._trying: Timer | None = None

    def ask(self, now: float) -> None:
        location = self._core.location
        assert isinstance(location, SharedLocation)
        self._seen = location.version(self._aor)
        self._trying = self._core.proxy.timers.start(now, _TRYING_WITHIN, self, "trying")
        self._core.ask(location.question(self._aor), self._answered, now)

    def _answered(self, found: Any, now: float) -> None:
        if not self._waiting:
            return
        self._waiting = False
        if self._trying is not None:
            self._trying.cancel()
        core = self._core
        core.ua.now = now
        location = core.location
        assert isinstance(location, SharedLocation)
        assert self.server is not None
        # The INVITE makes its own, under the same key.
        self.server.abandon(now)
        if not isinstance(found, Exception):
            location.found = self._aor, take_record(core, self._aor, found, self._seen, now)
        try:
            self.openings.located(self._data, self._opening, self._flow, now)
        finally:
            location.found = None

    def _read(self) -> Request:
        return read_noted(self._data, self._flow, self._force_rport)

    def timer_fired(self, _name: str, now: float) -> None:
        """RFC 3261 17.2.1: a 100 within 200 ms, so that the caller stops resending."""
        if self._waiting and self.server is not None:
            self.server.respond(response_to(self._read(), 100, to_tag=None), now)

    # --- the user of a server transaction

    def ack_received(self, transaction: ServerTransaction, ack: Request, now: float) -> None:
        pass

    def server_failed(self, transaction: ServerTransaction, reason: str, now: float) -> None:
        pass

    def local_tag(self) -> str:
        return self._core.proxy.entropy.token()

    def cancel(self, now: float, reason: str | None) -> None:
        """The caller gave up (RFC 3261 9.2) before any phone got the INVITE: this node answers it."""
        if self._waiting and self.server is not None:
            self._waiting = False
            response = response_to(self._read(), 487, to_tag=self.local_tag())
            if self._core.server_name:
                response.append("Server", self._core.server_name)
            self.server.respond(response, now)
