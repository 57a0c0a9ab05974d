"""CPU time of messages stored and delivered: ``sansip serve`` beside Kamailio's msilo in the same run.

Theory of operation: this program plays all senders and phones over one UDP socket, at a steady rate. Each of
``--messages`` users, who has no phone, gets one MESSAGE, which the server stores in SQLite and answers with
202; then each user's phone registers, and takes its message. A REGISTER of users without messages is measured
before that and taken off. The server alone has one core; the figures are its CPU time (all of its processes,
idle time taken off) for one message, its storing and its delivery. The databases are in /dev/shm, so that no
disk is measured. sansip's answers wait for its store, and msilo's for its own.

    python -m benchmarks.messages --rounds 3
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import socket
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.calls import DOMAIN, HOST, cpu_seconds, pinned
from benchmarks.presence import SCHEMAS, TICK, field, ok
from tools.peers import Program, free_port, kamailio, sansip_serve

__all__ = ["Ends"]

CONFIG = """
store = "FOLDER/messages.db"
[limits]
source_rate = 0
[messages]
"""
# Its usual way: looked up in memory, stored when nobody is there, dumped through itself at a REGISTER.
KAMAILIO = """#!KAMAILIO
debug=1
log_stderror=yes
children=1
auto_aliases=no
dns=no
rev_dns=no
alias="DOMAIN"
listen=LISTEN
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "sanity.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "db_sqlite.so"
loadmodule "msilo.so"
modparam("usrloc", "db_mode", 0)
modparam("msilo", "db_url", "sqlite:///FOLDER/silo.db")
modparam("msilo", "outbound_proxy", "sip:ADDRESS")
modparam("msilo", "add_date", 0)
modparam("msilo", "from_address", "sip:silo@DOMAIN")
modparam("msilo", "contact_hdr", "Contact: <sip:silo@DOMAIN>;msilo=yes\\r\\n")
request_route {
  if (!mf_process_maxfwd_header("70")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (!sanity_check("17895", "7")) exit;
  if (is_method("OPTIONS")) { sl_send_reply("200", "Keepalive"); exit; }
  if (is_method("REGISTER")) {
    if (save("location")) m_dump();
    exit;
  }
  if (is_method("MESSAGE")) {
    if (!t_newtran()) { sl_reply_error(); exit; }
    if (!lookup("location")) {
      if (m_store()) t_reply("202", "Accepted"); else t_reply("503", "Service Unavailable");
      exit;
    }
    t_relay();
    exit;
  }
  sl_send_reply("405", "Not Allowed");
}
"""


class Ends:
    """Senders and phones behind one socket.

    Attributes:
        stored: messages with a 202.
        delivered: messages that came.
        registered: 200 to REGISTERs.
    """

    def __init__(self, server: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._sock.bind((HOST, 0))
        self._sock.setblocking(False)
        self._port = self._sock.getsockname()[1]
        self._server = (HOST, server)
        self._number = 0
        self.stored = self.delivered = self.registered = 0

    def close(self) -> None:
        self._sock.close()

    def _send(self, method: str, uri: str, from_: str, to: str, headers: str, body: str = "") -> None:
        self._number += 1
        text = (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:{self._port};branch=z9hG4bK{self._number}\r\n"
            f"Max-Forwards: 70\r\nFrom: <{from_}>;tag={self._number}\r\nTo: <{to}>\r\n"
            f"Call-ID: c{self._number}\r\nCSeq: 1 {method}\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._sock.sendto(text.encode(), self._server)

    def write(self, user: str) -> None:
        """Send ``user`` a text."""
        whose = f"sip:{user}@{DOMAIN}"
        text = "shall we go to the place at the corner for lunch today?"
        self._send("MESSAGE", whose, f"sip:sender@{DOMAIN}", whose, "Content-Type: text/plain\r\n", text)

    def register(self, user: str) -> None:
        """Register a phone for ``user``."""
        whose = f"sip:{user}@{DOMAIN}"
        headers = f"Contact: <sip:{user}@{HOST}:{self._port}>\r\nExpires: 3600\r\n"
        self._send("REGISTER", f"sip:{DOMAIN}", whose, whose, headers)

    def hear(self, until: float) -> None:
        """Take what comes; answer each MESSAGE."""
        while True:
            try:
                data = self._sock.recv(65_535)
            except BlockingIOError:
                left = until - time.monotonic()
                if left <= 0:
                    return
                time.sleep(min(left, TICK))
                continue
            if data.startswith(b"MESSAGE"):
                self.delivered += 1
                self._sock.sendto(ok(data), self._server)
            elif data.startswith(b"SIP/2.0 202"):
                self.stored += 1
            elif data.startswith(b"SIP/2.0 200") and re.search(rb"\d REGISTER", data):
                assert field(data, b"Call-ID")
                self.registered += 1

    def pace(self, count: int, rate: float, work: Callable[[int], None]) -> None:
        """Call ``work`` ``count`` times, ``rate`` times a second."""
        begun = time.monotonic()
        for number in range(count):
            self.hear(begun + number / rate)
            work(number)
        self.hear(time.monotonic() + 0.3)


def begin_sansip(folder: Path, port: int, prefix: Sequence[str]) -> Program:
    config = folder / "sansip.toml"
    config.write_text(CONFIG.replace("FOLDER", str(folder)))
    options = ["--config", str(config)]
    return sansip_serve(folder, [f"udp:{HOST}:{port}"], [DOMAIN], options, prefix)


def begin_kamailio(folder: Path, port: int, prefix: Sequence[str]) -> Program:
    with sqlite3.connect(folder / "silo.db") as database:
        for name in ("standard", "msilo"):
            database.executescript((SCHEMAS / f"{name}-create.sql").read_text())
    text = KAMAILIO.replace("DOMAIN", DOMAIN).replace("FOLDER", str(folder))
    text = text.replace("LISTEN", f"udp:{HOST}:{port}").replace("ADDRESS", f"{HOST}:{port}")
    options = ["-x", "fm", "-m", "512"]
    return kamailio(folder, [f"udp:{HOST}:{port}"], [DOMAIN], options, prefix, text)


class Measured:
    """The figures of one server in one round, in microseconds of CPU for each message."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.store = self.register = self.deliver = float("nan")
        self.lost = 0

    @property
    def whole(self) -> float:
        return self.store + self.deliver

    def __str__(self) -> str:
        return (
            f"{self.server:<10} store {self.store:6.0f} µs   deliver {self.deliver:6.0f} µs   "
            f"(a REGISTER alone {self.register:5.0f} µs)   lost {self.lost}"
        )


def measure(name: str, given: argparse.Namespace) -> Measured:
    """Start a server, load it, and return its costs."""
    result = Measured(name)
    where = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="sansip-bench-", dir=where) as temporary, ExitStack() as stack:
        begin = begin_kamailio if name == "kamailio" else begin_sansip
        port = free_port()
        server = stack.enter_context(begin(Path(temporary), port, pinned(given.server_core)))
        ends = stack.enter_context(contextlib.closing(Ends(port)))

        def cost(work: Callable[[int], None]) -> float:
            begun, spent = time.monotonic(), cpu_seconds(server.pid)
            time.sleep(given.idle)
            idle = (cpu_seconds(server.pid) - spent) / (time.monotonic() - begun)
            begun, spent = time.monotonic(), cpu_seconds(server.pid)
            ends.pace(given.messages, given.rate, work)
            ends.hear(time.monotonic() + given.settle)
            whole = time.monotonic() - begun
            used: float = cpu_seconds(server.pid) - spent - idle * whole
            return used / int(given.messages) * 1e6

        # Its first requests fill caches and pools.
        ends.pace(100, given.rate, lambda n: ends.write(f"w{n}"))
        ends.pace(100, given.rate, lambda n: ends.register(f"w{n}"))
        ends.hear(time.monotonic() + 1)
        ends.stored = ends.delivered = 0
        result.register = cost(lambda n: ends.register(f"x{n}"))
        result.store = cost(lambda n: ends.write(f"u{n}"))
        result.deliver = cost(lambda n: ends.register(f"u{n}")) - result.register
        result.lost = 2 * given.messages - ends.stored - ends.delivered
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each server, in turn")
    parser.add_argument("--messages", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--idle", type=float, default=1.0)
    parser.add_argument("--settle", type=float, default=6.0, help="seconds counted after each load")
    parser.add_argument("--no-kamailio", action="store_true", help="sansip alone")
    given = parser.parse_args()
    servers = ["sansip"] if given.no_kamailio else ["sansip", "kamailio"]
    needed = ["taskset"] + ["kamailio"] * (not given.no_kamailio)
    if missing := [name for name in needed if shutil.which(name) is None]:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
        return 2
    results: list[Measured] = []
    for _ in range(given.rounds):
        for name in servers:
            results.append(measure(name, given))
            print(results[-1], flush=True)
    for what in ("store", "deliver", "whole"):
        medians = {
            name: statistics.median(getattr(one, what) for one in results if one.server == name)
            for name in servers
        }
        words = ", ".join(f"{name} {value:.0f}" for name, value in medians.items())
        if "kamailio" in medians:
            words += f", ratio {medians['sansip'] / medians['kamailio']:.2f}"
        print(f"{what}: {words}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
