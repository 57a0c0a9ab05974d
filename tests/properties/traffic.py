"""Traffic that no sane peer would send: messages and inputs drawn from pools of good and bad parts.

Theory of operation: everything is drawn by one ``choose(items)`` function, so
that hypothesis and a plain seeded generator can both drive it. Parts are mostly
right, or nothing would ever get past the parser.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sansip.errors import RemoteProtocolError
from sansip.wire import Request, parse_message
from tests.rig import ALICE, BOB, CAROL, HOST, TCP, UDP, UDP6, Out, Rig, reply, within

Choose = Callable[[Sequence[Any]], Any]

SOURCES: list[Any] = [
    *(ALICE, BOB, CAROL, ("192.0.2.1", 5070)),
    *(("2001:db8::1", 5060, 0, 0), ("fe80::1%eth0", 5060, 0, 2)),
]
METHODS = [
    *["INVITE"] * 4,
    *["ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "MESSAGE", "PRACK", "FOO", "invite"],
]
URIS = [
    *["sip:bob@biloxi.test"] * 4,
    "sip:biloxi.test",
    f"sip:{HOST}",
    f"sip:{HOST};lr",
    "sip:bob@192.0.2.2",
    "sip:bob@192.0.2.2;transport=tcp",
    "sip:bob@192.0.2.2;transport=tls",
    "sip:bob@192.0.2.2;transport=carrierpigeon",
    "sips:bob@biloxi.test",
    "tel:+15551234",
    "mailto:bob@biloxi.test",
    "sip:bob@biloxi.test;maddr=192.0.2.10",
    "sip:bob@biloxi.test;maddr=a!b",
    "sip:bob@biloxi.test;maddr",
    "sip:bob@[2001:db8::2]",
    "sip:bob@nowhere.invalid",
    "sip:bob@192.0.2.2:0",
    "sip:%00%ff@biloxi.test",
    "sip:bob@biloxi.test?Subject=x",
    "sip:",
    "*",
]
BRANCHES = [
    *("z9hG4bK1", "z9hG4bK2", "z9hG4bK3", "z9hG4bK", "1", None),
    *("z9hG4bKs0000000000000000", "z9hG4bK.00000000"),
]
VIA_PARAMS = [
    *("", "", "", ";rport", ";rport=1", ";maddr=192.0.2.99", ";maddr=no.host"),
    *(";received=1.2.3.4", ";ttl=1;x", ";rport=x"),
]
VIA_HOSTS = [
    *("192.0.2.1:5060", "192.0.2.1", "phone.invalid", "[2001:db8::1]:5060", "[fe80::1]"),
    *(f"{HOST}:5060", "a..b"),
]
TRANSPORTS = ["UDP", "UDP", "TCP", "udp", "SCTP", "PIGEON"]
TAGS = [None, "t1", "t2"]
HOPS = [70, 70, 70, 1, 0, None, 255, "x"]
HEADERS = [
    ("Contact", "<sip:bob@192.0.2.2>"),
    ("Contact", "<sip:bob@192.0.2.2>;q=0.5, <sip:bob@192.0.2.3>;expires=0"),
    ("Contact", "*"),
    ("Contact", ",,,"),
    ("Expires", "60"),
    ("Expires", "never"),
    ("Route", f"<sip:{HOST};lr>"),
    ("Route", f"<sip:{HOST};lr;d=0000000000000000>"),
    ("Route", "<sip:192.0.2.77;lr>"),
    ("Route", "<sip:192.0.2.77>"),
    ("Route", ";;"),
    ("Record-Route", f"<sip:{HOST};lr>"),
    ("Record-Route", "nonsense"),
    ("Max-Breadth", "2"),
    ("Max-Breadth", "0"),
    ("Max-Breadth", "two"),
    ("Proxy-Require", "foo"),
    ("Proxy-Require", ";"),
    ("Require", "bar"),
    ("Path", "<sip:192.0.2.77;lr>"),
    ("Path", "<"),
    ("Supported", "path, outbound"),
    ("Timestamp", "54"),
    ("Reason", 'SIP;cause=200;text="x"'),
    ("Retry-After", "5"),
    ("Via", f"SIP/2.0/UDP {HOST}:5060;branch=z9hG4bK.00000000"),
    ("Via", "SIP/2.0/UDP"),
    ("X-Odd", "\xff\x00"),
    ("Subject", "a\r\n folded\r\n\tline"),
    ("To", "<sip:second@biloxi.test>"),
    ("Content-Length", "5"),
]
BODIES = [b"", b"", b"", b"v=0\r\n", b"x" * 1400]
STATUSES = [
    *(100, 100, 180, 180, 183, 200, 200, 202, 302, 401, 404, 407, 408, 440, 481, 486, 487),
    *(500, 503, 600, 603, 699),
]
NOISE = [
    *(b"", b"\r\n", b"\r\n\r\n", b"\x00" * 20, b"\xff" * 64),
    *(b"GET / HTTP/1.1\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n"),
]
INPUTS = [
    *["datagram"] * 10,
    *["data"] * 4,
    *["wait"] * 3,
    "accept",
    "opened",
    "closed",
    "failed",
    "answer",
    "answer",
]
ADDRESSES: list[Any] = [
    [("192.0.2.2", 5060)],
    [("192.0.2.2", 5060), ("192.0.2.3", 5060)],
    [],
    OSError("no"),
    None,
]


def draw_request(choose: Choose) -> bytes:
    """A request, mostly well formed."""
    method = choose(METHODS)
    branch = choose(BRANCHES)
    via = f"SIP/2.0/{choose(TRANSPORTS)} {choose(VIA_HOSTS[:2] * 3 + VIA_HOSTS)}"
    via += f";branch={branch}" if branch else ""
    lines = [f"{method} {choose(URIS)} SIP/2.0", f"Via: {via}{choose(VIA_PARAMS)}"]
    hops = choose(HOPS)
    if hops is not None:
        lines.append(f"Max-Forwards: {hops}")
    lines += [
        "From: <sip:alice@biloxi.test>" + choose(["", ";tag=a1", ";tag=a1", ";tag=a2"]),
        "To: <sip:bob@biloxi.test>" + choose(["", "", "", ";tag=b1"]),
        f"Call-ID: {choose(['c1', 'c1', 'c2'])}",
        f"CSeq: {choose([1, 1, 2, 4294967296])} {choose([method] * 9 + ['BYE'])}",
    ]
    for _ in range(choose([0, 0, 1, 1, 2, 4])):
        name, value = choose(HEADERS)
        lines.append(f"{name}: {value}")
    body = choose(BODIES)
    if choose([True] * 5 + [False]):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def draw_response(choose: Choose, sent: list[Out]) -> bytes:
    """A response to something that was sent, or a stray one."""
    requests = [out for out in sent if isinstance(out.message, Request) and out.message.method != "ACK"]
    if requests and choose([True] * 5 + [False]):
        headers = [choose(HEADERS)] if choose([False, False, True]) else []
        data = reply(
            choose(requests[-6:]),
            choose(STATUSES),
            tag=choose([None, "b1", "b1", "b2"]),
            headers=headers,
            length=choose([True, True, False]),
        )
        return data.replace(b"Via: ", choose([b"Via: "] * 9 + [b"V : "]), choose([1, 2]))
    status = choose([*STATUSES, 99, 700])
    lines = [f"SIP/2.0 {status} Because"]
    for _ in range(choose([1, 2])):
        sent_by = choose([f"{HOST}:5060", *VIA_HOSTS])
        lines.append(f"Via: SIP/2.0/UDP {sent_by};branch={choose(BRANCHES) or 'x'}{choose(VIA_PARAMS)}")
    lines += ["From: <sip:a@b>;tag=1", "To: <sip:b@b>;tag=2", "Call-ID: c1", f"CSeq: 1 {choose(METHODS)}"]
    return ("\r\n".join(lines) + "\r\nContent-Length: 0\r\n\r\n").encode()


def spoil(choose: Choose, data: bytes) -> bytes:
    """Cut, repeat or change some octets."""
    how = choose(["whole"] * 8 + ["cut", "octet", "delete", "insert"])
    at = choose(range(len(data))) if data else 0
    if how == "cut":
        return data[:at]
    if how == "octet":
        return data[:at] + bytes([choose(range(256))]) + data[at + 1 :]
    if how == "delete":
        return data[:at] + data[at + choose(range(1, 40)) :]
    if how == "insert":
        return data[:at] + choose([b"\r\n", b"\x00", b"\xff", b",", b'"', b"<", b";", b" ", b"%"]) + data[at:]
    return data


class Storm:
    """Feeds a rig one drawn input after the other."""

    def __init__(self, rig: Rig, choose: Choose) -> None:
        self.rig = rig
        self.choose = choose
        self.conns: list[int] = []
        self.invites: list[bytes] = []

    def message(self) -> bytes:
        choose = self.choose
        kind = choose(["request"] * 4 + ["response"] * 5 + ["within", "noise"])
        if kind == "within" and self.invites:
            return within(choose(self.invites), choose(["ACK", "CANCEL"]), to_tag=choose([None, "b1"]))
        if kind == "noise":
            return choose(NOISE)
        data = draw_request(choose) if kind == "request" else draw_response(choose, self.rig.log)
        if data.startswith(b"INVITE "):
            try:
                parse_message(data)
            except RemoteProtocolError:
                pass
            else:
                self.invites.append(data)
        return spoil(choose, data)

    def step(self) -> None:
        """One input of any kind."""
        rig, choose = self.rig, self.choose
        kind = choose(INPUTS)
        if kind == "datagram":
            source = choose(SOURCES)
            rig.udp(self.message(), source, UDP6 if ":" in source[0] else UDP)
        elif kind == "data":
            conn = choose(self.conns) if self.conns else 0
            data = self.message()
            rig.tcp(conn, data + choose([b"", b"", data, b"\r\n\r\n"]), boundary=choose([False] * 5 + [True]))
        elif kind == "wait":
            rig.wait(choose([0.1, 0.5, 3, 10, 40, 200]))
        elif kind == "accept":
            source = (choose(["192.0.2.1", "192.0.2.2"]), choose([5060, 40001, 40002]))
            self.conns.append(rig.accept(source, TCP))
        elif kind == "opened":
            waiting = [out for out in rig.log if out.what == "Connect"]
            if waiting:
                self.conns.append(choose(waiting).action.conn)
                rig.opened(choose(waiting))
        elif kind == "closed":
            conns = self.conns + [out.action.conn for out in rig.log if out.what in ("Connect", "Disconnect")]
            if conns:
                rig.closed(choose(conns))
        elif kind == "failed":
            sends = [out for out in rig.log if hasattr(out.action, "data")]
            if sends:
                rig.failed(choose(sends[-8:]))
        elif rig.asks:
            rig.answer(choose(ADDRESSES), rig.asks.pop(choose(range(len(rig.asks)))))

    def end(self) -> None:
        """Everything that an adapter owes is delivered, and time passes until nothing is left."""
        rig = self.rig
        for _ in range(6):
            rig.run_out()
            for out in rig.log:
                if out.what in ("Disconnect", "Connect"):
                    rig.closed(out.action.conn)
            rig.log.clear()
            for conn in self.conns:
                rig.closed(conn)
        held: dict[str, Any] = rig.stack.snapshot()
        assert not any(held.values()), held
