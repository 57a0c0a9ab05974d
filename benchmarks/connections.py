"""The cost of connections: memory of the server for each idle one, and memory left after many came and went.

    python -m benchmarks.connections [--connections 10000] [--churn 50000] [--runtime asyncio]

Theory of operation: a server of its own (``sansip serve``) gets that many
connections of one kind, each of which sends one keepalive, waits for its answer and
then says nothing; its resident memory before and after, divided, is the figure.
Then the client closes all of them, and opens and closes ``--churn`` others, four at a time: the
memory after the first fifth and after the last shows how much a connection leaves behind.
Kamailio's published figures are 4.5 KB for a TCP connection and 61 KB more for TLS.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import resource
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.certificates import Authority
from tests.interop.phone import Phone
from tools.peers import Program, free_port, sansip_serve

HOST = "127.0.0.1"
DOMAIN = "bench.test"
TRANSPORTS = ("tcp", "tls", "ws", "wss")
# Files that the client needs in addition to its connections.
SPARE = 500


def resident(program: Program) -> int:
    """Return the resident memory of a program, in octets."""
    for line in Path(f"/proc/{program.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError("VmRSS")


def settled(program: Program) -> int:
    """Return the memory when it no longer changes."""
    before = -1
    while (now := resident(program)) != before:
        before = now
        time.sleep(0.5)
    return now


class Server:
    """A server with one listener of ``transport``, and phones for it."""

    def __init__(self, transport: str, runtime: str, stack: ExitStack) -> None:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.authority = Authority(directory)
        certificate = self.authority.issue("server.pem", DOMAIN, HOST)
        self.transport = transport
        self.port = free_port()
        listeners = [f"udp:{HOST}:{free_port()}", f"{transport}:{HOST}:{self.port}"]
        # All connections come from one address here; elsewhere that would be an attack.
        config = directory / "sansip.toml"
        config.write_text("[limits]\nconnections_per_source = 50000\n[log]\nlevel = 'error'\n")
        options = ["--certificate", str(certificate), "--config", str(config), "--runtime", runtime]
        self.program = stack.enter_context(sansip_serve(directory, listeners, [DOMAIN], options))

    def phone(self, number: int) -> Phone:
        """Return a phone that is connected and was answered."""
        phone = Phone(f"u{number}", DOMAIN, self.transport, (HOST, self.port), self.authority.authority)
        phone.keep_alive()
        return phone

    def churn(self, count: int) -> None:
        """Open and close ``count`` connections, each used once."""

        def some(numbers: range) -> None:
            for number in numbers:
                with self.phone(number):
                    pass

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(some, [range(start, count, 4) for start in range(4)]))


def idle(transport: str, count: int, runtime: str = "asyncio") -> float:
    """Return octets of memory for each of ``count`` connections of ``transport``."""
    with ExitStack() as stack:
        server = Server(transport, runtime, stack)
        # The server loads its modules before the measurement.
        server.churn(20)
        before = settled(server.program)
        for number in range(count):
            stack.enter_context(server.phone(number))
        return (settled(server.program) - before) / count


def left(transport: str, count: int, runtime: str = "asyncio") -> tuple[float, float]:
    """Return the memory after a fifth of ``count`` connections that came and went, and after all."""
    with ExitStack() as stack:
        server = Server(transport, runtime, stack)
        server.churn(count // 5)
        early = settled(server.program)
        server.churn(count - count // 5)
        return early, settled(server.program)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--churn", type=int, default=0, help="connections opened and closed (default: none)")
    parser.add_argument("--runtime", default="asyncio")
    parser.add_argument("--transports", nargs="+", default=TRANSPORTS)
    args = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < args.connections + SPARE:
        parser.error(f"only {hard} files may be open here (ulimit -Hn)")
    print(f"Memory of the server on {args.runtime} for each of {args.connections} idle connections")
    for transport in args.transports:
        print(f"{transport:>4} {idle(transport, args.connections, args.runtime) / 1000:6.1f} KB", flush=True)
    if args.churn:
        print(f"Its memory after {args.churn // 5} connections that came and went, and after {args.churn}")
        for transport in args.transports:
            early, late = left(transport, args.churn, args.runtime)
            print(f"{transport:>4} {early / 1e6:6.1f} MB {late / 1e6:6.1f} MB", flush=True)


if __name__ == "__main__":
    main()
