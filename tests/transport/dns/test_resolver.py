"""Looking up records: retries, several servers, TCP, the cache, forgeries, bounds."""

from __future__ import annotations

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import LocalProtocolError
from sansip.transport.dns import DnsLookup, LookupFailed, Naptr, Srv
from tests.transport.dns.zone import SECOND, SERVER, World, Zone

RECORDS = """
host.test. 60 A 192.0.2.1
host.test. 60 A 192.0.2.2
host.test. 60 AAAA 2001:db8::1
host.test. 60 TXT "one " "string"
_sip._udp.host.test. 60 SRV 10 20 5070 Host.Test.
host.test. 60 NAPTR 50 51 "s" "SIP+D2U" "" _sip._udp.host.test.
1.2.0.192.in-addr.arpa. 60 PTR host.test.
alias.test. 60 CNAME middle.test.
middle.test. 30 CNAME host.test.
"""


@pytest.fixture
def world() -> World:
    return World(Zone(RECORDS))


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("host.test", "A", ["192.0.2.1", "192.0.2.2"]),
        ("HOST.test.", "AAAA", ["2001:db8::1"]),
        ("host.test", "TXT", ["one string"]),
        ("_sip._udp.host.test", "SRV", [Srv(10, 20, 5070, "host.test")]),
        ("host.test", "NAPTR", [Naptr(50, 51, "s", "SIP+D2U", "", "_sip._udp.host.test")]),
        ("1.2.0.192.in-addr.arpa", "PTR", ["host.test"]),
        ("alias.test", "CNAME", ["middle.test"]),
        ("alias.test", "A", ["192.0.2.1", "192.0.2.2"]),
        ("nothing.test", "A", []),
        ("_sip._udp.host.test", "A", []),
    ],
)
def test_records_of_each_type(world: World, name: str, kind: str, expected: list[object]) -> None:
    """RFC 1035 3.3, RFC 2782, RFC 3403: each type as a value; none is an empty list."""
    assert world.lookup(name, kind) == expected
    assert world.idle


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64 + ".test", "ü.test", "a." * 200, "\udc80.test"])
def test_what_cannot_be_a_name_has_no_records(world: World, name: str) -> None:
    """No name server is asked, and nothing raises."""
    assert world.lookup(name, "A") == []
    assert world.sent_queries == []


def test_a_type_that_cannot_be_asked_for_is_the_callers_mistake(world: World) -> None:
    """A typing error in a route should not look like an empty zone."""
    with pytest.raises(LocalProtocolError, match="MX"):
        world.ask(DnsLookup("host.test", "MX"))


# --- the cache


def test_answers_are_remembered_for_their_ttl(world: World) -> None:
    """RFC 1035 3.2.1: as long as the server says, and no longer."""
    for _ in range(3):
        assert len(world.lookup("host.test", "A")) == 2
    world.wait(59)
    world.lookup("HOST.TEST", "A")
    assert world.queries == ["host.test A"]
    world.wait(2)
    world.lookup("host.test", "A")
    assert world.queries == ["host.test A"] * 2


def test_an_alias_holds_as_long_as_its_shortest_link(world: World) -> None:
    """RFC 1034 3.6.2: the whole chain must hold."""
    world.lookup("alias.test", "A")
    world.wait(31)
    world.lookup("alias.test", "A")
    assert world.queries == ["alias.test A"] * 2


def test_nothing_is_remembered_too(world: World) -> None:
    """RFC 2308 5: for the lesser of the SOA's TTL and its minimum (60 here)."""
    assert world.lookup("nothing.test", "A") == []
    assert world.lookup("nothing.test", "A") == []
    world.wait(59)
    world.lookup("nothing.test", "A")
    assert len(world.queries) == 1
    world.wait(2)
    world.lookup("nothing.test", "A")
    assert len(world.queries) == 2


def test_nothing_without_an_soa_is_not_remembered(world: World) -> None:
    """RFC 2308 5: it is not known for how long it holds."""
    world.zone.soa = False
    world.lookup("nothing.test", "A")
    world.lookup("nothing.test", "A")
    assert len(world.queries) == 2


def test_zero_ttl_is_for_this_question_only() -> None:
    """RFC 1035 3.2.1."""
    world = World(Zone("zero.test. 0 A 192.0.2.1"))
    assert world.lookup("zero.test", "A") == ["192.0.2.1"]
    assert world.lookup("zero.test", "A") == ["192.0.2.1"]
    assert len(world.queries) == 2


def test_a_very_long_ttl_is_cut() -> None:
    """A mistake in a zone must not last for 68 years."""
    world = World(Zone("long.test. 2147483647 A 192.0.2.1"))
    world.lookup("long.test", "A")
    world.wait(3_601)
    world.lookup("long.test", "A")
    assert len(world.queries) == 2


def test_the_cache_is_bounded() -> None:
    """limits.dns_cache: the oldest is forgotten."""
    zone = Zone("\n".join(f"h{number}.test. 60 A 192.0.2.1" for number in range(5)))
    world = World(zone, limits={"dns_cache": 3})
    for number in range(5):
        world.lookup(f"h{number}.test", "A")
    world.lookup("h4.test", "A")
    world.lookup("h2.test", "A")
    assert len(world.queries) == 5
    world.lookup("h0.test", "A")
    assert len(world.queries) == 6


# --- servers


def test_silence_is_asked_again_then_given_up() -> None:
    """Two rounds, the second twice as long; then it is known for five seconds (RFC 2308 7.1)."""
    world = World(Zone(RECORDS))
    world.servers[SERVER].silent = True
    start = world.now
    answers = world.ask(DnsLookup("host.test", "A"))
    world.wait(2.99)
    assert not answers
    world.wait(0.02)
    assert isinstance(answers[0], LookupFailed)
    assert answers[0].silent
    assert world.now - start == pytest.approx(3.01)
    assert len(world.queries) == 2
    assert isinstance(world.lookup("host.test", "A"), LookupFailed)
    assert len(world.queries) == 2
    world.servers[SERVER].silent = False
    world.wait(5)
    assert len(world.lookup("host.test", "A")) == 2
    assert world.idle


def test_each_attempt_has_its_own_socket_and_number() -> None:
    """RFC 5452 9.2: nothing of an attempt helps to forge the next one's reply."""
    world = World(Zone(RECORDS), dns={"rounds": 5})
    world.servers[SERVER].silent = True
    world.lookup("host.test", "A")
    assert len(set(world.opened_sockets)) == 5
    assert len({data[:2] for _, data in world.sent_queries}) > 1
    assert world.idle


def test_the_next_server_is_asked_when_the_first_is_silent() -> None:
    """Then the first is asked last for a while, so it costs one query its time."""
    world = World(Zone(RECORDS), second=True)
    world.servers[SERVER].silent = True
    start = world.now
    answers = world.ask(DnsLookup("host.test", "A"))
    world.wait(1.01)
    assert len(answers[0]) == 2
    assert world.now - start == pytest.approx(1.01)
    assert world.ask(DnsLookup("host.test", "AAAA")) == [["2001:db8::1"]]
    assert world.queries == ["host.test A"]
    world.wait(31)
    world.servers[SERVER].silent = False
    world.lookup("host.test", "TXT")
    assert world.queries == ["host.test A", "host.test TXT"]


@pytest.mark.parametrize("way", ["closed", "servfail"])
def test_a_server_that_fails_costs_no_time(way: str) -> None:
    """ICMP and SERVFAIL lead to the next server at once."""
    world = World(Zone(RECORDS), second=True)
    world.servers[SERVER].closed = way == "closed"
    world.servers[SERVER].zone = Zone()
    world.servers[SERVER].zone.failing.add("host.test")
    assert len(world.ask(DnsLookup("host.test", "A"))[0]) == 2
    assert len(world.servers[SECOND].queries) == 1


def test_all_servers_failing_is_a_failure_but_not_silence() -> None:
    """A zone that is broken is not the same as name servers that are gone."""
    world = World(Zone(RECORDS), second=True)
    world.zone.failing.add("host.test")
    failed = world.ask(DnsLookup("host.test", "A"))[0]
    assert isinstance(failed, LookupFailed)
    assert not failed.silent
    assert len(world.queries) == 2


def test_rotation() -> None:
    """Each query begins with another server."""
    world = World(Zone(RECORDS), second=True, dns={"rotate": True})
    for kind in ("A", "AAAA", "TXT", "NAPTR"):
        world.lookup("host.test", kind)
    assert len(world.servers[SERVER].queries) == len(world.servers[SECOND].queries) == 2


def test_without_servers_only_host_names_are_known() -> None:
    """A machine without a network still knows itself."""
    world = World(dns={"hosts": {"Pbx.Test.": ["192.0.2.7", "2001:DB8::7"]}})
    world.stack.resolver.servers._servers = []
    assert world.lookup("pbx.test", "A") == ["192.0.2.7"]
    assert world.lookup("PBX.test", "AAAA") == ["2001:db8::7"]
    assert world.lookup("localhost", "A") == ["127.0.0.1"]
    assert world.lookup("a.localhost", "AAAA") == ["::1"]
    assert world.lookup("df7jal23ls0d.invalid", "A") == []
    assert isinstance(world.lookup("other.test", "A"), LookupFailed)
    assert world.sent_queries == []


def test_a_server_from_before_edns() -> None:
    """RFC 6891 7: FORMERR means to ask again without."""
    world = World(Zone(RECORDS))
    world.servers[SERVER].edns = False
    assert len(world.lookup("host.test", "A")) == 2
    assert [dns.message.from_wire(data).edns for _, data in world.sent_queries] == [0, -1]


# --- TCP


def test_truncated_answers_come_over_tcp() -> None:
    """RFC 7766 5, RFC 1035 4.2.2: the same server, framed by its length, in any pieces."""
    world = World(Zone(RECORDS))
    world.servers[SERVER].truncates = True
    assert len(world.lookup("host.test", "A")) == 2
    assert world.queries == ["host.test A", "host.test A tcp"]
    assert world.idle


def test_truncated_and_tcp_refused_leads_to_the_next_server() -> None:
    """A truncated answer is not used."""
    world = World(Zone(RECORDS), second=True)
    world.servers[SERVER].truncates = world.servers[SERVER].refuses_tcp = True
    assert len(world.lookup("host.test", "A")) == 2
    assert world.servers[SECOND].queries == ["host.test A"]
    assert world.idle


@pytest.mark.parametrize("framed", [b"\xff\xff", b"\x00\x00", b"\x00\x05hello", b"\x40\x01" + b"x" * 10])
def test_nonsense_over_tcp_leads_on(framed: bytes) -> None:
    """A stream that cannot be read is left, and nothing waits for the rest of it."""
    world = World(Zone(RECORDS))
    world.servers[SERVER].truncates = True
    world.zone.silent.add("host.test TXT")
    answers = world.ask(DnsLookup("host.test", "A"))
    assert answers
    world.servers[SERVER].mangle = lambda wire: wire if wire[2] & 2 else None
    answers = world.ask(DnsLookup("host.test", "AAAA"))
    conn = next(iter(world.connections))
    world.tcp(conn, framed)
    world.wait(30)
    assert isinstance(answers[0], LookupFailed)
    assert world.idle


# --- forgeries


def test_a_reply_must_fit_its_query() -> None:
    """RFC 5452 9: number, question and source must fit; any other reply is dropped and the wait goes on."""
    world = World(Zone(RECORDS))
    world.automatic = False
    answers = world.ask(DnsLookup("host.test", "A"))
    (sock, query) = world.sent_queries[0]
    good = world.zone.reply(query)
    assert good is not None
    wire = good.to_wire()
    other = World(Zone("other.test. 60 A 192.0.2.66")).zone.reply(
        dns.message.make_query("other.test", "A", id=good.id).to_wire()
    )
    assert other is not None
    forged = [
        (bytes([wire[0] ^ 1]) + wire[1:], SERVER),
        (wire, ("192.0.2.99", 53)),
        (wire, (SERVER[0], 5353)),
        (query, SERVER),
        (other.to_wire(), SERVER),
        (wire[:30], SERVER),
    ]
    for data, source in forged:
        world.udp(data, source, sock)
        assert answers == []
    world.udp(wire, SERVER, sock - 1)
    world.udp(wire, SERVER, -77)
    assert answers == []
    world.udp(wire, SERVER, sock)
    assert answers == [["192.0.2.1", "192.0.2.2"]]
    # A second copy comes too late.
    world.udp(wire, SERVER, sock)
    assert len(answers) == 1
    assert world.idle


def test_many_forgeries_lead_to_tcp() -> None:
    """A sender who sprays replies cannot win by numbers."""
    world = World(Zone(RECORDS))
    world.automatic = False
    answers = world.ask(DnsLookup("host.test", "A"))
    sock, _ = world.sent_queries[0]
    for _ in range(8):
        world.udp(b"\x00" * 12, SERVER, sock)
    assert world.queries == ["host.test A tcp"]
    assert len(answers[0]) == 2


def test_records_of_other_names_are_not_believed() -> None:
    """RFC 5452 6: records that do not follow from the question are not used, nor additional ones."""
    world = World(Zone(RECORDS))

    def poison(wire: bytes) -> bytes:
        message = dns.message.from_wire(wire)
        extra = dns.rrset.from_text("bank.test.", 3600, "IN", "A", "192.0.2.66")
        message.answer.append(extra)
        message.additional.append(extra)
        return message.to_wire()

    world.servers[SERVER].mangle = poison
    assert sorted(world.lookup("host.test", "A")) == ["192.0.2.1", "192.0.2.2"]
    assert world.lookup("nothing.test", "A") == []
    world.servers[SERVER].mangle = None
    assert world.lookup("bank.test", "A") == []


def test_mixed_case_must_come_back_as_it_was_sent() -> None:
    """With mix_case the letters are part of what a forger must guess."""
    world = World(Zone(RECORDS), dns={"mix_case": True})
    assert len(world.lookup("host.test", "A")) == 2
    name = dns.message.from_wire(world.sent_queries[0][1]).question[0].name.to_text()
    assert name != name.lower()
    world.servers[SERVER].mangle = lambda wire: wire.lower()
    assert isinstance(world.lookup("_sip._udp.host.test", "SRV"), LookupFailed)


@given(st.binary(max_size=200), st.booleans())
def test_any_octets_of_a_name_server(data: bytes, fitting: bool) -> None:
    """The peer's mistakes never raise; with the right number in front they get further in."""
    world = World(Zone(RECORDS))
    world.automatic = False
    answers = world.ask(DnsLookup("host.test", "A"))
    sock, query = world.sent_queries[0]
    world.udp((query[:2] + b"\x81\x80\x00\x01" + data) if fitting else data, SERVER, sock)
    world.wait(60)
    assert len(answers) == 1
    assert world.idle


@given(st.data())
def test_damaged_replies(data: st.DataObject) -> None:
    """A real reply with some octets changed is taken, or not, and never raises."""
    world = World(Zone(RECORDS))

    def damage(wire: bytes) -> bytes:
        octets = bytearray(wire)
        for _ in range(data.draw(st.integers(1, 4))):
            octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
        return bytes(octets)

    world.servers[SERVER].mangle = damage
    kind = data.draw(st.sampled_from(["A", "NAPTR", "TXT"]))
    world.lookup("host.test", kind)
    assert world.idle


# --- aliases


def test_a_chain_that_the_server_does_not_finish_is_followed() -> None:
    """RFC 1034 3.6.2: an authoritative server of one zone knows no others."""
    world = World(Zone("a.test. 60 CNAME b.test."))
    other = World(Zone("b.test. 60 A 192.0.2.9"))
    reply = world.zone.reply

    def both(data: bytes):
        question = dns.message.from_wire(data).question[0].name.to_text()
        return other.zone.reply(data) if question == "b.test." else reply(data)

    world.zone.reply = both  # type: ignore[method-assign]  # the test's own in its place
    assert world.lookup("a.test", "A") == ["192.0.2.9"]
    assert world.queries == ["a.test A", "b.test A"]


def test_aliases_in_circles_end() -> None:
    """In one reply, and over several."""
    world = World(Zone("a.test. 60 CNAME b.test.\nb.test. 60 CNAME a.test."))
    assert world.lookup("a.test", "A") == []
    apart = World(Zone("a.test. 60 CNAME b.test.\nb.test. 60 CNAME a.test."))
    apart.zone.known = lambda name: False  # type: ignore[method-assign]  # the test's own in its place
    assert apart.lookup("a.test", "A") == []
    assert apart.idle


def test_a_long_chain_is_given_up() -> None:
    """Eight aliases, whether in one reply or in many."""
    chain = "\n".join(f"n{number}.test. 60 CNAME n{number + 1}.test." for number in range(30))
    together, apart = World(Zone(chain)), World(Zone(chain))
    apart.zone.known = lambda name: False  # type: ignore[method-assign]  # the test's own in its place
    assert together.lookup("n0.test", "A") == []
    assert apart.lookup("n0.test", "A") == []
    assert len(apart.queries) <= 9
    assert apart.idle


# --- bounds


def test_equal_questions_share_one_query() -> None:
    """A name that never answers has one socket, however many calls ask for it."""
    world = World(Zone(RECORDS))
    world.automatic = False
    answers = [world.ask(DnsLookup(name, "A")) for name in ("host.test", "HOST.test", "host.test.")]
    assert len(world.sent_queries) == 1
    sock, query = world.sent_queries[0]
    reply = world.zone.reply(query)
    assert reply is not None
    world.udp(reply.to_wire(), SERVER, sock)
    assert [len(one[0]) for one in answers] == [2, 2, 2]


def test_queries_are_bounded_in_all_and_below_one_domain() -> None:
    """limits.dns_queries and dns_queries_per_domain: a dead domain leaves room for the others."""
    world = World(Zone(RECORDS), limits={"dns_queries": 6, "dns_queries_per_domain": 4})
    world.zone.silent.update(f"h{number}.dead.test" for number in range(20))
    dead = [world.ask(DnsLookup(f"h{number}.dead.test", "A")) for number in range(20)]
    assert len(world.sockets) == 4
    assert sum(bool(one) for one in dead) == 16
    assert "dns_queries_per_domain" in str(dead[-1][0])
    assert len(world.lookup("host.test", "A")) == 2
    world.zone.silent.update({"a.one", "b.two", "c.three"})
    for name in ("a.one", "b.two"):
        world.ask(DnsLookup(name, "A"))
    third = world.ask(DnsLookup("c.three", "A"))
    assert "limits.dns_queries" in str(third[0])
    world.wait(60)
    assert world.idle


def test_a_reply_beyond_the_limits_is_cut_or_not_taken() -> None:
    """limits.dns_records and dns_message."""
    zone = Zone("\n".join(f"many.test. 60 A 192.0.2.{number}" for number in range(100)))
    assert len(World(zone).lookup("many.test", "A")) == 64
    small = World(zone, limits={"dns_message": 512})
    assert isinstance(small.lookup("many.test", "A"), LookupFailed)
    assert small.idle


def test_the_same_seed_asks_the_same() -> None:
    """A replay must see the same octets: chance is an argument here, too."""
    first, second = World(Zone(RECORDS)), World(Zone(RECORDS))
    for world in (first, second):
        world.lookup("host.test", "A")
        world.lookup("alias.test", "AAAA")
    assert first.sent_queries == second.sent_queries
