"""Keepalives to registered phones: NATs stay open, and a phone that is gone is noticed.

Theory of operation: a NAT forgets a phone that is silent for half a minute (RFC
4787 REQ-5), and then no call reaches it. So each phone gets a packet every
``interval`` seconds. The addresses-of-record stand in a ring of slots, each in one
of two that a checksum of its name gives it, and the ring turns once an interval: the
packets are spread evenly whatever the time of the registrations, a restart with a
hundred thousand restored ones included, and a tick costs what its few phones cost. One timer stands for the
next slot that holds a phone, so a message costs nothing here.

An OPTIONS needs no transaction here. It is not repeated, because the next round sends another one (the loss
of one does no harm), and the branch of the answer names the phone and the round. The module remembers of a
phone its round-trip time and how many rounds it left without an answer. Any answer counts, 405 and 481 too.
Phones that never answered are never removed: some do not know OPTIONS.

Only who registered here directly gets keepalives. Behind an edge proxy (Path) the
flow is the edge's, and so is keeping it.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from sansip.errors import RemoteProtocolError
from sansip.events import KeepaliveAnswered, KeepaliveUnanswered
from sansip.location import SharedLocation
from sansip.module import Module, ModuleFault, function
from sansip.transport.flow import Flow
from sansip.transport.transports import DEFAULT_PORT, ONE_WAY, UDP
from sansip.wire import SipUri, parse_uri
from sansip.wire.host import is_address, plain_host

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.location import Binding
    from sansip.module import Core
    from sansip.wire import Response

__all__ = ["Health", "Keepalive", "KeepaliveConfig"]

# The shortest turn of the ring between two slots: timers are not more exact than this anyway.
_TICK: Final = 0.025
_SLOTS: Final = 4_096
# A server that was suspended this long does not make up for the pings that it missed.
_LAG: Final = 1.0
# How a branch of ours begins, with the mark of a worker between the two; then the token, a dot, the round.
_COOKIE: Final = "z9hG4bK"
_BRANCH: Final = "k-"


@dataclass(slots=True, frozen=True)
class KeepaliveConfig:
    """Which phones to send what, how often, and what silence means.

    Attributes:
        interval: seconds between two keepalives to one phone; 0 sends none. NATs
            forget after 30 s to 2 min.
        method: ``"options"`` asks for an answer, so that the phone sends, too (many
            NATs only count that), and measures the round trip; ``"crlf"`` sends two line
            ends (RFC 5626 3.5.1), ``"zero"`` four zero octets, which cost
            little and ask for nothing. Phones on streams get a line end for either,
            those on WebSockets nothing: they are pinged (``limits.websocket_ping``).
        who: ``"nat"``: the phones that were behind a NAT when they registered, without those that keep their
            flows alive themselves (RFC 5626); ``"udp"``: all phones on UDP; ``"all"``: all phones that
            registered here directly.
        failures: rounds in a row without an answer until a phone counts as silent.
        remove: unregister a silent phone that had answered before, instead of only
            saying so. A server cut off from its phones loses them all by this.
        sender: address in From of an OPTIONS; ``sip:keepalive@`` and the first
            domain where it is empty.
    """

    interval: int = 30
    method: Literal["options", "crlf", "zero"] = "options"
    who: Literal["nat", "udp", "all"] = "nat"
    failures: int = 3
    remove: bool = False
    sender: str = ""

    def __post_init__(self) -> None:
        if self.interval < 0 or 0 < self.interval < 5:
            raise ValueError(f"interval must be 0, or 5 seconds or more, got {self.interval}")
        if self.failures < 1:
            raise ValueError(f"failures must be at least 1, got {self.failures}")
        if self.sender:
            try:
                parse_uri(self.sender)
            except RemoteProtocolError as error:
                raise ValueError(f"sender must be a SIP URI, got {self.sender!r}: {error.reason}") from None
        if self.method not in ("options", "crlf", "zero"):
            raise ValueError(f"method must be 'options', 'crlf' or 'zero', got {self.method!r}")
        if self.who not in ("nat", UDP, "all"):
            raise ValueError(f"who must be 'nat', 'udp' or 'all', got {self.who!r}")


@dataclass(slots=True)
class Health:
    """The state of one binding: ``rtt`` seconds of the last answer, None before the first."""

    aor: str
    contact: str
    token: str
    round: int = 0
    sent_at: float = 0.0
    waiting: bool = False
    failures: int = 0
    rtt: float | None = None


class Keepalive(Module):
    """Keeps phones behind NATs reachable, and notices those that are gone."""

    name = "keepalive"
    Settings = KeepaliveConfig
    by_default = True
    over_workers = True

    settings: KeepaliveConfig

    def __init__(self, settings: KeepaliveConfig) -> None:
        super().__init__(settings)
        # aor -> contact -> its state, and the same by token.
        self._health: dict[str, dict[str, Health]] = {}
        self._tokens: dict[str, Health] = {}
        # Fires at turn ``_next``.
        self._timer: Timer | None = None
        self._watches_all = False
        self._begin(settings)

    def _begin(self, settings: KeepaliveConfig) -> None:
        self.settings = settings
        slots = min(_SLOTS, max(1, round(settings.interval / _TICK)))
        self._width = settings.interval / slots
        self._ring: list[dict[str, None]] = [{} for _ in range(slots)]
        self._count = 0
        # The next turn to take, counted from time 0; it means slot number turn % slots.
        self._turn = 0
        # The turn of the next slot that holds something, or None.
        self._next: int | None = None

    # --- its life

    def check(self, settings: KeepaliveConfig) -> None:
        """A phone that is silent here may answer another node."""
        if settings.remove and self.core.seat is None and isinstance(self.core.location, SharedLocation):
            raise ModuleFault("keepalive.remove: a phone silent here may answer another node; remove it")

    def start(self, core: Core, now: float) -> None:
        """Take the phones that are registered, and watch for those that register later."""
        listener = next(iter(core.listeners))
        self._branch = f"{_COOKIE}{core.entropy.mark}{_BRANCH}"
        self._host = core.domains[0] if core.domains else listener.sent_by
        core.watch(self._changed_behind_nat, hidden=True)
        self._watch_all()
        self._take(now)

    def _watch_all(self) -> None:
        """Watch phones that are behind no NAT, too, from the first settings on that want them."""
        if self.settings.who != "nat" and not self._watches_all:
            self._watches_all = True
            self.core.watch(self._changed)

    def _take(self, now: float) -> None:
        location = self.core.location
        for aor in location.names():
            self._changed(aor, (), location.lookup(aor, now))

    def configure(self, settings: KeepaliveConfig, now: float) -> None:
        """Begin with a new ring; the state of phones stays."""
        self._begin(settings)
        self._watch_all()
        self._arm(now)
        self._take(now)

    def __len__(self) -> int:
        """Return how many addresses-of-record are in the ring."""
        return self._count

    @function
    def of(self, aor: str, contact: str) -> Health | None:
        """Return the state of a binding; None before the first OPTIONS."""
        return self._health.get(aor, {}).get(contact)

    # --- registered phones

    def _changed_behind_nat(self, aor: str, before: Sequence[Binding], after: Sequence[Binding]) -> None:
        if not self._watches_all:
            self._changed(aor, before, after)

    def _changed(self, aor: str, before: Sequence[Binding], after: Sequence[Binding]) -> None:
        seat = self.core.seat
        if not self.settings.interval or (seat is not None and not seat.owns(aor)):
            return
        ring = self._ring
        had, has = self._wants(before), self._wants(after)
        if has and not had:
            one, other = self._slots(aor)
            slot = one if len(ring[one]) <= len(ring[other]) else other
            ring[slot][aor] = None
            self._count += 1
            turn = self._turn + (slot - self._turn) % len(ring)
            if self._next is None or turn < self._next:
                self._next = turn
                self._arm(self.core.ua.now)
        elif had and not has:
            one, other = self._slots(aor)
            del ring[one if aor in ring[one] else other][aor]
            self._count -= 1
        known = self._health.get(aor)
        if known is not None:
            for binding in after:
                # A phone that registers lives.
                if binding.contact in known and binding not in before:
                    known[binding.contact].failures = 0
                    known[binding.contact].waiting = False
            for contact in known.keys() - {binding.contact for binding in after}:
                del self._tokens[known.pop(contact).token]
            if not known:
                del self._health[aor]

    def _wants(self, bindings: Sequence[Binding]) -> bool:
        """Whether an address-of-record with ``bindings`` has a place in the ring."""
        if self.settings.who != "nat":
            return bool(bindings)
        for binding in bindings:  # noqa: SIM110 - this is asked at each registration
            if binding.received is not None and binding.reg_id is None:
                return True
        return False

    def _slots(self, aor: str) -> tuple[int, int]:
        """Return the two slots that ``aor`` may be in; it is put in the emptier one.

        With two to choose from no slot gets much more than its share, which chance
        alone would not see to.
        """
        checksum = crc32(aor.encode("utf-8", "surrogateescape"))
        return checksum % len(self._ring), checksum // len(self._ring) % len(self._ring)

    # --- time

    def _arm(self, now: float) -> None:
        """Have the timer fire at the next slot that holds something."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._next is not None:
            self._timer = self.core.timers.start(now, max(self._next * self._width - now, 0.0), self, None)

    def timer_fired(self, _name: None, now: float) -> None:
        """Send what is due at ``now``, and unregister the phones that are to be removed."""
        self._timer = None
        dead: list[Binding] = []
        ring = self._ring
        last = int(now / self._width)
        if self._next is not None:
            # The timer's turn has come, whatever the division lost.
            last = max(last, self._next)
            # The slots before it are empty. If that was long ago, nothing was registered
            # then, or the process was suspended.
            self._turn = self._next if self._next >= last - int(_LAG / self._width) else last
        while self._turn <= last:
            for aor in tuple(ring[self._turn % len(ring)]):
                for binding in self.core.location.lookup(aor, now):
                    self._keep(binding, dead, now)
            self._turn += 1
        self._next = None
        if self._count:
            for turn in range(self._turn, self._turn + len(ring)):
                if ring[turn % len(ring)]:
                    self._next = turn
                    break
        self._arm(now)
        for binding in dead:
            self.core.unregister(binding, "silent", now)

    def _keep(self, binding: Binding, dead: list[Binding], now: float) -> None:
        flow = self._flow(binding)
        if flow is None:
            return
        config = self.settings
        if config.method != "options":
            if not flow.reliable:
                self.core.sender.send(flow, b"\r\n\r\n" if config.method == "crlf" else b"\0\0\0\0", now)
            elif flow.transport not in ONE_WAY:
                # RFC 3261 7.5: no message begins with it, and no answer is asked for.
                self.core.sender.send(flow, b"\r\n", now)
            return
        known = self._health.setdefault(binding.aor, {})
        health = known.get(binding.contact)
        if health is None:
            health = known[binding.contact] = Health(binding.aor, binding.contact, self.core.entropy.token())
            self._tokens[health.token] = health
        elif health.waiting:
            health.failures += 1
            if health.failures == config.failures:
                removed = config.remove and health.rtt is not None
                self.core.notify(
                    KeepaliveUnanswered(binding.aor, binding.contact, health.failures, removed), now
                )
                if removed:
                    dead.append(binding)
                    return
        health.round += 1
        health.waiting = True
        health.sent_at = now
        self.core.sender.send(flow, self._options(binding, health, flow), now)

    def _flow(self, binding: Binding) -> Flow | None:
        """Return the flow to keep open, or None where it is not ours, or not wanted."""
        if binding.path:
            return None
        who = self.settings.who
        if who == "nat" and (binding.received is None or binding.reg_id is not None):
            # RFC 5626 4.4: a phone that names its flow keeps it alive by itself.
            return None
        flow = binding.flow
        if isinstance(flow, Flow) and flow.conn:
            connection = self.core.sender.connections.get(flow.conn)
            return flow if who != UDP and connection is not None and connection.is_open else None
        if flow is not None and not isinstance(flow, int):
            # Another node's phone.
            return None
        address = self._address(binding)
        if address is None:
            return None
        if flow is None:
            # Restored by a new process: any listener that reaches it.
            listener = self.core.listeners.reach(UDP, address[0])
            return None if listener is None else Flow(UDP, listener.id, address)
        return Flow(UDP, flow, address) if self.core.listeners[flow].is_ipv6 is (":" in address[0]) else None

    def _address(self, binding: Binding) -> tuple[str, int] | None:
        received = binding.received
        if received is not None:
            # A connection is of a former life: there is nothing to keep open.
            return received.address if received.by_datagram else None
        uri = binding.uri
        if not isinstance(uri, SipUri) or (uri.transport or UDP) != UDP or not is_address(uri.host):
            return None
        return plain_host(uri.host), uri.port or DEFAULT_PORT

    def _options(self, binding: Binding, health: Health, flow: Flow) -> bytes:
        # RFC 3261 11.1, out of any dialog. One Call-ID for all rounds, and a
        # rising CSeq, as a REGISTER has them (10.2).
        uri = binding.contact.partition("?")[0]
        token = health.token
        via = self.core.listeners[flow.listener].via
        return (
            f"OPTIONS {uri} SIP/2.0\r\n"
            f"{via};branch={self._branch}{token}.{health.round};rport\r\n"
            "Max-Forwards: 70\r\n"
            f"From: <{self.settings.sender or f'sip:keepalive@{self._host}'}>;tag={token}\r\n"
            f"To: <{binding.aor}>\r\n"
            f"Call-ID: {token}@{self._host}\r\n"
            f"CSeq: {health.round} OPTIONS\r\n"
            "Content-Length: 0\r\n\r\n"
        ).encode("utf-8", "surrogateescape")

    # --- answers

    def stray_received(self, response: Response, flow: Flow, now: float) -> bool:
        """Take ``response``, which no transaction wanted; return whether it answers an OPTIONS from here."""
        branch = response.via.branch or ""
        if not branch.startswith(self._branch):
            return False
        token, _, number = branch[len(self._branch) :].partition(".")
        health = self._tokens.get(token)
        # RFC 3261 17.1.3: the round is part of the branch. An answer to an earlier round, or a second one to
        # this round, says nothing about the present state.
        if health is not None and health.waiting and number == str(health.round):
            health.waiting = False
            first, failures = health.rtt is None, health.failures
            health.rtt = now - health.sent_at
            health.failures = 0
            if first or failures >= self.settings.failures:
                self.core.notify(KeepaliveAnswered(health.aor, health.contact, health.rtt, failures), now)
        return True
