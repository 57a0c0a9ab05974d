"""CPU time and memory of presence: ``sansip serve`` beside Kamailio in the same run.

Theory of operation: this program plays all phones over one UDP socket, at a steady rate: publishers, and
watchers that answer each NOTIFY. Both servers keep subscriptions and publications in memory, compose PIDF,
and let everybody watch; the server alone has one core. The figures are the CPU time of the server (all its
processes, idle time taken off) for each PUBLISH with ``--watchers`` watchers and for each SUBSCRIBE that
refreshes; each of them has its NOTIFYs and their answers. The memory of a subscription is the growth of the
proportional set size while ``--subscriptions`` of them begin.

    python -m benchmarks.presence --rounds 3
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.calls import DOMAIN, HOST, cpu_seconds, pinned, processes
from tools.peers import Program, free_port, kamailio, sansip_serve

__all__ = ["Phones"]

CONFIG = """
[limits]
source_rate = 0
[documents]
[events]
open = true
unanswered = 1000000
most_of_watcher = 1000000
[presence]
interval = 0.0
[publications]
open = true
"""
# Its fastest way: everything in memory, the NOTIFYs leave with the PUBLISH, nobody is judged.
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
loadmodule "db_sqlite.so"
loadmodule "presence.so"
loadmodule "presence_xml.so"
modparam("presence|presence_xml", "db_url", "sqlite:///FOLDER/presence.db")
modparam("presence", "subs_db_mode", 0)
modparam("presence", "publ_cache", 2)
modparam("presence", "notifier_processes", 0)
modparam("presence", "max_expires", 7200)
modparam("presence", "server_address", "sip:ADDRESS")
modparam("presence_xml", "force_active", 1)
request_route {
  if (!mf_process_maxfwd_header("70")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (!sanity_check("17895", "7")) exit;
  if (is_method("OPTIONS")) { sl_send_reply("200", "Keepalive"); exit; }
  if (!t_newtran()) { sl_reply_error(); exit; }
  if (is_method("PUBLISH")) { handle_publish(); exit; }
  if (is_method("SUBSCRIBE")) { handle_subscribe(); exit; }
  t_reply("405", "Not Allowed");
}
"""
SCHEMAS = Path("/usr/share/kamailio/db_sqlite")
PIDF = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<presence xmlns="urn:ietf:params:xml:ns:pidf" '
    'entity="sip:{user}@{domain}"><tuple id="a"><status><basic>{basic}</basic></status>'
    "<contact>sip:{user}@192.0.2.7</contact><note>{note}</note></tuple></presence>"
)
TICK = 0.002


class Phones:
    """Publishers and watchers behind one socket."""

    def __init__(self, server: int) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._sock.bind((HOST, 0))
        self._sock.setblocking(False)
        self._port = self._sock.getsockname()[1]
        self._server = (HOST, server)
        self._number = 0
        self.notified = 0
        # Call-ID -> the answer to the last request.
        self.answers: dict[str, bytes] = {}

    def close(self) -> None:
        self._sock.close()

    def send(
        self, method: str, user: str, call_id: str, headers: str, body: str = "", cseq: int = 1, tag: str = ""
    ) -> None:
        """Send a request."""
        self._number += 1
        to = f"<sip:{user}@{DOMAIN}>" + (f";tag={tag}" if tag else "")
        uri = f"sip:{HOST}:{self._server[1]}" if tag else f"sip:{user}@{DOMAIN}"
        text = (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:{self._port};branch=z9hG4bK{self._number}\r\n"
            f"From: <sip:watcher@{DOMAIN}>;tag=w\r\nTo: {to}\r\nCall-ID: {call_id}\r\n"
            f"CSeq: {cseq} {method}\r\nContact: <sip:watcher@{HOST}:{self._port}>\r\nMax-Forwards: 70\r\n"
            f"Event: presence\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._sock.sendto(text.encode(), self._server)

    def publish(self, user: str, number: int) -> None:
        """Publish another state of ``user``; the first time, or with the entity-tag of the last answer."""
        before = field(self.answers.get(f"p-{user}", b""), b"SIP-ETag")
        match = f"SIP-If-Match: {before}\r\n" if before else ""
        body = PIDF.format(user=user, domain=DOMAIN, basic="open" if number % 2 else "closed", note=number)
        kind = "Content-Type: application/pidf+xml\r\n"
        self.send("PUBLISH", user, f"p-{user}", f"Expires: 3600\r\n{match}{kind}", body, number + 1)

    def subscribe(self, user: str, call_id: str, cseq: int = 1) -> None:
        """Subscribe to ``user``, or refresh."""
        tag = field(self.answers.get(call_id, b""), b"To").partition("tag=")[2] if cseq > 1 else ""
        self.send("SUBSCRIBE", user, call_id, "Expires: 3600\r\n", cseq=cseq, tag=tag)

    def hear(self, until: float) -> None:
        """Take what comes; answer each NOTIFY."""
        while True:
            try:
                data = self._sock.recv(65_535)
            except BlockingIOError:
                left = until - time.monotonic()
                if left <= 0:
                    return
                time.sleep(min(left, TICK))
                continue
            if data.startswith(b"NOTIFY"):
                self.notified += 1
                self._sock.sendto(ok(data), self._server)
            elif data.startswith(b"SIP/2.0 2"):
                self.answers[field(data, b"Call-ID")] = data

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


def ok(notify: bytes) -> bytes:
    """Return the 200 to a NOTIFY."""
    kept = (b"via", b"from", b"to", b"call-id", b"cseq")
    head = notify.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    lines = [line for line in head if line.partition(b":")[0].lower() in kept]
    return b"\r\n".join([b"SIP/2.0 200 OK", *lines, b"Content-Length: 0", b"", b""])


def memory(group: int) -> int:
    """Return the octets of a process group: shared pages are divided among the processes that have them."""
    total = 0
    for entry, _ in processes(group):
        with contextlib.suppress(OSError):
            text = (entry / "smaps_rollup").read_text()
            total += int(text.partition("\nPss:")[2].split()[0]) * 1024
    return total


def begin_sansip(folder: Path, port: int, prefix: Sequence[str]) -> Program:
    config = folder / "sansip.toml"
    config.write_text(CONFIG)
    options = ["--config", str(config)]
    return sansip_serve(folder, [f"udp:{HOST}:{port}"], [DOMAIN], options, prefix)


def begin_kamailio(folder: Path, port: int, prefix: Sequence[str]) -> Program:
    import sqlite3

    with sqlite3.connect(folder / "presence.db") as database:
        for name in ("standard", "presence"):
            database.executescript((SCHEMAS / f"{name}-create.sql").read_text())
    text = KAMAILIO.replace("DOMAIN", DOMAIN).replace("FOLDER", str(folder))
    text = text.replace("LISTEN", f"udp:{HOST}:{port}").replace("ADDRESS", f"{HOST}:{port}")
    options = ["-x", "fm", "-m", "2000"]
    return kamailio(folder, [f"udp:{HOST}:{port}"], [DOMAIN], options, prefix, text)


class Measured:
    """The figures of one server in one round."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.publish = self.refresh = self.subscribe = self.memory = float("nan")
        self.notified = 0.0
        self.lost = 0

    def __str__(self) -> str:
        return (
            f"{self.server:<10} PUBLISH {self.publish:7.0f} µs ({self.notified:.1f} NOTIFYs)   "
            f"refresh {self.refresh:6.0f} µs   first SUBSCRIBE {self.subscribe:6.0f} µs   "
            f"memory {self.memory:6.0f} octets   lost {self.lost}"
        )


def measure(name: str, given: argparse.Namespace) -> Measured:
    """Start a server, load it, and return its costs."""
    result = Measured(name)
    with tempfile.TemporaryDirectory(prefix="sansip-bench-") as temporary, ExitStack() as stack:
        begin = begin_kamailio if name == "kamailio" else begin_sansip
        port = free_port()
        server = stack.enter_context(begin(Path(temporary), port, pinned(given.server_core)))
        phones = stack.enter_context(contextlib.closing(Phones(port)))

        def cost(count: int, rate: float, work: Callable[[int], None]) -> float:
            begun, spent = time.monotonic(), cpu_seconds(server.pid)
            time.sleep(given.idle)
            idle = (cpu_seconds(server.pid) - spent) / (time.monotonic() - begun)
            begun, spent = time.monotonic(), cpu_seconds(server.pid)
            phones.pace(count, rate, work)
            time.sleep(given.settle)
            whole = time.monotonic() - begun
            return (cpu_seconds(server.pid) - spent - idle * whole) / count * 1e6

        count = given.subscriptions
        # Its first requests fill caches and pools.
        phones.pace(200, given.rate, lambda n: phones.subscribe(f"w{n}", f"w{n}"))
        before = memory(server.pid)
        result.subscribe = cost(count, given.rate, lambda n: phones.subscribe(f"u{n}", f"s{n}"))
        time.sleep(given.settle)
        result.memory = (memory(server.pid) - before) / count
        result.lost = sum(f"s{n}" not in phones.answers for n in range(count))
        for users in (range(given.publishers),):
            for user in users:
                for watcher in range(given.watchers):
                    phones.subscribe(f"p{user}", f"b{user}-{watcher}")
                    phones.hear(time.monotonic() + 0.005)
        phones.pace(given.publishers, 50, lambda n: phones.publish(f"p{n}", 0))
        rounds = int(given.seconds * given.publish_rate)
        told = phones.notified
        result.publish = cost(
            rounds,
            given.publish_rate,
            lambda n: phones.publish(f"p{n % given.publishers}", n // given.publishers + 1),
        )
        result.notified = (phones.notified - told) / rounds
        again = min(count, int(given.seconds * given.rate))
        result.refresh = cost(again, given.rate, lambda n: phones.subscribe(f"u{n}", f"s{n}", 2))
        result.lost += sum(b"CSeq: 2 " not in phones.answers[f"s{n}"] for n in range(again))
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each server, in turn")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each load")
    parser.add_argument("--rate", type=float, default=300.0, help="SUBSCRIBEs a second")
    parser.add_argument("--publish-rate", type=float, default=50.0, help="PUBLISHes a second")
    parser.add_argument("--publishers", type=int, default=20)
    parser.add_argument("--watchers", type=int, default=10, help="watchers of each publisher")
    parser.add_argument("--subscriptions", type=int, default=3_000)
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--idle", type=float, default=1.0)
    parser.add_argument("--settle", type=float, default=6.0, help="seconds counted after each load")
    parser.add_argument("--no-kamailio", action="store_true", help="sansip alone")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    servers = ["sansip"] if given.no_kamailio else ["sansip", "kamailio"]
    needed = ["taskset"] + ["kamailio"] * (not given.no_kamailio)
    if missing := [name for name in needed if shutil.which(name) is None]:
        print(f"not installed: {', '.join(missing)} (kamailio kamailio-presence-modules)", file=sys.stderr)
        return 2
    results: list[Measured] = []
    for _ in range(given.rounds):
        for name in servers:
            results.append(measure(name, given))
            if not given.json:
                print(results[-1], flush=True)
    if given.json:
        print(json.dumps([vars(one) for one in results], indent=1))
        return 0
    for what in ("publish", "refresh", "subscribe", "memory"):
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
