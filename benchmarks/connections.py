"""What an idle connection costs: memory of the server for each one on TCP, TLS, WS and WSS.

    python -m benchmarks.connections [--connections 2000]

Theory of operation: a server of its own (``sansip serve``) gets that many
connections of one kind, each of which sends one keepalive, waits for its answer and
then says nothing; its resident memory before and after, divided, is the figure.
Kamailio's published figures are 4.5 KB for a TCP connection and 61 KB more for TLS.
"""

from __future__ import annotations

import argparse
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


def resident(program: Program) -> int:
    """Return the resident memory of a program, in octets."""
    for line in Path(f"/proc/{program.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise LookupError("VmRSS")


def settled(program: Program) -> int:
    """Return the memory once it stands still."""
    before = -1
    while (now := resident(program)) != before:
        before = now
        time.sleep(0.5)
    return now


def measure(transport: str, count: int) -> float:
    """Return octets of memory for each of ``count`` connections of ``transport``."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority = Authority(directory)
        certificate = authority.issue("server.pem", DOMAIN, HOST)
        ports = {"udp": free_port(), transport: free_port()}
        listeners = [f"{name}:{HOST}:{port}" for name, port in ports.items()]
        # All connections come from one address here; elsewhere that is an attack.
        config = directory / "sansip.toml"
        config.write_text("[limits]\nconnections_per_source = 50000\n[log]\nlevel = 'error'\n")
        options = ["--certificate", str(certificate), "--config", str(config)]
        server = stack.enter_context(sansip_serve(directory, listeners, [DOMAIN], options))

        def phone(number: int, over: str) -> Phone:
            return Phone(f"u{number}", DOMAIN, over, (HOST, ports[over]), authority.authority)

        # The modules are loaded before it counts.
        for number in range(20):
            with phone(number, transport) as once:
                once.keep_alive()
        before = settled(server)
        phones = []
        for number in range(count):
            phones.append(stack.enter_context(phone(number, transport)))
            phones[-1].keep_alive()
        after = settled(server)
        return (after - before) / len(phones)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=2000)
    count = parser.parse_args().connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 3 * count)), hard))
    print(f"Memory of the server for each of {count} idle connections")
    for transport in TRANSPORTS:
        print(f"{transport:>4} {measure(transport, count) / 1000:6.1f} KB", flush=True)


if __name__ == "__main__":
    main()
