"""The contract of every runtime: the same tests on each, over real loopback sockets.

Theory of operation: the server of fakes runs in a thread, the test is a peer in
blocking socket code. Nothing sleeps: a test waits for what must happen, and
only a failure takes its whole patience.
"""

from __future__ import annotations

import dataclasses
import socket
import struct
import sys
import threading
import time
from concurrent.futures import Future
from typing import Any

import pytest

from sansip.actions import Ask, Connect, Disconnect, Notify, SendData, SendDatagram
from sansip.limits import Limits
from sansip_sockets import handler
from sansip_sockets.opening import SEND_BUFFER
from sansip_sockets.streams import READ_SIZE
from tests.adapters.fakes import PATIENCE, FakeStack, Listen, Question

BOTH_FAMILIES = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


def bug() -> Any:
    """Stand for a mistake in the stack."""
    raise ZeroDivisionError


def read_all(sock: socket.socket, size: int = -1) -> bytes:
    """Read ``size`` octets, or all until the end of input."""
    data = bytearray()
    while size < 0 or len(data) < size:
        piece = sock.recv(65536)
        if not piece:
            break
        data += piece
    return bytes(data)


# --- datagrams


@BOTH_FAMILIES
def test_datagrams_come_in_and_go_out(start, connect, host):
    """One datagram is one input with its source, and its answer comes from the listener's address."""
    server = start(stack := FakeStack(), Listen(7, "udp", host))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    peer.send(b"hello")
    assert peer.recv(100) == b"hello"
    listener, data, source = stack.expect("datagram")
    assert (listener, data, source[:2]) == (7, b"hello", peer.getsockname()[:2])


def test_a_burst_is_answered_whole_and_in_order(start, connect):
    """More datagrams than one batch holds lose nothing and keep their order."""
    server = start(FakeStack(), Listen(0, "udp", "127.0.0.1"))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    # All of it waits before the server looks, so that its turns are used up.
    blocked = threading.Event()
    server.hub.inbox.post(blocked.wait, PATIENCE)
    burst = [b"%d" % number for number in range(250)]
    for data in burst:
        peer.send(data)
    blocked.set()
    assert [peer.recv(100) for _ in burst] == burst


def test_the_largest_and_the_empty_datagram(start, connect):
    """RFC 768 allows both; neither is cut, neither ends the pump."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    for data in (b"", b"x" * 65507, b"end"):
        peer.send(data)
        assert stack.expect("datagram")[1] == data
        assert peer.recv(65535) == data


def test_an_exception_costs_its_own_datagram_only(start, connect):
    """A bug met by one datagram is reported, and its neighbours are answered."""
    stack = FakeStack()
    echo = stack.on_datagram

    def fail(listener, data, source):
        if data == b"bug":
            raise ZeroDivisionError
        return echo(listener, data, source)

    stack.on_datagram = fail
    server = start(stack, Listen(0, "udp", "127.0.0.1"))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    for data in (b"1", b"bug", b"2"):
        peer.send(data)
    assert [peer.recv(100), peer.recv(100)] == [b"1", b"2"]
    [(_, error)] = server.reports
    assert isinstance(error, ZeroDivisionError)
    server.reports.clear()


@pytest.mark.skipif(sys.platform != "linux", reason="IP_RECVERR is Linux's")
@BOTH_FAMILIES
def test_a_dead_next_hop_is_known_at_once(start, connect, host):
    """RFC 3261 18.4: an ICMP "port unreachable" fails the send it is about, and no other."""
    server = start(stack := FakeStack(), Listen(3, "udp", host))
    with socket.socket(server.listeners[0].sock.family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        dead = sock.getsockname()
    peer = connect(server.address(), socket.SOCK_DGRAM)
    data = b"OPTIONS sip:nobody SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK%d\r\n" + b"X: y\r\n" * 500
    # Several transactions send there: the error is about one of them.
    server.send(SendDatagram(3, data % 1, peer.getsockname(), 6), SendDatagram(3, data % 2, dead, 7))
    assert peer.recv(10_000) == data % 1
    # Sent while the error of the other one is pending on the same socket.
    server.send(SendDatagram(3, b"fine", peer.getsockname()))
    assert stack.expect("send_failed") == (7, "Connection refused")
    assert peer.recv(100) == b"fine"
    peer.send(b"still here")
    assert peer.recv(100) == b"still here"
    assert stack.told("send_failed") == []


def test_a_datagram_that_cannot_leave_fails(start, connect):
    """Too long for UDP: the kernel says so, the stack hears it and may take TCP (RFC 3261 18.1.1)."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))
    server.send(SendDatagram(0, b"x" * 70000, ("127.0.0.1", 9), 7))
    assert stack.expect("send_failed") == (7, "Message too long")


def test_an_impossible_action_is_reported_and_the_rest_done(start, connect):
    """An action that makes no sense is a bug above; the batch around it is performed."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    bad = SendDatagram(0, b"bad", ("127.0.0.1", 99999), 7)
    server.send(bad, SendDatagram(99, b"no listener", ("127.0.0.1", 9)))
    server.send(SendDatagram(0, b"good", peer.getsockname()))
    assert peer.recv(100) == b"good"
    assert stack.expect("send_failed")[0] == 7
    assert [type(error) for _, error in server.reports] == [OverflowError, KeyError]
    server.reports.clear()


# --- connections that are accepted


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


# --- connections that are opened


@pytest.fixture
def target():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(PATIENCE)
        yield sock


def test_connect_from_the_listeners_address(start, target):
    """Octets sent before the connection stands wait for it; peers see the listener's address."""
    server = start(stack := FakeStack(), Listen(4, "tcp", "127.0.0.2"))
    address = target.getsockname()
    server.send(Connect(9, "tcp", address, 4), SendData(9, b"early "), SendData(9, b"bird"))
    peer, source = target.accept()
    with peer:
        assert source[0] == "127.0.0.2"
        conn, info = stack.expect("opened")
        assert (conn, info.listener, info.transport, info.incoming) == (9, 4, "tcp", False)
        assert (info.remote, info.local) == (address, source)
        assert read_all(peer, 10) == b"early bird"
        peer.send(b"hello")
        assert read_all(peer, 5) == b"hello"
    assert stack.expect("closed") == (9, "closed by the peer")


def test_connect_refused(start, target):
    """Without a listener the stack hears the reason, and can try the next address."""
    server = start(stack := FakeStack(), Listen(0, "tcp", "127.0.0.1"))
    address = target.getsockname()
    target.close()
    server.send(Connect(9, "tcp", address, 0), SendData(9, b"lost"))
    assert stack.expect("closed") == (9, "Connection refused")
    assert stack.told("opened") == []


def test_connect_that_nobody_answers(start):
    """limits.connect_time: a full accept queue swallows the request to connect."""
    limits = Limits(connect_time=0.2)
    server = start(stack := FakeStack(), Listen(0, "tcp", "127.0.0.1"), limits=limits)
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        server.send(Connect(9, "tcp", full.getsockname(), 0))
        assert stack.expect("closed") == (9, "not established in 0.2 s (limits.connect_time)")


def test_disconnect_while_connecting(start):
    """The stack changes its mind: it is told the end, and nothing is left behind."""
    server = start(stack := FakeStack(), Listen(0, "tcp", "127.0.0.1"))
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        server.send(Connect(9, "tcp", full.getsockname(), 0), SendData(9, b"x"), Disconnect(9, "no more"))
        assert stack.expect("closed") == (9, "no more")
        end = time.monotonic() + PATIENCE
        while server.call(lambda: len(server.hub.streams)):
            assert time.monotonic() < end


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Connect(9, "pigeon", ("127.0.0.1", 1), 0), "transport pigeon is not available here"),
        (Connect(9, "tcp", ("no address", 1), 0), None),
        (Connect(9, "tcp", ("127.0.0.1", 1), 77), None),
    ],
)
def test_connect_that_cannot_begin(start, action, reason):
    """It fails like any other connection: by ``connection_closed``."""
    server = start(stack := FakeStack(), Listen(0, "tcp", "127.0.0.1"))
    server.send(action)
    conn, told = stack.expect("closed")
    assert conn == 9
    assert reason in (told, None)


# --- time


def test_timers_fire_in_order_and_never_early(start):
    """Deadlines given in any order fire in theirs; a later one does not hold up an earlier one."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))

    def begin(*timers):
        now = server.hub.clock()
        stack.deadlines += [(now + after, name) for after, name in timers]
        server.hub.send([])

    server.call(lambda: begin((3600.0, "never")))
    server.call(lambda: begin((0.15, "third"), (0.05, "first"), (0.1, "second")))
    server.call(lambda: begin((0.0, "at once")))
    fired = [stack.expect("timer") for _ in range(4)]
    assert [name for name, _ in fired] == ["at once", "first", "second", "third"]
    assert all(late >= 0 for _, late in fired)


def test_a_timer_set_by_a_datagram(start, connect):
    """The heart sleeps without end; an input that starts a timer wakes it."""
    stack = FakeStack()
    peers = []

    def remind(listener, data, source):
        peers.append(source)
        stack.deadlines.append((server.hub.clock() + 0.02, data))
        return []

    stack.on_datagram = remind
    stack.on_timer = lambda name: [SendDatagram(0, name, peers[0])]
    server = start(stack, Listen(0, "udp", "127.0.0.1"))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    peer.send(b"remind me")
    assert peer.recv(100) == b"remind me"


def test_an_exception_of_a_timer_is_contained(start):
    """The next timer fires all the same."""
    stack = FakeStack()
    stack.on_timer = lambda name: bug() if name == "bug" else []
    server = start(stack, Listen(0, "udp", "127.0.0.1"))

    def begin():
        now = server.hub.clock()
        stack.deadlines += [(now, "bug"), (now, "fine")]
        server.hub.send([])

    server.call(begin)
    assert [stack.expect("timer")[0] for _ in range(2)] == ["bug", "fine"]
    assert [type(error) for _, error in server.reports] == [ZeroDivisionError]
    server.reports.clear()


def test_a_stack_that_cannot_tell_its_deadline_is_asked_again(start, connect):
    """Even then, everything but the timers goes on, and they do when it can."""
    stack = FakeStack()
    server = start(stack, Listen(0, "udp", "127.0.0.1"))
    working = stack.next_deadline
    server.call(lambda: setattr(stack, "next_deadline", bug))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    peer.send(b"hello")
    assert peer.recv(100) == b"hello"
    stack.deadlines = [(0.0, "late")]
    setattr(stack, "next_deadline", working)  # noqa: B010 - mypy forbids the plain assignment
    assert stack.expect("timer")[0] == "late"
    assert {type(error) for _, error in server.reports} == {ZeroDivisionError}
    server.reports.clear()


def test_the_stack_learns_the_time_of_day(start):
    """``now + wall_offset`` is Unix time, for the Date header (RFC 3261 20.17)."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))
    assert abs(server.hub.clock() + stack.wall_offset - time.time()) < 1.0


# --- questions and events


def test_a_question_is_answered_by_its_handler(start):
    """A plain function runs in a thread of its own; its exception is an answer, too."""
    threads = []

    def look_up(question):
        threads.append(threading.current_thread())
        if question.text == "bad":
            raise KeyError("unknown")
        return question.text.upper()

    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"), handlers={Question: look_up})
    server.send(Ask(1, Question("good")), Ask(2, Question("bad")))
    answers = dict(stack.expect("answer") for _ in range(2))
    assert answers[1] == "GOOD"
    assert isinstance(answers[2], KeyError)
    assert server._thread not in threads


def test_questions_that_wait_go_over_as_one_batch(start):
    """A handler that takes lists gets everything that was asked while it worked."""
    batches = []
    go_on = threading.Event()

    @handler(batched=True)
    def store(questions):
        batches.append(len(questions))
        go_on.wait(PATIENCE)
        return [question.text for question in questions]

    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"), handlers={Question: store})
    for number in range(50):
        server.send(Ask(number, Question(str(number))))
    go_on.set()
    assert dict(stack.expect("answer") for _ in range(50)) == {n: str(n) for n in range(50)}
    assert batches == [1, 49]


def test_a_question_for_nobody_is_answered_with_an_exception(start):
    """The stack is never left without an answer; the text says what to pass."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))
    server.send(Ask(5, Question("anyone?")))
    number, error = stack.expect("answer")
    assert number == 5
    assert str(error) == "nobody answers Question; pass handlers={Question: function}"


def test_names_are_resolved(start):
    """``Resolve`` has a handler from the start."""
    from sansip.transport import Resolve

    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"))
    server.send(Ask(1, Resolve("localhost", 5060, "udp")), Ask(2, Resolve("nowhere.invalid", 5060, "tcp")))
    answers = dict(stack.expect("answer") for _ in range(2))
    assert ("127.0.0.1", 5060) in answers[1] or ("::1", 5060) in answers[1]
    assert isinstance(answers[2], OSError)


def test_a_handler_may_be_async_where_the_runtime_is(start):
    """An ``async def`` runs in the server's loop; where there is none, it is refused at the start."""

    async def look_up(question):
        if question.text == "bad":
            raise KeyError("unknown")
        return question.text.upper()

    options = {"handlers": {Question: look_up}}
    if not start.runtime.coroutines:
        with pytest.raises(TypeError, match="use a plain function"):
            start(FakeStack(), Listen(0, "udp", "127.0.0.1"), **options)
        return
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"), **options)
    server.send(Ask(1, Question("good")), Ask(2, Question("bad")))
    answers = dict(stack.expect("answer") for _ in range(2))
    assert answers[1] == "GOOD"
    assert isinstance(answers[2], KeyError)


def test_events_reach_whoever_watches(start):
    """``Notify`` needs no answer; a watcher's exception is reported and costs nothing else."""
    events: list[str] = []
    server = start(FakeStack(), Listen(0, "udp", "127.0.0.1"), notify=events.append)
    server.send(Notify("first"), Notify("second"))
    assert events == ["first", "second"]


# --- the end


def test_stop_closes_everything(start, connect):
    """Peers see the end, and the addresses can be bound again at once."""
    server = start(stack := FakeStack(), Listen(0, "udp", "127.0.0.1"), Listen(1, "tcp", "127.0.0.1"))
    peer = connect(server.address(1))
    stack.expect("opened")
    addresses = [server.address(0), server.address(1)]
    server.stop()
    assert read_all(peer) == b""
    again = [
        dataclasses.replace(Listen(0, "udp", "127.0.0.1"), port=addresses[0][1]),
        dataclasses.replace(Listen(1, "tcp", "127.0.0.1"), port=addresses[1][1]),
    ]
    server = start(lambda listeners: FakeStack(), *again)
    assert [server.address(0), server.address(1)] == addresses


def test_drain_waits_until_the_stack_is_idle(start, connect):
    """The stack hears it, goes on serving, and says when it has finished."""
    stack = FakeStack()
    stack.idle = False
    server = start(stack, Listen(0, "udp", "127.0.0.1"))
    peer = connect(server.address(), socket.SOCK_DGRAM)
    assert server.drain(0.0) is False
    stack.expect("drain")

    def finish(listener, data, source):
        stack.idle = True
        return [SendDatagram(listener, b"finished", source)]

    stack.on_datagram = finish
    peer.send(b"BYE")
    assert server.drain(PATIENCE) is True
    assert peer.recv(100) == b"finished"


def test_stop_ends_a_drain(start):
    """The caller that waits for the drain learns that it did not finish."""
    stack = FakeStack()
    stack.idle = False
    server = start(stack, Listen(0, "udp", "127.0.0.1"))
    outcome: Future[bool] = Future()
    server.call(lambda: server.hub.drain(3600.0, outcome.set_result))
    assert not outcome.done()
    server.stop()
    assert outcome.result(PATIENCE) is False
