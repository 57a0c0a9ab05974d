"""Name servers over real sockets, on every runtime: UDP, TCP, silence, and servers that die.

Theory of operation: the name server is a thread with blocking sockets on
loopback that answers from the zone of the unit tests; the SIP servers that the
zone leads to are sockets of the test. Everything but the kernel is as in service.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from sansip import ListenerConfig, Stack, StackConfig
from sansip.transport.dns import DnsConfig, DnsLookup, LookupFailed
from sansip_sockets.system_dns import host_names, name_servers, system_dns
from tests.adapters.fakes import PATIENCE
from tests.rig import relay_to, reply, request
from tests.transport.dns.name_server import NameServer
from tests.transport.dns.zone import Zone


@pytest.fixture
def name_server() -> Iterator[Callable[[str], NameServer]]:
    """Make name servers that are closed in the end."""
    made: list[NameServer] = []

    def make(text: str) -> NameServer:
        made.append(NameServer(Zone(text)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def stack_of(*servers: Any, route: Any = None, **dns: Any) -> Callable[[list[ListenerConfig]], Stack]:
    options = {} if route is None else {"route": route}

    def build(listeners: list[ListenerConfig]) -> Stack:
        config = DnsConfig(servers=list(servers), **dns)
        return Stack(
            StackConfig(listeners, domains=["biloxi.test"], dns=config, **options), b"seed for the live"
        )

    return build


def look_up(server: Any, name: str, kind: str) -> Any:
    """The answer to a look-up in the server's thread."""
    future: Future[Any] = Future()
    stack = server.hub.driver.stack

    def ask() -> None:
        now = server.hub.clock()
        stack.ask(DnsLookup(name, kind), lambda found, now: future.set_result(found), now)
        server.hub.send(stack.time_passed(now))

    server.hub.inbox.post(ask)
    return future.result(PATIENCE)


UDP = ListenerConfig(0, "udp", "127.0.0.1", 0)
TCP = ListenerConfig(1, "tcp", "127.0.0.1", 0)


def test_udp_then_tcp_then_the_cache(start, name_server):
    """A query has a port of its own; a truncated answer comes over TCP; all sockets are closed after."""
    names = name_server("a.test. 60 A 192.0.2.1\nb.test. 60 A 192.0.2.2")
    server = start(stack_of(names.address), UDP)
    assert look_up(server, "a.test", "A") == ["192.0.2.1"]
    assert look_up(server, "a.test", "A") == ["192.0.2.1"]
    names.server.truncates = True
    assert look_up(server, "b.test", "A") == ["192.0.2.2"]
    assert names.server.queries == ["a.test A", "b.test A", "b.test A tcp"]
    assert len({port for _, port in names.sources}) == 2
    assert names.sources[0][1] != server.address()[1]
    clients = server.hub.clients
    deadline = threading.Event()
    for _ in range(200):
        if server.call(lambda: len(clients)) == 0:
            break
        deadline.wait(0.01)
    assert server.call(lambda: len(clients)) == 0


def test_a_dead_and_a_silent_name_server(start, name_server, connect):
    """ICMP leads to the next server at once, silence after the timeout; then both are asked last."""
    names = name_server("a.test. 60 A 192.0.2.1\nb.test. 60 A 192.0.2.2")
    silent = connect(names.address, socket.SOCK_DGRAM)
    quiet = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    quiet.bind(("127.0.0.1", 0))
    with quiet, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        dead = gone.getsockname()
        gone.close()
        server = start(stack_of(dead, quiet.getsockname(), names.address, timeout=0.1), UDP)
        assert look_up(server, "a.test", "A") == ["192.0.2.1"]
        assert look_up(server, "b.test", "A") == ["192.0.2.2"]
        assert quiet.recv(600)
        quiet.setblocking(False)
        with pytest.raises(BlockingIOError):
            quiet.recv(600)
    del silent


def test_no_way_to_the_name_server(start):
    """A socket that cannot be opened is a failed query, not a waiting one, and no report."""
    server = start(stack_of(("255.255.255.255", 53), timeout=30.0), UDP)
    assert isinstance(look_up(server, "a.test", "A"), LookupFailed)


def test_calls_go_to_the_server_that_lives(start, name_server, connect):
    """SRV targets that die in the middle: a call fails over at once, and later ones avoid the dead."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second,
    ):
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
            one.settimeout(PATIENCE)
        names = name_server(
            f"""
carrier.test. 60 NAPTR 1 1 "s" "SIP+D2U" "" _sip._udp.carrier.test.
_sip._udp.carrier.test. 60 SRV 1 0 {first.getsockname()[1]} host.carrier.test.
_sip._udp.carrier.test. 60 SRV 2 0 {second.getsockname()[1]} host.carrier.test.
host.carrier.test. 60 A 127.0.0.1
"""
        )
        server = start(stack_of(names.address, route=relay_to("sip:bob@carrier.test")), UDP, TCP)
        caller = connect(server.address(), socket.SOCK_DGRAM)

        def call(number: int, callee: socket.socket) -> None:
            data = request(
                "OPTIONS", source=caller.getsockname(), branch=f"z9hG4bK{number}", call_id=f"{number}@test"
            )
            caller.send(data)
            arrived, source = callee.recvfrom(65_535)
            callee.sendto(reply(_message(arrived), 200), source)
            assert caller.recv(65_535).startswith(b"SIP/2.0 200")

        call(1, first)
        first.close()
        call(2, second)
        call(3, second)
        assert len([query for query in names.server.queries if "SRV" in query]) == 1


def _message(data: bytes) -> Any:
    from sansip import parse_message

    return parse_message(data)


# --- the machine's settings


def test_resolv_conf() -> None:
    """resolv.conf(5): servers in order, the options that are ours, and 127.0.0.1 without any."""
    text = """
# comment
; another
search example.test
nameserver 192.0.2.53
nameserver 2001:db8::53
nameserver nonsense
nameserver
options ndots:2 timeout:3 attempts:4 rotate timeout:x attempts:0
"""
    assert name_servers(text) == {
        "servers": [("192.0.2.53", 53), ("2001:db8::53", 53)],
        "timeout": 3.0,
        "rounds": 4,
        "rotate": True,
    }
    assert name_servers("") == {"servers": [("127.0.0.1", 53)]}


def test_hosts() -> None:
    """hosts(5): several names a line, several lines a name, comments, and lines without an address."""
    text = (
        "127.0.0.1 localhost\n192.0.2.7\tPbx.Test pbx # ours\n"
        "2001:db8::7 pbx.test pbx.test\nnonsense x\n192.0.2.8\n"
    )
    assert host_names(text) == {
        "localhost": ["127.0.0.1"],
        "pbx.test": ["192.0.2.7", "2001:db8::7"],
        "pbx": ["192.0.2.7"],
    }


def test_the_files_are_read(tmp_path) -> None:
    """A missing file counts as empty, and changed files are read again."""
    (tmp_path / "hosts").write_bytes(b"192.0.2.7 pbx.test \xff\n")
    config = system_dns(tmp_path / "none", tmp_path / "hosts", timeout=2.0)
    assert (config.servers, config.timeout) == ([("127.0.0.1", 53)], 2.0)
    assert config.hosts["pbx.test"] == ["192.0.2.7"]
    with pytest.raises(ValueError, match="timeout"):
        system_dns(tmp_path / "none", tmp_path / "none", timeout=0)
