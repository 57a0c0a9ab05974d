"""Entrances: one port for several transports, and the source that a proxy announces."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.actions import Disconnect, Notify, SendData
from sansip.driver import Driver, Filter, HandOver, OpenConnection, Output
from sansip.events import ConnectionRefused
from sansip.limits import Limits
from sansip.transport.entrance import entrances, protocol_of
from sansip.transport.websocket import WebSocket
from tests.adapters.fakes import FakeStack
from tests.transport.test_proxy_protocol import LINE, V4

PROXY = ("10.0.0.7", 40_000)
PHONE = ("192.0.2.7", 5060)
HELLO = b"\x16\x03\x01"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: sip.example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: sip\r\n\r\n"
)


class Veil:
    """Stands for TLS: a hello of three octets, then octets turned around."""

    boundaries = False

    def __init__(self) -> None:
        self.ready = False
        self.was_opened = False

    def opened(self, now: float) -> Output:
        self.was_opened = True
        return Output()

    def received(self, data: bytes, now: float) -> Output:
        assert self.was_opened
        if not self.ready:
            assert data[:3] == HELLO
            data = data[3:]
            self.ready = True
            return Output(down=[b"hello"], up=[data[::-1]] if data else ())
        return Output(up=[data[::-1]])

    def send(self, data: bytes, now: float) -> Output:
        return Output(down=[data[::-1]])

    def close(self, reason: str, now: float) -> Output:
        return Output(down=[b"goodbye"])

    def time_passed(self, now: float) -> Output:
        raise AssertionError("it started no timer")


def veiled(info: OpenConnection) -> list[Filter]:
    return [Veil()]


class Door:
    """A driver with listeners on one socket, and its fake stack."""

    def __init__(
        self, *transports: str, proxies: tuple[str, ...] = (), http: tuple[str, ...] = (), **limits: Any
    ) -> None:
        self.stack = FakeStack()
        bounds = Limits(**limits)
        configs = [
            ListenerConfig(
                *(7 + at, one, "192.0.2.9", 5060),
                shares=7 if at else None,
                proxies=proxies,
                http=one in http,
            )
            for at, one in enumerate(transports)
        ]
        filters: dict[str, Any] = {
            "tls": veiled,
            "ws": lambda info: [WebSocket(None, bounds)],
            "wss": lambda info: [Veil(), WebSocket(None, bounds)],
        }
        self.driver = Driver(self.stack, filters, bounds, entrances(configs, filters, bounds))
        self.first = transports[0]
        self.conn = 0

    def open(self, remote: Any = PHONE) -> list[Any]:
        self.conn += 1
        info = OpenConnection(7, self.first, ("192.0.2.9", 5060), remote, True)
        return self.driver.connection_opened(self.conn, info, 0.0)

    def feed(self, *parts: bytes) -> list[Any]:
        return [action for data in parts for action in self.driver.data_received(self.conn, data, 1.0)]

    def told(self) -> list[Any]:
        return [one for kind in ("opened", "data", "closed") for one in self.stack.told(kind)]

    def known(self) -> OpenConnection:
        conn, info = self.stack.expect("opened")
        assert conn == self.conn
        assert isinstance(info, OpenConnection)
        return info


ALL = ("tcp", "tls", "ws", "wss")


@pytest.mark.parametrize(
    ("octets", "transport", "listener"),
    [
        (b"OPTIONS sip:a SIP/2.0\r\n", "tcp", 7),
        # RFC 3261 7.5 and RFC 5626 4.4.1: CRLFs in front, and the keepalive.
        (b"\r\n\r\n", "tcp", 7),
        # RFC 3261 25.1: a method is any token, and one of HTTP's beginnings is none.
        (b"GREET sip:a SIP/2.0\r\n", "tcp", 7),
        (HELLO + b"OPTIONS sip:a SIP/2.0\r\n"[::-1], "tls", 8),
        (HELLO + UPGRADE[::-1], "wss", 10),
        (UPGRADE, "ws", 9),
        (b"POST / HTTP/1.1\r\n", "ws", 9),
    ],
)
def test_the_first_octets_tell(octets: bytes, transport: str, listener: int) -> None:
    """The stack hears of the connection once, under the listener for its protocol, before its octets."""
    door = Door(*ALL)
    assert door.open() == []
    door.feed(octets)
    info = door.known()
    assert (info.transport, info.listener, info.remote) == (transport, listener, PHONE)


@pytest.mark.parametrize(
    ("octets", "plain", "transport"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", None, "ws"),
        (b"INFO sip:a SIP/2.0\r\n\r\n", b"INFO sip:a SIP/2.0\r\n\r\n", "tcp"),
        (b"PUBLISH sip:a SIP/2.0\r\n", b"PUBLISH sip:a SIP/2.0\r\n", "tcp"),
    ],
)
def test_octet_by_octet(octets: bytes, plain: bytes | None, transport: str) -> None:
    """Nothing is lost or seen twice while it is being decided."""
    door = Door(*ALL)
    door.open()
    door.feed(*(octets[at : at + 1] for at in range(len(octets))))
    assert door.known().transport == transport
    if plain is not None:
        seen = b""
        while len(seen) < len(plain):
            seen += door.stack.expect("data")[1]
        assert seen == plain


def test_through_tls_into_a_websocket() -> None:
    """Two decisions: TLS by the first octets, WebSocket by the first ones inside it."""
    door = Door(*ALL)
    door.open()
    assert door.feed(HELLO) == [SendData(1, b"hello")]
    assert door.told() == []
    (answer,) = door.feed(UPGRADE[::-1])
    assert answer.data[::-1].startswith(b"HTTP/1.1 101 ")
    assert door.known().transport == "wss"
    # A masked text frame (RFC 6455 5.3) of "hi": what comes now has boundaries.
    door.feed(bytes((0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69))[::-1])
    assert door.stack.expect("data") == (1, b"hi", True)


def test_what_nothing_speaks_is_refused() -> None:
    """An old SSL hello is no TLS, no HTTP and no SIP; the operator is told, the stack never was."""
    door = Door(*ALL)
    door.open()
    refused, closed = door.feed(b"\x80\x2e\x01")
    assert isinstance(refused, Notify)
    assert isinstance(refused.event, ConnectionRefused)
    assert "tcp, tls, ws, wss" in refused.event.reason
    assert isinstance(closed, Disconnect)
    assert door.driver.connection_closed(1, "closed", 2.0) == []
    assert door.told() == []


@pytest.mark.parametrize(
    ("transports", "octets", "found"),
    [
        (("tcp", "tls"), b"GET / HTTP/1.1\r\n", "tcp"),
        (("tcp", "wss"), HELLO, "wss"),
        (("tcp", "tls"), HELLO, "tls"),
        (("ws", "tls"), b"INVITE sip:a SIP/2.0\r\n", None),
        (("ws", "tcp"), HELLO, None),
    ],
)
def test_only_what_is_configured(transports: tuple[str, ...], octets: bytes, found: str | None) -> None:
    """If one half is missing the other takes its connections, or none does."""
    door = Door(*transports)
    door.open()
    actions = door.feed(octets)
    if found is None:
        assert any(isinstance(action, Disconnect) for action in actions)
        assert door.told() == []
    else:
        assert door.known().transport == found


@pytest.mark.parametrize("header", [LINE, V4])
def test_the_announced_source_is_the_connection(header: bytes) -> None:
    """Code that asks for the peer gets the phone's address; what follows the header is the first message."""
    door = Door("tcp", proxies=("10.0.0.0/8",))
    assert door.open(PROXY) == []
    door.feed(header[:5], header[5:] + b"OPTIONS")
    info = door.known()
    assert (info.remote, info.local) == (("192.0.2.1", 56324), ("198.51.100.9", 5060))
    assert door.stack.expect("data") == (1, b"OPTIONS", False)


def test_header_before_tls_on_a_shared_port() -> None:
    """A balancer that passes TLS through, in front of one port for all."""
    door = Door(*ALL, proxies=("10.0.0.7/32",))
    door.open(PROXY)
    door.feed(LINE + HELLO + b"OPTIONS"[::-1])
    info = door.known()
    assert (info.transport, info.remote[0]) == ("tls", "192.0.2.1")
    assert door.stack.expect("data") == (1, b"OPTIONS", False)


def test_a_proxy_that_speaks_for_itself() -> None:
    """A health check is from the proxy's own address."""
    door = Door("tcp", proxies=("10.0.0.0/8",))
    door.open(PROXY)
    door.feed(b"PROXY UNKNOWN\r\n\r\n")
    assert door.known().remote == PROXY


def test_strangers_may_not_announce() -> None:
    """A sender that is not one of the proxies is refused at once: it could claim any address."""
    door = Door("tcp", proxies=("10.0.0.0/8",))
    refused, closed = door.open(("192.0.2.66", 4711))
    assert refused.event.source == "192.0.2.66"
    assert "proxy_protocol" in refused.event.reason
    assert isinstance(closed, Disconnect)
    # The octets under way find no listener.
    assert door.feed(LINE + b"OPTIONS") == []
    assert door.driver.connection_closed(1, "closed", 2.0) == []
    assert door.told() == []


def test_a_missing_header_is_an_error() -> None:
    """A receiver must not guess whether there is one (section 2)."""
    door = Door("tcp", proxies=("10.0.0.0/8",))
    door.open(PROXY)
    refused, closed = door.feed(b"OPTIONS sip:a SIP/2.0\r\n")
    assert "no PROXY header" in refused.event.reason
    assert isinstance(closed, Disconnect)


def test_first_data_time() -> None:
    """A sender that has not said what it is in ``limits.first_data_time`` is closed, a slow one as well."""
    door = Door("tcp", proxies=("10.0.0.0/8",), first_data_time=5.0)
    door.open(PROXY)
    door.feed(LINE[:4])
    assert door.driver.next_deadline() == 5.0
    refused, closed = door.driver.time_passed(5.0)
    assert "limits.first_data_time" in refused.event.reason
    assert isinstance(closed, Disconnect)


def test_proxy_header_size() -> None:
    """A header may not be longer than ``limits.proxy_header_size``."""
    door = Door("tcp", proxies=("10.0.0.0/8",), proxy_header_size=20)
    door.open(PROXY)
    refused, _ = door.feed(V4)
    assert "limits.proxy_header_size" in refused.event.reason


def test_undecided_connections_are_counted() -> None:
    """Those of one address by connections_per_source; a proxy's by connections alone; none for ever."""
    door = Door("tcp", "tls", connections_per_source=2, connections=4)
    assert [door.open() for _ in range(2)] == [[], []]
    refused, _ = door.open()
    assert "limits.connections_per_source" in refused.event.reason
    # One that is decided makes room, and so does one that is closed.
    door.conn = 1
    door.feed(b"OPTIONS")
    for conn in (2, 3):
        door.driver.connection_closed(conn, "closed", 1.0)
    door.conn = 3
    assert door.open() == []

    behind = Door("tcp", proxies=("10.0.0.0/8",), connections_per_source=2, connections=4)
    assert [behind.open(PROXY) for _ in range(4)] == [[]] * 4
    refused, _ = behind.open(PROXY)
    assert "limits.connections)" in refused.event.reason


def test_plain_connections_cost_nothing_afterwards() -> None:
    """SIP over TCP on a shared port has no filter left, as on a port of its own."""
    door = Door(*ALL)
    door.open()
    door.feed(b"OPTIONS")
    actions: list[Any] = [SendData(1, b"answer")]
    door.stack.on_data = lambda conn, data: actions
    assert door.driver.data_received(1, b"more", 2.0) is actions


def test_a_stack_that_refuses() -> None:
    """Its limits hold for the announced source: the connection ends, with the octets behind the header."""
    door = Door("tcp", "tls")
    door.stack.on_opened = lambda conn, info: [Disconnect(conn, "too many")]
    door.open()
    assert Disconnect(1, "too many") in door.feed(HELLO + b"OPTIONS"[::-1])
    assert door.stack.told("data") == []


@pytest.mark.parametrize(("data", "found"), [(b"", ""), (b"\x16", ""), (b"\x16\x02", "unknown"), (b"PU", "")])
def test_too_short_to_tell(data: bytes, found: str) -> None:
    """Two octets for TLS, a word for HTTP."""
    assert protocol_of(data) == found


GET = b"GET /health HTTP/1.1\r\nHost: sip.example.org\r\n\r\n"
BOTH = ("ws", "wss")


@pytest.mark.parametrize(
    "octets",
    [
        GET,
        b"POST /rpc HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody",
        UPGRADE.replace(b"Protocol: sip", b"Protocol: jsonrpc.sansip"),
        # Not HTTP/1.1 at all: the HTTP server says what it thinks of that.
        b"GET /\x00 HTTP/1.1\r\n\r\n",
    ],
)
@pytest.mark.parametrize("cut", [1, 7, 1_000])
def test_http_beside_sip_over_websocket(octets: bytes, cut: int) -> None:
    """A connection that does not open SIP over WebSocket leaves with all of its octets.

    The stack never hears of it.
    """
    door = Door("ws", http=BOTH)
    door.open()
    actions = door.feed(*(octets[at : at + cut] for at in range(0, len(octets), cut)))
    (given,) = [one for one in actions if isinstance(one, HandOver)]
    assert octets.startswith(given.data)
    if cut == 1_000:
        assert given.data == octets
    assert (given.filters, given.info.transport, given.info.remote) == ([], "ws", PHONE)
    assert door.stack.told("opened") == door.stack.told("closed") == []


@pytest.mark.parametrize("transports", [("ws",), ALL])
def test_sip_over_websocket_beside_http(transports: tuple[str, ...]) -> None:
    """RFC 7118 4.1: the handshake with sub-protocol sip goes to the stack, as without HTTP."""
    door = Door(*transports, http=BOTH)
    door.open()
    sent = b"".join(one.data for one in door.feed(UPGRADE) if isinstance(one, SendData))
    assert sent.startswith(b"HTTP/1.1 101 ")
    assert door.known().transport == "ws"


def test_http_inside_tls() -> None:
    """The filter of TLS goes along, with the octets that it deciphered behind the head."""
    door = Door(*ALL, http=BOTH)
    door.open()
    actions = door.feed(HELLO + GET[::-1])
    (given,) = [one for one in actions if isinstance(one, HandOver)]
    assert (given.data, given.info.transport) == (GET, "wss")
    assert [type(one) for one in given.filters] == [Veil]


def test_two_records_read_at_once() -> None:
    """The octets behind the decision that a TLS filter passes up belong to the HTTP server as well."""

    class Records(Veil):
        def received(self, data: bytes, now: float) -> Output:
            self.ready = True
            return Output(up=[GET, b"more"])

    door = Door("wss", http=BOTH)
    door.driver.filters = {**door.driver.filters, "tls": lambda info: [Records()]}
    door.driver.enter_by(
        entrances([ListenerConfig(7, "wss", "192.0.2.9", 5061, http=True)], door.driver.filters)
    )
    door.open()
    (given,) = [one for one in door.feed(HELLO) if isinstance(one, HandOver)]
    assert given.data == GET + b"more"


def test_http_behind_a_proxy() -> None:
    """The source is the one of the PROXY header."""
    door = Door("ws", proxies=("10.0.0.7",), http=BOTH)
    door.open(PROXY)
    (given,) = [one for one in door.feed(LINE + GET) if isinstance(one, HandOver)]
    assert given.info.remote != PROXY
    assert given.data == GET


def test_a_head_without_end_is_handed_over_in_time() -> None:
    """Its octets are bounded here, and the HTTP server refuses it by its own limit."""
    door = Door("ws", http=BOTH, websocket_head_size=100)
    door.open()
    actions = door.feed(b"GET / HTTP/1.1\r\nX: ", b"a" * 200)
    assert len([one for one in actions if isinstance(one, HandOver)]) == 1
