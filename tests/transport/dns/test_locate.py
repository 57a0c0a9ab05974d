"""RFC 3263 4.1 and 4.2: from a URI to transports, addresses and ports."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.transport.dns import LookupFailed
from sansip.transport.next_hop import next_hop
from sansip.wire import parse_uri
from tests.transport.dns.zone import SERVER, World, Zone, names

TLS = (
    ListenerConfig(0, "udp", "192.0.2.10", 5060),
    ListenerConfig(1, "tcp", "192.0.2.10", 5060),
    ListenerConfig(2, "tls", "192.0.2.10", 5061),
)
UDP_ONLY = (ListenerConfig(0, "udp", "192.0.2.10", 5060),)

# The zone of RFC 3263 4.1, with addresses.
EXAMPLE = """
example.test. 60 NAPTR 50 50 "s" "SIPS+D2T" "" _sips._tcp.example.test.
example.test. 60 NAPTR 90 50 "s" "SIP+D2T" "" _sip._tcp.example.test.
example.test. 60 NAPTR 100 50 "s" "SIP+D2U" "" _sip._udp.example.test.
_sips._tcp.example.test. 60 SRV 0 1 5061 server1.example.test.
_sip._tcp.example.test. 60 SRV 0 0 5060 server1.example.test.
_sip._tcp.example.test. 60 SRV 1 0 5070 server2.example.test.
_sip._udp.example.test. 60 SRV 0 1 5080 server2.example.test.
server1.example.test. 60 A 192.0.2.1
server2.example.test. 60 A 192.0.2.2
example.test. 60 A 192.0.2.9
"""


def world(zone: str = EXAMPLE, **options: Any) -> World:
    return World(Zone(zone), **options)


def test_naptr_then_srv_then_addresses() -> None:
    """RFC 3263 4.1: the domain's most preferred transport that we speak, and its servers in order."""
    bench = world()
    assert names(bench.where("sip:bob@example.test")) == ["tcp:192.0.2.1:5060", "tcp:192.0.2.2:5070"]
    assert bench.queries[:2] == ["example.test NAPTR", "_sip._tcp.example.test SRV"]
    assert set(bench.queries[2:]) == {
        f"server{n}.example.test {kind}" for n in (1, 2) for kind in ("A", "AAAA")
    }
    assert bench.idle


def test_a_stack_with_tls_takes_it_where_the_domain_prefers_it() -> None:
    """RFC 3263 4.1: a client that supports TLS retains the SIPS records."""
    assert names(world(listeners=TLS).where("sip:bob@example.test")) == ["tls:192.0.2.1:5061"]


def test_sips_takes_tls_only() -> None:
    """RFC 3263 4.1: services that are not SIPS must be discarded."""
    assert names(world(listeners=TLS).where("sips:bob@example.test")) == ["tls:192.0.2.1:5061"]
    # Without a TLS listener nothing can be reached.
    assert world().where("sips:bob@example.test") == []


@pytest.mark.parametrize(
    ("uri", "expected", "queries"),
    [
        # 4.2: a port means addresses, and UDP unless the URI says otherwise.
        ("sip:bob@example.test:5099", ["udp:192.0.2.9:5099"], {"example.test A", "example.test AAAA"}),
        ("sip:bob@example.test:5060", ["udp:192.0.2.9:5060"], {"example.test A", "example.test AAAA"}),
        (
            "sip:bob@example.test:5099;transport=tcp",
            ["tcp:192.0.2.9:5099"],
            {"example.test A", "example.test AAAA"},
        ),
        # 4.2: a transport without a port means the SRV records of that transport.
        (
            "sip:bob@example.test;transport=udp",
            ["udp:192.0.2.2:5080"],
            {"_sip._udp.example.test SRV", "server2.example.test A", "server2.example.test AAAA"},
        ),
        # 4: maddr is the TARGET.
        (
            "sip:bob@elsewhere.test;maddr=example.test;transport=udp",
            ["udp:192.0.2.2:5080"],
            {"_sip._udp.example.test SRV", "server2.example.test A", "server2.example.test AAAA"},
        ),
    ],
)
def test_what_the_uri_says(uri: str, expected: list[str], queries: set[str]) -> None:
    """RFC 3263 4.1 and 4.2: nothing is asked that the URI decides."""
    bench = world()
    assert names(bench.where(uri)) == expected
    assert set(bench.queries) == queries


def test_tls_by_transport_parameter_asks_for_sips() -> None:
    """RFC 3263 4.2: for TLS the service identifier is _sips, also for a sip URI."""
    bench = world(listeners=TLS)
    assert names(bench.where("sip:bob@example.test;transport=tls")) == ["tls:192.0.2.1:5061"]
    assert bench.queries[0] == "_sips._tcp.example.test SRV"
    # RFC 3261 26.2.2: sips over tcp is TLS over TCP.
    assert names(bench.where("sips:bob@example.test;transport=tcp")) == ["tls:192.0.2.1:5061"]


def test_without_naptr_the_srv_records_of_each_transport() -> None:
    """RFC 3263 4.1: a query for each; UDP first, as a sip URI means, and TCP to fall back on."""
    bench = world("\n".join(line for line in EXAMPLE.splitlines() if "NAPTR" not in line))
    assert names(bench.where("sip:bob@example.test")) == [
        "udp:192.0.2.2:5080",
        "tcp:192.0.2.1:5060",
        "tcp:192.0.2.2:5070",
    ]
    assert bench.queries[:3] == [
        "example.test NAPTR",
        "_sip._udp.example.test SRV",
        "_sip._tcp.example.test SRV",
    ]


def test_sips_without_naptr() -> None:
    """RFC 3263 4.1: _sips for a sips URI; without SRV TCP, that is TLS, at 5061."""
    zone = "example.test. 60 A 192.0.2.9"
    bench = world(zone, listeners=TLS)
    assert names(bench.where("sips:bob@example.test")) == ["tls:192.0.2.9:5061"]
    assert bench.queries == ["example.test NAPTR", "_sips._tcp.example.test SRV", "example.test A"]


def test_only_addresses() -> None:
    """RFC 3263 4.2: without SRV records the default port of UDP."""
    bench = world("example.test. 60 A 192.0.2.9\nexample.test. 60 AAAA 2001:db8::9")
    assert names(bench.where("sip:bob@example.test")) == ["udp:2001:db8::9:5060", "udp:192.0.2.9:5060"]
    assert names(bench.where("sip:bob@example.test;transport=tcp")) == [
        "tcp:2001:db8::9:5060",
        "tcp:192.0.2.9:5060",
    ]


def test_families_follow_the_listeners() -> None:
    """A family that no listener can reach is not asked for."""
    bench = world("host.test. 60 A 192.0.2.9\nhost.test. 60 AAAA 2001:db8::9", listeners=UDP_ONLY)
    assert names(bench.where("sip:host.test:5060")) == ["udp:192.0.2.9:5060"]
    assert bench.queries == ["host.test A"]


def test_families_take_turns() -> None:
    """A family without a way out costs one attempt, not one for each address; the preferred one is first."""
    zone = "\n".join(
        [f"host.test. 60 A 192.0.2.{n}" for n in (1, 2)]
        + [f"host.test. 60 AAAA 2001:db8::{n}" for n in (1, 2)]
    )
    six, four = "udp:2001:db8::{}:5060", "udp:192.0.2.{}:5060"
    expected = [six.format(1), four.format(1), six.format(2), four.format(2)]
    assert names(world(zone).where("sip:host.test:5060")) == expected
    swapped = names(world(zone, dns={"prefer": "ipv4"}).where("sip:host.test:5060"))
    assert swapped == [four.format(1), six.format(1), four.format(2), six.format(2)]


def test_one_family_that_fails_is_not_waited_for_in_vain() -> None:
    """Some servers drop AAAA queries: what A said still counts."""
    bench = world("host.test. 60 A 192.0.2.9")
    bench.zone.silent.add("host.test AAAA")
    assert names(bench.where("sip:host.test:5060")) == ["udp:192.0.2.9:5060"]


def test_naptr_into_another_domain_and_to_a_host() -> None:
    """RFC 3263 4.1: the replacement need not be below the domain; flag "a" names a host (RFC 3404 4.1)."""
    bench = world(
        """
example.test. 60 NAPTR 1 1 "s" "SIP+D2U" "" _sip._udp.carrier.test.
example.test. 60 NAPTR 1 2 "a" "SIP+D2T" "" gate.carrier.test.
_sip._udp.carrier.test. 60 SRV 0 0 5070 gate.carrier.test.
gate.carrier.test. 60 A 192.0.2.4
"""
    )
    assert names(bench.where("sip:example.test")) == ["udp:192.0.2.4:5070", "tcp:192.0.2.4:5060"]


def test_a_naptr_that_leads_nowhere_leads_on() -> None:
    """RFC 3403 4.1: the next order where the first gave nothing; then SRV without NAPTR."""
    zone = EXAMPLE.replace("_sip._tcp.example.test. 60 SRV", "_sip._old.example.test. 60 SRV")
    assert names(world(zone).where("sip:example.test")) == ["udp:192.0.2.2:5080"]
    enum_only = 'example.test. 60 NAPTR 1 1 "u" "E2U+sip" "!.*!sip:x!" .\nexample.test. 60 A 192.0.2.9'
    assert names(world(enum_only).where("sip:example.test")) == ["udp:192.0.2.9:5060"]


def test_a_declined_service_is_not_tried() -> None:
    """RFC 2782: a target of "." says that there is no such service here."""
    zone = "_sip._udp.example.test. 60 SRV 0 0 0 .\nexample.test. 60 A 192.0.2.9"
    assert world(zone).where("sip:example.test;transport=udp") == []
    # Another transport may still be offered.
    zone += "\n_sip._tcp.example.test. 60 SRV 0 0 5060 example.test."
    assert names(world(zone).where("sip:example.test")) == ["tcp:192.0.2.9:5060"]


def test_an_address_as_srv_target() -> None:
    """Against RFC 2782, but it is written; there is no need to ask for it."""
    bench = world("_sip._udp.example.test. 60 SRV 0 0 5070 192.0.2.8.")
    assert names(bench.where("sip:example.test;transport=udp")) == ["udp:192.0.2.8:5070"]


def test_aliases_of_the_domain_and_of_the_target() -> None:
    """CNAMEs at each step (RFC 1034 3.6.2)."""
    zone = """
www.test. 60 CNAME example.test.
_sip._udp.www.test. 60 CNAME _sip._udp.example.test.
server2.example.test. 60 CNAME real.example.test.
real.example.test. 60 A 192.0.2.44
"""
    kept = "\n".join(line for line in EXAMPLE.splitlines() if not line.startswith("server2."))
    bench = world(kept + zone)
    assert names(bench.where("sip:www.test;transport=udp")) == ["udp:192.0.2.44:5080"]
    assert names(bench.where("sip:www.test"))[0] == "tcp:192.0.2.1:5060"


def test_host_names_of_this_machine_are_not_asked_about() -> None:
    """A name of the hosts table has its address from there, with or without a port."""
    bench = world("", dns={"hosts": {"pbx.example.test": ["192.0.2.77"]}})
    assert names(bench.where("sip:pbx.example.test")) == ["udp:192.0.2.77:5060"]
    assert names(bench.where("sip:pbx.example.test:5070;transport=tcp")) == ["tcp:192.0.2.77:5070"]
    assert names(bench.where("sip:LOCALHOST")) == ["udp:::1:5060", "udp:127.0.0.1:5060"]
    assert bench.where("sip:df7jal23ls0d.invalid") == []
    assert bench.queries == []


def test_weights_share_the_calls() -> None:
    """RFC 2782: one answer, cached, serves each call in another order."""
    bench = world(
        """
_sip._udp.example.test. 600 SRV 0 75 5060 a.test.
_sip._udp.example.test. 600 SRV 0 25 5060 b.test.
a.test. 600 A 192.0.2.1
b.test. 600 A 192.0.2.2
"""
    )
    chosen = Counter(bench.where("sip:example.test;transport=udp")[0][1] for _ in range(1_000))
    assert len(bench.queries) == 5
    assert 0.68 < chosen["192.0.2.1"] / 1_000 < 0.82


def test_a_mark_always_gets_the_same_order() -> None:
    """RFC 3263 4.4: a stateless proxy must send a retransmission where the request went."""
    zone = "\n".join(
        f"_sip._udp.example.test. 600 SRV 0 1 5060 h{n}.test.\nh{n}.test. 600 A 192.0.2.{n}"
        for n in range(1, 6)
    )
    bench = world(zone)
    orders = {tuple(bench.where("sip:example.test;transport=udp", f"branch{n % 20}")) for n in range(100)}
    assert 1 < len(orders) <= 20


def test_too_many_servers_are_cut() -> None:
    """limits.next_hops: a hostile zone cannot make one call knock at a hundred doors."""
    zone = "\n".join(
        f"_sip._udp.example.test. 60 SRV {n} 0 5060 h{n}.test.\nh{n}.test. 60 A 192.0.2.{n}"
        for n in range(1, 41)
    )
    bench = world(zone, listeners=UDP_ONLY)
    assert names(bench.where("sip:example.test;transport=udp")) == [
        f"udp:192.0.2.{n}:5060" for n in range(1, 9)
    ]
    assert len(bench.queries) == 9
    # All of them, where the answer is no list to be tried.
    bench = world(zone, listeners=UDP_ONLY)
    question = next_hop(parse_uri("sip:example.test;transport=udp")).question(every=True)
    (found,) = bench.ask(question)
    assert len(found) == 40


def test_silence_fails_at_once_and_failure_leads_on() -> None:
    """A dead server would be dead for the next step, too; a server that cannot read NAPTR is not."""
    bench = world()
    bench.zone.silent.add("example.test")
    failed = bench.where("sip:example.test")
    assert isinstance(failed, LookupFailed)
    assert set(bench.queries) == {"example.test NAPTR"}
    bench = world()
    bench.zone.failing.add("example.test NAPTR")
    assert names(bench.where("sip:example.test"))[0] == "udp:192.0.2.2:5080"


def test_a_search_ends_in_time() -> None:
    """limits.answer_time bounds all steps together."""
    bench = world(limits={"answer_time": 2.0}, dns={"timeout": 5.0})
    bench.servers[SERVER].silent = True
    start = bench.now
    answers = bench.ask(_question("sip:example.test"))
    bench.wait(2.1)
    assert "answer_time" in str(answers[0])
    assert bench.now - start < 2.2
    # The query itself goes on, for others may have joined it.
    bench.wait(30)
    assert bench.idle
    assert len(answers) == 1


def test_a_domain_that_does_not_exist() -> None:
    """Nothing is found, and that is known for a while."""
    bench = world()
    assert bench.where("sip:bob@nowhere.test") == []
    asked = len(bench.queries)
    assert bench.where("sip:bob@nowhere.test") == []
    assert len(bench.queries) == asked


def _question(uri: str) -> object:
    from sansip.transport.next_hop import next_hop
    from sansip.wire import parse_uri

    return next_hop(parse_uri(uri)).question()
