"""Calls from and to connections in hostile spelling, on a stack that passes octets and on one that does not.

    python -m tests.properties.stream_ways --seconds 300 --seed 7

Theory of operation: as ``tests.properties.ways``, for calls one of whose sides, or each, is a connection.
Both stacks get the same octets at the same times: the long one makes a message of everything and has the
default route decide, the quick one has all its ways. The actions are the same, octet for octet, and so is
what the stacks hold. Connections end, or are not made, in the middle of it. Messages come in pieces, or
several in one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from random import Random
from typing import Any

import pytest

from sansip import ListenerConfig, SendData, SendDatagram, Stack, StackConfig
from sansip.actions import Ask, Connect, Disconnect
from sansip.auth import AuthConfig, Lookup
from sansip.limits import Limits
from sansip.module import Use
from sansip.modules.calls import Calls
from sansip.proxy import ProxyConfig, stateless
from sansip.routing import TrustedPeer, relaying
from tests.properties.played import play_on, words
from tests.properties.spelling import spell
from tests.properties.ways import Follows, Looks
from tests.proxy.sides import known
from tests.rig import Flow

__all__ = [
    "CONFIGS", "Both", "Party", "Play", "back", "first", "play", "register", "reply", "within",
]  # fmt: skip

SERVER = "192.0.2.99"
PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
LISTENERS = {kind: number for number, kind in enumerate(PORTS)}

CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "passwords": {"auth": AuthConfig()},
    "trusted peer": {"trusted": [TrustedPeer("192.0.2.1", "carrier")]},
    "no marks": {"proxy": ProxyConfig(dialog_tokens=False)},
    "not recorded": {"proxy": ProxyConfig(record_route=False)},
    "rport always": {"proxy": ProxyConfig(force_rport="always", via_maddr="trusted")},
    "other hops": {"proxy": ProxyConfig(same_hop=False)},
    "by TCP where large": {"proxy": ProxyConfig(tcp_above=600)},
    "few": {"limits": Limits(pending_per_source=2, pending_per_callee=1, early_dialogs=1)},
    "few connections": {"limits": Limits(connections=2, connection_backlog=900)},
    "rings briefly": {"limits": Limits(ring_time=20)},
    "crowded": {"limits": Limits(transactions=6, transactions_reserved=50)},
    "calls": {"modules": [Use(Calls)]},
    "looks": {"modules": [Use(Looks)]},
    "follows": {"modules": [Use(Follows)]},
}


@dataclass
class Party:
    """One phone.

    Attributes:
        user: its name.
        kind: its transport.
        source: where its packets come from.
        local: what it takes for its address.
        contact: the URI of its Contact.
        rport: whether it asks for that.
        registers_by: the transport of its REGISTER.
        conn: the number of the connection that it has, 0 for none.
    """

    user: str
    kind: str
    source: tuple[str, int]
    local: tuple[str, int]
    rport: bool
    registers_by: str
    params: str
    conn: int = 0
    # The last request that came to it over a flow, and that flow; and the last answer.
    asked: tuple[bytes, int] = (b"", 0)
    told: bytes = b""

    @property
    def contact(self) -> str:
        return f"sip:{self.user}@{self.local[0]}:{self.local[1]}{self.params}"

    def via(self, number: int, kind: str = "") -> str:
        end = ";rport" if self.rport else ""
        kind = (kind or self.kind).upper()
        return f"Via: SIP/2.0/{kind} {self.local[0]}:{self.local[1]};branch=z9hG4bKn{number}{end}"


@dataclass
class Play:
    """What one play was made of, and what said yes."""

    seed: int
    name: str
    messages: list[Any] = field(default_factory=list)
    yes: Counter[str] = field(default_factory=Counter)


class Counted:
    """Counts what a way says yes to (it is compiled in one build, so nothing derives from it)."""

    def __init__(self, reception: Any, yes: Counter[str]) -> None:
        self.reception = reception
        self.yes = yes

    def __getattr__(self, name: str) -> Any:
        return getattr(self.reception, name)

    def takes_briefly(self, data: bytes, flow: Any, now: float) -> Any:
        """Count what came by a connection and passed."""
        said = self.reception.takes_briefly(data, flow, now)
        self.yes[data[:3].decode("latin-1")] += bool(said)
        return said


class Both:
    """The two stacks, and their phones."""

    def __init__(self, chance: Random, done: Play, caller: Party, callee: Party) -> None:
        self.chance = chance
        self.done = done
        more = CONFIGS[done.name]
        listeners = [ListenerConfig(LISTENERS[kind], kind, SERVER, port) for kind, port in PORTS.items()]
        self.stacks = [Stack(StackConfig(listeners, ["biloxi.test"], **more), b"s" * 16) for _ in range(2)]
        quick, long = (stack.reception for stack in self.stacks)
        long.briefs = long.usages = long.passages = long.openings = long.shortcut = long.quick = None
        reception: Any = Counted(quick, done.yes)
        self.stacks[0].reception = reception
        self.caller, self.callee = caller, callee
        # Whether messages come in pieces, and connections are refused.
        self.cuts = True
        # What stands between two values of Record-Route in an answer; "" where each has its line.
        self.joins = ("", "", ", ", ", ", ",", " ,", ",\t")[done.seed % 7]
        self.now = 1000.0
        # number -> its phone
        self.open: dict[int, Party] = {}
        self.number = 0
        self.invited = 0
        self.wait(0.5)

    # --- inputs

    def _each(self, act: Callable[[Stack], list[Any]]) -> None:
        """Do ``act`` with both, and what follows from its actions."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(relaying, "relay_usual", lambda *_, **__: None)
            patched.setattr(stateless, "direct_way", lambda *_: None)
            expected = self._answered(self.stacks[1], act(self.stacks[1]))
        actual = self._answered(self.stacks[0], act(self.stacks[0]))
        wanted, got = [_shown(one) for one in expected], [_shown(one) for one in actual]
        if wanted != got:
            pair = next(pair for pair in zip_longest(wanted, got) if pair[0] != pair[1])
            raise AssertionError(
                f"seed {self.done.seed}, {self.done.name}: differs at {len(self.done.messages)}\n"
                f"{self.done.messages[-1]}\nexpected {pair[0]}\nactual   {pair[1]}"
            )
        for action in expected:
            self._follow(action)

    def _answered(self, stack: Stack, actions: list[Any]) -> list[Any]:
        """Answer what is asked for passwords; return everything else, in order."""
        given: list[Any] = []
        while actions:
            one, *actions = actions
            if isinstance(one, Ask) and isinstance(one.question, Lookup):
                actions = [*stack.answer(one.id, known(one.question), self.now), *actions]
            else:
                given.append(one)
        return given

    def _follow(self, action: Any) -> None:
        if isinstance(action, Connect):
            party = next((one for one in (self.caller, self.callee) if one.local == action.address), None)
            reached = Flow(action.listener, action.transport, action.address, False)
            if party is None or (self.cuts and self.chance.random() < 0.1):
                self._each(lambda stack: stack.connection_closed(action.conn, "refused", self.now))
                return
            self.open[action.conn] = party
            self._each(lambda stack: stack.connection_opened(action.conn, reached, self.now))
        elif isinstance(action, Disconnect):
            self.end(action.conn)
        elif isinstance(action, SendData) and action.conn in self.open:
            self._sent(self.open[action.conn], action.data, action.conn)
        elif isinstance(action, SendDatagram):
            for party in (self.caller, self.callee):
                if action.address in (party.source, party.local):
                    self._sent(party, action.data, 0)

    def _sent(self, party: Party, data: bytes, conn: int) -> None:
        if data.startswith(b"SIP/2.0"):
            party.told = data
        elif not data.startswith((b"ACK", b"CANCEL")):
            party.asked = data, conn

    def end(self, conn: int) -> None:
        party = self.open.pop(conn, None)
        if party is not None and party.conn == conn:
            party.conn = 0
        self._each(lambda stack: stack.connection_closed(conn, "gone", self.now))

    def connect(self, party: Party, kind: str) -> int:
        numbers = [stack.new_connection() for stack in self.stacks]
        assert numbers[0] == numbers[1]
        reached = Flow(LISTENERS[kind], kind, party.source, True)
        self.open[numbers[0]] = party
        self._each(lambda stack: stack.connection_opened(numbers[0], reached, self.now))
        return numbers[0]

    def give(self, party: Party, data: bytes, conn: int | None = None, kind: str = "") -> None:
        """Give both what ``party`` sends: over ``conn`` (0: a datagram), by default as it does."""
        kind = kind or party.kind
        self.now += 2**-10
        if conn is None and kind != "udp":
            if not party.conn:
                party.conn = self.connect(party, kind)
            conn = party.conn
        self.done.messages.append((self.now, conn, party.source, data))
        if not conn:
            self._each(lambda stack: stack.datagram_received(0, data, party.source, self.now))
            return
        while data and conn in self.open:
            size = (
                len(data)
                if not self.cuts or self.chance.random() < 0.7
                else self.chance.randint(1, len(data))
            )
            piece, data = data[:size], data[size:]
            self._each(partial(_received, conn, piece, self.now))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            dues = [due for stack in self.stacks if (due := stack.next_deadline()) is not None and due <= end]
            if not dues:
                break
            self.now = max(min(dues), self.now)
            self._each(lambda stack: stack.time_passed(self.now))
        self.now = end

    def held(self, ended: bool) -> list[Any]:
        """Return what each holds; before all has ``ended``, one timer may stand for several."""
        found = []
        for stack in self.stacks:
            counts = stack.snapshot()
            if not ended:
                del counts["timers"]
            pending = stack.proxy.pending
            found.append([counts, repr(stack.location.snapshot()), pending.sources, pending.callees])
        return found


def _received(conn: int, data: bytes, now: float, stack: Stack) -> list[Any]:
    return stack.data_received(conn, data, now)


def _shown(action: Any) -> Any:
    """Return ``action`` as something that equals that of another stack: its owner is the stack's own."""
    if isinstance(action, SendData):
        return action.conn, action.data
    if isinstance(action, SendDatagram):
        return action.listener, action.data, action.address
    return re.sub(" at 0x[0-9a-f]+|, won=.*gateway", "", repr(action))


# --- what the phones send

Make = Callable[[Both], None]


def _head(data: bytes) -> list[str]:
    return data.partition(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape").split("\r\n")


def _line(head: list[str], name: str) -> str:
    return next((line for line in head if line.startswith(f"{name}:")), f"{name}: x")


def _octets(lines: list[str], body: str = "") -> bytes:
    text = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body])
    return text.encode("utf-8", "surrogateescape")


def register(party: str, both: Both) -> bytes:
    phone: Party = getattr(both, party)
    both.number += 1
    return _octets(
        [
            "REGISTER sip:biloxi.test SIP/2.0",
            phone.via(both.number, phone.registers_by),
            "Max-Forwards: 70",
            f"From: <sip:{phone.user}@biloxi.test>;tag=r",
            f"To: <sip:{phone.user}@biloxi.test>",
            f"Call-ID: r{phone.user}",
            f"CSeq: {both.number} REGISTER",
            f"Contact: <{phone.contact}>",
            "Expires: 3600",
        ]
    )


def first(method: str, both: Both) -> bytes:
    caller = both.caller
    both.number += 1
    number = both.number
    if method == "INVITE":
        both.invited = number
    elif method == "CANCEL":
        number = both.invited
    route = f";transport={caller.kind}" if both.done.seed % 10 else ";transport=udp"
    port = "" if both.done.seed % 4 else f":{PORTS[caller.kind]}"
    routes = [f"Route: <sip:{SERVER}{port}{route};lr>"] if both.done.seed % 5 == 0 else []
    return _octets(
        [
            f"{method} sip:bob@biloxi.test SIP/2.0",
            caller.via(number),
            *routes,
            "Max-Forwards: 70",
            f"From: <sip:alice@{'atlanta' if both.done.seed % 3 else 'biloxi'}.test>;tag=a",
            "To: <sip:bob@biloxi.test>",
            f"Call-ID: c{both.done.seed}",
            f"CSeq: {both.invited} {method}",
            f"Contact: <{caller.contact}>",
        ],
        "body" if method == "INVITE" else "",
    )


def reply(status: str, both: Both, contact: str = "") -> bytes:
    head = _head(both.callee.asked[0])
    copied = ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq")
    lines = [line for line in head[1:] if line.partition(":")[0] in copied]
    lines = [f"{line};tag=b" if line.startswith("To:") and ";tag=" not in line else line for line in lines]
    recorded = [line for line in lines if line.startswith("Record-Route")]
    if both.joins and len(recorded) > 1:
        # RFC 3261 7.3.1: on one line, where the first stood.
        values = both.joins.join(line.partition(": ")[2] for line in recorded)
        at = lines.index(recorded[0])
        lines = [line for line in lines if line not in recorded]
        lines.insert(at, f"Record-Route: {values}")
    return _octets([f"SIP/2.0 {status}", *lines, f"Contact: <{contact or both.callee.contact}>"])


def within(method: str, both: Both, joined: bool = True) -> bytes:
    """A request of the caller, in the dialog that the last answer began."""
    head = _head(both.caller.told)
    routes = [line.partition(": ")[2] for line in head if line.startswith("Record-Route")]
    routes = [value.strip(" \t") for line in routes for value in line.split(",")][::-1]
    target = _line(head, "Contact").partition("<")[2].partition(">")[0] or "sip:bob@192.0.2.2:5060"
    return _of_dialog(
        both, both.caller, method, target, routes, _line(head, "From"), _line(head, "To"), joined
    )


def back(method: str, both: Both, joined: bool = True) -> bytes:
    """A request of the callee."""
    head = _head(both.callee.asked[0])
    routes = [line.partition(": ")[2] for line in head if line.startswith("Record-Route")]
    target = _line(head, "Contact").partition("<")[2].partition(">")[0] or both.caller.contact
    from_ = _line(head, "To").replace("To", "From", 1)
    from_ = from_ if ";tag=" in from_ else f"{from_};tag=b"
    to = _line(head, "From").replace("From", "To", 1)
    return _of_dialog(both, both.callee, method, target, routes, from_, to, joined)


def _of_dialog(
    both: Both, phone: Party, method: str, target: str, routes: list[str], from_: str, to: str, joined: bool
) -> bytes:
    both.number += 1
    route = [f"Route: {', '.join(routes)}"] if joined and routes else [f"Route: {one}" for one in routes]
    return _octets(
        [
            f"{method} {target} SIP/2.0",
            phone.via(both.number),
            *route,
            "Max-Forwards: 70",
            from_,
            to,
            f"Call-ID: c{both.done.seed}",
            f"CSeq: {both.number + 50} {method}",
        ]
    )


def _refused(both: Both) -> bytes:
    """The ACK of the last failure (RFC 3261 17.1.1.3)."""
    head = _head(both.caller.told)
    return _octets(
        [
            "ACK sip:bob@biloxi.test SIP/2.0",
            both.caller.via(both.invited),
            *[_line(head, name) for name in ("From", "To", "Call-ID")],
            f"CSeq: {both.invited} ACK",
            "Max-Forwards: 70",
        ]
    )


def _probe(both: Both) -> bytes:
    both.number += 1
    return _octets(
        [
            "OPTIONS sip:biloxi.test SIP/2.0",
            both.caller.via(both.number),
            "Max-Forwards: 70",
            "From: <sip:alice@atlanta.test>;tag=a",
            "To: <sip:biloxi.test>",
            "Call-ID: o",
            "CSeq: 1 OPTIONS",
        ]
    )


# Who sends it, by what, and how it is made.
_RINGS = ("callee", partial(reply, "180 Ringing"))
_TAKES = ("callee", partial(reply, "200 OK"))
_INVITE = ("caller", partial(first, "INVITE"))
_CALL = (_INVITE, _RINGS, _TAKES)
_BETWEEN: tuple[tuple[str, Callable[[Both], bytes]], ...] = (
    _INVITE, _RINGS, _TAKES, _TAKES, ("caller", partial(first, "CANCEL")),
    ("caller", partial(first, "MESSAGE")),
    ("callee", partial(reply, "100 Trying")), ("callee", partial(reply, "486 Busy Here")),
    ("callee", partial(reply, "503 Gone")), ("callee", partial(reply, "302 Moved")),
    ("callee", partial(reply, "200 OK", contact="sip:bob@10.0.0.2:5060")),
    ("caller", _refused), ("caller", _probe),
    ("caller", partial(within, "INFO", joined=True)), ("caller", partial(within, "INVITE", joined=False)),
    ("callee", partial(back, "BYE", joined=True)), ("callee", partial(back, "ACK", joined=True)),
)  # fmt: skip


def _phone(chance: Random, user: str, host: str) -> Party:
    kind = chance.choice(("udp", "tcp", "tcp", "tcp", "tls"))
    port = PORTS[kind]
    source = (host, chance.choice((port, 40000, 40000)))
    local = chance.choice(((host, port), (host, port), ("10.0.0.7", 5060), (host, 40000)))
    params = chance.choice(
        ("", "", f";transport={kind}", f";transport={kind}", ";x=y", ";ob", ";transport=TCP")
    )
    by = chance.choice((kind, kind, kind, "udp"))
    rport = source[0] != local[0] or chance.random() < 0.5
    return Party(user, kind, source, local, rport, by, params)


def play(seed: int, names: tuple[str, ...] = tuple(CONFIGS), most: int = 2) -> Play:
    """Play what ``seed`` says on both stacks, and assert that they act alike."""
    chance = Random(seed)
    done = Play(seed, chance.choice(names))
    caller, callee = _phone(chance, "alice", "192.0.2.1"), _phone(chance, "bob", "192.0.2.2")
    both = Both(chance, done, caller, callee)
    data = register("callee", both)
    both.give(callee, data, None if callee.registers_by == callee.kind else 0, callee.registers_by)
    if chance.random() < 0.4:
        both.give(caller, register("caller", both), None if caller.registers_by == caller.kind else 0)
    joined = chance.random() < 0.7
    ends = (
        partial(within, "BYE", joined=joined)
        if chance.random() < 0.6
        else partial(back, "BYE", joined=joined)
    )
    by = "caller" if ends.func is within else "callee"
    last = ("callee" if by == "caller" else "other", partial(reply, "200 OK"))
    makes = [*_CALL, ("caller", partial(within, "ACK", joined=joined)), (by, ends), last]
    rides = done.name == "calls"
    for _ in range(0 if rides else chance.choice((0, 0, 1, 2, 4))):
        makes.insert(chance.randrange(len(makes) + 1), chance.choice(_BETWEEN))
    held = b""
    for who, make in makes:
        phone = caller if who == "caller" else callee
        if who == "other":
            # The caller answers the BYE of the callee.
            phone = caller
            both.caller, both.callee = callee, caller
            data = make(both)
            both.caller, both.callee = caller, callee
        else:
            data = make(both)
        if chance.random() < 0.25 and not rides:
            data = spell(data, chance, chance.randint(1, most))
        conn = None
        if data.startswith(b"SIP") or phone.kind == "udp":
            # An answer goes back by the connection that the request came by.
            conn = phone.asked[1] if data.startswith(b"SIP") else 0
            if conn and conn not in both.open:
                conn = None
        if chance.random() < 0.5 and conn is None and data.startswith((b"ACK", b"OPTIONS")):
            # Pipelined with what follows: no timers fire together, whose order would be chance.
            held += data
            continue
        both.give(phone, held + data if conn is None and phone is caller else data, conn)
        held = b""
        _happens(both, chance)
        quick, long = both.held(False)
        assert quick == long, f"seed {seed}, {done.name}: {done.messages[-1]}"
    both.wait(400.0)
    quick, long = both.held(True)
    assert quick == long, f"seed {seed}, {done.name}: at the end"
    return done


def _happens(both: Both, chance: Random) -> None:
    """Let time pass, or a connection end."""
    if chance.random() < 0.3:
        both.done.messages.append("time")
        both.wait(chance.choice((0.3, 0.7, 0.7, 5.0, 25.0, 40.0, 200.0)))
    if chance.random() < 0.06 and both.open:
        conn = chance.choice(sorted(both.open))
        both.done.messages.append(f"connection {conn} ends")
        both.end(conn)


def main() -> None:
    """Play for a while."""
    play_on(lambda seed: play(seed).yes, words(__doc__).parse_args())


if __name__ == "__main__":
    main()
