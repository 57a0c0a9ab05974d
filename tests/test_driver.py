"""The driver: chains of filters between a stack and its connections."""

from __future__ import annotations

import os
from typing import Any

import pytest

from sansip import ListenerConfig, Stack, StackConfig
from sansip.actions import Action, Disconnect, Notify, SendData, SendDatagram
from sansip.driver import AnyStack, Driver, Filter, OpenConnection, Output
from sansip.events import ConnectionRefused
from sansip.limits import Limits
from tests.adapters.fakes import FakeStack

PEER = ("192.0.2.1", 5060)


def connection(transport: str, incoming: bool = True) -> OpenConnection:
    return OpenConnection(0, transport, ("192.0.2.9", 5061), PEER, incoming)


class Marking:
    """Wraps octets as ``name(…)``; a handshake of one message if it is to have one.

    Commands of the peer: ``bye`` closes, ``both`` answers and passes up two
    messages, ``wake`` starts a timer.
    """

    boundaries = False

    def __init__(self, name: bytes, handshake: bool = False) -> None:
        self.name = name
        self.ready = not handshake
        self.kept: list[bytes] = []

    def wrap(self, data: bytes) -> bytes:
        return self.name + b"(" + data + b")"

    def opened(self, now: float) -> Output:
        return Output(down=[] if self.ready else [self.wrap(b"hello")])

    def received(self, data: bytes, now: float) -> Output:
        assert data.startswith(self.name + b"(")
        assert data.endswith(b")")
        data = data[len(self.name) + 1 : -1]
        if not self.ready:
            self.ready = True
            return Output(down=self.kept)
        if data == b"bye":
            return Output(down=[self.wrap(b"bye")], closing="the peer said bye")
        if data == b"both":
            return Output(down=[self.wrap(b"ack")], up=[b"one", b"two"])
        if data == b"wake":
            return Output(timer=5.0)
        return Output(up=[data])

    def send(self, data: bytes, now: float) -> Output:
        if not self.ready:
            self.kept.append(self.wrap(data))
            return Output()
        return Output(down=[self.wrap(data)])

    def close(self, reason: str, now: float) -> Output:
        return Output(down=[self.wrap(b"goodbye")])

    def time_passed(self, now: float) -> Output:
        return Output(down=[self.wrap(b"ping")], timer=5.0)


def make(*filters: Filter, limits: Limits | None = None) -> tuple[Driver, FakeStack]:
    stack = FakeStack()
    driver = Driver(stack, {"wrapped": lambda info: list(filters)}, limits or Limits())
    return driver, stack


def test_a_stack_is_what_the_driver_asks_for():
    """The real stack has the signature that the fakes of these tests have."""
    config = StackConfig(listeners=[ListenerConfig(0, "udp", "192.0.2.9", 5060)])
    stack: AnyStack = Stack(config, os.urandom(16))
    driver = Driver(stack)
    assert driver.time_passed(1.0) == []
    assert stack.idle


def test_without_filters_everything_passes_untouched():
    """TCP has none: the stack's own list comes back."""
    driver, stack = make()
    actions: list[Action] = [SendData(1, b"answer")]
    stack.on_data = lambda conn, data: actions
    assert driver.connection_opened(1, connection("tcp"), 0.0) == []
    assert driver.data_received(1, b"question", 0.0) is actions
    assert stack.expect("data") == (1, b"question", False)
    assert driver.connection_closed(1, "closed", 0.0) == []
    assert stack.expect("closed") == (1, "closed")


def test_boundaries_of_the_transport_are_passed_on():
    """SCTP reads whole messages (RFC 4168 4)."""
    driver, stack = make()
    driver.data_received(1, b"message", 0.0, boundary=True)
    assert stack.expect("data") == (1, b"message", True)


def test_datagrams_of_a_batch_give_their_actions_in_order():
    """One list for all."""
    driver, stack = make()
    batch = [(b"1", PEER), (b"2", PEER), (b"3", PEER)]
    assert driver.datagrams_received(4, batch, 0.0) == [SendDatagram(4, data, PEER) for data, _ in batch]
    assert stack.expect("datagram") == (4, b"1", PEER)


def test_an_exception_spares_the_rest_of_the_batch():
    """It is told to ``on_error``; without one it is raised, as a test wants it."""
    driver, stack = make()
    echo = stack.on_datagram
    stack.on_datagram = lambda listener, data, source: [][1] if data == b"2" else echo(listener, data, source)
    errors: list[tuple[str, Exception]] = []
    batch = [(b"1", PEER), (b"2", PEER), (b"3", PEER)]
    with pytest.raises(IndexError):
        driver.datagrams_received(4, batch, 0.0)
    driver.on_error = lambda text, error: errors.append((text, error))
    actions = driver.datagrams_received(4, batch, 0.0)
    assert actions == [SendDatagram(4, b"1", PEER), SendDatagram(4, b"3", PEER)]
    [(text, error)] = errors
    assert text == "datagram of 1 octets from 192.0.2.1:5060"
    assert isinstance(error, IndexError)


def test_octets_climb_the_chain_and_go_down_it():
    """Two filters: the lowest unwraps first and wraps last."""
    driver, stack = make(Marking(b"tls"), Marking(b"ws"))
    driver.connection_opened(1, connection("wrapped"), 0.0)
    assert driver.data_received(1, b"tls(ws(question))", 0.0) == [SendData(1, b"tls(ws(question))")]
    assert stack.expect("data") == (1, b"question", False)


def test_other_connections_are_not_touched_by_a_chain():
    """Plain and wrapped connections live side by side, in one list of actions."""
    driver, _ = make(Marking(b"ws"))
    driver.connection_opened(1, connection("wrapped"), 0.0)
    plain: list[Action] = [
        SendData(2, b"plain"),
        SendDatagram(0, b"x", PEER),
        Disconnect(2, "done"),
        Notify("event"),
    ]
    assert driver.outgoing([*plain, SendData(1, b"text")], 0.0) == [*plain, SendData(1, b"ws(text)")]
    batch = [(b"1", PEER)]
    assert driver.datagrams_received(0, batch, 0.0) == [SendDatagram(0, b"1", PEER)]


def test_the_topmost_filter_may_delimit_messages():
    """A WebSocket frame is a message (RFC 7118 5.1)."""
    top = Marking(b"ws")
    top.boundaries = True
    driver, stack = make(Marking(b"tls"), top)
    driver.connection_opened(1, connection("wrapped"), 0.0)
    driver.data_received(1, b"tls(ws(message))", 0.0)
    assert stack.expect("data") == (1, b"message", True)


def test_down_comes_before_up():
    """A filter's own answer leaves before what the stack answers to what it passed up."""
    driver, _ = make(Marking(b"ws"))
    driver.connection_opened(1, connection("wrapped"), 0.0)
    expected = [SendData(1, b"ws(ack)"), SendData(1, b"ws(one)"), SendData(1, b"ws(two)")]
    assert driver.data_received(1, b"ws(both)", 0.0) == expected


def test_the_stack_hears_before_the_handshake():
    """Its limits refuse a connection before a handshake costs anything; it may send at once."""
    driver, stack = make(Marking(b"tls", handshake=True))
    stack.on_opened = lambda conn, info: [SendData(conn, b"early")]
    assert driver.connection_opened(1, connection("wrapped"), 0.0) == [SendData(1, b"tls(hello)")]
    stack.expect("opened")
    assert driver.data_received(1, b"tls(hello)", 0.0) == [SendData(1, b"tls(early)")]
    assert stack.told("data") == []


def test_a_refused_connection_gets_no_handshake():
    """The goodbye of the filter is all it may say."""
    driver, stack = make(Marking(b"tls", handshake=True))
    stack.on_opened = lambda conn, info: [Disconnect(conn, "too many")]
    actions = driver.connection_opened(1, connection("wrapped"), 0.0)
    assert actions == [SendData(1, b"tls(goodbye)"), Disconnect(1, "too many")]


def test_a_handshake_has_a_time_limit():
    """limits.connect_time: a peer that never finishes it holds nothing."""
    driver, stack = make(Marking(b"tls", handshake=True), limits=Limits(connect_time=8.0))
    driver.connection_opened(1, connection("wrapped"), 100.0)
    assert driver.next_deadline() == 108.0
    assert driver.time_passed(107.9) == []
    reason = "handshake not finished in 8 s (limits.connect_time)"
    # The operator is told, too.
    assert driver.time_passed(108.0) == [
        Notify(ConnectionRefused("192.0.2.1", reason)),
        Disconnect(1, reason),
    ]
    assert driver.next_deadline() is None
    # A report of the adapter after a Disconnect ends it for the stack, too.
    driver.connection_closed(1, "handshake", 108.0)
    assert stack.expect("closed") == (1, "handshake")


def test_a_finished_handshake_is_not_timed_out():
    """The guard fires and finds nothing to do."""
    driver, _ = make(Marking(b"tls", handshake=True))
    driver.connection_opened(1, connection("wrapped"), 0.0)
    driver.data_received(1, b"tls(hello)", 1.0)
    assert driver.time_passed(1000.0) == []


def test_closing_from_below_says_goodbye_below_only():
    """The WebSocket's end is answered through TLS, TLS says goodbye, then the socket is closed."""
    driver, stack = make(Marking(b"tls"), Marking(b"ws"))
    driver.connection_opened(1, connection("wrapped"), 0.0)
    assert driver.data_received(1, b"tls(ws(bye))", 0.0) == [
        SendData(1, b"tls(ws(bye))"),
        SendData(1, b"tls(goodbye)"),
        Disconnect(1, "the peer said bye"),
    ]
    assert stack.told("data") == []
    # The stack is told by the adapter, like of any end; meanwhile it may have sent.
    assert driver.outgoing([SendData(1, b"late")], 0.0) == [SendData(1, b"late")]


def test_disconnect_says_goodbye_from_the_top():
    """A WebSocket that cannot say "close" leaves its client waiting."""
    driver, _ = make(Marking(b"tls"), Marking(b"ws"))
    driver.connection_opened(1, connection("wrapped"), 0.0)
    assert driver.outgoing([SendData(1, b"last"), Disconnect(1, "enough")], 0.0) == [
        SendData(1, b"tls(ws(last))"),
        SendData(1, b"tls(ws(goodbye))"),
        SendData(1, b"tls(goodbye)"),
        Disconnect(1, "enough"),
    ]


def test_nothing_climbs_after_the_stack_has_closed():
    """Two messages in one read, the first makes the stack disconnect: it does not see the second."""
    driver, stack = make(Marking(b"ws"))
    stack.on_data = lambda conn, data: [Disconnect(conn, "enough")]
    driver.connection_opened(1, connection("wrapped"), 0.0)
    driver.data_received(1, b"ws(both)", 0.0)
    assert stack.told("data") == [(1, b"one", False)]


def test_timers_of_filters():
    """A filter asks for time, gets it, and asks again (a ping); the end of the connection ends it."""
    driver, _ = make(Marking(b"ws"))
    driver.connection_opened(1, connection("wrapped"), 0.0)
    driver.data_received(1, b"ws(wake)", 10.0)
    driver.data_received(1, b"ws(wake)", 11.0)
    # The second request took the place of the first.
    assert driver.time_passed(15.0) == []
    assert driver.next_deadline() == 16.0
    assert driver.time_passed(16.0) == [SendData(1, b"ws(ping)")]
    assert driver.next_deadline() == 21.0
    driver.connection_closed(1, "gone", 17.0)
    assert driver.time_passed(21.0) == []
    assert driver.next_deadline() is None


def test_the_earlier_deadline_counts():
    """That of the stack or that of the driver's own timers, in any mixture."""
    driver, stack = make(Marking(b"ws"))
    assert driver.next_deadline() is None
    stack.deadlines = [(3.0, "stack")]
    assert driver.next_deadline() == 3.0
    driver.connection_opened(1, connection("wrapped"), 0.0)
    driver.data_received(1, b"ws(wake)", 0.0)
    assert driver.next_deadline() == 3.0
    stack.deadlines = [(7.0, "stack")]
    assert driver.next_deadline() == 5.0
    assert driver.time_passed(7.0) == [SendData(1, b"ws(ping)")]
    assert stack.expect("timer")[0] == "stack"


@pytest.mark.parametrize(
    ("method", "arguments", "kind", "told"),
    [
        ("answer", (7, "result"), "answer", (7, "result")),
        ("send_failed", (7, "gone"), "send_failed", (7, "gone")),
        ("drain", (), "drain", ()),
    ],
)
def test_other_inputs_reach_the_stack(method: str, arguments: Any, kind: str, told: Any):
    """They concern no filter."""
    driver, stack = make()
    assert getattr(driver, method)(*arguments, 0.0) == []
    assert stack.expect(kind) == told
