"""RFC 3261 18: connections are reused, guarded and lost; RFC 5626 4.4.1: kept alive."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.events import ConnectionRefused
from tests.rig import (
    ALICE,
    BOB,
    BOB_URI,
    TCP,
    TCP6,
    Rig,
    only,
    relay_to,
    reply,
    request,
    sent,
    what,
)

TCP_URI = "sip:bob@192.0.2.2;transport=tcp"
SMALL = {"first_data_time": 5.0, "message_time": 10.0, "connection_idle": 100.0, "connect_time": 3.0}


def message(number: int = 1, **options: Any) -> bytes:
    options.setdefault("transport", "TCP")
    return request("MESSAGE", branch=f"z9hG4bK{number}", call_id=f"c{number}", **options)


# --- 18.1.1 and 18: reuse


def test_one_connection_for_one_address() -> None:
    """18: connections are indexed by address, port and transport of the far end, and shared."""
    rig = Rig(relay_to(TCP_URI))
    connect = only(rig.udp(message(1)), "Connect")
    assert (connect.action.transport, connect.to, connect.action.listener) == ("tcp", BOB, TCP)
    # The second request waits for the same connection.
    assert rig.udp(message(2)) == []
    conn = connect.action.conn
    assert sent(rig.opened(connect)) == [("MESSAGE", conn), ("MESSAGE", conn)]
    assert sent(rig.udp(message(3))) == [("MESSAGE", conn)]


def test_another_port_is_another_connection() -> None:
    """The port is part of the index."""
    rig = Rig(
        lambda incoming: incoming.relay(
            f"sip:bob@192.0.2.2:{5060 + incoming.message.cseq.number};transport=tcp"
        )
    )
    first = only(rig.udp(message(1, cseq=1)), "Connect")
    second = only(rig.udp(message(2, cseq=2)), "Connect")
    assert first.action.conn != second.action.conn


def test_an_accepted_connection_serves_both_ways() -> None:
    """18: shared between client and server transport functions; a phone behind a NAT has no other."""
    rig = Rig(relay_to("sip:bob@192.0.2.2:40002;transport=tcp"))
    conn = rig.accept(("192.0.2.2", 40002))
    assert sent(rig.udp(message())) == [("MESSAGE", conn)]


def test_a_connected_one_serves_requests_too() -> None:
    """18: we accept requests on connections that we opened."""
    rig = Rig(relay_to(TCP_URI, BOB_URI))
    connect = only(rig.udp(message()), "Connect")
    rig.opened(connect)
    conn = connect.action.conn
    assert sent(rig.tcp(conn, request("OPTIONS", hops=0, transport="TCP", branch="z9hG4bKx"))) == [
        ("483", conn)
    ]


def test_the_newest_of_two_is_used() -> None:
    """A phone that lost its connection unnoticed comes back by another one, from the same port or not."""
    rig = Rig(relay_to("sip:bob@192.0.2.2:40002;transport=tcp"))
    rig.accept(("192.0.2.2", 40002))
    newest = rig.accept(("192.0.2.2", 40002))
    assert sent(rig.udp(message())) == [("MESSAGE", newest)]


def test_the_family_decides_the_listener() -> None:
    """An IPv6 peer is connected to from our IPv6 address."""
    rig = Rig(relay_to("sip:bob@[2001:db8::2];transport=tcp"))
    assert only(rig.udp(message()), "Connect").action.listener == TCP6


def test_numbers_are_never_reused() -> None:
    """An adapter may tell of an old connection late."""
    rig = Rig()
    seen = set()
    for _ in range(5):
        conn = rig.accept()
        assert conn not in seen
        seen.add(conn)
        rig.closed(conn)
    assert rig.stack.snapshot()["connections"] == 0


# --- loss


def test_a_lost_connection_is_opened_anew() -> None:
    """The next request to the address needs another one."""
    rig = Rig(relay_to(TCP_URI))
    connect = only(rig.udp(message(1)), "Connect")
    branch = only(rig.opened(connect), "MESSAGE")
    rig.tcp(connect.action.conn, reply(branch, 200))
    assert rig.closed(connect) == []
    again = only(rig.udp(message(2)), "Connect")
    assert again.action.conn != connect.action.conn


def test_all_that_waited_fails() -> None:
    """18.4: every transaction without an answer is told, whether it was sent or still queued."""
    rig = Rig(relay_to(TCP_URI))
    connect = only(rig.udp(message(1)), "Connect")
    rig.udp(message(2, source=("192.0.2.3", 5060)), ("192.0.2.3", 5060))
    assert sent(rig.closed(connect, "refused")) == [("500", ALICE), ("500", ("192.0.2.3", 5060))]
    rig.run_out()
    assert rig.empty


def test_nothing_is_said_twice() -> None:
    """A connection that is reported closed again, or was never known."""
    rig = Rig(relay_to(TCP_URI))
    connect = only(rig.udp(message()), "Connect")
    assert what(rig.closed(connect)) == ["500"]
    assert rig.closed(connect) == []
    assert rig.closed(4711) == []
    assert rig.tcp(4711, message()) == []


def test_a_response_on_a_lost_connection() -> None:
    """18.2.2: a connection is opened to the source address and the sent-by port."""
    rig = Rig(relay_to(BOB_URI))
    conn = rig.accept(("192.0.2.1", 40001))
    branch = only(rig.tcp(conn, message(source=("192.0.2.1", 5090))), "MESSAGE")
    rig.closed(conn)
    connect = only(rig.udp(reply(branch, 200), BOB), "Connect")
    assert connect.to == ("192.0.2.1", 5090)
    # And if that is refused, no peer is left to tell.
    assert rig.closed(connect, "refused") == []
    rig.run_out()
    assert rig.empty


def test_send_failed() -> None:
    """17.1.4: an adapter reports one write that did not work."""
    rig = Rig(relay_to(TCP_URI))
    connect = only(rig.udp(message()), "Connect")
    branch = only(rig.opened(connect), "MESSAGE")
    assert sent(rig.failed(branch, "broken pipe")) == [("500", ALICE)]


# --- keepalives


def test_ping_and_pong() -> None:
    """RFC 5626 4.4.1: a double CRLF is answered with a single one."""
    rig = Rig()
    conn = rig.accept()
    outs = rig.tcp(conn, b"\r\n\r\n")
    assert [(out.data, out.to) for out in outs] == [(b"\r\n", conn)]
    assert [out.data for out in rig.tcp(conn, b"\r\n\r\n", boundary=True)] == [b"\r\n"]


def test_many_pings_in_one_read_are_answered_by_one_write() -> None:
    """RFC 5626 4.4.1: one pong for each, in order with what else is answered; no packet for four octets."""
    rig = Rig()
    conn = rig.accept()
    foo = request("FOO", "sip:x@other.test", transport="TCP")
    outs = rig.tcp(conn, b"\r\n\r\n" * 1000 + foo + b"\r\n\r\n" * 3)
    assert [out.what for out in outs] == [repr(b"\r\n" * 1000), "403", repr(b"\r\n" * 3)]


def test_a_pong_is_nothing() -> None:
    """A single CRLF answers a ping of ours, or precedes a message (7.5)."""
    rig = Rig()
    conn = rig.accept()
    assert rig.tcp(conn, b"\r\n", boundary=True) == []
    assert rig.tcp(conn, b"\r\n") == []
    assert what(rig.tcp(conn, request("FOO", "sip:x@other.test", transport="TCP"))) == ["403"]


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\x00", b"\x00\x00\x00\x00"])
def test_keepalives_in_datagrams(data: bytes) -> None:
    """Common practice behind NATs: no answer, and no complaint."""
    rig = Rig()
    assert rig.udp(data) == []
    assert rig.events == []


# --- boundaries: RFC 7118, RFC 4168


def test_a_message_with_a_boundary_needs_no_length() -> None:
    """RFC 7118 5.1 with 18.3: a WebSocket message is a message."""
    rig = Rig(relay_to(BOB_URI))
    conn = rig.accept(transport="ws")
    outs = rig.tcp(conn, message(body=b"hello", length=False), boundary=True)
    assert only(outs, "MESSAGE").message.body == b"hello"


# --- guards


def closing(outs: Any) -> str:
    return only(outs, "Disconnect").action.reason


def test_nothing_comes() -> None:
    """limits.first_data_time: a connection that says nothing."""
    rig = Rig(limits=SMALL)
    rig.accept()
    assert what(rig.wait(4.9)) == []
    assert "limits.first_data_time" in closing(rig.wait(0.1))


def test_slow_loris() -> None:
    """limits.message_time: octet after octet does not help; the message must be whole in time."""
    rig = Rig(limits=SMALL)
    conn = rig.accept()
    data = message()
    for at in range(9):
        assert rig.tcp(conn, data[at : at + 1]) == []
        assert what(rig.wait(1)) == []
    rig.tcp(conn, data[9:10])
    assert "limits.message_time" in closing(rig.wait(1))


def announced(whole: bytes) -> bytes:
    """The head of a message whose body never comes."""
    head = whole.partition(b"Content-Length:")[0]
    return head + b"Content-Length: 1000\r\n\r\nv=0"


def test_a_body_announced_and_never_sent() -> None:
    """limits.message_time, where somebody connected to us: the message waits no longer for its body."""
    rig = Rig(limits=SMALL)
    conn = rig.accept()
    assert rig.tcp(conn, announced(message())) == []
    assert "limits.message_time" in closing(rig.wait(10))


def test_a_body_announced_and_never_sent_by_who_answers() -> None:
    """The same where we opened it and read an answer: the caller hears, and the connection is not kept."""
    rig = Rig(relay_to(TCP_URI), limits=SMALL)
    connect = only(rig.udp(message(1, transport="UDP")), "Connect")
    relayed = only(rig.opened(connect), "MESSAGE")
    assert rig.tcp(connect.action.conn, announced(reply(relayed, 200))) == []
    outs = rig.wait(10)
    assert "limits.message_time" in closing(out for out in outs if out.what == "Disconnect")
    # RFC 3261 18.4: what waited on it has failed.
    answers = [out.what for out in rig.closed(connect.action.conn)]
    assert any(str(answer).startswith(("500", "503", "408")) for answer in (*answers, *what(outs))), answers


def test_slow_loris_from_the_beginning_of_time() -> None:
    """A virtual clock may begin at zero."""
    rig = Rig(limits=SMALL, now=0.0)
    rig.tcp(rig.accept(), b"MESSAGE")
    assert "limits.message_time" in closing(rig.wait(10))


def test_a_busy_stream_is_no_slow_loris() -> None:
    """Each read may end within a message, on and on: what counts is how old that message is."""
    rig = Rig(relay_to(BOB_URI), limits=SMALL)
    conn = rig.accept()
    stream = b"".join(message(number) for number in range(60))
    size = len(message(1)) + 7
    for begin in range(0, len(stream), size):
        rig.tcp(conn, stream[begin : begin + size])
        assert "Disconnect" not in what(rig.wait(1))


def test_the_last_message_of_a_busy_stream_is_guarded_too() -> None:
    """Two message times after the stream stopped in the middle, at the latest."""
    rig = Rig(relay_to(BOB_URI), limits=SMALL)
    conn = rig.accept()
    rig.tcp(conn, message(0)[:9])
    for number in range(20):
        rig.tcp(conn, message(number)[9:] + message(number + 1)[:9])
        rig.wait(1)
    assert "limits.message_time" in closing(out for out in rig.wait(20) if out.what == "Disconnect")


def test_idle() -> None:
    """limits.connection_idle: a connection that carries nothing for that long is closed.

    It is looked at once a period.
    """
    rig = Rig(limits=SMALL)
    conn = rig.accept()
    rig.tcp(conn, b"\r\n\r\n")
    assert what(rig.wait(99)) == []
    assert "limits.connection_idle" in closing(rig.wait(101))


@pytest.mark.parametrize("boundary", [False, True])
@pytest.mark.parametrize("alive", [b"\r\n\r\n", b"\r\n", b"\r", b"\n"])
def test_a_kept_connection_is_not_idle(alive: bytes, boundary: bool) -> None:
    """RFC 5626 4.4.1: that is what keepalives are for.

    RFC 3261 7.5: line ends begin no message, so ``message_time`` does not count from them.
    """
    rig = Rig(limits=SMALL)
    conn = rig.accept()
    for _ in range(20):
        rig.tcp(conn, alive, boundary=boundary)
        assert "Disconnect" not in what(rig.wait(60))


def test_the_time_of_a_message_runs_from_its_first_character() -> None:
    """``message_time`` guards what begins after the keepalives, and not before."""
    rig = Rig(limits=SMALL)
    conn = rig.accept()
    rig.tcp(conn, b"\r\n")
    assert what(rig.wait(60)) == []
    rig.tcp(conn, b"O")
    assert what(rig.wait(9)) == []
    assert "limits.message_time" in closing(rig.wait(11))


def test_sending_keeps_it_too() -> None:
    """18: after the last message was sent or received."""
    rig = Rig(relay_to("sip:bob@192.0.2.2:40002;transport=tcp"), limits=SMALL)
    conn = rig.accept(("192.0.2.2", 40002))
    rig.tcp(conn, b"\r\n\r\n")
    for number in range(10):
        rig.udp(message(number, body=b""))
        rig.tcp(conn, b"")
        assert "Disconnect" not in what(rig.wait(60))


def test_connect_time() -> None:
    """limits.connect_time."""
    rig = Rig(relay_to(TCP_URI), limits=SMALL)
    rig.udp(message())
    assert "limits.connect_time" in closing(rig.wait(3))


def test_a_connection_being_closed_takes_no_new_requests() -> None:
    """Between our Disconnect and the adapter's report another request opens another connection."""
    rig = Rig(relay_to(TCP_URI), limits=SMALL)
    connect = only(rig.udp(message(1)), "Connect")
    assert what(rig.wait(3)) == ["Disconnect"]
    again = only(rig.udp(message(2)), "Connect")
    assert again.action.conn != connect.action.conn


def test_lost_framing_closes() -> None:
    """18.3: answered as far as it was understood, then closed; nothing more is read."""
    rig = Rig()
    conn = rig.accept()
    outs = rig.tcp(conn, request("OPTIONS", transport="TCP", length=False))
    assert what(outs) == ["400", "Disconnect"]
    assert rig.tcp(conn, request("OPTIONS", transport="TCP", branch="z9hG4bK2")) == []


def test_a_malformed_message_does_not_close() -> None:
    """Its length was readable, so the stream goes on behind it."""
    rig = Rig()
    conn = rig.accept()
    bad = request("OPTIONS", transport="TCP").replace(b"CSeq: 1", b"CSeq: x")
    good = request("FOO", "sip:x@other.test", transport="TCP", branch="z9hG4bK2")
    assert what(rig.tcp(conn, bad + good)) == ["400", "403"]


def test_refused() -> None:
    """limits.connections: closed as soon as it is opened, with an event."""
    rig = Rig(limits={"connections": 1})
    rig.accept()
    rig.accept(("192.0.2.9", 1))
    assert "limits.connections" in closing(rig.log)
    assert isinstance(rig.events[-1], ConnectionRefused)
    assert rig.stack.snapshot()["connections"] == 1
