"""Several nodes on one location: no update is lost, and bindings are served while the store is gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.auth import AuthConfig, compute_response, ha1
from sansip.limits import DEFAULT
from sansip.location import SharedLocation, SharedRead, SharedWrite
from tests.rig import ALICE, BOB, Out, only, request, sent, what
from tests.shelf import Cluster

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
    """A REGISTER without Contact, which asks for the bindings (RFC 3261 10.2.3)."""
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
    """A node plans from the record that it wrote last.

    A record that another node wrote since costs one more trip.
    """
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
    """RFC 3261 10.2.3: the answer has the bindings in the store, of any node."""
    cluster = Cluster("a", "b")
    cluster.udp("a", registration(1), BOB)
    cluster.udp("b", registration(2, expires=0), BOB)
    assert contacts(cluster.udp("a", fetch(), ALICE)) == set()
    assert AOR not in cluster.shelf.records


def test_a_lost_race_without_end() -> None:
    """A phone whose change loses again and again is told to come back (RFC 3261 21.5.4).

    Nothing is half done.
    """
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
    """In any order of trips, exactly the changes of acknowledged requests stand, each once.

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
    """limits.aors: a binding that does not fit is not remembered, and registered all the same."""
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
    """RFC 7616 3.3: a phone challenged by one node answers another; a node that forwards is not asked."""
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
        # A nonce that a node made after this one began may be new here.
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
