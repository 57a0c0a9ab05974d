"""A large file through the relay of MSRP: octets a second, CPU time, and memory while it passes.

Theory of operation: two clients have URIs of the relay; one sends a file in chunks of ``--chunk`` octets, as
clients send files, the other reads and answers each. The relay alone has one core. Memory is the largest
resident set while the file passes, less that before it: it must not depend on the size of the file.

    python -m benchmarks.msrp --size 100
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.calls import pinned
from benchmarks.connections import resident
from tests.interop.msrp_client import MsrpClient
from tests.interop.users import add_users
from tools.cpu import cpu_seconds
from tools.peers import Program, free_port, sansip_serve

HOST = "127.0.0.1"
RELAY = "relay.test"
PASSWORD = "secret"  # noqa: S105  # of users that this program makes


class Measured:
    """One file: seconds, seconds of CPU, and octets of memory."""

    def __init__(self, size: int, seconds: float, cpu: float, memory: int) -> None:
        self.text = (
            f"{size / 1e6:6.0f} MB in {seconds:6.2f} s ({size / seconds / 1e6:6.1f} MB/s)   "
            f"CPU {cpu / size * 1e9:6.2f} ms a MB   memory {memory / 1e6:+6.2f} MB"
        )


def begin_sansip(folder: Path, port: int, sip: int, prefix: list[str]) -> Program:
    store = folder / "users.db"
    add_users(store, {f"{name}@{RELAY}": PASSWORD for name in ("alice", "bob")})
    config = folder / "sansip.toml"
    config.write_text(f'[msrp]\nhost = "{RELAY}"\nplain_auth = true\nlisten = ["msrp:{HOST}:{port}"]\n')
    options = ["--config", str(config), "--auth", "digest", "--store", str(store)]
    return sansip_serve(folder, [f"udp:{HOST}:{sip}"], [RELAY], options, prefix)


def send(client: MsrpClient, path: str, size: int, chunk: int) -> None:
    """Send a file of ``size`` octets."""
    piece = os.urandom(min(chunk, size))
    for start in range(0, size, chunk):
        last = min(start + chunk, size)
        flag = "$" if last == size else "+"
        client.send(path, piece[: last - start], f"{start + 1}-{last}/{size}", flag, "file", report="partial")


def measure(size: int, chunk: int, core: int) -> Measured:
    """Start a relay, and pass a file."""
    with tempfile.TemporaryDirectory(prefix="sansip-bench-") as temporary, ExitStack() as stack:
        folder, port = Path(temporary), free_port()
        server = stack.enter_context(begin_sansip(folder, port, free_port(), pinned(core)))
        alice, bob = (stack.enter_context(MsrpClient(user, (HOST, port), RELAY)) for user in ("alice", "bob"))
        for client in (alice, bob):
            answer = client.authenticate(PASSWORD)
            assert answer.word == "200", answer
        path = f"{alice.path} {bob.path} {bob.uri}"
        before = most = resident(server)
        spent, begun = cpu_seconds(server.pid), time.monotonic()
        sender = threading.Thread(target=send, args=(alice, path, size, chunk))
        sender.start()
        got = looked = 0
        while got < size:
            one = bob.receive()
            if one.word == "SEND":
                got += len(one.body)
                bob.answer(one)
            if got - looked > 1_000_000:
                looked, most = got, max(most, resident(server))
        seconds = time.monotonic() - begun
        sender.join()
        return Measured(size, seconds, cpu_seconds(server.pid) - spent, most - before)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=float, default=100.0, help="MB of the file")
    parser.add_argument("--chunk", type=int, default=16_384, help="octets of a chunk")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--server-core", type=int, default=0)
    given = parser.parse_args()
    if shutil.which("taskset") is None:
        print("not installed: taskset", file=sys.stderr)
        return 2
    for _ in range(given.rounds):
        print(measure(int(given.size * 1e6), given.chunk, given.server_core).text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
