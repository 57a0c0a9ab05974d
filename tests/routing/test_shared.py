"""Several nodes on one location: no update lost, every phone reached through every node."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.auth import AuthConfig, compute_response, ha1
from sansip.limits import DEFAULT
from sansip.location import NodeConfig, NodeFlow, SharedLocation, SharedRead, SharedWrite
from tests.rig import ALICE, BOB, Out, Rig, only, reply, request, sent, what
from tests.shelf import KEY, Cluster

AOR = "sip:bob@biloxi.test"
DIRECT = "<sip:bob@192.0.2.2>"
NAT = ("203.0.113.5", 40_000)


def registration(
    number: int,
    contact: str = DIRECT,
    source: Any = BOB,
    *,
    expires: int = 600,
    call_id: str = "",
    via: str = "",
) -> bytes:
    """A REGISTER of bob's phone that has ``contact``."""
    return request(
        "REGISTER",
        "sip:biloxi.test",
        source=source,
        branch=f"z9hG4bKr{number}{abs(hash((contact, source)))}",
        via=via or None,
        sender=f"<{AOR}>",
        to=f"<{AOR}>",
        call_id=call_id or contact.strip("<>").partition(";")[0].partition(":")[2],
        cseq=number,
        headers=[("Contact", contact), ("Expires", str(expires))],
    )


def fetch(number: int = 1) -> bytes:
    """A REGISTER without Contact, which asks what is bound (RFC 3261 10.2.3)."""
    return request(
        "REGISTER",
        "sip:biloxi.test",
        branch=f"z9hG4bKf{number}",
        to=f"<{AOR}>",
        sender=f"<{AOR}>",
        cseq=number,
    )


def contacts(outs: list[Out]) -> set[str]:
    """The URIs in the 200."""
    message = only(outs, "200").message
    return {value.partition(">")[0].strip("<") for value in message.get_all("contact")}


class WebPhone:
    """Bob's browser, connected to node ``name``."""

    def __init__(
        self, cluster: Cluster, name: str, contact: str = "<sip:bob@k3v.invalid;transport=ws>"
    ) -> None:
        self.cluster, self.name = cluster, name
        self.contact = contact
        self.rig = cluster.rigs[name]
        self.conn = self.rig.accept(NAT, 2, "ws")

    def send(self, data: bytes) -> list[Out]:
        return [*self.rig.tcp(self.conn, data, boundary=True), *self.cluster.settle(self.name)]

    def register(self, number: int = 1) -> list[Out]:
        via = f"SIP/2.0/WS k3v.invalid;branch=z9hG4bKw{number}"
        return self.send(registration(number, self.contact, via=via))


# --- compare and swap


def test_registered_here_and_found_there() -> None:
    """RFC 3261 10.1: the location is one; any node of the domain finds what any of them bound."""
    cluster = Cluster("a", "b")
    assert contacts(cluster.udp("a", registration(1), BOB)) == {"sip:bob@192.0.2.2"}
    assert sent(cluster.udp("b", request(), ALICE)) == [("100", ALICE), ("INVITE", BOB)]


def test_two_nodes_at_once_lose_nothing() -> None:
    """Both planned from nothing; the later one is told, plans again, and both bindings stand."""
    cluster = Cluster("a", "b")
    a, b = cluster.rigs["a"], cluster.rigs["b"]
    a.udp(registration(1, "<sip:bob@192.0.2.2>"), BOB)
    b.udp(registration(1, "<sip:bob@192.0.2.22>"), ("192.0.2.22", 5060))
    assert contacts(cluster.settle("a")) == {"sip:bob@192.0.2.2"}
    assert contacts(cluster.settle("b")) == {"sip:bob@192.0.2.2", "sip:bob@192.0.2.22"}
    assert len(cluster.shelf.records[AOR].bindings) == 2


def test_two_at_one_node_lose_nothing() -> None:
    """The same between two phones that register while the first is being written."""
    cluster = Cluster("a")
    a = cluster.rigs["a"]
    a.udp(registration(1, "<sip:bob@192.0.2.2>"), BOB)
    a.udp(registration(1, "<sip:bob@192.0.2.22>"), ("192.0.2.22", 5060))
    assert what(cluster.settle("a")) == ["200", "200"]
    assert len(cluster.shelf.records[AOR].bindings) == 2


def test_a_refresh_costs_one_trip() -> None:
    """What a node wrote last it plans from; what another one wrote since costs one more."""
    cluster = Cluster("a", "b")
    for number, name, trips in ((1, "a", 1), (2, "a", 1), (3, "b", 2), (4, "b", 1), (5, "a", 2)):
        before = cluster.shelf.trips
        assert what(cluster.udp(name, registration(number), BOB)) == ["200"]
        assert cluster.shelf.trips - before == trips


def test_an_old_cseq_of_another_node() -> None:
    """RFC 3261 10.3 step 7 holds across nodes: a's memory of CSeq 1 does not let 2 undo b's 3."""
    cluster = Cluster("a", "b")
    cluster.udp("a", registration(1), BOB)
    cluster.udp("b", registration(3), BOB)
    assert what(cluster.udp("a", registration(2), BOB)) == ["500"]
    assert cluster.shelf.records[AOR].bindings[0].cseq == 3


def test_a_fetch_is_never_from_memory() -> None:
    """RFC 3261 10.2.3: what is bound is what stands, no matter who bound it."""
    cluster = Cluster("a", "b")
    cluster.udp("a", registration(1), BOB)
    cluster.udp("b", registration(2, expires=0), BOB)
    assert contacts(cluster.udp("a", fetch(), ALICE)) == set()
    assert AOR not in cluster.shelf.records


def test_a_lost_race_without_end() -> None:
    """Who loses again and again is told to come back (RFC 3261 21.5.4), and nothing is half done."""
    cluster = Cluster("a")
    a = cluster.rigs["a"]
    a.udp(registration(1), BOB)
    outs: list[Out] = []
    for number in range(DEFAULT.change_attempts):
        (ask,) = a.asks
        a.asks.clear()
        assert isinstance(ask.question, SharedWrite)
        others = tuple(replace(one, call_id=f"another-{number}") for one in ask.question.bindings)
        version = cluster.shelf.answer(SharedRead(AOR)).version
        assert cluster.shelf.answer(SharedWrite(AOR, version, f"{number:016d}", others)) is None
        outs = a.answer(cluster.shelf.answer(ask.question), ask)
    assert what(outs) == ["503"]
    assert outs[0].message.get("retry-after")
    assert a.asks == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.booleans()), min_size=2, max_size=12),
    st.randoms(),
)
def test_any_interleaving_is_some_order(steps: list[tuple[str, int, bool]], chance: Any) -> None:
    """Whatever the order of trips, what stands is what the acknowledged requests left, each once.

    Five phones, each with its own contact, register and unregister through three
    nodes; the questions are answered in any order. A phone's last acknowledged
    request decides alone whether it is bound: nobody else's update touches it.
    """
    cluster = Cluster("a", "b", "c")
    last: dict[int, bool] = {}
    waiting: dict[tuple[str, str], tuple[int, bool]] = {}
    busy: set[int] = set()

    def take(name: str, outs: list[Out]) -> None:
        for out in outs:
            phone, bound = waiting.pop((name, str(out.to)))
            assert out.what == "200"
            last[phone] = bound
            busy.discard(phone)

    def one_answer() -> None:
        open_at = [name for name, rig in cluster.rigs.items() if rig.asks]
        if not open_at:
            # Nodes that wrote a few times in a row leave the others some room.
            for name, rig in cluster.rigs.items():
                take(name, rig.wait(0.25))
            return
        name = chance.choice(open_at)
        rig = cluster.rigs[name]
        ask = rig.asks.pop(chance.randrange(len(rig.asks)))
        take(name, rig.answer(cluster.shelf.answer(ask.question), ask))

    for number, (name, phone, bound) in enumerate(steps, 1):
        while phone in busy:
            one_answer()
        source = (f"192.0.2.{100 + phone}", 5060)
        busy.add(phone)
        waiting[name, str(source)] = (phone, bound)
        data = registration(number, f"<sip:bob@{source[0]}>", source, expires=600 if bound else 0)
        take(name, cluster.rigs[name].udp(data, source))
        if chance.random() < 0.3:
            one_answer()
    while busy:
        one_answer()
    record = cluster.shelf.records.get(AOR)
    held = set() if record is None else {one.contact for one in record.bindings}
    assert held == {f"sip:bob@192.0.2.{100 + phone}" for phone, bound in last.items() if bound}
    assert record is None or len(record.bindings) == len(held)


# --- the store is gone


def test_without_the_store_known_bindings_are_served() -> None:
    """Issue 5: registrations get 503 with Retry-After, calls to users that this node knows go on."""
    cluster = Cluster("a", "b")
    cluster.udp("a", registration(1), BOB)
    cluster.shelf.down = True
    refused = cluster.udp("a", registration(2), BOB)
    assert what(refused) == ["503"]
    assert refused[0].message.get("retry-after")
    assert what(cluster.udp("a", fetch(2), ALICE)) == ["503"]
    assert sent(cluster.udp("a", request(branch="z9hG4bK1"), ALICE)) == [("100", ALICE), ("INVITE", BOB)]
    # Node b never heard of bob, and others may have: RFC 3261 21.5.4, RFC 3263 4.3.
    unknown = cluster.udp("b", request(branch="z9hG4bK2"), ALICE)
    assert what(unknown) == ["503"]
    assert unknown[-1].message.get("retry-after")
    cluster.shelf.down = False
    assert what(cluster.udp("a", registration(3), BOB)) == ["200"]


def test_what_was_called_is_known() -> None:
    """A lookup leaves its answer in memory, too."""
    cluster = Cluster("a", "b")
    cluster.udp("a", registration(1), BOB)
    cluster.udp("b", request(branch="z9hG4bK1"), ALICE)
    cluster.shelf.down = True
    assert ("INVITE", BOB) in sent(cluster.udp("b", request(branch="z9hG4bK2", call_id="2"), ALICE))


def test_a_late_lookup_does_not_hide_a_registration() -> None:
    """An answer that was read before a write and arrives after it is not mirrored over it."""
    cluster = Cluster("a")
    a = cluster.rigs["a"]
    a.udp(request(), ALICE)
    (look,) = a.asks
    a.asks.clear()
    old = cluster.shelf.answer(look.question)
    cluster.udp("a", registration(1), BOB)
    assert what(a.answer(old, look)) == ["404"]
    cluster.shelf.down = True
    assert ("INVITE", BOB) in sent(cluster.udp("a", request(branch="z9hG4bK2", call_id="2"), ALICE))


def test_the_mirror_is_bounded() -> None:
    """limits.aors: what does not fit is not remembered, and registered all the same."""
    cluster = Cluster("a", limits={"aors": 1})
    cluster.udp("a", registration(1), BOB)
    other = registration(1).replace(b"bob@biloxi", b"eve@biloxi").replace(b"z9hG4bKr", b"z9hG4bKe")
    assert what(cluster.udp("a", other, BOB)) == ["200"]
    assert len(cluster.rigs["a"].stack.location.snapshot()) == 1
    assert len(cluster.shelf.records) == 2


def test_what_expires_goes_from_memory() -> None:
    """A mirror holds nothing longer than the store does, versions included."""
    cluster = Cluster("a")
    cluster.udp("a", registration(1, expires=60), BOB)
    location = cluster.rigs["a"].stack.location
    assert isinstance(location, SharedLocation)
    cluster.wait("a", 70.0)
    assert (len(location), location.version(AOR)) == (0, "")


# --- flows of other nodes


def call(cluster: Cluster, through: str, towards: str) -> tuple[list[Out], list[Out]]:
    """Alice calls through one node; return what it did, and what the other did with it."""
    outs = cluster.udp(through, request(headers=[("Contact", "<sip:alice@192.0.2.1>")]), ALICE)
    invite = only(outs, "INVITE")
    return outs, cluster.udp(
        towards, invite.data, (f"192.0.2.{10 * (1 + list(cluster.rigs).index(through))}", 5060)
    )


def test_a_browser_is_called_through_any_node() -> None:
    """RFC 5626 5.3: b sends to a with the token of the phone's flow, and a over its connection."""
    cluster = Cluster("a", "b")
    phone = WebPhone(cluster, "a")
    assert what(phone.register()) == ["200"]
    there, here = call(cluster, "b", "a")
    assert only(there, "INVITE").to == ("192.0.2.10", 5060)
    invite = only(here, "INVITE")
    assert invite.to == phone.conn
    assert invite.message.uri_text == "sip:bob@k3v.invalid;transport=ws"
    assert not invite.message.has("route")
    # Both stay on the dialog's path, so that requests from both sides find the way.
    assert [value.count("192.0.2.10") for value in invite.message.get_all("record-route")] == [1, 1, 0]


def test_within_the_dialog_both_ways() -> None:
    """RFC 3261 12.2, 16.12: BYE from alice goes b, a, browser; re-INVITE from bob goes a, b, alice."""
    cluster = Cluster("a", "b")
    phone = WebPhone(cluster, "a")
    phone.register()
    _, here = call(cluster, "b", "a")
    invite = only(here, "INVITE")
    back = phone.send(reply(invite, 200, headers=[("Contact", phone.contact)]))
    answer = only(cluster.udp("b", only(back, "200").data, ("192.0.2.10", 5060)), "200")
    assert answer.to == ALICE
    routes = answer.message.get_all("record-route")
    bye = request(
        "BYE",
        "sip:bob@k3v.invalid;transport=ws",
        branch="z9hG4bKbye",
        to_tag="bob",
        cseq=2,
        headers=[("Route", route) for route in reversed(routes)],
    )
    out = only(cluster.udp("b", bye, ALICE), "BYE")
    assert out.to == ("192.0.2.10", 5060)
    assert only(cluster.udp("a", out.data, ("192.0.2.20", 5060)), "BYE").to == phone.conn
    reinvite = request(
        "INVITE",
        "sip:alice@192.0.2.1",
        via="SIP/2.0/WS k3v.invalid;branch=z9hG4bKre",
        sender="<sip:bob@biloxi.test>",
        from_tag="bob",
        to="<sip:alice@biloxi.test>",
        to_tag="alice",
        headers=[
            ("Contact", phone.contact),
            *(("Route", route) for route in invite.message.get_all("record-route")),
        ],
    )
    out = only(phone.send(reinvite), "INVITE")
    assert out.to == ("192.0.2.20", 5060)
    assert only(cluster.udp("b", out.data, ("192.0.2.10", 5060)), "INVITE").to == ALICE


def test_a_flow_that_was_named() -> None:
    """RFC 5626 7: a phone with reg-id is reached over its flow, through its node, and nowhere else."""
    cluster = Cluster("a", "b")
    rig = cluster.rigs["a"]
    conn = rig.accept(("192.0.2.2", 40_000), 1, "tcp")
    named = '<sip:bob@192.0.2.2:5060;transport=tcp;ob>;+sip.instance="<urn:uuid:1>";reg-id=1'
    data = registration(1, named, via="SIP/2.0/TCP 192.0.2.2;branch=z9hG4bKo")
    rig.tcp(conn, data.replace(b"Expires:", b"Supported: outbound, path\r\nExpires:"))
    assert "200" in what(cluster.settle("a"))
    assert only(call(cluster, "b", "a")[1], "INVITE").to == conn
    cluster.die("a")
    assert what(cluster.udp("b", request(branch="z9hG4bK2", call_id="2"), ALICE)) == ["100", "480"]


def test_a_connection_that_is_gone_fails_at_once() -> None:
    """RFC 5626 5.3.1: a answers 430, and the caller hears 480 without waiting (11.5: never 430)."""
    cluster = Cluster("a", "b")
    phone = WebPhone(cluster, "a")
    phone.register()
    phone.rig.closed(phone.conn)
    _, here = call(cluster, "b", "a")
    failed = only(here, "430")
    outs = cluster.udp("b", failed.data, ("192.0.2.10", 5060))
    assert [out.what for out in outs if out.to == ALICE] == ["480"]


def test_a_dead_node_is_not_waited_for() -> None:
    """Its connections died with it: 480 at once, and its datagrams are anybody's."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    cluster.die("a")
    assert what(cluster.udp("b", request(), ALICE)) == ["100", "480"]
    cluster.udp("b", registration(1), BOB)
    assert sent(cluster.udp("b", request(branch="z9hG4bK2", call_id="2"), ALICE)) == [
        ("100", ALICE),
        ("INVITE", BOB),
    ]


def test_a_node_that_dies_while_it_is_asked() -> None:
    """Refused or silent, ringing or not: who waits hears 480 as soon as it is known, not after 32 s."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    rig = cluster.rigs["b"]
    contact = [("Contact", "<sip:alice@192.0.2.1>")]
    invite = only(cluster.udp("b", request(headers=contact), ALICE), "INVITE")
    assert sent(rig.failed(invite)) == [("480", ALICE)]
    invite = only(cluster.udp("b", request(branch="z9hG4bK2", call_id="2", headers=contact), ALICE), "INVITE")
    rings = request(branch="z9hG4bK3", call_id="3", headers=contact)
    ringing = only(cluster.udp("b", rings, ALICE), "INVITE")
    cluster.udp("b", reply(ringing, 180), ("192.0.2.10", 5060))
    message = request("MESSAGE", branch="z9hG4bK4", call_id="4")
    only(cluster.udp("b", message, ALICE), "MESSAGE")
    cluster.deaf.add("a")
    cluster.shelf.forget("a")
    told = {out.message.call_id for out in cluster.wait("b", 4.0) if out.to == ALICE and out.what == "480"}
    assert told >= {"2", "3", "4"}
    # And nothing is sent there any more.
    assert [out for out in cluster.wait("b", 40.0) if out.to == ("192.0.2.10", 5060)] == []


def test_a_node_in_another_life() -> None:
    """A node that restarted has none of its connections, though it lives and has its name."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    cluster.start("a")
    cluster.wait("b", 2.0)
    assert what(cluster.udp("b", request(), ALICE)) == ["100", "480"]
    assert what(cluster.udp("a", request(), ALICE)) == ["100", "480"]


def test_datagrams_behind_a_nat() -> None:
    """They go through the owner, which the NAT lets pass, while it lives; then from any node."""
    cluster = Cluster("a", "b")
    private = registration(1, "<sip:bob@10.0.0.5:5060>", NAT, via="SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKn")
    assert what(cluster.udp("a", private, NAT)) == ["200"]
    there, here = call(cluster, "b", "a")
    assert only(there, "INVITE").to == ("192.0.2.10", 5060)
    assert only(here, "INVITE").to == NAT
    # The owner's datagrams outlive its process.
    cluster.start("a")
    cluster.wait("b", 2.0)
    assert only(cluster.udp("b", request(branch="z9hG4bK2", call_id="2"), ALICE), "INVITE").to == (
        "192.0.2.10",
        5060,
    )
    cluster.die("a")
    assert only(cluster.udp("b", request(branch="z9hG4bK3", call_id="3"), ALICE), "INVITE").to == NAT


def test_tcp_without_a_nat() -> None:
    """A phone whose Contact is where it came from is connected to when its node died."""
    cluster = Cluster("a", "b")
    rig = cluster.rigs["a"]
    conn = rig.accept(("192.0.2.2", 40_000), 1, "tcp")
    via = "SIP/2.0/TCP 192.0.2.2;branch=z9hG4bKt"
    rig.tcp(conn, registration(1, "<sip:bob@192.0.2.2:5060;transport=tcp>", via=via))
    assert what(cluster.settle("a")) == ["200"]
    assert only(call(cluster, "b", "a")[1], "INVITE").to == conn
    cluster.die("a")
    outs = cluster.udp("b", request(branch="z9hG4bK2", call_id="2"), ALICE)
    assert only(outs, "Connect").to == ("192.0.2.2", 5060)


@pytest.mark.parametrize("through", ["a", "b"])
def test_a_lost_connection_to_a_phone_that_does_not_listen(through: str) -> None:
    """RFC 3261 21.4.18: it may have listened at its Contact, so that was tried; no server failed."""
    cluster = Cluster("a", "b")
    rig = cluster.rigs["a"]
    conn = rig.accept(("192.0.2.2", 40_000), 1, "tcp")
    via = "SIP/2.0/TCP 192.0.2.2;branch=z9hG4bKt"
    rig.tcp(conn, registration(1, "<sip:bob@192.0.2.2:5060;transport=tcp>", via=via))
    cluster.settle("a")
    rig.closed(conn)
    cluster.settle("a")
    outs = cluster.udp(through, request(headers=[("Contact", "<sip:alice@192.0.2.1>")]), ALICE)
    if through == "b":
        outs = cluster.udp("a", only(outs, "INVITE").data, ("192.0.2.20", 5060))
    outs = rig.closed(only(outs, "Connect"), "refused")
    if through == "b":
        # RFC 5626 5.3.1, 11.5: 430 is between the two of us.
        outs = cluster.udp("b", only(outs, "430").data, ("192.0.2.10", 5060))
    assert [out.what for out in outs if out.to == ALICE] == ["480"]


def test_a_token_of_strangers() -> None:
    """RFC 5626 5.3.1: only who has the key writes tokens; a forged one is 403."""
    cluster = Cluster("a")
    forged = request(headers=[("Route", "<sip:f-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA@192.0.2.10:5060;lr>")])
    assert "403" in what(cluster.udp("a", forged, ALICE))


# --- digest


def credentials(challenge: str, method: str, uri: str, user: str, count: int = 1) -> tuple[str, str]:
    """The header field that answers ``challenge``; everybody's password is "wonderland"."""
    nonce = challenge.partition('nonce="')[2].partition('"')[0]
    key = ha1(user, "biloxi.test", "wonderland", "MD5")
    used = f"{count:08x}"
    value = compute_response(key, method, uri, nonce, algorithm="MD5", qop="auth", nc=used, cnonce="c0ffee")
    name = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
    text = f'Digest username="{user}", realm="biloxi.test", nonce="{nonce}", uri="{uri}", response="{value}"'
    return name, f'{text}, algorithm=MD5, qop=auth, nc={used}, cnonce="c0ffee"'


def test_nonces_are_good_at_every_node() -> None:
    """RFC 7616 3.3: a phone that is challenged by one node answers another; who forwards is not asked."""
    users = {"bob", "alice"}
    cluster = Cluster(
        "a",
        "b",
        auth=AuthConfig(algorithms=("MD5",)),
        users=lambda lookup: (
            {"MD5": ha1(lookup.username, "biloxi.test", "wonderland", "MD5")}
            if lookup.username in users
            else None
        ),
        wall_offset=1_700_000_000.0,
        # What a node made after this one began may be new here.
        began=1_700_000_000.0,
    )
    challenged = only(cluster.udp("a", registration(1), BOB), "401").message
    field = credentials(challenged.get("www-authenticate"), "REGISTER", "sip:biloxi.test", "bob")
    phone = WebPhone(cluster, "b")
    data = registration(2, phone.contact, via="SIP/2.0/WS k3v.invalid;branch=z9hG4bKw")
    assert "200" in what(
        phone.send(data.replace(b"Expires:", f"{field[0]}: {field[1]}\r\nExpires:".encode()))
    )
    challenged = only(cluster.udp("b", request(branch="z9hG4bK1"), ALICE), "407").message
    field = credentials(challenged.get("proxy-authenticate"), "INVITE", "sip:bob@biloxi.test", "alice")
    call = request(branch="z9hG4bK2", cseq=2, headers=[("Contact", "<sip:alice@192.0.2.1>"), field])
    invite = only(cluster.udp("a", call, ALICE), "INVITE")
    assert invite.to == ("192.0.2.20", 5060)
    assert only(cluster.udp("b", invite.data, ("192.0.2.10", 5060)), "INVITE").to == phone.conn


# --- the nodes


def test_an_outage_kills_nobody() -> None:
    """While the store is gone the nodes ask each other, and nobody waits for one that is silent."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    cluster.udp("b", request(branch="z9hG4bK0", call_id="0"), ALICE)
    cluster.shelf.down = True
    cluster.wait("b", 60.0)
    assert only(cluster.udp("b", request(), ALICE), "INVITE").to == ("192.0.2.10", 5060)
    cluster.deaf.add("a")
    cluster.wait("b", 4.0)
    assert "480" in what(cluster.udp("b", request(branch="z9hG4bK2", call_id="2"), ALICE))
    # It is there again with the store.
    cluster.shelf.down = False
    cluster.deaf.clear()
    cluster.wait("b", 2.0)
    invite = request(branch="z9hG4bK3", call_id="3")
    assert only(cluster.udp("b", invite, ALICE), "INVITE").to == ("192.0.2.10", 5060)


def test_a_node_that_only_lost_the_store() -> None:
    """Issue 23: it is asked over SIP before it is given up, and its phones are called on."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    cluster.shelf.forget("a")
    cluster.wait("b", 30.0)
    assert only(cluster.udp("b", request(), ALICE), "INVITE").to == ("192.0.2.10", 5060)
    nodes = cluster.rigs["b"].stack.nodes
    assert nodes is not None
    assert [state.name for state in nodes.cut_off] == ["a"]
    cluster.wait("a", 2.0)
    cluster.wait("b", 2.0)
    assert nodes.cut_off == []
    told = [(one.name, one.state) for one in cluster.rigs["b"].events if type(one).__name__ == "NodeChanged"]
    assert told == [("a", "lives"), ("a", "cut off"), ("a", "lives")]


def test_a_node_that_does_not_answer_here() -> None:
    """RFC 3263 4.3: cut off from each other, both with the store: 480 after 5 s, and not after 32."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    cluster.deaf.add("a")
    only(cluster.udp("b", request(), ALICE), "INVITE")
    outs = cluster.wait("b", 40.0)
    assert [(out.what, round(out.time - cluster.rigs["a"].now)) for out in outs if out.what == "480"][:1] == [
        ("480", 5)
    ]
    # The next caller does not wait at all.
    assert what(cluster.udp("b", request(branch="z9hG4bK2", call_id="2"), ALICE)) == ["100", "480"]
    cluster.deaf.clear()
    cluster.wait("b", 2.0)
    again = cluster.udp("b", request(branch="z9hG4bK3", call_id="3"), ALICE)
    assert only(again, "INVITE").to == ("192.0.2.10", 5060)


def test_a_node_in_another_life_answers_for_itself_alone() -> None:
    """What has its address by now is not it: a process that has no proof of its life says that it is gone."""
    cluster = Cluster("a", "b")
    WebPhone(cluster, "a").register()
    cluster.shelf.forget("a")
    cluster.start("a")
    cluster.shelf.forget("a")
    cluster.wait("b", 2.0)
    assert what(cluster.udp("b", request(), ALICE)) == ["100", "480"]


@pytest.mark.parametrize("answer", ["200", "404", "forged"])
def test_a_stranger_cannot_answer_for_a_node(answer: str) -> None:
    """RFC 3261 11.2: any server says 200 to an OPTIONS; only the node has the proof."""
    cluster = Cluster("a", "b")
    cluster.deaf.add("a")
    cluster.shelf.forget("a")
    asked = [out for out in cluster.rigs["b"].wait(2.0) if out.what == "OPTIONS"]
    assert asked == []
    cluster.settle("b")
    nodes = cluster.rigs["b"].stack.nodes
    assert nodes is not None
    (ask,) = [out for out in cluster.rigs["b"].log if out.what == "OPTIONS"]
    data = reply(ask, 404 if answer == "404" else 200, tag="x" * 16 if answer == "forged" else "other")
    cluster.rigs["b"].udp(data, ("192.0.2.10", 5060))
    assert nodes.others == []


def test_nobody_else_is_answered_so() -> None:
    """A stranger that asks a node whether it lives is a caller like any other."""
    cluster = Cluster("a")
    asks = request("OPTIONS", "sip:n-0123456789abcdef@192.0.2.10:5060")
    assert what(cluster.udp("a", asks, ALICE)) == ["404"]


# --- nodes that are not as they should be


def test_two_nodes_of_one_name() -> None:
    """Issue 23: each is named to the other, and phones of both are called through both and a third one."""
    cluster = Cluster("a", "b", "c")
    # b is now named a, as if its configuration had been copied.
    config = cluster.rigs["b"].stack.config
    twin = Rig(
        listeners=config.listeners,
        seed=b"seed of the twin, long enough",
        secret=KEY,
        node="a",
        shared=config.shared,
    )
    cluster.die("b")
    cluster.rigs["b"] = twin
    cluster.deaf.clear()
    twin.stack.join(twin.now)
    for name in "bacbac":
        cluster.wait(name, 2.0)
    for name, other in (("a", "192.0.2.20:5060"), ("b", "192.0.2.10:5060")):
        told = [one for one in cluster.rigs[name].events if getattr(one, "state", "") == "twin"]
        assert [(one.name, one.address) for one in told] == [("a", other)]
    number = 0
    for home in "ab":
        phone = WebPhone(cluster, home)
        assert what(phone.register(1 + "ab".index(home))) == ["200"]
        for through in "abc":
            number += 1
            invite = request(branch=f"z9hG4bKt{number}", call_id=f"t{number}", from_tag=f"t{number}")
            outs = cluster.udp(through, invite, ALICE)
            if through != home:
                outs = cluster.udp(home, only(outs, "INVITE").data, cluster.address(through))
            assert only(outs, "INVITE").to == phone.conn


def test_a_node_with_another_key() -> None:
    """Issue 23: it is named, nobody sends to it or believes it, and all others go on."""
    cluster = Cluster("a", "b")
    config = cluster.rigs["a"].stack.config
    listeners = [replace(one, host="192.0.2.30") for one in config.listeners]
    stranger = Rig(
        listeners=listeners,
        seed=b"seed of the stranger, long enough",
        secret=b"some other key that nobody else has",
        node="c",
        shared=NodeConfig("192.0.2.30:5060"),
    )
    cluster.rigs["c"] = stranger
    stranger.stack.join(stranger.now)
    for name in "cabc":
        cluster.wait(name, 2.0)
    for name in "ab":
        told = [one for one in cluster.rigs[name].events if getattr(one, "state", "") == "stranger"]
        assert [(one.name, one.address) for one in told] == [("c", "192.0.2.30:5060")]
    assert stranger.stack.nodes is not None
    assert (len(stranger.stack.nodes.strangers), stranger.stack.nodes.others) == (2, [])
    # What only its connections reach is not waited for elsewhere.
    WebPhone(cluster, "c").register()
    assert what(cluster.udp("b", request(branch="z9hG4bKs"), ALICE)) == ["100", "480"]
    # And the nodes that have the key go on.
    phone = WebPhone(cluster, "a")
    phone.register(2)
    assert only(call(cluster, "b", "a")[1], "INVITE").to == phone.conn


def test_what_becomes_of_nodes_is_told() -> None:
    """Operators read of nodes that come, drain and go."""
    cluster = Cluster("a", "b")
    a, b = cluster.rigs["a"], cluster.rigs["b"]
    b.take(b.stack.drain(b.now))
    cluster.wait("b", 2.0)
    cluster.wait("a", 2.0)
    cluster.die("b")
    told = [(event.name, event.state) for event in a.events if type(event).__name__ == "NodeChanged"]
    assert told == [("b", "lives"), ("b", "drains"), ("b", "gone")]


@pytest.mark.parametrize("linger", [0.0, 30.0])
def test_a_draining_node_serves_whom_it_alone_reaches(linger: float) -> None:
    """Phones on its connections are called and may call while it lingers; all others are sent away."""
    cluster = Cluster("a", "b", linger=linger)
    phone = WebPhone(cluster, "a")
    phone.register()
    a = cluster.rigs["a"]
    trunk = a.accept(("192.0.2.9", 5060), 1, "tcp")
    a.take(a.stack.drain(a.now))
    # A server's connection is no phone's: it knows other nodes.
    via = "SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKtrunk"
    assert what(a.tcp(trunk, request(via=via))) == ["503"]
    served = "200" if linger else "503"
    assert what(phone.register(2)) == [served]
    assert what(cluster.udp("a", registration(1), BOB)) == ["503"]
    late = WebPhone(cluster, "a", "<sip:bob@new.invalid;transport=ws>")
    assert what(late.register()) == ["503"]
    _, here = call(cluster, "b", "a")
    assert ("INVITE" in what(here)) == bool(linger)
    if linger:
        assert not a.stack.idle
        cluster.wait("a", linger)
        assert what(phone.register(3)) == ["503"]


def test_bindings_carry_node_and_flow() -> None:
    """What stands in the store names the owner, its life, and a token that others may use."""
    cluster = Cluster("a")
    WebPhone(cluster, "a").register()
    (binding,) = cluster.shelf.records[AOR].bindings
    flow = binding.flow
    assert isinstance(flow, NodeFlow)
    assert (flow.node, flow.transport, flow.direct) == ("a", "ws", False)
    assert flow.token.startswith("f-")
