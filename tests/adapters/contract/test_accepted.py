"""The contract of every runtime: connections that are accepted, from their first octet to their end."""

from __future__ import annotations

import socket
import struct
import time

from sansip.actions import Disconnect, SendData
from sansip.limits import Limits
from sansip_sockets.opening import SEND_BUFFER
from sansip_sockets.streams import READ_SIZE
from tests.adapters.contract.peer import BOTH_FAMILIES, read_all
from tests.adapters.fakes import PATIENCE, FakeStack, Listen, bug


@BOTH_FAMILIES
def test_a_stream_is_fed_as_it_comes(start, connect, host):
    """Octets written one at a time arrive, in whatever pieces, in order; so do the answers."""
    server = start(stack := FakeStack(), Listen(5, "tcp", host))
    peer = connect(server.address())
    conn, info = stack.expect("opened")
    assert (info.listener, info.transport, info.incoming) == (5, "tcp", True)
    assert info.remote[:2] == peer.getsockname()[:2]
    assert info.local[:2] == server.address()[:2]
    text = b"REGISTER sip:example.com SIP/2.0\r\n"
    for octet in text:
        peer.send(bytes([octet]))
    assert read_all(peer, len(text)) == text
    peer.close()
    assert stack.expect("closed") == (conn, "closed by the peer")


def test_pipelined_messages_are_answered_in_order(start, connect):
    """One read may cause many writes: they leave in order."""
    stack = FakeStack()
    stack.on_data = lambda conn, data: [SendData(conn, line + b"\n") for line in data.splitlines()]
    server = start(stack, Listen(0, "tcp", "127.0.0.1"))
    peer = connect(server.address())
    text = b"".join(b"%07d\n" % number for number in range(500))
    peer.sendall(text)
    assert read_all(peer, len(text)) == text


def test_a_flood_is_taken_in_turns(start, connect):
    """A peer that sends as fast as it can has a dozen messages handled, then all other peers have a turn."""
    stack = FakeStack()
    stack.on_data = lambda conn, data: []
    server = start(stack, Listen(0, "tcp", "127.0.0.1"))
    peer = connect(server.address())
    peer.sendall(b"x" * 100_000)
    sizes = []
    while sum(sizes) < 100_000:
        sizes.append(len(stack.expect("data")[1]))
    assert max(sizes) <= READ_SIZE


def test_the_kernel_keeps_little_for_who_does_not_read(start, connect):
    """Else it keeps 4 MiB for each, and limits.connection_backlog is reached late."""
    server = start(stack := FakeStack(), Listen(0, "tcp", "127.0.0.1"))
    peer = connect(server.address())
    conn, _ = stack.expect("opened")
    taken = server.call(
        lambda: server.hub.streams._table[conn].sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    )
    # Linux doubles what it is given, for its own records.
    assert taken <= 2 * SEND_BUFFER
    peer.close()


def test_a_slow_reader_gets_everything_within_the_backlog(start, connect):
    """Octets that the kernel does not take at once wait, and follow in order."""
    server = start(
        stack := FakeStack(), Listen(0, "tcp", "127.0.0.1"), limits=Limits(connection_backlog=64 << 20)
    )
    peer = connect(server.address())
    conn, _ = stack.expect("opened")
    pieces = [bytes([number]) * 100_000 for number in range(200)]
    for piece in pieces:
        server.send(SendData(conn, piece))
    assert server.call(lambda: server.hub.idle) is False
    assert read_all(peer, 20_000_000) == b"".join(pieces)


def test_a_peer_that_never_reads_is_cut(start, connect):
    """limits.connection_backlog bounds what one peer can make us hold."""
    server = start(
        stack := FakeStack(), Listen(0, "tcp", "127.0.0.1"), limits=Limits(connection_backlog=100_000)
    )
    peer = connect(server.address())
    conn, _ = stack.expect("opened")
    while not (closed := stack.told("closed")):
        server.send(SendData(conn, b"x" * 50_000))
    assert closed == [(conn, "too much waits to be sent (limits.connection_backlog)")]
    server.send(SendData(conn, b"late", 7))
    assert stack.expect("send_failed")[0] == 7
    peer.close()


def test_a_peer_that_stops_reading_is_cut_in_time(start, connect):
    """limits.message_time bounds how long something may wait without progress."""
    limits = Limits(connection_backlog=64 << 20, message_time=0.05)
    server = start(stack := FakeStack(), Listen(0, "tcp", "127.0.0.1"), limits=limits)
    connect(server.address())
    conn, _ = stack.expect("opened")
    server.send(SendData(conn, b"x" * 20_000_000))
    assert stack.expect("closed") == (conn, "the peer does not read (limits.message_time)")


def test_disconnect_comes_after_what_was_sent(start, connect):
    """The answer is delivered whole, then the end; the stack hears of the end once."""
    stack = FakeStack()
    answer = b"SIP/2.0 400 Bad Request\r\n" * 40_000
    stack.on_data = lambda conn, data: [SendData(conn, answer), Disconnect(conn, "enough")]
    server = start(stack, Listen(0, "tcp", "127.0.0.1"), limits=Limits(connection_backlog=8 << 20))
    peer = connect(server.address())
    peer.send(b"garbage")
    assert read_all(peer) == answer
    peer.close()
    conn, _ = stack.expect("opened")
    assert stack.expect("closed") == (conn, "enough")
    server.call(lambda: None)
    assert stack.told("closed") == []


def test_disconnect_does_not_reset_a_peer_that_still_sends(start, connect):
    """Closing with unread input would send a reset, and the peer could lose our answer."""
    stack = FakeStack()
    stack.on_data = lambda conn, data: [SendData(conn, b"413"), Disconnect(conn, "too large")]
    server = start(stack, Listen(0, "tcp", "127.0.0.1"))
    peer = connect(server.address())
    peer.send(b"begin")
    stack.expect("closed")
    peer.sendall(b"x" * 1_000_000)
    peer.shutdown(socket.SHUT_WR)
    assert read_all(peer) == b"413"


def test_a_goodbye_is_not_waited_for_for_ever(start, connect, monkeypatch):
    """A peer that keeps its side open is closed after the linger time."""
    monkeypatch.setattr("sansip_sockets.goodbye.LINGER", 0.05)
    stack = FakeStack()
    stack.on_data = lambda conn, data: [Disconnect(conn, "done")]
    server = start(stack, Listen(0, "tcp", "127.0.0.1"))
    peer = connect(server.address())
    peer.send(b"hello")
    stack.expect("closed")
    assert read_all(peer) == b""
    # The socket is closed when its descriptor is free again; look from the server's thread.
    end = time.monotonic() + PATIENCE
    while server.call(lambda: len(server.hub.streams)):
        assert time.monotonic() < end


def test_a_half_closed_peer_gets_its_answer(start, connect):
    """The peer's end of input ends nothing that was already answered."""
    stack = FakeStack()
    answer = b"x" * 5_000_000
    stack.on_data = lambda conn, data: [SendData(conn, answer)]
    server = start(stack, Listen(0, "tcp", "127.0.0.1"), limits=Limits(connection_backlog=8 << 20))
    peer = connect(server.address())
    peer.send(b"hello")
    peer.shutdown(socket.SHUT_WR)
    assert stack.expect("closed")[1] == "closed by the peer"
    assert read_all(peer) == answer


def test_a_refused_connection_is_closed(start, connect):
    """The stack's limits refuse a connection when it is opened; others stay."""
    stack = FakeStack()
    stack.on_opened = lambda conn, info: [Disconnect(conn, "too many")] if conn == 2 else []
    server = start(stack, Listen(0, "tcp", "127.0.0.1"))
    first, second = connect(server.address()), connect(server.address())
    assert read_all(second) == b""
    assert stack.expect("closed") == (2, "too many")
    first.send(b"hello")
    assert first.recv(100) == b"hello"


def test_a_reset_is_told_at_once(start, connect):
    """Nothing waits for a timeout it need not."""
    server = start(stack := FakeStack(), Listen(0, "tcp", "127.0.0.1"))
    peer = connect(server.address())
    conn, _ = stack.expect("opened")
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert stack.expect("closed") == (conn, "Connection reset by peer")
    assert server.hub.streams is not None


def test_an_exception_costs_its_own_connection_only(start, connect):
    """A bug met by one connection closes it, is reported, and the others go on."""
    stack = FakeStack()
    echo = stack.on_data
    stack.on_data = lambda conn, data: bug() if data == b"bug" else echo(conn, data)
    server = start(stack, Listen(0, "tcp", "127.0.0.1"))
    unlucky, lucky = connect(server.address()), connect(server.address())
    unlucky.send(b"bug")
    assert read_all(unlucky) == b""
    assert stack.expect("closed")[1] == "internal error"
    lucky.send(b"hello")
    assert lucky.recv(100) == b"hello"
    assert [type(error) for _, error in server.reports] == [ZeroDivisionError]
    server.reports.clear()


def test_an_exception_at_accept_costs_its_own_connection_only(start, connect):
    """The listener goes on accepting."""
    stack = FakeStack()
    stack.on_opened = lambda conn, info: bug() if conn == 1 else []
    server = start(stack, Listen(0, "tcp", "127.0.0.1"))
    assert read_all(connect(server.address())) == b""
    assert stack.expect("closed") == (1, "internal error")
    peer = connect(server.address())
    peer.send(b"hello")
    assert peer.recv(100) == b"hello"
    assert [type(error) for _, error in server.reports] == [ZeroDivisionError]
    server.reports.clear()


def test_two_hundred_connections(start, connect):
    """Many connections at once, opened in a crowd, each with its own answers."""
    server = start(FakeStack(), Listen(0, "tcp", "127.0.0.1"))
    peers = [connect(server.address()) for _ in range(200)]
    for number, peer in enumerate(peers):
        peer.send(b"%d" % number)
    for number, peer in enumerate(peers):
        assert peer.recv(100) == b"%d" % number


def test_octets_that_are_none_cost_their_connection_only(start, connect):
    """A bug above may hand us anything: other connections written in the same batch are."""
    stack = FakeStack()
    server = start(stack, Listen(0, "tcp", "127.0.0.1"))
    unlucky, lucky = connect(server.address()), connect(server.address())
    first, _ = stack.expect("opened")
    second, _ = stack.expect("opened")
    server.send(SendData(first, "text"), SendData(second, b"octets"))
    assert lucky.recv(100) == b"octets"
    assert read_all(unlucky) == b""
    assert stack.expect("closed") == (first, "internal error")
    assert [type(error) for _, error in server.reports] == [TypeError]
    server.reports.clear()
