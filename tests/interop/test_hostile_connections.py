"""Ten thousand idle connections, comings and goings, and every way to be slow; calls go on beside them.

Theory of operation: SIPp calls through the server over UDP and TCP without a break, first alone, then
while the attacks of ``attacks`` go on. No call may be lost, each attack must be cut
by the limit that is meant for it, and memory must stay where the figures of
``benchmarks/connections.py`` put it. CI runs a short form; ``SANSIP_HOSTILE=1`` the long one,
whose figures are in benchmarks/README.md.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from benchmarks.connections import resident
from tests.certificates import Authority
from tests.interop import attacks
from tests.interop.conftest import OPTIONS, TARGET
from tests.interop.phone import Phone
from tests.interop.test_sipp import OWN
from tools import peers

LONG = bool(os.environ.get("SANSIP_HOSTILE"))
# Idle connections of each kind, and connections opened and closed.
IDLE = dict(zip(("tcp", "tls", "ws", "wss"), (10_000, 1_500, 1_500, 1_500), strict=True))
if not LONG:
    IDLE = {name: count // 10 for name, count in IDLE.items()}
CHURN = 50_000 if LONG else 2_000
# Attackers of each kind at once.
CROWD = 10 if LONG else 5
# Octets that an idle connection may cost, half as much again as measured (Kamailio: 4.5 KB, TLS 61 KB more).
COST = {"tcp": 4_500, "tls": 31_000, "ws": 6_500, "wss": 31_000}
# The octets that the calls, the churn and the crowd may add to it.
SPARE = 40_000_000
LIMIT = 3.0
LOCAL = "127.0.0.1"
DOMAIN = "hostile.test"

pytestmark = [
    pytest.mark.needs("sipp"),
    pytest.mark.timeout(1_800 if LONG else 120),
    pytest.mark.skipif(TARGET != "sansip", reason="it is sansip's own behaviour"),
]

CONFIG = f"""
[limits]
connections_per_source = 50_000
connection_backlog = 262_144
message_time = {LIMIT}
first_data_time = {LIMIT}
connect_time = {LIMIT}
"""


class Calls:
    """SIPp on ``transport``: calls one batch after the other until told to stop; latencies in ms."""

    def __init__(self, directory: Path, server: tuple[str, int], transport: str) -> None:
        self.directory = directory
        self.server = server
        self.transport = transport
        self.user = f"callee-{transport}"
        self.latencies: list[float] = []
        self.placed = 0
        self.faults: list[BaseException] = []
        self.scenario = directory / f"timed-{transport}.xml"
        text = (
            (OWN / "s03_call_uac.xml").read_text().replace("<send retrans", '<send start_rtd="1" retrans', 1)
        )
        self.scenario.write_text(
            text.replace('<recv response="200" rrs', '<recv response="200" rtd="1" rrs', 1)
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self, stack: ExitStack) -> None:
        """Register the callee, and place calls from now on."""
        local = (LOCAL, peers.free_port())
        uas = peers.Sipp(
            OWN / "s03_call_uas.xml",
            self.server,
            self.directory,
            local=local,
            transport=self.transport,
            calls=10_000_000,
        )
        stack.enter_context(uas)
        uas.wait_until_bound()
        with Phone(self.user, "biloxi.test", "udp", self.server) as phone:
            named = "" if self.transport == "u1" else ";transport=tcp"
            phone.contact = f"<sip:{self.user}@{LOCAL}:{local[1]}{named}>"
            phone.register()
        self._thread.start()

    def end(self) -> None:
        """Let the batch finish; raises what went wrong."""
        self._stop.set()
        self._thread.join(60)
        if self.faults:
            raise self.faults[0]

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._batch(60)
        except BaseException as error:
            self.faults.append(error)

    def _batch(self, calls: int) -> None:
        options = ["-r", "20", "-trace_rtt", "-rtt_freq", "1"]
        uac = peers.Sipp(
            self.scenario,
            self.server,
            self.directory,
            local=(LOCAL, peers.free_port()),
            transport=self.transport,
            service=self.user,
            calls=calls,
            options=options,
        )
        with uac:
            uac.succeed()
        table = self.directory / f"{self.scenario.stem}_{uac.pid}_rtt.csv"
        rows = [line.split(";") for line in table.read_text().splitlines()[1:]]
        self.latencies += [float(row[1]) for row in rows]
        self.placed += calls


def percentiles(latencies: list[float]) -> str:
    """Return the median, 95th and 99th percentile and the maximum, in milliseconds."""
    ordered = sorted(latencies)
    at = [ordered[min(int(len(ordered) * part), len(ordered) - 1)] for part in (0.5, 0.95, 0.99)]
    return f"p50 {at[0]:.1f}, p95 {at[1]:.1f}, p99 {at[2]:.1f}, most {ordered[-1]:.1f} ms"


class World:
    """The server, and what dials its listeners."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        certificate = self.authority.issue("server.pem", DOMAIN, LOCAL)
        shared = peers.free_port()
        self.addresses = {"udp": (LOCAL, shared), "tcp": (LOCAL, shared)}
        self.addresses |= {name: (LOCAL, peers.free_port()) for name in ("tls", "ws", "wss")}
        listeners = [f"{name}:{host}:{port}" for name, (host, port) in self.addresses.items()]
        config = directory / "sansip.toml"
        config.write_text(CONFIG)
        options = [*OPTIONS, "--certificate", str(certificate), "--config", str(config)]
        self.program = peers.sansip_serve(directory, listeners, [DOMAIN, "biloxi.test"], options)

    def dial(self, transport: str) -> Callable[[], socket.socket]:
        how = attacks.secure if transport in ("tls", "wss") else attacks.plain
        return partial(how, self.addresses[transport])

    def phone(self, number: int, transport: str) -> Phone:
        phone = Phone(
            f"idle-{number}", DOMAIN, transport, self.addresses[transport], self.authority.authority
        )
        phone.keep_alive()
        return phone

    def attacks(self) -> dict[str, Callable[[], float]]:
        """Each attack by its name."""
        dial, at = self.dial, self.addresses
        return {
            "silent tcp": partial(attacks.silent, dial("tcp")),
            "silent tls port": partial(attacks.silent, partial(attacks.plain, at["tls"])),
            "silent ws": partial(attacks.silent, dial("ws")),
            "silent after TLS": partial(attacks.silent, dial("wss")),
            "half a message, tcp": partial(attacks.half_message, dial("tcp")),
            "half a message, tls": partial(attacks.half_message, dial("tls")),
            "octet by octet, tcp": partial(attacks.octet_by_octet, dial("tcp")),
            "octet by octet, tls": partial(attacks.octet_by_octet, dial("tls")),
            "header flood, tcp": partial(attacks.header_flood, dial("tcp")),
            "header flood, tls": partial(attacks.header_flood, dial("tls")),
            "never reads, tcp": partial(attacks.never_reads, dial("tcp")),
            "never reads, tls": partial(attacks.never_reads, dial("tls")),
            "garbage, tcp": partial(attacks.garbage, at["tcp"]),
            "garbage, tls": partial(attacks.garbage, at["tls"]),
            "garbage, ws": partial(attacks.garbage, at["ws"]),
            "half a handshake": partial(attacks.half_handshake, at["tls"]),
            "half an upgrade": partial(attacks.half_upgrade, dial("ws")),
        }


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    one = World(tmp_path)
    with one.program:
        yield one
        assert "Traceback" not in one.program.output(), one.program.output()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_calls_go_on(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Issue 4's hostile connections: bounded memory, each slow one cut by its limit, no call lost."""
    said: list[str] = ["", ""]
    with ExitStack() as stack:
        everybody = [Calls(tmp_path, world.addresses["udp"], transport) for transport in ("u1", "t1")]
        for calls in everybody:
            calls.begin(stack)
        while any(len(calls.latencies) < 60 and not calls.faults for calls in everybody):
            time.sleep(0.1)
        alone = [list(calls.latencies) for calls in everybody]
        said += idle_connections(world, stack)
        before = resident(world.program)
        took = attacks.churn(world.addresses["tcp"], CHURN)
        said.append(
            f"{CHURN} opens and closes in {took:.1f} s: {(resident(world.program) - before) / 1e6:+.1f} MB"
        )
        said += crowd(world)
        assert resident(world.program) - before < SPARE
        assert attacks.unmasked_frame(world.dial("ws")) == attacks.unmasked_frame(world.dial("wss")) == 1002
        assert attacks.oversized_frame(world.dial("ws")) == attacks.oversized_frame(world.dial("wss")) == 1009
        for calls, first in zip(everybody, alone, strict=True):
            calls.end()
            kind = {"u1": "UDP", "t1": "TCP"}[calls.transport]
            said.append(f"calls over {kind}, {len(first)} alone: {percentiles(first)}")
            attacked = calls.latencies[len(first) :]
            said.append(
                f"{' ' * 15}{calls.placed - len(first)} under attack: {percentiles(attacked)}; lost 0"
            )
    with capsys.disabled():
        sys.stdout.write("\n".join(said) + "\n")


def idle_connections(world: World, stack: ExitStack) -> list[str]:
    """Open them all, and keep them until ``stack`` is left."""
    said = []
    for transport, count in IDLE.items():
        for number in range(20):
            with world.phone(number, transport):
                pass
        before = resident(world.program)
        for number in range(count):
            stack.enter_context(world.phone(number, transport))
        each = (resident(world.program) - before) / count
        said.append(f"{count:>6} idle over {transport:<3}: {each / 1000:.1f} KB each")
        assert each < COST[transport] + SPARE / 10 / count
    return said


def crowd(world: World) -> list[str]:
    """All attacks at once, ``CROWD`` of each; return how long each was borne."""
    results: dict[str, list[float]] = {}
    faults: list[str] = []

    def attack(name: str, run: Callable[[], float]) -> None:
        try:
            results.setdefault(name, []).append(run())
        except (AssertionError, OSError) as error:
            faults.append(f"{name}: {error!r}")

    threads = [
        threading.Thread(target=attack, args=pair) for pair in world.attacks().items() for _ in range(CROWD)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not faults, faults[:5]
    assert all(len(results[name]) == CROWD for name in world.attacks())
    return [f"{name:>20}: cut after {max(took):.1f} s at most" for name, took in sorted(results.items())]
