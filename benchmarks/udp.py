"""What the adapter itself costs: datagrams echoed by a stack that does nothing.

Theory of operation: the server is a process of its own on one core, with a
stack of one line, so that its CPU time is that of sockets, pump and event loop.
The client sends bursts from another core and waits for the echoes: a burst of 32
shows the price of a datagram under load, a burst of 1 that of a wake-up for each
(whether the kernel lets a process sleep in between decides most of it).
`blocking` is the floor: recvfrom and sendto in a loop, with no server around.

    python -m benchmarks.udp [--seconds 2]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import time
from multiprocessing.connection import Connection
from typing import Any

from sansip import ListenerConfig, SendDatagram
from sansip_asyncio import Server, run

SIZE = 700
END = b"end"


class Echo:
    """The least stack there can be. ``END`` stops the server."""

    idle = True
    wall_offset: Any = None
    count = 0
    stop: Any = None

    def datagram_received(self, listener: int, data: bytes, source: Any, now: float) -> list[Any]:
        if data == END:
            self.stop()
            return []
        self.count += 1
        return [SendDatagram(listener, data, source)]

    def time_passed(self, now: float) -> list[Any]:
        return []

    def next_deadline(self) -> float | None:
        return None


def serve_blocking(report: Connection) -> None:
    count = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        report.send(sock.getsockname())
        begin = time.process_time()
        while True:
            data, source = sock.recvfrom(65535)
            if data == END:
                break
            sock.sendto(data, source)
            count += 1
        report.send((time.process_time() - begin) / count)


def serve_asyncio(report: Connection, uvloop: bool = False) -> None:
    stack = Echo()
    begin = 0.0

    def ready(server: Server) -> None:
        nonlocal begin
        stack.stop = server.stop
        report.send(server.listeners[0].address)
        begin = time.process_time()

    run(lambda listeners: stack, [ListenerConfig(0, "udp", "127.0.0.1", 0)], on_ready=ready, uvloop=uvloop)  # type: ignore[arg-type,return-value]  # its kind is known here
    report.send((time.process_time() - begin) / stack.count)


def serve_uvloop(report: Connection) -> None:
    serve_asyncio(report, uvloop=True)


def pin(core: int) -> None:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[core % len(cores)]})


def server_main(serve: Any, report: Connection) -> None:
    pin(0)
    serve(report)


def measure(serve: Any, burst: int, seconds: float) -> tuple[float, float]:
    """Return (CPU µs per datagram of the server, datagrams per second)."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=server_main, args=(serve, theirs))
    process.start()
    address = ours.recv()
    pin(1)
    data = b"x" * SIZE
    count = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds:
            for _ in range(burst):
                sock.send(data)
            for _ in range(burst):
                sock.recv(65535)
            count += burst
        elapsed = time.perf_counter() - begin
        sock.send(END)
    cpu = ours.recv()
    process.join()
    return cpu * 1e6, count / elapsed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each of the six runs")
    seconds = parser.parse_args().seconds
    print(f"{'server':>10} {'burst':>6} {'CPU µs each':>12} {'each second':>12}")
    for name, serve in (("blocking", serve_blocking), ("asyncio", serve_asyncio), ("uvloop", serve_uvloop)):
        for burst in (1, 32):
            cpu, rate = measure(serve, burst, seconds)
            print(f"{name:>10} {burst:6} {cpu:12.1f} {rate:12,.0f}")


if __name__ == "__main__":
    main()
