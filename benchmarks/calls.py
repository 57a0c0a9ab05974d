"""CPU time per call, registration and OPTIONS: ``sansip serve`` beside Kamailio.

Theory of operation: SIPp offers the same load at the same rate to each server in turn, several rounds,
alternating, so that other work of the machine affects both. The server alone has one core; all SIPp processes
and this program share another. The figure is the CPU time of the server (user + system, all its processes:
``tools/cpu.py``) minus its CPU time when idle, divided by the calls that SIPp saw completed.
Everything stays on 127.0.0.1 and ends by itself.

    python benchmarks/calls.py --rate 400 --seconds 20 --rounds 3
    python benchmarks/calls.py --only calls --transport tls
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.tls_ends import TlsEnds  # noqa: E402 (needs the path above)
from tools.cpu import cpu_seconds, idle_share, system_seconds, waited_seconds  # noqa: E402 (needs the path above)
from tools.peers import Program, Sipp, free_port, kamailio, kamailio_config, sansip_serve  # noqa: E402 (needs the path above)
from tools.redises import redis_server  # noqa: E402 (needs the path above)

SCENARIOS = Path(__file__).parent / "scenarios"
DOMAIN = "bench.test"
HOST = "127.0.0.1"
WORKLOADS = {"calls": "uac.xml", "registrations": "register.xml", "options": "options.xml"}
# Users that register again and again: the first round adds them, the others refresh them.
USERS = 1_000


@dataclass
class Result:
    """One server under one load.

    ``cpu_us`` is per completed call, ``system_us`` the part of it that the kernel spent; shares are of
    one core. A large ``wait_share`` means that other programs used the server's core at the same time,
    and made its caches cold. ``failed`` counts every offered call that was not completed. ``setup_ms`` is the
    time from INVITE to 200 that 99 of 100 calls did not exceed, as SIPp measures it, mostly in whole
    milliseconds; None where there are no calls.
    """

    server: str
    workload: str
    rate: int
    seconds: float
    completed: int
    failed: int
    retransmissions: int
    cpu_us: float
    system_us: float
    cpu_share: float
    idle_share: float
    wait_share: float
    sipp_share: float
    setup_ms: float | None = None


def register(user: str, phone: int, server: int, transport: str) -> None:
    """Register ``user`` at ``phone`` (a port) so that calls find it; raises TimeoutError."""
    uri = f"sip:{user}@{HOST}:{phone};transport={transport}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.bind((HOST, 0))
        text = (
            f"REGISTER sip:{DOMAIN} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {HOST}:{sock.getsockname()[1]};branch=z9hG4bK{user}{phone};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{user}@{DOMAIN}>;tag=1\r\nTo: <sip:{user}@{DOMAIN}>\r\n"
            f"Call-ID: {user}-{phone}\r\nCSeq: 1 REGISTER\r\nContact: <{uri}>\r\nExpires: 3600\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        sock.sendto(text.encode(), (HOST, server))
        answer = sock.recv(65_535)
    if not answer.startswith(b"SIP/2.0 200 "):
        status_line = answer.partition(b"\r\n")[0].decode()
        raise SystemExit(f"registration refused: {status_line}")


class Load:
    """The SIPp processes of one run."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        workload: str,
        server: int,
        directory: Path,
        ports: Sequence[int] = (),
        number: str = "callee",
        ends: TlsEnds | None = None,
    ) -> None:
        self.ends = ends
        # Where the callees listen, any free ports without; and what is dialled, but for its last digit.
        self.ports = ports
        self.number = number
        self.arguments = arguments
        self.workload = workload
        self.server = (HOST, server)
        self.directory = directory
        self.callees: list[Sipp] = []
        self.callers: list[Sipp] = []
        self.files: list[Path] = []
        self.offered = 0

    def prepare(self, stack: ExitStack) -> None:
        """Start and register the callees, when the workload has any."""
        has_callees = self.workload == "calls"
        ends = self.ends
        if ends is not None:
            if has_callees and not self.ports:
                self.ports = [free_port() for _ in range(self.arguments.sipps)]
            ports = self.ports if has_callees else ()
            stack.enter_context(ends.start(self.server[1], ports, pinned(self.arguments.sipp_core)))
        if not has_callees:
            return
        for number in range(self.arguments.sipps):
            callee = self._start("uas.xml", number, calls=10**9, options=[])
            stack.enter_context(callee)
            callee.wait_until_bound()
            phone = callee.local[1] if ends is None else ends.fronts[number]
            register(f"callee{number}", phone, self.server[1], self.arguments.transport)
            self.callees.append(callee)

    def run(self, stack: ExitStack) -> None:
        """Offer the load; return when every caller has ended."""
        share = self.arguments.rate / self.arguments.sipps
        for number in range(self.arguments.sipps):
            options = ["-r", f"{share * 100:.0f}", "-rp", "100000", "-l", "15000"]
            if self.workload == "registrations":
                users = self.directory / f"users{number}.csv"
                lines = [f"user{number}x{count};" for count in range(USERS // self.arguments.sipps)]
                users.write_text("\n".join(["SEQUENTIAL", *lines]) + "\n")
                options += ["-inf", str(users)]
            elif self.workload == "calls":
                # A file of its own in the folder: the time of each set-up.
                options += ["-trace_rtt"]
            calls = round(share * self.arguments.seconds)
            self.offered += calls
            caller = self._start(WORKLOADS[self.workload], number, calls=calls, options=options)
            stack.enter_context(caller)
            self.callers.append(caller)
        for caller in self.callers:
            # Status 1 is "some call failed", which the statistics count; any other is a fault of SIPp itself.
            if caller.wait(self.arguments.seconds + 60) not in (0, 1):
                raise caller.failure("could not run its scenario")

    def _start(self, scenario: str, number: int, *, calls: int, options: list[str]) -> Sipp:
        statistics_file = self.directory / f"{Path(scenario).stem}{number}.csv"
        self.files.append(statistics_file)
        transport = "u1" if self.arguments.transport == "udp" else "t1"
        if self.arguments.port_each and scenario != "uas.xml":
            transport, options = "un", [*options, "-max_socket", "4000"]
        played, server = SCENARIOS / scenario, self.server
        if self.ends is not None:
            is_callee = scenario == "uas.xml"
            played = self.ends.scenario(played, self.ends.fronts[number] if is_callee else None)
            server = HOST, self.ends.near
        return Sipp(
            played,
            server,
            self.directory,
            local=(HOST, self.ports[number] if scenario == "uas.xml" and self.ports else free_port()),
            transport=transport,
            calls=calls,
            service=f"{self.number}{number}",
            domain=DOMAIN,
            options=[
                "-trace_stat",
                "-stf",
                str(statistics_file),
                "-fd",
                "1",
                "-buff_size",
                "2000000",
                *options,
            ],
            prefix=pinned(self.arguments.sipp_core),
        )

    def cpu_seconds(self) -> float:
        """Return the CPU time of the callees so far, and of the callers that have ended."""
        ended = os.times()
        running = sum(cpu_seconds(callee.pid) for callee in self.callees)
        return running + ended.children_user + ended.children_system

    def totals(self) -> tuple[int, int, int]:
        """Return calls completed, calls not completed, and messages that any side sent again."""
        completed = again = 0
        for file in self.files:
            with file.open(newline="") as lines:
                last = list(csv.DictReader(lines, delimiter=";"))[-1]
            again += int(last["Retransmissions(C)"])
            if not file.name.startswith("uas"):
                completed += int(last["SuccessfulCall(C)"])
        return completed, self.offered - completed, again

    def setup_ms(self) -> float | None:
        """Return the milliseconds that 99 of 100 set-ups did not exceed; None where there were none."""
        times = sorted(
            float(line.split(";")[1])
            for file in self.directory.glob("*_rtt.csv")
            for line in file.read_text().splitlines()[1:]
        )
        return times[(len(times) * 99 + 99) // 100 - 1] if times else None


def ends_of(arguments: argparse.Namespace, directory: Path) -> TlsEnds | None:
    """Return what speaks TLS around SIPp, None where nothing has to."""
    return TlsEnds(directory, HOST, DOMAIN) if arguments.transport == "tls" else None


def pinned(core: int) -> list[str]:
    return ["taskset", "-c", str(core)]


# Starts a server: (folder, listeners, words in front of the command).
Begin = Callable[[Path, Sequence[str], Sequence[str]], Program]


def measure(
    name: str,
    workload: str,
    arguments: argparse.Namespace,
    begin: Begin | None = None,
    ports: Sequence[int] = (),
    number: str = "callee",
) -> Result:
    """Start a server, let it idle, load it, let it settle, and return its costs.

    ``begin`` starts it in place of ``name``'s own way; ``ports`` and ``number`` as of ``Load``.
    """
    with tempfile.TemporaryDirectory(prefix="sansip-bench-") as temporary, ExitStack() as stack:
        directory = Path(temporary)
        port = free_port()
        listeners = [f"udp:{HOST}:{port}"]
        if arguments.transport != "udp":
            listeners.append(f"{arguments.transport}:{HOST}:{port}")
        start: Callable[..., Program] = kamailio if name == "kamailio" else sansip_serve
        options = {"kamailio": ["-x", "fm"], "sansip+uvloop": ["--uvloop"]}.get(name, [])
        if name.partition("+")[2] in arguments.runtime:
            options = ["--runtime", name.partition("+")[2]]
        ends = ends_of(arguments, directory)
        if name != "kamailio":
            options = [*options, *arguments.serve_option]
            if ends is not None:
                config = directory / "tls.toml"
                config.write_text(ends.table)
                options = [*options, "--config", str(config)]
        elif ends is not None:
            start = partial(kamailio, text=kamailio_config(listeners, [DOMAIN], certificate=ends.certificate))
        if name == "sansip+redis":
            options += shared(arguments, directory, stack)
        prefix = pinned(arguments.server_core)
        if begin is None:
            server = stack.enter_context(start(directory, listeners, [DOMAIN], options, prefix))
        else:
            server = stack.enter_context(begin(directory, listeners, prefix))
        load = Load(arguments, workload, port, directory, ports, number, ends)
        load.prepare(stack)

        idle = idle_share(server.pid, arguments.idle)

        begun, spent, waited = time.monotonic(), cpu_seconds(server.pid), waited_seconds(server.pid)
        system = system_seconds(server.pid)
        sipp_spent = load.cpu_seconds()
        load.run(stack)
        elapsed = time.monotonic() - begun
        waited = waited_seconds(server.pid) - waited
        # The server clears up after a call later, and that belongs to the call's cost.
        time.sleep(arguments.settle)
        whole = time.monotonic() - begun
        cost = cpu_seconds(server.pid) - spent - idle * whole
        system = system_seconds(server.pid) - system
        sipp_spent = load.cpu_seconds() - sipp_spent
        for callee in load.callees:
            # SIPp writes its last statistics when it is told to end.
            callee.terminate()
            callee.wait(10)
        completed, failed, again = load.totals()
        setup_ms = load.setup_ms()
    per_call = 1e6 / completed if completed else float("nan")
    return Result(
        server=name,
        workload=workload,
        rate=arguments.rate,
        seconds=round(elapsed, 2),
        completed=completed,
        failed=failed,
        retransmissions=again,
        cpu_us=round(cost * per_call, 1),
        system_us=round(system * per_call, 1),
        cpu_share=round(cost / elapsed, 3),
        idle_share=round(idle, 4),
        wait_share=round(waited / elapsed, 3),
        sipp_share=round(sipp_spent / elapsed, 3),
        setup_ms=setup_ms,
    )


def shared(arguments: argparse.Namespace, directory: Path, stack: ExitStack) -> list[str]:
    """Start a Redis on SIPp's core; return the options of a server whose bindings are there."""
    port = free_port()
    redis = stack.enter_context(redis_server(directory / "redis", port))
    os.sched_setaffinity(redis.pid, {arguments.sipp_core})
    key, config = directory / "key", directory / "shared.toml"
    key.write_bytes(os.urandom(32))
    config.write_text(f'location = "redis://{HOST}:{port}/0"\nsecret_file = "{key}"\n[node]\nname = "n1"\n')
    return ["--config", str(config)]


def parser_of(description: str) -> argparse.ArgumentParser:
    """Return a parser of the options that say how to measure."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--rate", type=int, default=400, help="calls or requests per second, all SIPps together"
    )
    parser.add_argument("--seconds", type=int, default=15, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each server")
    parser.add_argument("--sipps", type=int, default=2, help="SIPp processes on each side")
    parser.add_argument("--transport", choices=["udp", "tcp", "tls"], default="udp")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--sipp-core", type=int, default=1)
    parser.add_argument("--idle", type=float, default=2.0, help="seconds of idling before the load")
    parser.add_argument("--settle", type=float, default=3.0, help="seconds counted after the load")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    # Whether each call is from a port of its own.
    parser.set_defaults(runtime=[], serve_option=[], port_each=False)
    return parser


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = parser_of((__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--only", choices=sorted(WORKLOADS), action="append", help="workload; may be repeated"
    )
    parser.add_argument("--uvloop", action="store_true", help="measure sansip on uvloop, too")
    parser.add_argument(
        "--runtime", action="append", default=[], help="measure sansip on this runtime, too; may be repeated"
    )
    parser.add_argument("--redis", action="store_true", help="measure sansip with its bindings in Redis, too")
    parser.add_argument("--no-kamailio", action="store_true", help="sansip alone")
    parser.add_argument("--no-sansip", action="store_true", help="Kamailio alone (checks the harness)")
    parser.add_argument(
        "--serve-option", action="append", default=[], help="one more word for `sansip serve`"
    )
    return parser.parse_args(words)


def main() -> int:
    arguments = parse_arguments()
    servers = [] if arguments.no_sansip else ["sansip"]
    if arguments.uvloop:
        servers.append("sansip+uvloop")
    if arguments.redis:
        servers.append("sansip+redis")
    servers += [f"sansip+{runtime}" for runtime in arguments.runtime]
    if not arguments.no_kamailio:
        servers.append("kamailio")
    needed = (
        ["sipp", "taskset"]
        + ["haproxy"] * (arguments.transport == "tls")
        + ["kamailio"] * ("kamailio" in servers)
        + ["redis-server"] * arguments.redis
    )
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        print(
            f"not installed: {', '.join(missing)} (apt-get install sip-tester kamailio util-linux)",
            file=sys.stderr,
        )
        return 2
    results: list[Result] = []
    for workload in arguments.only or list(WORKLOADS):
        if not arguments.json:
            print(f"\n{workload}: {arguments.rate}/s for {arguments.seconds} s over {arguments.transport}")
            print(
                "server           completed  failed  resent   µs CPU  system   share  idle   wait   SIPp"
                "  p99",
                flush=True,
            )
        for _ in range(arguments.rounds):
            for name in servers:
                result = measure(name, workload, arguments)
                results.append(result)
                if not arguments.json:
                    print(line(result), flush=True)
        if not arguments.json:
            print(verdict(results, workload, servers), flush=True)
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=1))
    return 0


def line(result: Result) -> str:
    counts = f"{result.completed:>9} {result.failed:>7} {result.retransmissions:>7}"
    costs = f"{result.cpu_us:>8.1f} {result.system_us:>7.1f} {result.cpu_share:>7.1%}"
    shares = f"{result.idle_share:>5.1%} {result.wait_share:>6.1%} {result.sipp_share:>6.1%}"
    late = "" if result.setup_ms is None else f" {result.setup_ms:>3.0f} ms"
    return f"{result.server:<16} {counts} {costs} {shares}{late}"


def verdict(results: Sequence[Result], workload: str, servers: list[str]) -> str:
    """Return the medians, and the ratios to Kamailio if it took part."""
    medians = {
        name: statistics.median(r.cpu_us for r in results if r.server == name and r.workload == workload)
        for name in servers
    }
    words = [f"{name} {value:.1f} µs" for name, value in medians.items()]
    for name in servers:
        late = [
            result.setup_ms
            for result in results
            if (result.server, result.workload) == (name, workload) and result.setup_ms is not None
        ]
        if late:
            words.append(f"{name} p99 of set-up {statistics.median(late):g} ms")
    if "kamailio" in medians:
        words += [
            f"{name}/kamailio {value / medians['kamailio']:.2f}"
            for name, value in medians.items()
            if name != "kamailio"
        ]
    return "median: " + ", ".join(words)


if __name__ == "__main__":
    sys.exit(main())
