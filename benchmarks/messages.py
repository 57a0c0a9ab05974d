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
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks import ends
from benchmarks.calls import DOMAIN, HOST, pinned
from tools.peers import free_port

__all__ = ["Senders"]

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


class Senders(ends.Ends):
    """Senders and phones behind one socket.

    Attributes:
        stored: messages with a 202.
        delivered: messages that came.
        registered: 200 to REGISTERs.
    """

    def __init__(self, server: int) -> None:
        super().__init__(server)
        self.stored = self.delivered = self.registered = 0

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

    def _take(self, data: bytes) -> None:
        """Count what came; answer a MESSAGE."""
        if data.startswith(b"MESSAGE"):
            self.delivered += 1
            self._sock.sendto(ends.ok(data), self._server)
        elif data.startswith(b"SIP/2.0 202"):
            self.stored += 1
        elif data.startswith(b"SIP/2.0 200") and re.search(rb"\d REGISTER", data):
            assert ends.field(data, b"Call-ID")
            self.registered += 1


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
        folder, port, prefix = Path(temporary), free_port(), pinned(given.server_core)
        if name == "kamailio":
            begun = ends.begin_kamailio(folder, port, prefix, KAMAILIO, "silo.db", "msilo", "512")
        else:
            begun = ends.begin_sansip(folder, port, prefix, CONFIG)
        server = stack.enter_context(begun)
        senders = stack.enter_context(contextlib.closing(Senders(port)))

        def cost(work: Callable[[int], None]) -> float:
            def load() -> None:
                senders.pace(given.messages, given.rate, work)
                senders.hear(time.monotonic() + given.settle)

            return ends.cost(server.pid, given.messages, given.idle, load)

        # Its first requests fill caches and pools.
        senders.pace(100, given.rate, lambda n: senders.write(f"w{n}"))
        senders.pace(100, given.rate, lambda n: senders.register(f"w{n}"))
        senders.hear(time.monotonic() + 1)
        senders.stored = senders.delivered = 0
        result.register = cost(lambda n: senders.register(f"x{n}"))
        result.store = cost(lambda n: senders.write(f"u{n}"))
        result.deliver = cost(lambda n: senders.register(f"u{n}")) - result.register
        result.lost = 2 * given.messages - senders.stored - senders.delivered
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    ends.add_options(parser)
    parser.add_argument("--messages", type=int, default=1_000)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    results = ends.measured(parser.parse_args(), "kamailio kamailio-sqlite-modules", measure, tell=True)
    if not results:
        return 2
    ends.tell_medians(results, ("store", "deliver", "whole"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
