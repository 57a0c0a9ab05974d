"""The shortcut for OPTIONS and REGISTER does what the default route does, octet for octet, or nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip import ListenerConfig, Stack, StackConfig
from sansip.actions import Ask, SendDatagram
from sansip.auth import AuthConfig, Lookup, compute_response, ha1
from sansip.config import Reconfiguration
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
from sansip.module import Module, Use
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
        briefs = Briefs(self.brief, Shortcut(self.brief), self.brief.reception.allows)
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


def test_it_takes_ordinary_requests() -> None:
    """If it took none, the comparisons below would prove nothing."""
    pair = Pair()
    pair.feed(message("OPTIONS", to="<sip:biloxi.test>"))
    pair.feed(message(more=(CONTACT,), branch="z9hG4bK2"))
    pair.feed(message(more=(CONTACT, "Expires: 600", "User-Agent: x"), number=2, branch="z9hG4bK3"))
    pair.feed(message(more=(f"{CONTACT};expires=60",), number=3, branch="z9hG4bK4"), BEHIND_NAT)
    assert pair.taken.count == 4
    assert pair.briefs.count == 4
    # A retransmission is for the transaction.
    pair.feed(message(more=(f"{CONTACT};expires=60",), number=3, branch="z9hG4bK4"), BEHIND_NAT)
    assert pair.taken.count == 4
    # Timer J.
    pair.feed(message("OPTIONS", branch="z9hG4bK5"), after=33.0)
    assert pair.short.snapshot()["server_transactions"] == 0


URIS = (
    "sip:biloxi.test",
    "sip:BILOXI.test",
    "sip:biloxi.test:5060",
    "sip:biloxi.test;transport=udp",
    "sip:192.0.2.1:5060",
    "sip:192.0.2.1:5099",
    "sips:biloxi.test",
    "sip:bob@biloxi.test",
    "sip:elsewhere.test",
    "sip:biloxi.test;maddr=192.0.2.9",
    "sip:biloxi.test;%6daddr=192.0.2.9",
    "sip:bob@biloxi.test;gr=x",
    "tel:+1",
)
TOS = (
    "<sip:bob@biloxi.test>",
    "sip:bob@biloxi.test",
    '"B \\"x\\"" <sip:bob@biloxi.test;user=phone>',
    "<sip:b%6fb@biloxi.test>;x=1",
    "<sip:bob@biloxi.test>;tag=9",
    "<sip:biloxi.test>",
    "<sips:bob@biloxi.test>",
    "<sip:bob@elsewhere.test>",
    "<sip:bob@192.0.2.1>",
    "<tel:+1>",
)
VIAS = (
    "SIP/2.0/UDP 192.0.2.7:5060;branch={};rport",
    "SIP/2.0/UDP 192.0.2.7:5060;branch={}",
    "SIP/2.0/UDP 192.0.2.7;rport;branch={}",
    "SIP/2.0/UDP 10.0.0.7:5099;branch={}",
    "SIP/2.0/UDP 10.0.0.7:5060;branch={};rport",
    "SIP/2.0/UDP phone.test;branch={};received=192.0.2.99",
    "SIP/2.0/UDP 192.0.2.7:5060;branch={}, SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx",
    "SIP/2.0/UDP 192.0.2.1:5060;branch={}",
    "SIP/2.0/UDP 192.0.2.7:5060;branch=old{};maddr=192.0.2.8",
)
CONTACTS = (
    "sip:bob@192.0.2.7:5060",
    "sip:bob@192.0.2.7:5060;transport=udp",
    "sip:bob@192.0.2.7:5060;transport=TCP",
    "sip:bob@192.0.2.7:5060;maddr=192.0.2.1",
    "sip:bob@192.0.2.7:5060;a=1;b=2",
    "sip:bob@10.0.0.7:5060",
    "sip:bob@PHONE.test",
    "sip:bob@192.0.2.1:5060",
    "sip:bob@192.0.2.1:5099",
    "sip:bob@192.0.2.1:5061;transport=tls",
    "sip:bob@biloxi.test",
    "sip:bob@127.0.0.1:5070",
    "sip:bob@localhost.",
    "sip:bob@224.0.1.75",
    "sip:b%6fb@192.0.2.7:5060",
    "sips:bob@192.0.2.7",
    "tel:+1",
    "mailto:bob@biloxi.test",
    "http://biloxi.test",
)
AFTER = (
    "",
    ";expires=0",
    ";expires=5",
    ";expires=60",
    ";expires=999999999",
    ";Expires=60",
    "; expires=60",
    ";expires=x",
    ";q=0.5",
    ";tag=x",
    ";expires=60;expires=70",
    ';+sip.instance="<urn:uuid:1>"',
    ';+sip.instance="<urn:uuid:1>";reg-id=1',
    ";mobility=fixed",
    ", <sip:second@192.0.2.8>",
)
MORE = (
    "Expires: 0",
    "Expires: 30",
    "Expires: soon",
    "Expires: 99999999999",
    "Expires: 30\r\n ",
    "User-Agent: phone",
    "User-Agent: " + "ä" * 200,
    "Supported: path, outbound, gruu",
    "Supported: GRUU",
    "k: path",
    "Require: gruu",
    "Require: no-such",
    "Proxy-Require: no-such",
    "Path: <sip:192.0.2.50;lr>",
    "Route: <sip:192.0.2.1;lr>",
    "Route: <sip:elsewhere.test;lr>",
    "Authorization: Digest x",
    "P-Asserted-Identity: <sip:alice@biloxi.test>",
    "X-Own: 1",
    "Max-Breadth: 0",
    "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKabc",
    "m: <sip:third@192.0.2.9>",
    "Timestamp: 5",
)
HOPS = ("Max-Forwards: 70", "max-forwards : 1", "Max-Forwards: 0", "")
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

ordinary = st.sampled_from
# The ordinary value comes often: with many odd ones at once no request would be taken.
request = st.fixed_dictionaries(
    {
        "method": ordinary(("REGISTER", "REGISTER", "REGISTER", "OPTIONS", "MESSAGE")),
        "uri": st.one_of(st.just(URIS[0]), ordinary(URIS)),
        "to": st.one_of(st.just(TOS[0]), ordinary(TOS)),
        "number": st.integers(1, 6),
        "branch": st.integers(1, 40).map("z9hG4bK{}".format),
        "call_id": ordinary(("one@192.0.2.7", "two")),
        "via": st.one_of(st.just(VIAS[0]), ordinary(VIAS)),
        "hops": st.one_of(st.just(HOPS[0]), ordinary(HOPS)),
    }
)
contact = st.tuples(
    st.one_of(ordinary(CONTACTS[:3]), ordinary(CONTACTS)),
    st.one_of(st.just(""), st.just(";expires=60"), ordinary(AFTER)),
    ordinary(("<{}>{}", '"Bob" <{}>{}', "<{}>{}", "{}{}")),
)


@given(
    st.sampled_from(sorted(CONFIGS)),
    st.lists(
        st.tuples(
            request,
            st.lists(contact, max_size=1),
            st.one_of(st.just(()), st.lists(ordinary(MORE), max_size=2).map(tuple)),
            ordinary((PHONE, PHONE, BEHIND_NAT, LOCAL)),
            ordinary((0.0, 0.3, 1.0, 70.0)),
        ),
        min_size=1,
        max_size=8,
    ),
)
@settings(max_examples=400, deadline=None)
def test_it_does_what_the_route_does(name: str, inputs: list[Any]) -> None:
    """Any sequence of requests gives the same actions, bindings, transactions and timers."""
    pair = Pair(CONFIGS[name])
    for given_request, contacts, more, source, after in inputs:
        lines = tuple(f"Contact: {form.format(uri, behind)}" for uri, behind, form in contacts)
        pair.feed(message(**given_request, more=(*lines, *more)), source, after)


@pytest.mark.parametrize("name", sorted(CONFIGS))
@pytest.mark.parametrize("line", MORE)
def test_each_further_field(name: str, line: str) -> None:
    """A field that makes the route decide otherwise does so with the shortcut too."""
    pair = Pair(CONFIGS[name])
    pair.feed(message(more=(CONTACT,)))
    pair.feed(message(more=(CONTACT, line), number=2, branch="z9hG4bK2"))
    pair.feed(message("OPTIONS", more=(line,), branch="z9hG4bK3"))


@pytest.mark.parametrize("behind", AFTER)
@pytest.mark.parametrize("uri", CONTACTS)
def test_each_contact(uri: str, behind: str) -> None:
    """Contacts that must not be bound, and those with values of their own."""
    pair = Pair()
    for number, source in enumerate((PHONE, BEHIND_NAT, LOCAL), 1):
        pair.feed(
            message(more=(f"Contact: <{uri}>{behind}",), number=number, branch=f"z9hG4bK{number}"), source
        )


HOME = "SIP/2.0/UDP 10.0.0.7:5060;branch={};rport"
AT_HOME = "Contact: <sip:bob@10.0.0.7:5060>"


@pytest.mark.parametrize("name", ["plain", "wall", "durable", "shared"])
@pytest.mark.parametrize("params", ["", ";transport=udp", ";line=4"])
def test_a_phone_behind_a_nat_is_registered_from_octets(name: str, params: str) -> None:
    """Such phones register once a minute, to keep their NAT open: nearly all REGISTERs are theirs."""
    pair = Pair(CONFIGS[name])
    pair.store.faults = False
    line = AT_HOME.replace(">", f"{params}>")
    for number in range(1, 4):
        pair.feed(message(via=HOME, more=(line,), number=number, branch=f"z9hG4bK{number}"), BEHIND_NAT, 60.0)
        assert pair.briefs.count == number
    [binding] = pair.brief.location.lookup("sip:bob@biloxi.test", pair.now)
    assert binding.received is not None
    assert binding.received.address == BEHIND_NAT
    # RFC 3581: from another port of its NAT.
    pair.feed(message(via=HOME, more=(line,), number=9, branch="z9hG4bK9"), (BEHIND_NAT[0], 40001))
    assert pair.briefs.count == 4
    [binding] = pair.brief.location.lookup("sip:bob@biloxi.test", pair.now)
    assert binding.received is not None
    assert binding.received.port == 40001


@pytest.mark.parametrize("name", ["plain", "wall", "rport"])
@pytest.mark.parametrize("via", [VIAS[0], VIAS[1], VIAS[2], HOME, HOME.replace("10.0.0.7", "phone.test")])
@pytest.mark.parametrize(
    "uri",
    [
        *("sip:bob@10.0.0.7:5060", "sip:bob@10.0.0.7:5099", "sip:bob@192.0.2.7", "sip:bob@192.0.2.9:40000"),
        *("sip:bob@10.0.0.7:5060;transport=tcp", "sip:bob@phone.test", "sip:192.0.2.7@10.0.0.7:5060"),
        *("sip:reg-id@192.0.2.7:5060", "sip:bob@198.51.100.9:40000", "sip:bob@10.0.0.7:5060;ob"),
    ],
)
def test_where_a_nat_may_be_in_between(name: str, via: str, uri: str) -> None:
    """RFC 3581, 18.2.1: what a Via and a Contact say of their sender, from each place."""
    pair = Pair(CONFIGS[name])
    more = (f"Contact: <{uri}>",)
    for number, source in enumerate((PHONE, BEHIND_NAT, ("10.0.0.7", 5060), ("10.0.0.8", 40000)), 1):
        pair.feed(message(via=via, more=more, number=number, branch=f"z9hG4bK{number}"), source)


def test_another_contact_of_the_same_user() -> None:
    """Two phones of one user: both stay, the 200 lists them by rank."""
    pair = Pair(CONFIGS["wall"])
    pair.feed(message(more=(CONTACT,)))
    second = "Contact: <sip:bob@192.0.2.8:5060>"
    pair.feed(message(more=(second,), call_id="two", branch="z9hG4bK2"), ("192.0.2.8", 5060))
    before = pair.taken.count
    pair.feed(message(more=(CONTACT,), number=2, branch="z9hG4bK3"))
    pair.feed(message(more=(second,), call_id="two", number=2, branch="z9hG4bK4"), ("192.0.2.8", 5060))
    assert pair.taken.count == before + 2
    assert [one.contact for one in pair.short.location.lookup("sip:bob@biloxi.test", pair.now)] == [
        "sip:bob@192.0.2.8:5060",
        "sip:bob@192.0.2.7:5060",
    ]


class Asked(Module):
    """Sees each new request."""

    name = "asked"
    seen = 0

    def request_received(self, request: Any) -> bool:
        self.seen += 1
        return False


def test_modules_see_everything() -> None:
    """A module whose hook sees requests sees those as well; so the shortcut is not taken."""
    pair = Pair(lambda: config(modules=[Use(Asked)]))
    pair.feed(message(more=(CONTACT,)))
    pair.feed(message("OPTIONS", branch="z9hG4bK2"))
    assert pair.taken.count == pair.briefs.count == 0
    assert [next(iter(stack.modules)).seen for stack in pair.stacks] == [2, 2, 2]


class AskedOfInvites(Module):
    """Acts on INVITEs, and says so."""

    name = "asked_of_invites"
    methods = frozenset(("INVITE",))

    def request_received(self, request: Any) -> bool:
        return False

    def response_leaving(self, request: Any, response: Any) -> None: ...


@pytest.mark.parametrize("kind", [AskedOfInvites, Keepalive, Calls])
def test_modules_that_act_on_other_methods(kind: type[Module]) -> None:
    """A usual server has some of those: its OPTIONS and REGISTERs are answered as fast."""
    pair = Pair(lambda: config(modules=[Use(kind)]))
    pair.feed(message(more=(CONTACT,)))
    pair.feed(message(more=(CONTACT,), number=2, branch="z9hG4bK2"))
    pair.feed(message("OPTIONS", branch="z9hG4bK3"))
    # The first input starts the modules.
    assert (pair.taken.count, pair.briefs.count) == (3, 2)


def test_a_route_of_ones_own_decides() -> None:
    """The shortcut stands for the default route alone."""
    pair = Pair(lambda: config(route=lambda request: request.reply(486)))
    pair.feed(message(more=(CONTACT,)))
    assert pair.taken.count == pair.briefs.count == 0


def test_it_follows_new_settings() -> None:
    """After a reload the answers have the new values (RFC 3261 10.3)."""
    pair = Pair()
    for stack in pair.stacks:
        change = Reconfiguration(
            server_name="other", registrar=RegistrarConfig(path="ignore", max_expires=4000)
        )
        stack.configure(change, 1000.0)
    pair.feed(message(more=(CONTACT,)))
    pair.feed(message("OPTIONS", branch="z9hG4bK2"))
    for stack in pair.stacks:
        stack.configure(Reconfiguration(server_name="", domains=["atlanta.test"]), pair.now)
    pair.feed(message(more=(CONTACT,), number=2, branch="z9hG4bK3"))
    pair.feed(message("OPTIONS", branch="z9hG4bK4"))
    pair.feed(message("OPTIONS", "sip:atlanta.test", branch="z9hG4bK5"))
    assert pair.taken.count == pair.briefs.count == 3


def test_a_server_that_drains_takes_no_more() -> None:
    """RFC 3261 21.5.4: 503, as from the route."""
    pair = Pair()
    for stack in pair.stacks:
        stack.drain(1000.0)
    pair.feed(message("OPTIONS"))
    assert pair.taken.count == pair.briefs.count == 0


def ok(pair: Pair, actions: list[Any]) -> bool:
    """Whether the actions, and what follows the answers of the store, have a 200."""
    return any(getattr(one, "data", b"").startswith(b"SIP/2.0 200") for one in pair.answer(actions))


@pytest.mark.parametrize("name", ["durable", "shared"])
def test_a_store_has_a_say(name: str) -> None:
    """The 200 leaves after the store has the binding, made of the octets that came."""
    pair = Pair(CONFIGS[name])
    pair.store.faults = False
    for number in range(1, 4):
        pair.feed(message(more=(CONTACT, "Expires: 600"), number=number, branch=f"z9hG4bK{number}"))
    assert pair.briefs.count == 3
    assert pair.store.writes == 3
    assert pair.brief.location.lookup("sip:bob@biloxi.test", pair.now)[0].cseq == 3


@pytest.mark.parametrize("name", ["durable", "shared"])
def test_retransmitted_while_the_store_is_asked(name: str) -> None:
    """RFC 3261 17.2.2: it is absorbed; a 100 after a while (RFC 4320 4.1), then the 200."""
    pair = Pair(CONFIGS[name])
    pair.store.faults = False
    data = message(more=(CONTACT,))
    answer, pair.answer = pair.answer, lambda actions: actions  # type: ignore[method-assign]  # later
    (asked,) = [one for one in pair.feed(data) if isinstance(one, Ask)]
    assert pair.feed(data, after=0.5) == []
    late = pair.feed(message("OPTIONS", branch="z9hG4bK9"), after=5.0)
    assert late
    assert pair.brief.snapshot()["server_transactions"] == 1
    pair.answer = answer  # type: ignore[method-assign]  # as it was
    assert ok(pair, [asked])
    assert [type(one) for one in pair.feed(data)] == [SendDatagram]


def proof(pair: Pair, branch: str, **changes: str) -> str:
    """Return Authorization for a REGISTER of bob, answering a challenge got with ``branch``."""
    actions = pair.feed(message(more=(CONTACT,), branch=branch), after=0.1)
    (challenge,) = [one.data for one in actions if isinstance(one, SendDatagram)]
    assert challenge.startswith(b"SIP/2.0 401 ")
    nonce = re.findall(r'nonce="([^"]+)"', challenge.decode())[-1]
    return answered(nonce, **changes)


def answered(nonce: str, **changes: str) -> str:
    values = {"username": "bob", "realm": "biloxi.test", "uri": "sip:biloxi.test", "nc": "00000001"}
    values |= {"cnonce": "c", "qop": "auth", "algorithm": "MD5", "password": "secret"} | changes
    key = ha1(values["username"], values["realm"], values.pop("password"), values["algorithm"])
    values["response"] = compute_response(
        key,
        "REGISTER",
        values["uri"],
        nonce,
        algorithm=values["algorithm"],
        qop=values["qop"],
        nc=values["nc"],
        cnonce=values["cnonce"],
    )
    values["nonce"] = nonce
    bare = ("nc", "qop", "algorithm")
    pairs = [f"{name}={value}" if name in bare else f'{name}="{value}"' for name, value in values.items()]
    return f"Authorization: Digest {', '.join(pairs)}"


PROTECTED = ("auth", "auth durable", "auth shared")


@pytest.mark.parametrize("name", PROTECTED)
def test_digest_behind_a_nat(name: str) -> None:
    """As below, of a phone that is reached at its source alone."""
    pair = Pair(CONFIGS[name])
    pair.store.faults = False
    actions = pair.feed(message(via=HOME, more=(AT_HOME,), branch="z9hG4bK1"), BEHIND_NAT)
    (challenge,) = [one.data for one in actions if isinstance(one, SendDatagram)]
    line = answered(re.findall(r'nonce="([^"]+)"', challenge.decode())[-1])
    pair.feed(message(via=HOME, more=(AT_HOME, line), number=2, branch="z9hG4bK2"), BEHIND_NAT)
    assert pair.briefs.count == 2
    [binding] = pair.brief.location.lookup("sip:bob@biloxi.test", pair.now)
    assert binding.received is not None
    assert binding.received.address == BEHIND_NAT


@pytest.mark.parametrize("name", PROTECTED)
def test_digest(name: str) -> None:
    """Challenged and admitted from the octets: nonces, counts, answers and proofs are the route's."""
    pair = Pair(CONFIGS[name])
    pair.store.faults = False
    line = proof(pair, "z9hG4bK1")
    assert pair.briefs.count == 1
    pair.feed(message(more=(CONTACT, line), number=2, branch="z9hG4bK2"))
    assert pair.briefs.count == 2
    assert pair.brief.location.lookup("sip:bob@biloxi.test", pair.now)
    # RFC 7616 3.4: the same count again is a replay.
    pair.feed(message(more=(CONTACT, line), number=3, branch="z9hG4bK3"))
    assert pair.briefs.count == 2
    nonce = re.findall(r' nonce="([^"]+)"', line)[0]
    pair.feed(message(more=(CONTACT, answered(nonce, nc="00000002")), number=4, branch="z9hG4bK4"))
    assert pair.briefs.count == 3
    assert pair.brief.location.lookup("sip:bob@biloxi.test", pair.now)[0].cseq == 4
    # Too old by then: challenged anew, by the route.
    pair.feed(message(more=(CONTACT, answered(nonce, nc="00000003")), branch="z9hG4bK5"), after=400.0)
    assert pair.briefs.count == 3


@pytest.mark.parametrize("name", PROTECTED)
@pytest.mark.parametrize(
    ("uri", "briefly"),
    [
        # SIPp, and some phones, hash the address that they send to.
        ("sip:127.0.0.1:5060", False),
        ("sip:192.0.2.1:5060", True),
        ("sip:192.0.2.1", True),
        ("sip:BILOXI.test:5060;transport=udp", True),
        # RFC 3261 10.2: a REGISTER is for no user, and some phones hash their own address.
        ("sip:bob@biloxi.test", True),
        ("sip:elsewhere.test", False),
        ("sip:biloxi.test;maddr=192.0.2.99", False),
        ("biloxi.test", False),
    ],
)
def test_uri_in_another_spelling(name: str, uri: str, briefly: bool) -> None:
    """RFC 7616 3.4.6: another spelling of the same thing is proved from the octets, and nothing else is."""
    pair = Pair(CONFIGS[name])
    pair.store.faults = False
    line = proof(pair, "z9hG4bK1", uri=uri)
    pair.feed(message(more=(CONTACT, line), number=2, branch="z9hG4bK2"))
    assert pair.briefs.count == 1 + briefly


ODD_PROOFS: tuple[dict[str, str], ...] = (
    {"password": "wrong"},
    {"username": "carol"},
    {"username": "bob@biloxi.test"},
    {"realm": "elsewhere.test"},
    {"uri": "sip:biloxi.test:5060"},
    {"uri": "sip:carol@biloxi.test"},
    {"algorithm": "SHA-256"},
    {"algorithm": "SHA-512-256"},
    {"algorithm": "MD5-sess"},
    {"qop": "auth-int"},
    {"nc": "1"},
    {"cnonce": ""},
)


@pytest.mark.parametrize("name", PROTECTED)
@pytest.mark.parametrize("changes", ODD_PROOFS, ids=str)
def test_other_credentials(name: str, changes: dict[str, str]) -> None:
    """Wrong ones get what the route gives them, ban included; odd ones are read by the route."""
    pair = Pair(CONFIGS[name])
    line = proof(pair, "z9hG4bK1", **changes)
    for number in range(2, 16):
        pair.feed(message(more=(CONTACT, line), number=number, branch=f"z9hG4bK{number}"))
    right = proof(pair, "z9hG4bK20")
    pair.feed(message(more=(CONTACT, right), number=30, branch="z9hG4bK21"))


@pytest.mark.parametrize("name", PROTECTED)
@pytest.mark.parametrize(
    "lines",
    [
        ("{}", "{}"),
        ("{}", 'Authorization: Digest realm="x", nonce="y"'),
        ('Authorization: Digest realm="x", nonce="y"', "{}"),
        ("{}", "Proxy-{}"),
        ("authorization{rest}",),
        ("Authorization{rest},",),
        ("Authorization : {bare}",),
        ("Authorization:{bare}",),
        ("Authorization: Basic Ym9iOnNlY3JldA==",),
        ("Authorization: Bearer abc",),
        ("Authorization:",),
        ("Authorizations: x",),
        ("X-Text: Authorization: Digest", "{}"),
    ],
    ids=str,
)
def test_other_fields_of_credentials(name: str, lines: tuple[str, ...]) -> None:
    """Two fields, other schemes and spellings: what an attacker could try is what the route makes of it."""
    pair = Pair(CONFIGS[name])
    line = proof(pair, "z9hG4bK1")
    rest = line.removeprefix("Authorization")
    bare = rest.removeprefix(": ")
    more = tuple(one.format(line, rest=rest, bare=bare) for one in lines)
    pair.feed(message(more=(CONTACT, *more), number=2, branch="z9hG4bK2"))
    pair.feed(message("OPTIONS", more=more, branch="z9hG4bK3"))


@pytest.mark.parametrize("name", PROTECTED)
def test_another_user_of_the_domain(name: str) -> None:
    """The password of bob registers nobody else, and an answer for another method nothing."""
    pair = Pair(CONFIGS[name])
    line = proof(pair, "z9hG4bK1")
    pair.feed(message(to="<sip:carol@biloxi.test>", more=(CONTACT, line), number=2, branch="z9hG4bK2"))
    assert not pair.brief.location.lookup("sip:carol@biloxi.test", pair.now)
