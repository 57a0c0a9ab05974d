"""Every refusal, with the cycle collector off: nothing is left of it.

Why it matters: a refusal costs its sender nothing. An error that was kept in a variable and
raised held its own frame, and with it a message of 8 KB, until the collector came:
6,000 datagrams took half a gigabyte.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.errors import RemoteProtocolError, without_frames
from sansip.events import RouteFailed
from sansip.limits import Limits
from sansip.location import LocationUpdate
from sansip.routing import ask
from sansip.transport import StreamFramer
from sansip.transport.proxy_protocol import ProxyHeaderError, read_header
from sansip.transport.websocket import WebSocket, WebSocketConfig
from sansip.wire import check_headers, parse_message
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS
from tests.garbage import left_by
from tests.rig import BOB_URI, Rig, relay_to, reply, request, within

DATA = Path(__file__).parents[1] / "conformance/sansip_conformance/data"
TORTURE = {
    path.stem: path.read_bytes()
    for pattern in ("rfc4475/messages/*.dat", "rfc5118/messages/*.dat")
    for path in sorted(DATA.glob(pattern))
}
SHARED = {
    case["id"]: case["input"].encode("utf-8", "surrogateescape")
    for case in json.loads((DATA / "parse-cases/shared.json").read_text(encoding="utf-8"))["cases"]
    if case["kind"] == "message" and isinstance(case.get("input"), str)
}
TIGHT = {
    "message_size": 2000,
    "head_size": 1500,
    "header_size": 600,
    "header_count": 30,
    "via_count": 5,
    "uri_size": 100,
}
START = b"MESSAGE sip:bob@biloxi.test SIP/2.0\r\n"
# One message for each limit that the reader and the framer know, and each kind of broken start.
BROKEN = {
    "message_size": request("MESSAGE", body=b"x" * 2000),
    "head_size": request("MESSAGE", headers=[("X", "x" * 400)] * 4),
    "no end of the head": START + b"Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n" + b"X: y" * 9,
    "endless": START + b"X" * 3000,
    "header_size": request("MESSAGE", headers=[("X", "x" * 700)] * 2),
    "header_count": request("MESSAGE", headers=[("X", "y")] * 30),
    "via_count": request("MESSAGE", via=", ".join(["SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"] * 6)),
    "uri_size": request("MESSAGE", f"sip:{'b' * 100}@biloxi.test"),
    "version": request("MESSAGE").replace(b"SIP/2.0\r\n", b"SIP/3.0\r\n", 1),
    "version and a field": request("MESSAGE", headers=[("x y", "z")]).replace(b"SIP/2.0\r", b"SIP/3.0\r", 1),
    "no SIP": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "no colon": request("MESSAGE").replace(b"CSeq:", b"CSeq"),
    "a lone CR": request("MESSAGE").replace(b"CSeq: 1", b"CSeq: \r1"),
    "no CSeq": request("MESSAGE").replace(b"CSeq: 1 MESSAGE\r\n", b""),
    "two CSeq": request("MESSAGE", headers=[("CSeq", "2 MESSAGE")]),
    "another method": request("MESSAGE").replace(b"1 MESSAGE", b"1 INVITE"),
    "a length too large": request("MESSAGE").replace(b"Content-Length: 0", b"Content-Length: 9"),
    "no length": request("MESSAGE", length=False, body=b"hello"),
    "a length of words": request("MESSAGE").replace(b"Content-Length: 0", b"Content-Length: zero"),
    "a URI with headers": request("MESSAGE", "sip:bob@biloxi.test?a=b"),
    "no URI": request("MESSAGE", "<>"),
    "From": request("MESSAGE", sender="<sip:@>"),
    "hops": request("MESSAGE", hops=999),
    "a status of letters": b"SIP/2.0 2xx OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\r\n",
    "a response of another version": b"SIP/9.0 200 OK\r\nX\r\n\r\n",
}  # fmt: skip
MESSAGES = {**TORTURE, **SHARED, **BROKEN}


def offenders(run: Callable[[bytes], object]) -> dict[str, dict[str, int]]:
    """Return, by name, each message of which ``run`` leaves something."""
    if not left_by(lambda: [run(data) for data in MESSAGES.values()]):
        return {}
    return {name: left for name, data in MESSAGES.items() if (left := left_by(partial(run, data)))}


def test_the_measure_sees_a_cycle() -> None:
    """A check that cannot fail proves nothing."""

    def play() -> None:
        error = RemoteProtocolError("kept")
        try:
            raise error
        except RemoteProtocolError:
            pass

    assert left_by(play)["RemoteProtocolError"] == 1


@pytest.mark.parametrize("datagram", [True, False])
def test_read(datagram: bool) -> None:
    """The reader, and the parsers of all fields after it."""

    def run(data: bytes) -> None:
        try:
            message = parse_message(data, Limits(**TIGHT), datagram=datagram)
        except RemoteProtocolError as error:
            if (message := error.message) is None:
                return
        check_headers(message)

    assert offenders(run) == {}


@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_framed(piece: int) -> None:
    """The framer of a stream, whose error is its last value."""

    def run(data: bytes) -> None:
        framer = StreamFramer(Limits(**TIGHT))
        for at in range(0, len(data), piece):
            framer.feed(data[at : at + piece])

    assert offenders(run) == {}


@pytest.mark.parametrize("way", ["udp", "tcp", "ws"])
def test_answered(way: str) -> None:
    """The whole stack, until the last timer of what a message started has fired."""
    rig = Rig(relay_to(BOB_URI), limits=TIGHT)

    def run(data: bytes) -> None:
        if way == "udp":
            rig.udp(data)
        else:
            conn = rig.accept(transport=way)
            rig.tcp(conn, data, boundary=way == "ws")
            rig.closed(conn)
        rig.run_out()
        rig.log.clear()
        rig.events.clear()
        rig.asks.clear()

    run(request("OPTIONS"))
    assert offenders(run) == {}


def raises(_request: Any) -> None:
    raise ValueError("a route with a mistake")


def malformed_field(request: Any) -> None:
    _ = request.message.typed("route")


async def raises_later(request: Any) -> None:
    await ask("anything")
    raise ValueError("a route with a mistake")


async def raises_the_answer(request: Any) -> None:
    await ask("anything")


async def never_decides(request: Any) -> None:
    await ask("anything")


async def awaits_forever(request: Any) -> None:
    while True:
        await ask("anything")


async def relays_and_waits(request: Any) -> None:
    await request.relay(BOB_URI)
    await request.relay(BOB_URI)


FOO = request("FOO", "sip:x@other.test")
REGISTER = request("REGISTER", "sip:biloxi.test", to="<sip:alice@biloxi.test>")


def gone() -> OSError:
    """An error like that of a store, made anew so that no other frame holds it."""
    try:
        raise OSError("the store is gone")
    except OSError as error:
        return error


def answered(*results: Callable[[], Any]) -> Callable[[Rig], None]:
    """Answer each question with what the next of ``results`` makes."""

    def play(rig: Rig) -> None:
        rig.udp(request())
        for make in results:
            rig.answer(make())

    return play


def told(*statuses: int) -> Callable[[Rig], None]:
    """Answer each INVITE that leaves with the next of ``statuses``."""

    def play(rig: Rig) -> None:
        outs = rig.udp(request())
        for status in statuses:
            invite = next(out for out in outs if out.what == "INVITE")
            outs = rig.udp(reply(invite, status), ("192.0.2.2", 5060))

    return play


def sends(*datagrams: bytes) -> Callable[[Rig], None]:
    def play(rig: Rig) -> None:
        for data in datagrams:
            rig.udp(data)

    return play


def cancels(rig: Rig) -> None:
    rig.udp(request())
    rig.udp(within(request(), "CANCEL"))


def drains(rig: Rig) -> None:
    rig.stack.drain(rig.now)
    rig.udp(request())


async def catches(request: Any) -> None:
    try:
        await ask("anything")
    except Exception:
        request.reply(503)


def stores(make: Callable[[], Any]) -> Callable[[Rig], None]:
    def play(rig: Rig) -> None:
        rig.udp(request("REGISTER", "sip:biloxi.test", headers=[("Contact", f"<{BOB_URI}>")]))
        assert isinstance(rig.asks[0].question, LocationUpdate)
        rig.answer(make())

    return play


def guesses(rig: Rig) -> None:
    rig.udp(request())
    challenge = rig.log[-1].message.get("proxy-authenticate") or ""
    nonce = challenge.split('nonce="')[1].split('"')[0]
    credentials = (
        f'Digest username="alice", realm="biloxi.test", nonce="{nonce}", uri="sip:bob@biloxi.test", '
        'qop=auth, nc=00000001, cnonce="c", response="0"'
    )
    rig.udp(request(branch="z9hG4bKa2", cseq=2, headers=[("Proxy-Authorization", credentials)]))
    if rig.stack.users is None:
        rig.answer(gone())


def unreachable(rig: Rig) -> None:
    for out in rig.udp(request()):
        if out.what == "INVITE":
            rig.failed(out)


STORIES: dict[str, tuple[Callable[[], Rig], Callable[[Rig], None]]] = {
    "relaying denied": (Rig, sends(FOO)),
    "not found": (Rig, sends(request())),
    "no such dialog": (Rig, sends(request("BYE", to_tag="x"))),
    "a stray ACK": (Rig, sends(request("ACK"))),
    "a stray CANCEL": (Rig, sends(request("CANCEL"))),
    "a stray response": (Rig, sends(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z\r\n\r\n")),
    "no hops": (Rig, sends(request(hops=0))),
    "a scheme": (Rig, sends(request("INVITE", "foo:bar"))),
    "an extension": (Rig, sends(request(headers=[("Proxy-Require", "x")]))),
    "a malformed Route": (lambda: Rig(malformed_field), sends(request(headers=[("Route", "<")]))),
    "Route without end": (Rig, sends(request(headers=[("Route", "<sip:192.0.2.10;lr>, <<")]))),
    "a forged token": (Rig, sends(request(headers=[("Route", "<sip:f-AAAA@192.0.2.10;lr>")]))),
    "a malformed Contact": (Rig, sends(request("REGISTER", "sip:biloxi.test", headers=[("Contact", "<")]))),
    "a challenge": (lambda: Rig(auth=AuthConfig()), sends(request(), REGISTER)),
    "malformed credentials": (
        lambda: Rig(auth=AuthConfig()),
        sends(request(headers=[("Proxy-Authorization", "Digest x")])),
    ),
    "a store of users that fails": (lambda: Rig(auth=AuthConfig()), guesses),
    "a wrong password": (lambda: Rig(auth=AuthConfig(), users=lambda _: {"MD5": "0" * 32}), guesses),
    "a store that fails": (lambda: Rig(durable=True), stores(gone)),
    "too many transactions": (lambda: Rig(limits={"transactions": 0}), sends(request())),
    "too many requests": (lambda: Rig(limits={"source_rate": 1, "source_burst": 1}), sends(FOO, FOO, FOO)),
    "draining": (Rig, drains),
    "a route that raises": (lambda: Rig(raises), sends(request())),
    "a route that raises later": (lambda: Rig(raises_later), answered(int)),
    "a question that fails": (lambda: Rig(raises_the_answer), answered(gone)),
    "a question that fails, and is caught": (lambda: Rig(catches), answered(gone)),
    "a route that decides nothing": (lambda: Rig(never_decides), answered(int)),
    "a route without end": (
        lambda: Rig(awaits_forever, limits={"route_steps": 3}),
        answered(*[int] * 3),
    ),
    "questions without room": (lambda: Rig(raises_the_answer, limits={"questions": 0}), sends(request())),
    "a failure relayed": (lambda: Rig(relay_to(BOB_URI)), told(486)),
    "a failure waited for": (lambda: Rig(relays_and_waits), told(486, 603)),
    "a success waited for": (lambda: Rig(relays_and_waits), told(200)),
    "a time-out": (lambda: Rig(relays_and_waits), told()),
    "cancelled": (lambda: Rig(relays_and_waits), cancels),
    "unreachable": (lambda: Rig(relays_and_waits), unreachable),
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
def test_refused(name: str) -> None:
    """Each way in which the stack or its route refuses what the reader took."""
    make, play = STORIES[name]
    rig = make()

    def run() -> None:
        play(rig)
        rig.run_out()
        for event in rig.events:
            if isinstance(event, RouteFailed):
                # The log's writer does the same.
                without_frames(event.error)
        rig.log.clear()
        rig.events.clear()
        rig.asks.clear()

    assert left_by(run) == {}
    assert rig.empty


def handshakes() -> Iterator[bytes]:
    good = (
        b"GET /ws HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: sip\r\n\r\n"
    )
    for line in good.split(b"\r\n")[:-2]:
        yield good.replace(line, b"X: y")
        yield good.replace(line, b"")
    yield good + b"\x8f\x80\0\0\0\0"
    yield good + b"\x01\x00"
    yield good + b"\x81\x81\0\0\0\0\xff"
    yield good[:30] + b"x" * 5000


def test_a_websocket() -> None:
    """Handshakes and frames that are refused: h11 raises the caught exception, in a frame that keeps it."""
    for data in handshakes():

        def run(data: bytes = data) -> None:
            WebSocket(WebSocketConfig(), Limits(**TIGHT)).received(data, 1.0)

        assert left_by(run) == {}, data


def test_a_proxy_header() -> None:
    """A load balancer that should have sent a PROXY header, and did not."""

    def run() -> None:
        for data in (
            b"PROXY TCP4 x\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\1x",
            b"GET /",
            b"PROXY " + b"x" * 300,
        ):
            with contextlib.suppress(ProxyHeaderError):
                read_header(data, 200)

    assert left_by(run) == {}


@pytest.mark.parametrize("target", ["parser", "framing", "websocket"])
def test_what_fuzzing_begins_with(target: str) -> None:
    """The kept corpus and its seeds, each as the fuzzer runs it."""
    run = TARGETS[target]
    assert left_by(lambda: [run(data) for data in seeds(target)]) == {}
