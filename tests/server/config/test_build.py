"""From settings to listeners, domains and the core's configuration."""

from __future__ import annotations

import pytest

from sansip.routing.default import route
from sansip_server.config import build
from sansip_server.config.listen import ListenAddress
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one address of each family beside loopback."""
    addresses = {False: ["192.0.2.10", "127.0.0.1"], True: ["2001:db8::10", "::1"]}
    monkeypatch.setattr(build, "machine_addresses", addresses.__getitem__)


def opened(*listen: str) -> list[ListenAddress]:
    return build.listen_addresses(Settings(listen=list(listen)))


def test_wildcard_is_every_address(machine: None) -> None:
    """A socket for each: then Via is right, and an answer leaves from where the request came."""
    assert [str(one) for one in opened("udp:0.0.0.0:5060", "tcp:[::]:5070")] == [
        "udp:192.0.2.10:5060",
        "udp:127.0.0.1:5060",
        "tcp:[2001:db8::10]:5070",
        "tcp:[::1]:5070",
    ]


def test_wildcard_beside_its_own_address(machine: None) -> None:
    """Writing an address twice must not fail as a port in use."""
    assert len(opened("udp:0.0.0.0:5060", "udp:127.0.0.1:5060")) == 2


def test_wildcard_that_advertises_stays_one(machine: None) -> None:
    """Behind a NAT its own address is of no matter."""
    (one,) = opened("udp:0.0.0.0:5060 advertise 203.0.113.5")
    assert (one.host, one.advertise_host, one.advertise_port) == ("0.0.0.0", "203.0.113.5", 5060)


@pytest.mark.parametrize("text", ["udp:0.0.0.0:5060", "tcp:192.0.2.10:5060", "udp:[::]:0"])
def test_open_registration_needs_a_word(text: str) -> None:
    """No operator opens a server to the world by accident."""
    with pytest.raises(OperatorError, match="without authentication"):
        build.refuse_open_listeners(Settings(listen=["udp:127.0.0.1:5060", text]))
    build.refuse_open_listeners(Settings(listen=[text], auth="none"))


def test_loopback_needs_no_word() -> None:
    """All of 127.0.0.0/8 is this machine."""
    build.refuse_open_listeners(Settings(listen=["udp:127.8.9.1:5060", "tcp:[::1]:5060"]))


@pytest.mark.parametrize(
    ("domains", "listen", "expected"),
    [
        ([], ["udp:127.0.0.1:5060"], ["localhost"]),
        (["Example.ORG."], ["udp:127.0.0.1:5060"], ["example.org"]),
        (["example.org"], ["udp:192.0.2.10:5060"], ["example.org"]),
        ([], ["udp:192.0.2.10:5060", "udp:127.0.0.1:5060"], ["192.0.2.10"]),
        ([], ["udp:10.0.0.1:5060 advertise sip.example.org"], ["sip.example.org"]),
    ],
)
def test_domains(domains: list[str], listen: list[str], expected: list[str]) -> None:
    """The first domain is what the server's addresses mean, so there is always one."""
    settings = Settings(listen=listen, domains=domains)
    assert build.served_domains(settings, build.listen_addresses(settings)) == expected


def test_realms_without_a_domain(machine: None) -> None:
    """Users are added at the address that phones are given, whichever of them it is."""
    listeners = opened("udp:0.0.0.0:5060", "tcp:[::1]:5060")
    assert build.realm_hosts(Settings(), listeners) == ["192.0.2.10", "127.0.0.1", "::1", "localhost"]
    assert build.realm_hosts(Settings(domains=["example.org"]), listeners) == ["example.org"]
    for domains in ([], ["example.org"]):
        settings = Settings(listen=["udp:192.0.2.10:5060"], domains=domains)
        config = build.stack_config(settings, [], ["x"], [], route)
        assert config.address_realms is not bool(domains)


def test_other_names(machine: None) -> None:
    """`localhost` is this server where it listens on loopback; a wildcard socket has every address."""
    assert build.other_names(opened("udp:127.0.0.1:5060", "tcp:[::1]:5060")) == ["localhost"]
    assert build.other_names(opened("udp:192.0.2.10:5060")) == []
    assert build.other_names(opened("udp:0.0.0.0:5060 advertise 203.0.113.5")) == [
        "localhost",
        "192.0.2.10",
        "127.0.0.1",
    ]


def test_stack_config() -> None:
    """Everything that a file can say reaches the core."""
    settings = Settings(server_name="mine")
    listeners = build.listener_configs(
        opened("udp:127.0.0.1:5060", "tcp:[::1]:5060 advertise [2001:db8::1]:5070")
    )
    assert [one.id for one in listeners if one.accepts] == [0, 1]
    assert (listeners[1].advertise_host, listeners[1].advertise_port) == ("2001:db8::1", 5070)
    config = build.stack_config(settings, listeners, ["localhost"], ["this"], route, b"0123456789abcdef")
    assert config.listeners is listeners
    assert config.limits is settings.limits
    assert config.timers is settings.timers
    assert config.proxy is settings.proxy
    assert config.registrar is settings.registrar
    assert (config.domains, config.aliases, config.server_name) == (["localhost"], ["this"], "mine")
    assert config.secret == b"0123456789abcdef"


def test_a_shared_port_is_a_listener_for_each_transport() -> None:
    """Each has its own Via and Record-Route; one socket serves them all."""
    listeners = build.listener_configs(
        opened("udp:192.0.2.9:5060", "tls+tcp+ws:192.0.2.9:5060 proxy_protocol 10.0.0.0/8")
    )
    assert [(one.id, one.transport, one.shares) for one in listeners] == [
        (0, "udp", None),
        (1, "tls", None),
        (2, "tcp", 1),
        (3, "ws", 1),
    ]
    assert [one.proxies for one in listeners] == [(), *[("10.0.0.0/8",)] * 3]


def test_tls_servers_can_be_reached_without_a_tls_listener() -> None:
    """RFC 3261 26.3.1: a proxy must speak TLS. Peers come back to TCP, or UDP where there is no TCP."""
    listeners = build.listener_configs(
        opened("udp:192.0.2.9:5060", "ws+tcp:192.0.2.9:5080", "udp:[2001:db8::9]:5060", "tls:192.0.2.10:5061")
    )
    openers = [one for one in listeners if not one.accepts]
    assert [(one.id, one.transport, one.host, one.port, one.shares) for one in openers] == [
        (5, "tls", "192.0.2.9", 5080, 2),
        (6, "tls", "2001:db8::9", 5060, 3),
    ]
