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
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks import ends
from benchmarks.calls import DOMAIN, HOST, pinned
from tools.cpu import processes
from tools.peers import free_port

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
PIDF = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<presence xmlns="urn:ietf:params:xml:ns:pidf" '
    'entity="sip:{user}@{domain}"><tuple id="a"><status><basic>{basic}</basic></status>'
    "<contact>sip:{user}@192.0.2.7</contact><note>{note}</note></tuple></presence>"
)


class Phones(ends.Ends):
    """Publishers and watchers behind one socket."""

    def __init__(self, server: int) -> None:
        super().__init__(server)
        self.notified = 0
        # Call-ID -> the answer to the last request.
        self.answers: dict[str, bytes] = {}

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
        before = ends.field(self.answers.get(f"p-{user}", b""), b"SIP-ETag")
        match = f"SIP-If-Match: {before}\r\n" if before else ""
        body = PIDF.format(user=user, domain=DOMAIN, basic="open" if number % 2 else "closed", note=number)
        kind = "Content-Type: application/pidf+xml\r\n"
        self.send("PUBLISH", user, f"p-{user}", f"Expires: 3600\r\n{match}{kind}", body, number + 1)

    def subscribe(self, user: str, call_id: str, cseq: int = 1) -> None:
        """Subscribe to ``user``, or refresh."""
        tag = ends.field(self.answers.get(call_id, b""), b"To").partition("tag=")[2] if cseq > 1 else ""
        self.send("SUBSCRIBE", user, call_id, "Expires: 3600\r\n", cseq=cseq, tag=tag)

    def _take(self, data: bytes) -> None:
        """Answer a NOTIFY; keep an answer."""
        if data.startswith(b"NOTIFY"):
            self.notified += 1
            self._sock.sendto(ends.ok(data), self._server)
        elif data.startswith(b"SIP/2.0 2"):
            self.answers[ends.field(data, b"Call-ID")] = data


def memory(group: int) -> int:
    """Return the octets of a process group: shared pages are divided among the processes that have them."""
    total = 0
    for entry, _ in processes(group):
        with contextlib.suppress(OSError):
            text = (entry / "smaps_rollup").read_text()
            total += int(text.partition("\nPss:")[2].split()[0]) * 1024
    return total


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
        folder, port, prefix = Path(temporary), free_port(), pinned(given.server_core)
        if name == "kamailio":
            begun = ends.begin_kamailio(folder, port, prefix, KAMAILIO, "presence.db", "presence", "2000")
        else:
            begun = ends.begin_sansip(folder, port, prefix, CONFIG)
        server = stack.enter_context(begun)
        phones = stack.enter_context(contextlib.closing(Phones(port)))

        def cost(count: int, rate: float, work: Callable[[int], None]) -> float:
            def load() -> None:
                phones.pace(count, rate, work)
                time.sleep(given.settle)

            return ends.cost(server.pid, count, given.idle, load)

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
    ends.add_options(parser)
    parser.add_argument("--seconds", type=float, default=8.0, help="length of each load")
    parser.add_argument("--rate", type=float, default=300.0, help="SUBSCRIBEs a second")
    parser.add_argument("--publish-rate", type=float, default=50.0, help="PUBLISHes a second")
    parser.add_argument("--publishers", type=int, default=20)
    parser.add_argument("--watchers", type=int, default=10, help="watchers of each publisher")
    parser.add_argument("--subscriptions", type=int, default=3_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    packages = "kamailio kamailio-presence-modules kamailio-sqlite-modules"
    results = ends.measured(given, packages, measure, tell=not given.json)
    if not results:
        return 2
    if given.json:
        print(json.dumps([vars(one) for one in results], indent=1))
        return 0
    ends.tell_medians(results, ("publish", "refresh", "subscribe", "memory"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
