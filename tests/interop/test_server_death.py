"""Servers that die in the middle of a call, behind NAPTR, SRV, A and AAAA from a real name server (nsd).

Theory of operation: each case is a domain with two servers, of which the first dies
in its own way: nobody listens (ICMP, RST), the connection is reset when the
request has come, silence over UDP and TCP, 503. The call must be answered by the second within the same
transaction of the caller, under a branch of its own, and the next call must not ask the dead one again.
"""

from __future__ import annotations

import itertools
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.callee import SLOW, Callee, field
from tests.interop.conftest import TARGET
from tools.peers import Program, free_port, sansip_serve

pytestmark = [
    pytest.mark.needs("nsd"),
    pytest.mark.skipif(TARGET != "sansip", reason="the test brings its own configuration"),
]

HOSTS = {"4": "127.0.0.1", "6": "::1"}
# Seconds; the default is 3. Timer B is 32.
FAILOVER = 0.5
PATIENCE = 8.0
# How the first server dies, and how the second is reached.
CASES = [
    f"{how}-{first}-{second}"
    for how, first, second in (
        ("refused", "udp4", "udp4"),
        ("refused", "udp6", "tcp4"),
        ("refused", "tcp4", "udp4"),
        ("refused", "tcp6", "tcp6"),
        ("reset", "tcp4", "tcp4"),
        ("reset", "tcp6", "udp4"),
        ("silent", "udp4", "udp4"),
        ("silent", "udp6", "udp4"),
        ("silent", "tcp4", "udp6"),
        ("busy", "udp4", "tcp6"),
    )
]

ROUTE = """
def route(request):
    if request.method == "ACK":
        request.drop()
    elif request.uri.host == "biloxi.test":
        request.relay([f"sip:x@{request.uri.user}.carrier.test{request.message.get('x-more') or ''}"])
    else:
        request.reply(404)
"""


@dataclass
class World:
    """The server under test, its name server, and for each domain its two servers."""

    address: tuple[str, int]
    program: Program
    pairs: dict[str, tuple[Callee, Callee]]


def nsd(directory: Path, zone: str) -> tuple[Program, int]:
    """Start nsd with ``zone`` of carrier.test in the foreground."""
    port = free_port()
    (directory / "carrier.zone").write_text(zone)
    (directory / "nsd.conf").write_text(
        f"""server:
  ip-address: 127.0.0.1@{port}
  username: ""
  zonesdir: "{directory}"
  database: ""
  pidfile: "{directory}/nsd.pid"
  xfrdfile: "{directory}/xfrd.state"
  zonelistfile: "{directory}/zone.list"
  xfrdir: "{directory}"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: carrier.test
  zonefile: carrier.zone
"""
    )
    program = Program(
        ["nsd", "-d", "-V", "1", "-c", str(directory / "nsd.conf")], directory / "nsd.log", cwd=directory
    )
    program.wait_for(r"nsd started")
    return program, port


def records(domain: str, pair: tuple[Callee, Callee]) -> list[str]:
    """NAPTR, SRV and addresses that lead to the first, then to the second."""
    lines = []
    for order, one in enumerate(pair, 1):
        service = {"udp": "SIP+D2U", "tcp": "SIP+D2T"}[one.transport]
        kind = "AAAA" if ":" in one.host else "A"
        name = f"_sip._{one.transport}.{domain}"
        lines.append(f'{domain} NAPTR 1 {order} "s" "{service}" "" {name}')
        lines.append(f"{name} SRV {order} 0 {one.port} s{order}.{domain}")
        lines.append(f"s{order}.{domain} {kind} {one.host}")
    return list(dict.fromkeys(lines))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All domains at once: each test has its own, so they do not meet."""
    directory = tmp_path_factory.mktemp("death")
    with ExitStack() as stack:
        pairs: dict[str, tuple[Callee, Callee]] = {}
        for case in CASES:
            how, first, second = case.split("-")
            dead = stack.enter_context(Callee(how, first[:3], HOSTS[first[3]]))
            alive = stack.enter_context(Callee("alive", second[:3], HOSTS[second[3]]))
            pairs[case] = (dead, alive)
        # A server that answered 100 is at work: no other may be asked (RFC 3263 4.3).
        slow = stack.enter_context(Callee("slow", "udp", "127.0.0.1"))
        pairs["slow"] = (slow, stack.enter_context(Callee("alive", "udp", "127.0.0.1")))
        zone = ["$ORIGIN carrier.test.", "$TTL 60", "@ SOA ns root 1 3600 600 86400 60", "@ NS ns"]
        zone += ["ns A 127.0.0.1", *itertools.chain(*(records(name, pair) for name, pair in pairs.items()))]
        # One host, both families, one port: only the IPv4 address has somebody behind it.
        twin = stack.enter_context(Callee("alive", "udp", "127.0.0.1"))
        pairs["twin"] = (stack.enter_context(Callee("silent", "udp", "::1", twin.port)), twin)
        zone += ["twin AAAA ::1", "twin A 127.0.0.1"]
        names, port = nsd(directory, "\n".join(zone) + "\n")
        stack.enter_context(names)
        config = directory / "sansip.toml"
        settings = ['route = "route.py"', "[dns]", f'servers = ["127.0.0.1:{port}"]']
        config.write_text("\n".join([*settings, "[proxy]", f"failover_time = {FAILOVER}", ""]))
        (directory / "route.py").write_text(ROUTE)
        address = ("127.0.0.1", free_port())
        listeners = [
            f"{transport}:{host}:{address[1]}"
            for host in ("127.0.0.1", "[::1]")
            for transport in ("udp", "tcp")
        ]
        program = sansip_serve(directory, listeners, ["biloxi.test"], ["--config", str(config)])
        stack.enter_context(program)
        yield World(address, program, pairs)
        assert "Traceback" not in program.output(), program.output()


def call(world: World, domain: str, number: int, more: str = "") -> tuple[str, float]:
    """Send one INVITE; return its final status and the milliseconds it took."""
    call_id = f"{domain}-{number}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.bind(("127.0.0.1", 0))
        caller.settimeout(PATIENCE)
        host, port = caller.getsockname()
        lines = [
            f"INVITE sip:{domain}@biloxi.test SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{call_id}{os.getpid()};rport",
            "Max-Forwards: 70",
            f"From: <sip:caller@biloxi.test>;tag={number}",
            f"To: <sip:{domain}@biloxi.test>",
            f"Call-ID: {call_id}",
            "CSeq: 1 INVITE",
            f"Contact: <sip:caller@{host}:{port}>",
            *([f"X-More: {more}"] if more else []),
            "Content-Length: 0",
        ]
        begun = time.monotonic()
        caller.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), world.address)
        while True:
            answer = caller.recv(65_535).decode()
            assert field(answer, "call-id") == call_id
            status = answer.split(" ")[1]
            if status != "100":
                return status, 1000 * (time.monotonic() - begun)


@pytest.mark.parametrize("case", CASES)
def test_the_second_server_has_the_call(case: str, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """RFC 3263 4.3; the second call goes straight to the server that lives."""
    dead, alive = world.pairs[case]
    status, first = call(world, case, 1)
    assert status == "200"
    assert alive.calls() == [f"{case}-1"]
    if dead.how != "refused":
        branches = {branch for _, _, branch in dead.heard}
        assert dead.calls() == [f"{case}-1"]
        assert branches.isdisjoint(branch for _, _, branch in alive.heard)
    status, second = call(world, case, 2)
    assert status == "200"
    assert alive.calls() == [f"{case}-1", f"{case}-2"]
    assert f"{case}-2" not in dead.calls()
    with capsys.disabled():
        sys.stdout.write(f"\n{case:>20}: {first:5.0f} ms, the next call {second:3.0f} ms ")


def test_one_host_with_two_addresses(world: World) -> None:
    """An address family without anybody behind it costs ``failover_time``, and then nothing."""
    dead, alive = world.pairs["twin"]
    for number in (1, 2):
        assert call(world, "twin", number, f":{alive.port}")[0] == "200"
    assert alive.calls() == ["twin-1", "twin-2"]
    assert dead.calls() == ["twin-1"]


def test_one_that_has_answered_100_is_not_given_up(world: World) -> None:
    """RFC 3263 4.3: a provisional response says that the server lives."""
    slow, other = world.pairs["slow"]
    status, milliseconds = call(world, "slow", 1)
    assert (status, slow.calls(), other.calls()) == ("200", ["slow-1"], [])
    assert milliseconds >= 1000 * SLOW
