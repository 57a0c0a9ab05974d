"""Memory of a call that rings, of one that was answered, and of a binding: ``sansip serve`` beside Kamailio.

Theory of operation: sockets of this program are the phones. They register, call and answer one by one, so
that nothing is lost, and send nothing else. The figure is the growth of the server's memory (``Pss`` of all
its processes, so that shared memory counts once) divided by their number. Memory that an allocator keeps for
later counts, as it does for the machine. Before each measurement as many as ``--before`` make the caches and
pools that every server has.

    python -m benchmarks.memory --calls 1500 --wait 40
"""

from __future__ import annotations

import argparse
import contextlib
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.calls import DOMAIN, HOST
from tools.cpu import processes
from tools.peers import Program, free_port, kamailio, sansip_serve

# SIP repeats what it does not see answered after 0.5 s (RFC 3261 17.1.1.1); a slow machine may take so long.
PATIENCE = 10.0

REGISTER = """REGISTER sip:{domain} SIP/2.0
Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKr{n};rport
Max-Forwards: 70
From: <sip:user{n}@{domain}>;tag={n}
To: <sip:user{n}@{domain}>
Call-ID: register-{n}-0123456789abcdef
CSeq: 1 REGISTER
Contact: <sip:user{n}@{host}:{port}>
Expires: 3600
User-Agent: benchmark/1.0
Content-Length: 0

"""
INVITE = """INVITE sip:user0@{domain} SIP/2.0
Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKi{n};rport
Max-Forwards: 70
From: "Caller" <sip:caller@{domain}>;tag={n}
To: <sip:user0@{domain}>
Call-ID: call-{n}-0123456789abcdef
CSeq: 1 INVITE
Contact: <sip:caller@{host}:{port}>
User-Agent: benchmark/1.0
Content-Type: application/sdp
Content-Length: 129

v=0
o=user1 53655765 2353687637 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 6000 RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""
ACK = """ACK {target} SIP/2.0
Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKa{n};rport
Max-Forwards: 70
{routes}From: "Caller" <sip:caller@{domain}>;tag={n}
To: <sip:user0@{domain}>;tag=b{n}
Call-ID: call-{n}-0123456789abcdef
CSeq: 1 ACK
Content-Length: 0

"""


def memory(group: int) -> int:
    """Return the octets of memory that the processes of ``group`` hold; shared pages count once."""
    total = 0
    for directory, _ in processes(group):
        with contextlib.suppress(OSError):
            found = re.search(r"^Pss:\s+(\d+) kB", (directory / "smaps_rollup").read_text(), re.MULTILINE)
            total += int(found[1]) * 1024 if found else 0
    return total


def lines_of(message: bytes, name: str) -> list[str]:
    head = message.partition(b"\r\n\r\n")[0].decode()
    return [line for line in head.split("\r\n") if line.lower().startswith(f"{name.lower()}:")]


class Phones:
    """A caller and a callee, which answer as told."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.server = server
        self.caller, self.callee = self._socket(), self._socket()

    def _socket(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        made.bind((HOST, 0))
        made.settimeout(PATIENCE)
        return made

    def close(self) -> None:
        self.caller.close()
        self.callee.close()

    def send(self, sock: socket.socket, text: str, **values: Any) -> None:
        filled = text.format(domain=DOMAIN, host=HOST, port=sock.getsockname()[1], **values)
        sock.sendto(filled.replace("\n", "\r\n").encode(), self.server)

    def answer(self, request: bytes, n: str, status: str) -> None:
        copied = [
            line
            for name in ("Via", "Record-Route", "From", "Call-ID", "CSeq")
            for line in lines_of(request, name)
        ]
        head = [f"SIP/2.0 {status}", *copied, f"{lines_of(request, 'To')[0]};tag=b{n}"]
        head += [f"Contact: <sip:user0@{HOST}:{self.callee.getsockname()[1]}>", "Content-Length: 0", "", ""]
        self.callee.sendto("\r\n".join(head).encode(), self.server)

    def register(self, numbers: Iterable[int]) -> None:
        for n in numbers:
            self.send(self.callee, REGISTER, n=n)
            while not self.callee.recv(65_535).startswith(b"SIP/2.0 200"):
                pass

    def ring(self, numbers: range) -> None:
        """Have as many calls ring; nobody answers them."""
        self._call(numbers, "180 Ringing", None)

    def talk(self, numbers: range) -> None:
        """Have as many calls answered and acknowledged; nobody says a word."""
        self._call(numbers, "200 OK", self._acknowledge)

    def _acknowledge(self, response: bytes, n: str) -> None:
        routes = [line.partition(":")[2].strip() for line in lines_of(response, "Record-Route")]
        target = f"sip:user0@{HOST}:{self.callee.getsockname()[1]}"
        self.send(
            self.caller, ACK, n=n, target=target, routes="".join(f"Route: {one}\n" for one in routes[::-1])
        )
        while not self.callee.recv(65_535).startswith(b"ACK "):
            pass

    def _call(self, numbers: range, status: str, then: Callable[[bytes, str], None] | None) -> None:
        wanted = f"SIP/2.0 {status[:3]}".encode()
        for n in numbers:
            self.send(self.caller, INVITE, n=n)
            request = self.callee.recv(65_535)
            while not request.startswith(b"INVITE "):
                request = self.callee.recv(65_535)
            # One that was sent again is of the call before.
            number = lines_of(request, "Call-ID")[0].split("-")[2]
            self.answer(request, number, status)
            response = self.caller.recv(65_535)
            while not response.startswith(wanted):
                response = self.caller.recv(65_535)
            if then is not None:
                then(response, number)


def measure(name: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Return octets of a binding, a ringing call, an answered one, and another one after ``--wait``."""
    found: dict[str, float] = {}
    start: Callable[..., Program] = kamailio if name == "kamailio" else sansip_serve
    options = ["-x", "fm"] if name == "kamailio" else []
    for kind in ("binding", "ringing call", "answered call"):
        with tempfile.TemporaryDirectory(prefix="sansip-bench-") as temporary, ExitStack() as stack:
            port = free_port()
            server = stack.enter_context(
                start(Path(temporary), [f"udp:{HOST}:{port}"], [DOMAIN], options, [])
            )
            phones = Phones((HOST, port))
            stack.callback(phones.close)
            phones.register(range(1))
            number = arguments.bindings if kind == "binding" else arguments.calls
            play = {"binding": phones.register, "ringing call": phones.ring, "answered call": phones.talk}[
                kind
            ]
            play(range(1, 1 + arguments.before))
            before = memory(server.pid)
            play(range(1 + arguments.before, 1 + arguments.before + number))
            found[kind] = (memory(server.pid) - before) / number
            if kind == "answered call" and arguments.wait:
                # RFC 6026 7.1: until then a repeated 2xx or INVITE may come. Allocators keep what is free, so
                # only as many calls again show it.
                time.sleep(arguments.wait)
                before = memory(server.pid)
                play(range(1 + arguments.before + number, 1 + arguments.before + 2 * number))
                found[f"another, {arguments.wait:g} s later"] = (memory(server.pid) - before) / number
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--bindings", type=int, default=20_000)
    parser.add_argument("--before", type=int, default=300, help="played before the measurement")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds after the calls were answered")
    arguments = parser.parse_args()
    results = {name: measure(name, arguments) for name in ("sansip", "kamailio")}
    print(f"{'octets':32} {'sansip':>9} {'kamailio':>9} {'ratio':>6}")
    for kind, octets in results["sansip"].items():
        other = results["kamailio"][kind]
        print(f"{kind:32} {octets:>9.0f} {other:>9.0f} {octets / other if other else float('inf'):>6.2f}")


if __name__ == "__main__":
    main()
