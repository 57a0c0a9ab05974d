"""The [dns] table: the values that it accepts, and those that the core gets."""

from __future__ import annotations

import io
from typing import Any

import pytest

from sansip.actions import SendDatagram
from sansip.config import ListenerConfig
from sansip.journal import JournaledStack
from sansip.transport.dns import DnsConfig
from sansip_server.config import build
from sansip_server.config.dns import DnsSettings, dns_config, parse_name_server
from sansip_server.config.load import load_text
from sansip_server.config.schema import Settings
from sansip_server.journal import head, replay
from sansip_sockets import system_dns
from tests.rig import relay_to, request
from tests.transport.dns.zone import SERVER, Server, Zone


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("192.0.2.53:5353", ("192.0.2.53", 5353)),
        ("2001:DB8::53", ("2001:db8::53", 53)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
    ],
)
def test_name_servers(text: str, expected: tuple[str, int]) -> None:
    """An address as elsewhere in the file, with or without a port."""
    assert parse_name_server(text) == expected


@pytest.mark.parametrize(
    "text", ["", "ns.test", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:x", "[::1]5", "[::1]:70000"]
)
def test_what_is_no_name_server(text: str) -> None:
    """A name would need a name server to find it."""
    with pytest.raises(ValueError, match="expected"):
        parse_name_server(text)


def test_own_is_the_default_with_the_machines_servers() -> None:
    """RFC 3263 without any setting."""
    assert isinstance(dns_config(DnsSettings()), DnsConfig)
    assert dns_config(DnsSettings(resolver="system")) is None


def test_settings_become_the_cores() -> None:
    """Each key has its effect."""
    table = """
[dns]
servers = ["192.0.2.53", "[::1]:5353"]
hosts = false
timeout = 0.5
rounds = 3
mix_case = true
prefer = "ipv4"
"""
    loaded = load_text(table)
    assert loaded.settings is not None
    assert dns_config(loaded.settings.dns) == DnsConfig(
        servers=[("192.0.2.53", 53), ("::1", 5353)],
        timeout=0.5,
        rounds=3,
        mix_case=True,
        prefer="ipv4",
        rotate=system_dns().rotate,
    )


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('resolver = "mine"', "dns.resolver"),
        ('servers = ["ns.test"]', "dns.servers[0]"),
        ("timeout = 60", "dns.timeout"),
        ("timeout = 0", "dns.timeout"),
        ("rounds = 11", "dns.rounds"),
        ("rounds = 0", "dns.rounds"),
        ('prefer = "ipv5"', "dns.prefer"),
    ],
)
def test_faults_are_named(line: str, path: str) -> None:
    """The file is refused with the key, before anything starts."""
    assert [fault.path for fault in load_text(f"[dns]\n{line}\n").faults] == [path]


def test_a_journal_with_look_ups_can_be_played_again() -> None:
    """Queries, replies and name servers are in the journal: a replay sends no query."""
    settings = Settings()
    route: Any = relay_to("sip:bob@carrier.test:5070")
    listeners = [ListenerConfig(0, "udp", "192.0.2.10", 5060)]
    config = build.stack_config(settings, listeners, ["biloxi.test"], [], route)
    config.dns = DnsConfig(servers=[SERVER], hosts={"pbx.test": ["192.0.2.7"]})
    journal = io.StringIO()
    seed = b"seed of a journal"
    stack = JournaledStack(config, seed, journal.write, head(settings, config))
    name_server = Server(Zone("carrier.test. 60 A 192.0.2.21"))
    out: list[Any] = []
    for query in stack.datagram_received(0, request(), ("192.0.2.1", 5060), 1.0):
        if isinstance(query, SendDatagram) and query.listener < 0:
            answer = name_server.answer(query.data, True)
            assert answer is not None
            out += stack.datagram_received(query.listener, answer, query.address, 1.1)
    forwarded = [one for one in out if isinstance(one, SendDatagram) and one.address == ("192.0.2.21", 5070)]
    assert len(forwarded) == 1
    again = list(replay(journal.getvalue().splitlines(), route))
    assert len(again) > 1
    assert all(one.same for one in again)
