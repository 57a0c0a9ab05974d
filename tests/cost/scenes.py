"""Each exchange with a message that grows: each way through the stack, and each operation on its lists.

Theory of operation: a scene makes a rig, and returns what plays one exchange there with a
``Growing`` of so many octets in every message of the peers, theirs and the answers. So
lists are counted, taken from, stripped, copied, put first, forwarded, answered with,
compared and stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sansip.auth import AuthConfig
from sansip.proxy import ProxyConfig
from tests.cost.growing import FIELDS, Growing, Lines
from tests.rig import ALICE, BOB, BOB_URI, CAROL, CAROL_URI, TCP, Out, Rig, relay_to

__all__ = ["SCENES"]

Scene = Callable[[Growing, int], Callable[[], object]]
_SINGLE = ("from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type")


def written(start: str, base: Lines, growing: Growing, octets: int) -> bytes:
    """Return a message with ``base`` and what grows; of a field that is one, what grows."""
    extra = growing.lines(octets)
    body = growing.body(octets)
    if growing.type:
        extra = [*extra, ("Content-Type", growing.type)]
    names = {name.lower() for name, _ in extra} & set(_SINGLE)
    lines = [(name, value) for name, value in base if name.lower() not in names]
    lines += extra
    if "content-length" not in names:
        lines.append(("Content-Length", str(len(body))))
    head = "\r\n".join([start, *(f"{name}: {value}" for name, value in lines), "", ""])
    return head.encode() + body


def asked(
    method: str,
    growing: Growing,
    octets: int,
    number: int,
    *,
    uri: str = "sip:bob@biloxi.test",
    to: str = "<sip:bob@biloxi.test>",
    transport: str = "UDP",
    headers: Lines = [],  # noqa: B006 (is read)
) -> bytes:
    """A request of alice's, in which something grows."""
    base = [
        ("Via", f"SIP/2.0/{transport} 192.0.2.1:5060;branch=z9hG4bK{number}"),
        *headers,
        ("Max-Forwards", "70"),
        ("From", "<sip:alice@biloxi.test>;tag=alice"),
        ("To", to),
        ("Call-ID", f"{number}@192.0.2.1"),
        ("CSeq", f"1 {method}"),
    ]
    return written(f"{method} {growing.uri(octets) or uri} SIP/2.0", base, growing, octets)


def told(branch: Out, status: int, growing: Growing, octets: int) -> bytes:
    """The answer to what the stack sent, in which something grows, too."""
    message = branch.message
    base = [(name, value) for name in ("Via", "Record-Route") for value in message.get_all(name)]
    to = message.get("to") or ""
    base += [("From", message.get("from") or ""), ("To", to if "tag=" in to else f"{to};tag=b")]
    base += [("Call-ID", message.get("call-id") or ""), ("CSeq", message.get("cseq") or "")]
    return written(f"SIP/2.0 {status} Because", base, growing, octets)


def sent(outs: list[Out], method: str) -> list[Out]:
    return [out for out in outs if out.what == method]


def call(growing: Growing, octets: int) -> Callable[[], object]:
    """A call to a phone that is registered: relayed, rung, answered, acknowledged, ended."""
    rig = Rig()
    rig.register(BOB_URI)

    def play() -> None:
        number = len(rig.log)
        for out in sent(rig.udp(asked("INVITE", growing, octets, number)), "INVITE"):
            rig.udp(told(out, 180, growing, octets), BOB)
            rig.udp(told(out, 200, growing, octets), BOB)
            route = [("Route", value) for value in out.message.get_all("record-route")]
            to = "<sip:bob@biloxi.test>;tag=b"
            uri = BOB_URI
            rig.udp(asked("ACK", growing, octets, number + 1, uri=uri, to=to, headers=route))
            for bye in sent(
                rig.udp(asked("BYE", growing, octets, number + 2, uri=uri, to=to, headers=route)), "BYE"
            ):
                rig.udp(told(bye, 200, growing, octets), BOB)

    return play


def fork(growing: Growing, octets: int) -> Callable[[], object]:
    """Two phones that both ask for a password: of their answers the best is made (16.7 steps 6 and 7)."""
    rig = Rig(relay_to(BOB_URI, CAROL_URI))

    def play() -> None:
        for out in sent(rig.udp(asked("INVITE", growing, octets, len(rig.log))), "INVITE"):
            rig.udp(told(out, 407, growing, octets), BOB if out.to == BOB else CAROL)

    return play


def redirect(growing: Growing, octets: int) -> Callable[[], object]:
    """A redirection that is followed (16.7 step 4)."""
    rig = Rig(relay_to(BOB_URI), proxy=ProxyConfig(recurse=True))

    def play() -> None:
        for out in sent(rig.udp(asked("INVITE", growing, octets, len(rig.log))), "INVITE"):
            outs = rig.udp(told(out, 302, growing, octets), BOB)
            for again in sent(outs, "INVITE")[:1]:
                rig.udp(told(again, 302, growing, octets), BOB)

    return play


def cancelled(growing: Growing, octets: int) -> Callable[[], object]:
    """A call that is given up: its CANCEL and its ACK are made from it (9.1, 17.1.1.3)."""
    rig = Rig(relay_to(BOB_URI))

    def play() -> None:
        number = len(rig.log)
        for out in sent(rig.udp(asked("INVITE", growing, octets, number)), "INVITE"):
            rig.udp(told(out, 180, growing, octets), BOB)
            rig.udp(asked("CANCEL", growing, octets, number))
            rig.udp(told(out, 487, growing, octets), BOB)

    return play


def register(growing: Growing, octets: int) -> Callable[[], object]:
    """A registration, the same again, and its removal."""
    rig = Rig()

    def play() -> None:
        for expires in ("3600", "3600", "0"):
            headers = [("Expires", expires)]
            if growing.key != "contact":
                headers.append(("Contact", f"<{BOB_URI}>"))
            number = len(rig.log)
            rig.udp(asked("REGISTER", growing, octets, number, uri="sip:biloxi.test", headers=headers))

    return play


def password(growing: Growing, octets: int) -> Callable[[], object]:
    """Where a password is asked for."""
    rig = Rig(auth=AuthConfig(), users=lambda lookup: None)

    def play() -> None:
        rig.udp(asked("REGISTER", growing, octets, len(rig.log), uri="sip:biloxi.test"))
        rig.udp(asked("INVITE", growing, octets, len(rig.log)))

    return play


def stateless(growing: Growing, octets: int) -> Callable[[], object]:
    """Forwarded without state, and its answer (16.11)."""
    rig = Rig(lambda incoming: incoming.relay(BOB_URI, stateless=True))

    def play() -> None:
        for out in sent(rig.udp(asked("MESSAGE", growing, octets, len(rig.log))), "MESSAGE"):
            rig.udp(told(out, 200, growing, octets), BOB)

    return play


def refused(growing: Growing, octets: int) -> Callable[[], object]:
    """Refused, answered by the server itself, and what belongs to nothing."""
    rig = Rig()

    def play() -> None:
        for method, uri in (("FOO", "sip:x@other.test"), ("OPTIONS", "sip:biloxi.test"), ("BYE", BOB_URI)):
            rig.udp(asked(method, growing, octets, len(rig.log), uri=uri))
        rig.udp(asked("SUBSCRIBE", growing, octets, len(rig.log)))
        rig.udp(written("SIP/2.0 200 OK", [("Via", "SIP/2.0/UDP h")], growing, octets))

    return play


def over_a_stream(piece: int) -> Scene:
    def stream(growing: Growing, octets: int) -> Callable[[], object]:
        rig = Rig(relay_to(BOB_URI))

        def play() -> None:
            conn = rig.accept(listener=TCP)
            number = len(rig.log)
            data = asked("MESSAGE", growing, octets, number, transport="TCP")
            outs: list[Out] = []
            for at in range(0, len(data), piece):
                outs += rig.tcp(conn, data[at : at + piece])
            for out in sent(outs, "MESSAGE"):
                rig.udp(told(out, 200, growing, octets), BOB)
            rig.closed(conn)

        return play

    return stream


def edited(growing: Growing, octets: int) -> Callable[[], object]:
    """Every operation that a route has on a field: take, strip, count, put first, add, replace, copy."""

    def route(incoming: Any) -> None:
        message = incoming.message
        name = growing.key or "x-unknown"
        message.values(name)
        message.get_all(name)
        copy = message.copy()
        copy.replace_first_value(name, FIELDS.get(name, "x"))
        copy.prepend(name, FIELDS.get(name, "x"))
        copy.append(name, FIELDS.get(name, "x"))
        copy.set(name, FIELDS.get(name, "x"))
        copy.remove(name)
        copy.to_bytes()
        _ = incoming.nat_signs
        incoming.relay(BOB_URI)

    rig = Rig(route)

    def play() -> None:
        for out in sent(rig.udp(asked("MESSAGE", growing, octets, len(rig.log)), ALICE), "MESSAGE"):
            rig.udp(told(out, 200, growing, octets), BOB)

    return play


# Name -> the scene, and whether every field is for it, or only what the core reads.
SCENES: dict[str, tuple[Scene, bool]] = {
    "call": (call, True),
    "refused": (refused, False),
    "edited": (edited, True),
    "fork": (fork, False),
    "redirect": (redirect, False),
    "cancelled": (cancelled, False),
    "register": (register, False),
    "password": (password, False),
    "stateless": (stateless, False),
    "stream": (over_a_stream(100_000), False),
    "stream in pieces": (over_a_stream(97), False),
}
