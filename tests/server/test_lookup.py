"""Where a URI leads, over real sockets: the server's resolver for a command that may wait."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from sansip.transport.dns import DnsConfig
from sansip.transport.next_hop import NextHop, next_hop
from sansip.wire import parse_uri
from sansip_server.lookup import locate
from tests.transport.dns.name_server import NameServer
from tests.transport.dns.zone import Zone

ZONE = """
gw.test 60 NAPTR 10 10 "s" "SIP+D2T" "" _sip._tcp.gw.test.
_sip._tcp.gw.test 60 SRV 1 0 5070 one.gw.test.
_sip._udp.gw.test 60 SRV 1 0 5080 one.gw.test.
one.gw.test 60 A 192.0.2.71
six.test 60 AAAA 2001:db8::71
"""


def hop(uri: str) -> NextHop:
    return next_hop(parse_uri(uri))


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer(Zone(ZONE))
    yield server
    server.close()


@pytest.mark.parametrize(
    ("uri", "places"),
    [
        ("sip:gw.test", [("tcp", "192.0.2.71", 5070)]),
        ("sip:gw.test;transport=udp", [("udp", "192.0.2.71", 5080)]),
        ("sip:one.gw.test:5099", [("udp", "192.0.2.71", 5099)]),
        ("sips:six.test", [("tls", "2001:db8::71", 5061)]),
        ("sip:192.0.2.9", [("udp", "192.0.2.9", 5060)]),
        ("sip:[2001:db8::9]:5070;transport=tls", [("tls", "2001:db8::9", 5070)]),
    ],
)
def test_found(names: NameServer, uri: str, places: list[tuple[str, str, int]]) -> None:
    """RFC 3263 4.1 and 4.2; no address is asked for."""
    assert locate(hop(uri), DnsConfig(servers=[names.address[:2]])) == places


def test_not_found(names: NameServer) -> None:
    """A name without addresses."""
    with pytest.raises(LookupError):
        locate(hop("sip:nowhere.test"), DnsConfig(servers=[names.address[:2]]))


def test_a_truncated_reply_is_asked_for_again(names: NameServer) -> None:
    """RFC 1035 4.2.1: over TCP."""
    names.server.truncates = True
    found = locate(hop("sip:one.gw.test:5060"), DnsConfig(servers=[names.address[:2]]))
    assert found == [("udp", "192.0.2.71", 5060)]
    assert "one.gw.test A tcp" in names.server.queries


def test_name_servers_that_are_not_there(names: NameServer) -> None:
    """One name server does not listen, another cannot be reached: the next one is asked."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        dead = taken.getsockname()
    servers = [dead, ("2001:db8::53", 53), names.address[:2]]
    config = DnsConfig(servers=servers, timeout=0.1, rounds=1)
    assert locate(hop("sip:gw.test"), config) == [("tcp", "192.0.2.71", 5070)]
    with pytest.raises(LookupError):
        locate(hop("sip:gw.test"), DnsConfig(servers=servers[:1], timeout=0.1, rounds=1))
