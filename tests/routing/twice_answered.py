"""Stacks that answer OPTIONS and REGISTER in brief and on the long way, and what they are told alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sansip import ListenerConfig, Stack, StackConfig
from sansip.actions import Ask
from sansip.auth import AuthConfig, Lookup, ha1
from sansip.limits import Limits
from sansip.location import (
    Binding,
    Heartbeat,
    LocationUpdate,
    NodeConfig,
    SharedRead,
    SharedRecord,
    SharedWrite,
)
from sansip.module import Use
from sansip.modules.calls import Calls
from sansip.modules.keepalive import Keepalive
from sansip.proxy import ProxyConfig
from sansip.registrar import RegistrarConfig
from sansip.routing import TrustedPeer
from sansip.routing.briefs import Briefs
from sansip.routing.shortcut import Shortcut
from sansip.transport import Resolve

PHONE = ("192.0.2.7", 5060)
BEHIND_NAT = ("198.51.100.9", 40000)
LOCAL = ("127.0.0.1", 5070)


def config(**changes: Any) -> StackConfig:
    return replace(StackConfig([ListenerConfig(0, "udp", "192.0.2.1", 5060)], ["biloxi.test"]), **changes)


class Counted:
    """Counts the requests that a shortcut has answered (what is compiled has no classes derived from it)."""

    def __init__(self, shortcut: Any) -> None:
        self._shortcut = shortcut
        self.count = 0

    def answers(self, *given: Any) -> bool:
        answered: bool = self._shortcut.answers(*given)
        self.count += answered
        return answered


class Store:
    """What the outside has, and says; the second of each five writes meets another node's, or a fault."""

    def __init__(self) -> None:
        self.records: dict[str, SharedRecord] = {}
        self.writes = 0
        self.faults = True

    def answer(self, question: Any) -> Any:
        if isinstance(question, Lookup):
            return known(question)
        if isinstance(question, SharedRead):
            return self.records.get(question.aor, SharedRecord("", ()))
        if isinstance(question, Heartbeat):
            return [question.node]
        if isinstance(question, Resolve):
            return OSError("no such name")
        self.writes += 1
        fault = self.writes % 5 if self.faults else 1
        if fault == 2:
            return OSError("the disk is full")
        if isinstance(question, LocationUpdate):
            return None
        assert isinstance(question, SharedWrite)
        if fault == 3:
            # Another node was quicker: the same user has another phone there.
            other = Binding(question.aor, "sip:bob@192.0.2.77", 5_000.0, "other", 7, refreshed_at=900.0)
            self.records[question.aor] = SharedRecord(f"other{self.writes:011d}", (other,))
        present = self.records.get(question.aor, SharedRecord("", ()))
        if present.version != question.expected:
            return present
        self.records[question.aor] = SharedRecord(question.version, question.bindings)
        return None


def counted(shortcut: Any) -> Any:
    return Counted(shortcut)


KEYS = {name: ha1("bob", "biloxi.test", "secret", name) for name in ("MD5", "SHA-256")}


def known(lookup: Lookup) -> Mapping[str, str] | None:
    return KEYS if (lookup.username, lookup.realm) == ("bob", "biloxi.test") else None


class Pair:
    """Stacks with the same settings and entropy: without the shortcut, with it, and by octets."""

    def __init__(self, make: Callable[[], StackConfig] = config) -> None:
        self.store = Store()
        self.long = Stack(make(), b"s" * 16)
        self.long.reception.shortcut = self.long.reception.briefs = None
        self.short = Stack(make(), b"s" * 16)
        self.short.reception.briefs = None
        self.taken = counted(Shortcut(self.short))
        self.short.reception.shortcut = self.taken
        # The way by octets, before a message is made.
        self.brief = Stack(make(), b"s" * 16)
        briefs = Briefs(self.brief, Shortcut(self.brief), self.brief.reception)
        self.briefs = counted(briefs)
        self.brief.reception.briefs = self.briefs
        self.now = 1000.0
        for stack in self.stacks:
            stack.recall = known
        if self.long.nodes is not None:
            for stack in self.stacks:
                stack.join(self.now, [])
            self.long.time_passed(self.now)
            self.short.time_passed(self.now)
            self.brief.time_passed(self.now)

    def feed(self, data: bytes, source: tuple[str, int] = PHONE, after: float = 1.0) -> list[Any]:
        """Give both ``data``; return the actions, which are the same."""
        self.now += after
        expected = self.long.datagram_received(0, data, source, self.now)
        fired = self.long.time_passed(self.now)
        for stack in (self.short, self.brief):
            assert stack.datagram_received(0, data, source, self.now) == expected
            assert stack.time_passed(self.now) == fired
            assert stack.location.snapshot() == self.long.location.snapshot()
            assert stack.snapshot() == self.long.snapshot()
            assert stack.next_deadline() == self.long.next_deadline()
            assert stack.reception.rates._buckets == self.long.reception.rates._buckets
        self.answer(expected + fired)
        return expected

    def answer(self, actions: list[Any]) -> list[Any]:
        """Answer the questions in ``actions``, and those that follow; return the other actions."""
        given: list[Any] = []
        while actions:
            action, *actions = actions
            if not isinstance(action, Ask):
                given.append(action)
                continue
            actions += self.answered(action.id, self.store.answer(action.question))
        return given

    def answered(self, number: int, result: Any) -> list[Any]:
        expected = self.long.answer(number, result, self.now)
        for stack in (self.short, self.brief):
            assert stack.answer(number, result, self.now) == expected
            assert stack.location.snapshot() == self.long.location.snapshot()
            assert stack.snapshot() == self.long.snapshot()
        return expected

    @property
    def stacks(self) -> tuple[Stack, ...]:
        return self.long, self.short, self.brief


def message(
    method: str = "REGISTER",
    uri: str = "sip:biloxi.test",
    *,
    to: str = "<sip:bob@biloxi.test>",
    number: int = 1,
    branch: str = "z9hG4bK1",
    call_id: str = "one@192.0.2.7",
    via: str = "SIP/2.0/UDP 192.0.2.7:5060;branch={};rport",
    more: tuple[str, ...] = (),
    hops: str = "Max-Forwards: 70",
) -> bytes:
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: {via.format(branch)}",
        hops,
        "From: <sip:bob@biloxi.test>;tag=1",
        f"To: {to}",
        f"Call-ID: {call_id}",
        f"CSeq: {number} {method}",
        *more,
        "Content-Length: 0",
    ]
    return "\r\n".join([*[line for line in lines if line], "", ""]).encode()


CONTACT = "Contact: <sip:bob@192.0.2.7:5060>"

CONFIGS: dict[str, Callable[[], StackConfig]] = {
    "plain": config,
    "wall": lambda: config(wall_offset=1e9, server_name=""),
    "registrar": lambda: config(
        wall_offset=1e9,
        registrar=RegistrarConfig(
            min_expires=60,
            max_expires=600,
            default_expires=90,
            max_contacts=2,
            show_received=True,
            gruu=False,
            outbound=False,
            service_route=("<sip:192.0.2.1;lr>", "<sip:192.0.2.2;lr>"),
        ),
    ),
    "few": lambda: config(limits=Limits(aors=1, bindings_per_aor=2, binding_size=60, source_rate=2)),
    "trusted": lambda: config(trusted=[TrustedPeer("192.0.2.7")]),
    "auth": lambda: config(auth=AuthConfig()),
    "auth durable": lambda: config(
        auth=AuthConfig(authentication_info=True, algorithms=("SHA-256", "MD5")), durable=True
    ),
    "auth shared": lambda: config(
        auth=AuthConfig(nonce_lifetime=30.0),
        shared=NodeConfig("192.0.2.1:5060"),
        secret=b"k" * 32,
        wall_offset=1e9,
    ),
    "durable": lambda: config(durable=True),
    "durable few": lambda: config(durable=True, limits=Limits(aors=1, bindings_per_aor=2, binding_size=60)),
    "shared": lambda: config(shared=NodeConfig("192.0.2.1:5060"), secret=b"k" * 32, wall_offset=1e9),
    "rport": lambda: config(proxy=ProxyConfig(force_rport="always", via_maddr="trusted")),
    "keepalive": lambda: config(modules=[Use(Keepalive)]),
    "calls": lambda: config(modules=[Use(Calls)]),
    "crowded": lambda: config(limits=Limits(transactions=4, transactions_reserved=50)),
}
