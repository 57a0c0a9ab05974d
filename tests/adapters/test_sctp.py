"""SCTP on every runtime: boundaries, partial delivery, bounds, and how an association ends (RFC 4168).

Where the kernel has no SCTP these run over ``Association``; ``tox -e sctp`` runs them on
the real one.
"""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sansip.actions import Connect, Disconnect, SendData
from sansip.limits import Limits
from sansip_sockets import BindError, bind, sctp
from tests.adapters.association import Association
from tests.adapters.fakes import PATIENCE, FakeStack, Listen

BOTH_FAMILIES = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
REAL = sctp.open_socket


def has_sctp() -> bool:
    """Whether this kernel has it."""
    try:
        REAL(socket.AF_INET).close()
    except OSError:
        return False
    return True


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_sctp():
        monkeypatch.setattr(sctp, "open_socket", lambda family: Association(family, socket.SOCK_STREAM))


@pytest.fixture
def associate() -> Iterator[Callable[[Any], socket.socket]]:
    """Make client associations that are closed in the end."""
    opened: list[socket.socket] = []

    def begin(address: Any) -> socket.socket:
        sock = sctp.open_socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        opened.append(sock)
        sock.settimeout(PATIENCE)
        sock.connect(address)
        return sock

    yield begin
    for sock in opened:
        sock.close()


def read(sock: socket.socket) -> bytes:
    """Return one message, or nothing at the end."""
    message = b""
    while True:
        data, _, flags, _ = sock.recvmsg(1 << 20)
        message += data
        if flags & socket.MSG_EOR or not data:
            return message


@BOTH_FAMILIES
def test_messages_keep_their_boundaries(start, associate, host):
    """RFC 4168 5: each message is one input and one output, however close they follow."""
    server = start(stack := FakeStack(), Listen(0, "sctp", host))
    peer = associate(server.address())
    conn, info = stack.expect("opened")
    assert (info.transport, info.incoming, info.remote[:2]) == ("sctp", True, peer.getsockname()[:2])
    for message in (b"one", b"another", b"third"):
        peer.send(message)
    assert [stack.expect("data") for _ in range(3)] == [
        (conn, b"one", True),
        (conn, b"another", True),
        (conn, b"third", True),
    ]
    # Unordered delivery (RFC 4168 5.1): only that they are whole is promised.
    assert sorted(read(peer) for _ in range(3)) == [b"another", b"one", b"third"]


def test_what_one_batch_sends_stays_apart(start, associate):
    """Two messages written at once are not joined, as octets of a stream would be."""
    stack = FakeStack()
    stack.on_data = lambda conn, data: [SendData(conn, b"180"), SendData(conn, b"200")]
    server = start(stack, Listen(0, "sctp", "127.0.0.1"))
    peer = associate(server.address())
    peer.send(b"INVITE")
    assert sorted([read(peer), read(peer)]) == [b"180", b"200"]


def test_a_large_message_comes_in_whole(start, associate):
    """The largest message that ``limits.message_size`` allows, both ways."""
    server = start(stack := FakeStack(), Listen(0, "sctp", "127.0.0.1"))
    peer = associate(server.address())
    peer.send(b"x" * 65_535)
    assert len(stack.expect("data")[1]) == 65_535
    assert len(read(peer)) == 65_535


def test_parts_are_put_together(start, associate, monkeypatch):
    """RFC 6458 5.3.1: without MSG_EOR there is more to come; the stack sees the whole."""
    monkeypatch.setattr("sansip_sockets.sctp.READ_SIZE", 8)
    server = start(stack := FakeStack(), Listen(0, "sctp", "127.0.0.1"))
    peer = associate(server.address())
    peer.send(b"INVITE sip:bob@biloxi.test SIP/2.0")
    peer.send(b"8 octets")
    assert {stack.expect("data")[1:] for _ in range(2)} == {
        (b"INVITE sip:bob@biloxi.test SIP/2.0", True),
        (b"8 octets", True),
    }


def test_of_a_message_too_large_only_the_beginning_is_kept(start, associate, monkeypatch):
    """limits.message_size bounds memory; one octet more tells the stack, and the next is sound again."""
    monkeypatch.setattr("sansip_sockets.sctp.READ_SIZE", 300)
    limits = Limits(message_size=1_000, head_size=1_000)
    server = start(stack := FakeStack(), Listen(0, "sctp", "127.0.0.1"), limits=limits)
    peer = associate(server.address())
    peer.send(b"x" * 2_700)
    assert stack.expect("data")[1] == b"x" * 1_001
    peer.send(b"next")
    assert stack.expect("data")[1] == b"next"


@pytest.mark.skipif(has_sctp(), reason="Linux sends no part of a message (RFC 6458 8.1.26)")
def test_half_a_message_is_cut_in_time(start, associate):
    """limits.message_time: memory is not held for a rest that never comes."""
    limits = Limits(message_time=0.05)
    server = start(stack := FakeStack(), Listen(0, "sctp", "127.0.0.1"), limits=limits)
    peer = associate(server.address())
    assert isinstance(peer, Association)
    peer.send_chunk(b"INVITE ", 0)
    assert stack.expect("closed")[1] == "message incomplete after 0.05 s (limits.message_time)"


def test_a_whole_message_stops_the_clock(start, associate, monkeypatch):
    """A message that became whole in time is not counted against the messages behind it."""
    monkeypatch.setattr("sansip_sockets.sctp.READ_SIZE", 8)
    limits = Limits(message_time=0.05)
    stack = FakeStack()

    def wait(conn: int, data: bytes) -> list[Any]:
        stack.deadlines.append((time.monotonic() + 0.15, "later"))
        return []

    stack.on_data = wait
    server = start(stack, Listen(0, "sctp", "127.0.0.1"), limits=limits)
    peer = associate(server.address())
    peer.send(b"one message")
    assert stack.expect("data")[1] == b"one message"
    stack.expect("timer")
    assert stack.told("closed") == []


@BOTH_FAMILIES
def test_an_association_is_opened_and_carries_what_waited(start, host):
    """An outgoing one: reported when it is established, from the listener's address."""
    server = start(stack := FakeStack(), Listen(0, "sctp", host))
    with sctp.open_socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as callee:
        callee.bind((host, 0))
        callee.listen()
        callee.settimeout(PATIENCE)
        server.send(Connect(9, "sctp", callee.getsockname(), 0), SendData(9, b"INVITE"))
        peer, address = callee.accept()
        with peer:
            peer.settimeout(PATIENCE)
            conn, info = stack.expect("opened")
            assert (conn, info.transport, info.incoming, address[0]) == (9, "sctp", False, host)
            assert read(peer) == b"INVITE"
            peer.send(b"200")
            assert stack.expect("data") == (9, b"200", True)


def test_where_nobody_listens_it_fails_at_once(start):
    """RFC 9260 8.4: a host without a listener answers INIT by ABORT, and the next address can be tried."""
    server = start(stack := FakeStack(), Listen(0, "sctp", "127.0.0.1"))
    with sctp.open_socket(socket.AF_INET) as unused:
        unused.bind(("127.0.0.1", 0))
        server.send(Connect(9, "sctp", unused.getsockname(), 0), SendData(9, b"INVITE"))
        assert stack.expect("closed") == (9, "Connection refused")


def test_disconnect_comes_after_what_was_sent(start, associate):
    """RFC 9260 9.2: a shutdown delivers the data sent before it."""
    stack = FakeStack()
    stack.on_data = lambda conn, data: [SendData(conn, b"400"), Disconnect(conn, "enough")]
    server = start(stack, Listen(0, "sctp", "127.0.0.1"))
    peer = associate(server.address())
    peer.send(b"garbage")
    assert read(peer) == b"400"
    assert read(peer) == b""
    assert stack.expect("closed")[1] == "enough"


def test_a_peer_that_never_reads_is_cut(start, associate):
    """limits.connection_backlog bounds what waits; the association is aborted and its socket closed."""
    server = start(
        stack := FakeStack(), Listen(0, "sctp", "127.0.0.1"), limits=Limits(connection_backlog=100_000)
    )
    peer = associate(server.address())
    conn, _ = stack.expect("opened")
    while not (closed := stack.told("closed")):
        server.send(SendData(conn, b"x" * 50_000))
    assert closed == [(conn, "too much waits to be sent (limits.connection_backlog)")]
    peer.close()
    while server.call(lambda: len(server.hub.streams)):
        pass


def test_a_peer_that_stops_reading_is_cut_in_time(start, associate):
    """limits.message_time bounds how long something may wait without progress."""
    limits = Limits(connection_backlog=64 << 20, message_time=0.1)
    server = start(stack := FakeStack(), Listen(0, "sctp", "127.0.0.1"), limits=limits)
    associate(server.address())
    conn, _ = stack.expect("opened")
    server.send(*(SendData(conn, b"x" * 60_000) for _ in range(300)))
    assert stack.expect("closed") == (conn, "the peer does not read (limits.message_time)")


def test_an_abort_of_the_peer_is_the_end(start, associate):
    """RFC 9260 9.1: the stack hears of it, and the socket is closed."""
    server = start(stack := FakeStack(), Listen(0, "sctp", "127.0.0.1"))
    peer = associate(server.address())
    conn, _ = stack.expect("opened")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert stack.expect("closed")[0] == conn
    while server.call(lambda: len(server.hub.streams)):
        pass


# --- kernels without it


@pytest.mark.parametrize("number", [errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT])
def test_a_kernel_without_sctp_is_named(monkeypatch, number):
    """The operator reads what to load, not a number."""

    def refuse(family: int) -> socket.socket:
        raise OSError(number, "Protocol not supported")

    monkeypatch.setattr(sctp, "open_socket", refuse)
    with pytest.raises(BindError) as caught:
        bind(Listen(0, "sctp", "127.0.0.1", 5060))
    assert str(caught.value).startswith("cannot listen on sctp:127.0.0.1:5060: this kernel has no SCTP; load")
    assert "modprobe sctp" in str(caught.value)


@pytest.mark.skipif(has_sctp(), reason="the kernel has SCTP")
def test_this_kernel_says_so_itself(monkeypatch):
    """The code understands the error of the real system call."""
    monkeypatch.setattr(sctp, "open_socket", REAL)
    with pytest.raises(BindError, match="this kernel has no SCTP"):
        bind(Listen(0, "sctp", "127.0.0.1", 0))
