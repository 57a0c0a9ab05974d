"""What the benchmarks share that play phones over UDP, and measure ``sansip serve`` beside Kamailio.

Theory of operation: one socket plays all phones, at a steady rate. The server alone has one core. Its cost is
the CPU time of all its processes while it is loaded, less what it takes when it is idle. The two servers are
measured in turn, and the medians of the rounds are compared.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.calls import DOMAIN, HOST
from tools.cpu import cpu_seconds, idle_share
from tools.peers import Program, kamailio, sansip_serve

__all__ = [
    "Ends",
    "add_options",
    "begin_kamailio",
    "begin_sansip",
    "cost",
    "field",
    "measured",
    "ok",
    "tables",
    "tell_medians",
]

SCHEMAS = Path("/usr/share/kamailio/db_sqlite")
TICK = 0.002
M = TypeVar("M")


class Ends:
    """Phones behind one socket."""

    def __init__(self, server: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._sock.bind((HOST, 0))
        self._sock.setblocking(False)
        self._port = self._sock.getsockname()[1]
        self._server = (HOST, server)
        self._number = 0

    def close(self) -> None:
        self._sock.close()

    def _take(self, data: bytes) -> None:
        """Take a message of the server."""
        raise NotImplementedError

    def hear(self, until: float) -> None:
        """Take what comes."""
        while True:
            try:
                data = self._sock.recv(65_535)
            except BlockingIOError:
                left = until - time.monotonic()
                if left <= 0:
                    return
                time.sleep(min(left, TICK))
                continue
            self._take(data)

    def pace(self, count: int, rate: float, work: Callable[[int], None]) -> None:
        """Call ``work`` ``count`` times, ``rate`` times a second."""
        begun = time.monotonic()
        for number in range(count):
            self.hear(begun + number / rate)
            work(number)
        self.hear(time.monotonic() + 0.3)


def field(data: bytes, name: bytes) -> str:
    """Return the value of a header field, "" where there is none."""
    return data.partition(b"\r\n" + name + b": ")[2].partition(b"\r\n")[0].decode()


def ok(request: bytes) -> bytes:
    """Return the 200 to a request within a dialog, or to a MESSAGE."""
    kept = (b"via", b"from", b"to", b"call-id", b"cseq")
    head = request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    lines = [line for line in head if line.partition(b":")[0].lower() in kept]
    return b"\r\n".join([b"SIP/2.0 200 OK", *lines, b"Content-Length: 0", b"", b""])


def begin_sansip(folder: Path, port: int, prefix: Sequence[str], text: str) -> Program:
    """Start ``sansip serve`` with the configuration ``text``, in which FOLDER stands for ``folder``."""
    config = folder / "sansip.toml"
    config.write_text(text.replace("FOLDER", str(folder)))
    options = ["--config", str(config)]
    return sansip_serve(folder, [f"udp:{HOST}:{port}"], [DOMAIN], options, prefix)


def begin_kamailio(
    folder: Path, port: int, prefix: Sequence[str], text: str, database: str, schema: str, memory: str
) -> Program:
    """Start Kamailio with the configuration ``text``.

    DOMAIN, FOLDER, LISTEN and ADDRESS stand for their values in it. ``database``: a file in ``folder`` with
    the tables of ``schema``. ``memory``: megabytes that its processes share.
    """
    tables(folder / database, schema)
    text = text.replace("DOMAIN", DOMAIN).replace("FOLDER", str(folder))
    text = text.replace("LISTEN", f"udp:{HOST}:{port}").replace("ADDRESS", f"{HOST}:{port}")
    options = ["-x", "fm", "-m", memory]
    return kamailio(folder, [f"udp:{HOST}:{port}"], [DOMAIN], options, prefix, text)


def tables(path: Path, name: str) -> None:
    """Make the tables of a module of Kamailio in a new database."""
    with sqlite3.connect(path) as database:
        for one in ("standard", name):
            database.executescript((SCHEMAS / f"{one}-create.sql").read_text())


def cost(group: int, count: int, idle_time: float, load: Callable[[], None]) -> float:
    """Return the microseconds of CPU that a process group spends for each of ``count`` requests of ``load``.

    ``idle_time``: seconds before that in which its idle cost is measured.
    """
    idle = idle_share(group, idle_time)
    begun, spent = time.monotonic(), cpu_seconds(group)
    load()
    whole = time.monotonic() - begun
    return (cpu_seconds(group) - spent - idle * whole) / count * 1e6


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that ``measured`` and the measurements read."""
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each server, in turn")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--idle", type=float, default=1.0)
    parser.add_argument("--settle", type=float, default=6.0, help="seconds counted after each load")
    parser.add_argument("--no-kamailio", action="store_true", help="sansip alone")


def measured(
    given: argparse.Namespace, packages: str, measure: Callable[[str, argparse.Namespace], M], *, tell: bool
) -> list[M]:
    """Return the results of all rounds; if ``tell``, print each as it comes.

    Returns none, and says what to install (``packages`` of Debian), if a program is missing.
    """
    needed = ["taskset"] + ["kamailio"] * (not given.no_kamailio)
    if missing := [name for name in needed if shutil.which(name) is None]:
        print(f"not installed: {', '.join(missing)} ({packages})", file=sys.stderr)
        return []
    results = []
    for _ in range(given.rounds):
        for name in ["sansip"] if given.no_kamailio else ["sansip", "kamailio"]:
            results.append(measure(name, given))
            if tell:
                print(results[-1], flush=True)
    return results


def tell_medians(results: Sequence[Any], figures: Sequence[str]) -> None:
    """Print the median of each of ``figures``, attributes of the results, for each server."""
    for what in figures:
        medians = {
            name: statistics.median(getattr(one, what) for one in results if one.server == name)
            for name in dict.fromkeys(one.server for one in results)
        }
        words = ", ".join(f"{name} {value:.0f}" for name, value in medians.items())
        if "kamailio" in medians:
            words += f", ratio {medians['sansip'] / medians['kamailio']:.2f}"
        print(f"{what}: {words}")
