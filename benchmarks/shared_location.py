"""The cost of the shared location: Redis by batch size, and a REGISTER through the server.

    python -m benchmarks.shared_location

Theory of operation: two parts. The store alone writes and reads records in batches
against a Redis of its own, one client in one thread. Then ``sansip serve`` takes
registrations over UDP, refreshes of 1,000 users with at most 64 unanswered, with
bindings in memory, in SQLite, and in Redis. The figures are the CPU time of the server's process
for each 200 (that of Redis beside it), and for each request to a user who is not registered,
which is one lookup and a 404.
"""

from __future__ import annotations

import argparse
import itertools
import os
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from sansip.location import Binding, NodeFlow, SharedRead, SharedWrite
from sansip_server.config.redis import RedisSettings, parse_redis
from sansip_server.stores.redis_client import RedisClient
from sansip_server.stores.redis_location import RedisLocation
from tools.cpu import cpu_seconds
from tools.peers import Program, free_port, sansip_serve
from tools.redises import HOST, redis_server

BATCHES = (1, 4, 16, 64, 256)
USERS = 1_000
OUTSTANDING = 64


def store(port: int, redis: Program, seconds: float) -> None:
    """Print operations a second and CPU by batch size."""
    place = parse_redis(f"redis://{HOST}:{port}/0")
    location = RedisLocation(RedisClient(place, RedisSettings(), None), "benchmark")
    now, offset = time.monotonic(), time.time() - time.monotonic()
    flow = NodeFlow("n1", "0123456789abcdef", "ws", 2, 17, "f-" + "x" * 40, False)
    versions = (f"{number:016d}" for number in itertools.count(1))
    held: dict[str, str] = {}

    def write(aors: Sequence[str]) -> None:
        writes = []
        for aor in aors:
            version = next(versions)
            one = Binding(aor, "sip:k3v@d3.invalid;transport=ws", now + 3600, "call-id@host", 1, flow=flow)
            writes.append(SharedWrite(aor, held.get(aor, ""), version, (one,)))
            held[aor] = version
        if any(answer is not None for answer in location.write(writes, now, offset)):
            raise SystemExit("a write was refused")

    def read(aors: Sequence[str]) -> None:
        location.read([SharedRead(aor) for aor in aors], offset)

    print("store alone, by batch: operations a second (µs of our CPU, µs of Redis's CPU, each)")
    for batch in BATCHES:
        print(f"  batch of {batch:3}: ", end="")
        for name, function in (("writes", write), ("reads", read)):
            rate, ours, theirs = _measure(function, batch, redis.pid, seconds)
            print(f" {name} {rate:7.0f} ({ours:5.1f}, {theirs:4.1f})", end="", flush=True)
        print()
    location.close()


def _measure(
    function: Callable[[Sequence[str]], None], batch: int, pid: int, seconds: float
) -> tuple[float, float, float]:
    names = itertools.cycle([f"sip:user{number}@biloxi.test" for number in range(10_000)])
    done, begun = 0, time.perf_counter()
    ours, theirs = time.process_time(), cpu_seconds(pid)
    while time.perf_counter() - begun < seconds:
        function(list(itertools.islice(names, batch)))
        done += batch
    took = time.perf_counter() - begun
    return done / took, (time.process_time() - ours) / done * 1e6, (cpu_seconds(pid) - theirs) / done * 1e6


def request(method: str, user: str, number: int, port: int) -> bytes:
    lines = [
        f"{method} sip:{'biloxi.test' if method == 'REGISTER' else user + '@biloxi.test'} SIP/2.0",
        f"Via: SIP/2.0/UDP {HOST}:{port};branch=z9hG4bK{method}{number}",
        "Max-Forwards: 70",
        f"From: <sip:{user}@biloxi.test>;tag=1",
        f"To: <sip:{user}@biloxi.test>",
        f"Call-ID: {user}",
        f"CSeq: {number} {method}",
    ]
    if method == "REGISTER":
        lines += [f"Contact: <sip:{user}@{HOST}:{port}>", "Expires: 3600"]
    return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()


def drive(method: str, status: bytes, server: tuple[str, int], seconds: float, first: int) -> int:
    """Send requests as fast as they are answered; return how many were, with ``status``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind((HOST, 0))
        phone.settimeout(2.0)
        port = phone.getsockname()[1]
        who = "user" if method == "REGISTER" else "nobody"
        answered, sent = 0, 0
        end = time.monotonic() + seconds
        while True:
            while sent - answered < OUTSTANDING and time.monotonic() < end:
                phone.sendto(request(method, f"{who}{sent % USERS}", first + sent, port), server)
                sent += 1
            if answered == sent:
                return answered
            data = phone.recv(65_535)
            if data.startswith(b"SIP/2.0 100"):
                continue
            if not data.startswith(b"SIP/2.0 " + status):
                raise SystemExit(data[:60].decode())
            answered += 1


def server(name: str, directory: Path, options: list[str], seconds: float, redis: Program) -> None:
    """Print the cost of a registration and a lookup in ``sansip serve`` with ``options``."""
    port = free_port()
    directory.mkdir()
    with sansip_serve(directory, [f"udp:{HOST}:{port}"], ["biloxi.test"], options) as program:
        drive("REGISTER", b"200", (HOST, port), 1.0, 1)
        text = f"  {name:22}"
        for method, status in (("REGISTER", b"200"), ("MESSAGE", b"404")):
            before, theirs, begun = cpu_seconds(program.pid), cpu_seconds(redis.pid), time.monotonic()
            done = drive(method, status, (HOST, port), seconds, 1_000_000)
            took = time.monotonic() - begun
            text += (
                f" {method} {done / took:6.0f}/s {(cpu_seconds(program.pid) - before) / done * 1e6:6.0f} µs"
                f" (Redis {(cpu_seconds(redis.pid) - theirs) / done * 1e6:3.0f} µs)"
            )
        print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What the shared location costs")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        directory = Path(folder)
        port = free_port()
        redis = stack.enter_context(redis_server(directory / "redis", port))
        store(port, redis, arguments.seconds / 2)
        key = directory / "key"
        key.write_bytes(os.urandom(32))
        config = directory / "shared.toml"
        config.write_text(
            f'location = "redis://{HOST}:{port}/0"\nsecret_file = "{key}"\n[node]\nname = "n1"\n'
        )
        print(f"sansip serve, {OUTSTANDING} requests under way: a second, CPU of the server for each")
        for name, options in (
            ("memory", []),
            ("SQLite, full", ["--store", str(directory / "full.db")]),
            ("Redis, everysec", ["--config", str(config)]),
        ):
            server(name, directory / name.replace(" ", ""), options, arguments.seconds, redis)


if __name__ == "__main__":
    main()
