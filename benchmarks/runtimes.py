"""CPU time per request on each installed runtime: the same server, the same load, one run.

Theory of operation: ``sansip serve --runtime NAME`` has one core, this program the other. It sends OPTIONS at
a fixed rate, one datagram or one write on one of many connections at a time, so that every runtime gets the
same pattern of wake-ups, even a slow one; ``--burst`` sends several at once. The figure is the CPU time of
the server, to the nanosecond (``tools/cpu.py``), divided by the requests answered with 200. Runtimes take
turns, each time with a fresh process. The median of the rounds counts, and its ratio to that of the fastest.
The lowest of the rounds stands beside it, because other work of the machine only adds.

    python benchmarks/runtimes.py --rounds 5 --json runtimes.json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import socket
import statistics
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tools.cpu import cpu_seconds  # noqa: E402 (needs the path above)
from tools.peers import free_port, sansip_serve  # noqa: E402 (needs the path above)

HOST = "127.0.0.1"
DOMAIN = "bench.test"
# Options of `sansip serve` for each runtime, and the package that has to be installed.
RUNTIMES = {
    "blocking": ["--runtime", "blocking"],
    "asyncio": ["--runtime", "asyncio"],
    "uvloop": ["--runtime", "asyncio", "--uvloop"],
    "gevent": ["--runtime", "gevent"],
    "curio": ["--runtime", "curio"],
    "trio": ["--runtime", "trio"],
}
# TCP connections that take turns.
CONNECTIONS = 32
# Seconds of load before the measurement begins.
WARM_UP = 0.5


def request(number: int, transport: str, local: tuple[str, int]) -> bytes:
    return (
        f"OPTIONS sip:{DOMAIN} SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport.upper()} {local[0]}:{local[1]};branch=z9hG4bK{number:08x};rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:monitor@{DOMAIN}>;tag=m{number:x}\r\nTo: <sip:{DOMAIN}>\r\n"
        f"Call-ID: {number:x}@bench\r\nCSeq: 1 OPTIONS\r\nAccept: application/sdp\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()


class Client:
    """Offers requests at a fixed rate and counts the answers."""

    def __init__(self, transport: str, port: int) -> None:
        self.transport = transport
        self.socks: list[socket.socket] = []
        kind, count = (socket.SOCK_DGRAM, 1) if transport == "udp" else (socket.SOCK_STREAM, CONNECTIONS)
        self.selector = selectors.DefaultSelector()
        for _ in range(count):
            sock = socket.socket(socket.AF_INET, kind)
            self.socks.append(sock)
            sock.connect((HOST, port))
            sock.setblocking(False)
            self.selector.register(sock, selectors.EVENT_READ)
        self.sent = self.answered = 0

    def close(self) -> None:
        self.selector.close()
        for sock in self.socks:
            sock.close()

    def offer(self, rate: float, burst: int, seconds: float) -> None:
        """Send ``rate`` requests each second, ``burst`` at a time, and read the answers."""
        begin = time.perf_counter()
        for turn in range(int(rate * seconds / burst)):
            while (left := begin + turn * burst / rate - time.perf_counter()) > 0:
                self._read(left)
            for _ in range(burst):
                sock = self.socks[self.sent % len(self.socks)]
                self.sent += 1
                sock.send(request(self.sent, self.transport, sock.getsockname()))
        end = time.perf_counter() + 2.0
        while self.answered < self.sent and (left := end - time.perf_counter()) > 0:
            self._read(left)

    def _read(self, timeout: float) -> None:
        for key, _ in self.selector.select(timeout):
            with contextlib.suppress(BlockingIOError):
                self.answered += key.fileobj.recv(65_536).count(b"SIP/2.0 200 ")  # type: ignore[union-attr]  # its kind is known here


def measure(runtime: str, transport: str, arguments: argparse.Namespace, cores: list[int]) -> float:
    """Return the CPU µs of one answered request."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        server = sansip_serve(
            Path(directory),
            [f"{transport}:{HOST}:{port}"],
            [DOMAIN],
            [*RUNTIMES[runtime], "--log-level", "warning"],
            ["taskset", "-c", str(cores[0])],
        )
        with server, contextlib.closing(Client(transport, port)) as client:
            client.offer(arguments.rate, arguments.burst, WARM_UP)
            before, answered = cpu_seconds(server.pid), client.answered
            client.offer(arguments.rate, arguments.burst, arguments.seconds)
            spent = cpu_seconds(server.pid) - before
            if client.answered < 0.99 * client.sent:
                raise SystemExit(
                    f"{runtime}, {transport}: {client.answered} answers to {client.sent} requests"
                )
            return spent / (client.answered - answered) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=int, default=2_000, help="requests each second (%(default)s)")
    parser.add_argument("--burst", type=int, default=1, help="requests sent at once (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="whose median counts (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    names = [name for name in RUNTIMES if name in ("asyncio", "blocking") or find_spec(name)]
    figures: dict[str, dict[str, list[float]]] = {t: {name: [] for name in names} for t in ("udp", "tcp")}
    for number in range(arguments.rounds):
        for transport, of_transport in figures.items():
            # Each round begins with a different runtime.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                of_transport[name].append(measure(name, transport, arguments, cores))
    report = {}
    print(f"{'CPU µs a request':>16} {'median':>8} {'ratio':>6} {'lowest':>8}")
    for transport, of_transport in figures.items():
        medians = {name: statistics.median(values) for name, values in of_transport.items()}
        fastest = min(medians.values())
        report[transport] = {
            name: {"cpu_us": medians[name], "ratio": medians[name] / fastest, "rounds": values}
            for name, values in of_transport.items()
        }
        for name, values in of_transport.items():
            label = f"{transport} {name}"
            print(f"{label:>16} {medians[name]:8.1f} {medians[name] / fastest:6.2f} {min(values):8.1f}")
    if arguments.json:
        setup = {key: getattr(arguments, key) for key in ("rate", "burst", "seconds", "rounds")}
        arguments.json.write_text(json.dumps({"setup": setup, **report}, indent=2) + "\n")


if __name__ == "__main__":
    main()
