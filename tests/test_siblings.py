"""sansip.siblings: what a worker passes on, tells, and learns from the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sansip import Stack, StackConfig
from sansip.actions import Ask, PassOn, SendData, SendDatagram, Tell
from sansip.errors import LocalProtocolError
from sansip.limits import Limits
from sansip.location import Binding, ConnectionFlow, SharedRecord, SharedWrite
from sansip.reception import Reception
from sansip.seat import Seat
from sansip.siblings import EARLY
from sansip.transport.filter import OpenConnection
from tests.rig import ALICE, BOB, LISTENERS, TCP, UDP, Flow, request

SECRET = b"s" * 32


def invite() -> bytes:
    return request(
        "INVITE",
        "sip:bob@example.com",
        to="<sip:bob@example.com>",
        headers=[("Contact", "<sip:alice@192.0.2.1>")],
    )


class Table:
    """The directory of all workers, in a dictionary."""

    entries: dict[str, int]

    def __init__(self, entries: dict[str, int], number: int) -> None:
        self.entries = entries
        self.number = number

    def claim(self, key: str) -> int:
        return self.entries.setdefault(key, self.number)

    def find(self, key: str) -> int | None:
        return self.entries.get(key)


class Crew:
    """Workers on the bench; what they pass on and tell is carried at once, changes are always taken."""

    def __init__(self, count: int = 2, limits: Limits | None = None) -> None:
        entries: dict[str, int] = {}
        self.stacks = [
            Stack(
                StackConfig(
                    list(LISTENERS),
                    ["example.com"],
                    secret=SECRET,
                    limits=limits or Limits(),
                    seat=Seat(number, count, 7, 0, Table(entries, number)),
                ),
                bytes([number]) * 32,
            )
            for number in range(count)
        ]
        self.now = 0.0

    def perform(self, number: int, actions: list[Any]) -> list[Any]:
        """Return what leaves the server, in order, with the worker that sends it."""
        out: list[Any] = []
        for action in actions:
            match action:
                case PassOn(seat, listener, conn, data, source, identities):
                    passed = self.stacks[seat].passed_on(listener, conn, data, source, self.now, identities)
                    out += self.perform(seat, passed)
                case Tell(fact):
                    for other in range(len(self.stacks)):
                        if other != number:
                            out += self.perform(other, self.stacks[other].told([fact], self.now))
                case Ask(id, SharedWrite() as write):
                    record = ("record", write.aor, SharedRecord(write.version, write.bindings))
                    for other in range(len(self.stacks)):
                        if other != number:
                            out += self.perform(other, self.stacks[other].told([record], self.now))
                    out += self.perform(number, self.stacks[number].answer(id, None, self.now))
                case SendDatagram() | SendData():
                    out.append((number, action))
        return out

    def datagram(self, number: int, data: bytes, source: Any = ALICE) -> list[Any]:
        return self.perform(number, self.stacks[number].datagram_received(UDP, data, source, self.now))


def register(contact: str = "sip:bob@192.0.2.2") -> bytes:
    """Return a REGISTER of bob, who is not the caller of the other requests."""
    return request(
        "REGISTER",
        "sip:example.com",
        source=BOB,
        branch="z9hG4bKr",
        to="<sip:bob@example.com>",
        call_id="register",
        headers=[("Contact", f"<{contact}>"), ("Expires", "600")],
    )


def test_needs_a_key_in_common() -> None:
    """Marks and tokens of one worker must be good at the others: without a secret nothing is."""
    with pytest.raises(LocalProtocolError):
        Stack(StackConfig(list(LISTENERS), seat=Seat(0, 2, 1, 0, Table({}, 0))), b"x" * 32)


def test_registration_at_one_is_known_at_all() -> None:
    """RFC 3261 10.3: a caller at any worker reaches the phone once it has its 200."""
    crew = Crew(3)
    [(number, answer)] = crew.datagram(1, register(), BOB)
    assert number == 1
    assert answer.data.startswith(b"SIP/2.0 200")
    assert [len(stack.location.lookup("sip:bob@example.com", 0.0)) for stack in crew.stacks] == [1, 1, 1]


def test_response_is_passed_to_the_worker_that_asked() -> None:
    """RFC 3261 17.1.3: the kernel gave it to another worker; its branch says whose it is."""
    crew = Crew()
    crew.datagram(0, register(), BOB)
    sent = crew.datagram(1, invite())
    assert {number for number, _ in sent} == {1}
    copy = next(action for _, action in sent if action.address == BOB)
    assert b"branch=z9hG4bKB" in copy.data
    head = copy.data.replace(b"INVITE sip:bob@192.0.2.2 SIP/2.0", b"SIP/2.0 180 Ringing")
    back = crew.datagram(0, head, BOB)
    assert [(number, action.address) for number, action in back] == [(1, ALICE)]
    # One that is passed on is taken: two workers must not send it to and fro.
    assert crew.stacks[0].passed_on(UDP, 0, head, BOB, 0.0) == []


def test_request_of_another_workers_transaction() -> None:
    """RFC 3261 9.1: a CANCEL from another port comes to another worker, and matches there all the same."""
    crew = Crew()
    crew.datagram(0, register(), BOB)
    call = invite()
    crew.datagram(1, call)
    cancel = call.replace(b"INVITE sip", b"CANCEL sip").replace(b"1 INVITE", b"1 CANCEL")
    answers = [action.data.split(b"\r\n")[0] for _, action in crew.datagram(0, cancel)]
    assert b"SIP/2.0 200 OK" in answers
    # RFC 3261 17.2.3: so does an INVITE that is sent again, and no second one leaves.
    assert [action.address for _, action in crew.datagram(0, call)] == [ALICE]


def test_requests_of_a_dialog_come_to_the_worker_that_relayed_its_first() -> None:
    """RFC 3261 12.2: modules there know the call; the callee's BYE reaches any worker, by its own address."""
    crew = Crew()
    crew.datagram(0, register(), BOB)
    sent = crew.datagram(1, invite())
    copy = next(action.data for _, action in sent if action.address == BOB).decode()
    route = next(line for line in copy.split("\r\n") if line.startswith("Record-Route"))
    value = route.removeprefix("Record-Route: ")
    for spelt in (value, value.replace(";lr", ";LR").replace(";d=", ";a=b;D="), f"Proxy {value}"):
        data = request(
            "BYE",
            "sip:alice@192.0.2.1",
            source=BOB,
            branch=f"z9hG4bK{len(spelt)}",
            to="<sip:alice@biloxi.test>;tag=alice",
            sender="<sip:bob@example.com>",
            from_tag="bob",
            headers=[("Route", spelt)],
        )
        sent = crew.datagram(0, data, BOB)
        assert [(number, action.address) for number, action in sent] == [(1, ALICE)], spelt
        assert b"branch=z9hG4bKB" in sent[0][1].data
    # A digit proves nothing: one of no worker, or none, leaves the request where it came.
    for digit in ("f", ""):
        wrong = data.replace(value.encode(), f"{value[:-2]}{digit}>".encode())
        wrong = wrong.replace(b"z9hG4bK", b"z9hG4bKx")
        crew.now += 40.0
        assert {number for number, _ in crew.datagram(0, wrong, BOB)} <= {0}


def test_quick_ways_are_open_to_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose messages come to the worker that has it costs what it costs in one process."""
    crew = Crew()
    crew.datagram(0, register(), BOB)
    read: list[bytes] = []
    long_way = Reception.message_received

    def received(self: Reception, data: bytes, *given: Any, **named: Any) -> None:
        read.append(data.split(b" ")[0])
        long_way(self, data, *given, **named)

    monkeypatch.setattr(Reception, "message_received", received)
    call = request(
        "INVITE",
        "sip:bob@example.com",
        to="<sip:bob@example.com>",
        branch="z9hG4bKquick",
        headers=[("Contact", "<sip:alice@192.0.2.1:5060>")],
    )
    [sent] = [action for _, action in crew.datagram(1, call) if action.address == BOB]
    options = request("OPTIONS", "sip:example.com", branch="z9hG4bKo", to="<sip:example.com>")
    assert b"200 OK" in crew.datagram(1, options)[0][1].data
    # It came to another worker once more, from another port: there it is none of its own (RFC 3261 17.2.3).
    again = crew.datagram(0, call)
    assert [action.address for _, action in again] == [ALICE]
    lines = sent.data.decode().split("\r\n")
    kept = [line for line in lines if line.startswith(("Via", "From", "Call-ID", "CSeq", "Record-Route"))]
    to = "To: <sip:bob@example.com>;tag=b"
    head = ["SIP/2.0 200 OK", *kept, to, "Contact: <sip:bob@192.0.2.2>", "Content-Length: 0", "", ""]
    [(_, back)] = crew.datagram(1, "\r\n".join(head).encode(), BOB)
    route = next(one for one in back.data.decode().split("\r\n") if one.startswith("Record-Route: "))
    for method in ("ACK", "BYE"):
        data = request(
            method,
            "sip:bob@192.0.2.2",
            to="<sip:bob@example.com>;tag=b",
            branch=f"z9hG4bK{method}",
            headers=[("Route", route.partition(": ")[2])],
        )
        data = data.replace(b"CSeq: 1 BYE", b"CSeq: 2 BYE")
        assert [(number, one.address) for number, one in crew.datagram(1, data)] == [(1, BOB)]
        # At another worker it is passed on, as a whole message.
        moved = data.replace(b"z9hG4bK", b"z9hG4bKm")
        assert [(number, one.address) for number, one in crew.datagram(0, moved)] == [(1, BOB)]
    # Those that were passed on are read at both ends; nothing else was.
    assert read == [b"INVITE"] * 2 + [b"ACK"] * 2 + [b"BYE"] * 2


def test_a_spiral_comes_to_the_worker_that_sent_it() -> None:
    """RFC 3261 16.6 step 8: a request of ours that comes back is known by the worker whose branch it is."""
    crew = Crew()
    crew.datagram(0, register(), BOB)
    sent = crew.datagram(1, invite())
    copy = next(action.data for _, action in sent if action.address == BOB)
    back = crew.perform(0, crew.stacks[0].datagram_received(UDP, copy, ("192.0.2.254", 5060), 0.0))
    assert {number for number, _ in back} == {1}


def test_connection_of_another_worker_is_used() -> None:
    """A binding over a connection is a flow at every worker; the octets leave over its own worker."""
    crew = Crew()
    flow = Flow(TCP, "tcp", ("192.0.2.2", 40000), True)
    conn = crew.stacks[0].new_connection()
    crew.perform(0, crew.stacks[0].connection_opened(conn, flow, 0.0))
    data = register("sip:bob@b.invalid;transport=tcp").replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP")
    crew.perform(0, crew.stacks[0].data_received(conn, data, 0.0))
    sent = crew.datagram(1, invite())
    assert [action.conn for _, action in sent if isinstance(action, SendData)] == [conn]
    # RFC 5626 7: when it is gone, the phone is gone for all.
    crew.perform(0, crew.stacks[0].connection_closed(conn, "reset", 0.0))
    assert crew.stacks[1].connections.get(conn) is None
    assert [len(stack.location.lookup("sip:bob@example.com", 0.0)) for stack in crew.stacks] == [0, 0]


def test_what_a_peer_proved_comes_with_its_message() -> None:
    """RFC 5922 7.4: a carrier that is trusted by its certificate is trusted at each worker."""
    crew = Crew()
    stack = crew.stacks[0]
    conn = stack.new_connection()
    flow = OpenConnection(TCP, "tls", ("192.0.2.10", 5061), ("192.0.2.2", 40000), True)
    news = stack.connection_opened(conn, flow, 0.0)
    # The handshake tells it, after the connection was told of.
    flow.identities = ("carrier.example",)
    crew.perform(0, stack.data_received(conn, bye("1", "TLS"), 0.0))
    crew.perform(0, news)
    assert crew.stacks[1].identities(conn) == ("carrier.example",)
    crew.stacks[1].identified(conn, ())
    crew.perform(0, stack.data_received(conn, bye("2", "TLS"), 0.0))
    assert crew.stacks[1].identities(conn) == ("carrier.example",)
    # Who proved nothing is nobody there.
    other = stack.new_connection()
    crew.perform(0, stack.connection_opened(other, replace(flow, identities=()), 0.0))
    crew.perform(0, stack.data_received(other, bye("3", "TLS"), 0.0))
    assert crew.stacks[1].identities(other) == ()


def bye(tag: str, transport: str = "TCP", body: bytes = b"") -> bytes:
    """Return a BYE within a dialog of the second worker, whose mark is B."""
    to = f"<sip:x@example.com>;tag=u-B{tag:0>32}"
    data = request("BYE", "sip:example.com", branch=f"z9hG4bK{tag}", to=to)
    data = data.replace(b"SIP/2.0/UDP", f"SIP/2.0/{transport}".encode())
    return data.replace(b"Content-Length: 0\r\n", b"") + body if body else data


def test_message_of_a_websocket_is_passed_on_whole() -> None:
    """RFC 7118 5.1: each is one message, so it may have a body and no Content-Length, at any worker."""
    crew = Crew()
    conn = crew.stacks[0].new_connection()
    flow = Flow(TCP, "ws", ("192.0.2.2", 40000), True)
    crew.perform(0, crew.stacks[0].connection_opened(conn, flow, 0.0))
    data = bye("1", "WS", b"body")
    assert b"Content-Length" not in data
    [(number, answer)] = crew.perform(0, crew.stacks[0].data_received(conn, data, 0.0, boundary=True))
    assert (number, answer.conn) == (1, conn)
    # RFC 3261 15.1.2: it was read, and there is no such dialog.
    assert answer.data.startswith(b"SIP/2.0 481")


def test_message_over_a_connection_that_a_worker_opened() -> None:
    """RFC 5923: a carrier sends its BYE over the connection that we opened, for a dialog of any worker."""
    crew = Crew()
    stack = crew.stacks[0]
    conn = stack.new_connection()
    crew.perform(0, stack.connection_opened(conn, Flow(TCP, "tcp", ("192.0.2.2", 5060), False), 0.0))
    assert crew.stacks[1].connections.get(conn) is None
    for tag in ("1", "2"):
        [(number, answer)] = crew.perform(0, stack.data_received(conn, bye(tag), 0.0))
        assert (number, answer.conn) == (1, conn)
    crew.perform(0, stack.connection_closed(conn, "reset", 0.0))
    assert crew.stacks[1].connections.get(conn) is None


def test_message_that_comes_before_its_connection_is_known() -> None:
    """RFC 3261 17.1.2.2: over TCP nobody repeats it, so it waits for the news that goes another way."""
    crew = Crew()
    stack = crew.stacks[0]
    conn = stack.new_connection()
    news = stack.connection_opened(conn, Flow(TCP, "tcp", ("192.0.2.2", 40000), True), 0.0)
    assert crew.perform(0, stack.data_received(conn, bye("1"), 0.0)) == []
    [(number, answer)] = crew.perform(0, news)
    assert (number, answer.conn) == (1, conn)
    assert answer.data.startswith(b"SIP/2.0 481")
    # It was taken once, and what waits for a connection that is gone already does not grow.
    assert crew.perform(0, news) == []
    for index in range(2 * EARLY):
        assert crew.stacks[1].passed_on(TCP, conn + 1 + index, bye("2"), BOB, 0.0) == []
    assert len(crew.stacks[1].siblings._early) == EARLY
    assert crew.perform(1, crew.stacks[1].told([("closed", conn + 2 * EARLY, "reset", False)], 0.0)) == []
    assert len(crew.stacks[1].siblings._early) == EARLY - 1


def test_connection_that_turns_out_to_be_no_sip_is_forgotten() -> None:
    """A WebSocket of a module's protocol is one worker's: the others must not keep it for ever."""
    crew = Crew()
    stack = crew.stacks[0]
    conn = stack.new_connection()
    crew.perform(0, stack.connection_opened(conn, Flow(TCP, "ws", ("192.0.2.2", 40000), True), 0.0))
    assert crew.stacks[1].connections.get(conn) is not None
    crew.perform(0, stack.protocol_agreed(conn, "chat", 0.0))
    assert crew.stacks[1].connections.get(conn) is None


def test_heir_removes_what_a_dead_worker_held() -> None:
    """No process is left that would remove the bindings of its connections: one of the others does."""
    crew = Crew()
    stack = crew.stacks[1]
    crew.perform(1, stack.told([("opened", 99, "tcp", TCP, ("192.0.2.2", 40000))], 0.0))
    named = ConnectionFlow(99, "tcp", TCP, ("192.0.2.2", 40000))
    binding = Binding("sip:bob@example.com", "sip:bob@b.invalid", 600.0, "c", 1, flow=named)
    crew.perform(1, stack.told([("record", binding.aor, SharedRecord("v", (binding,)))], 0.0))
    [held] = stack.location.lookup(binding.aor, 0.0)
    assert held.flow is stack.connections.get(99).flow
    crew.perform(1, stack.told([("closed", 99, "its worker died", True)], 0.0))
    assert stack.location.lookup(binding.aor, 0.0) == []


def test_rates_hold_in_sum() -> None:
    """A source that spreads its requests over the workers may not have the rate of each."""
    crew = Crew(2, Limits(source_rate=10, source_burst=64, limit_loopback=True))
    allowed = 0
    for index in range(400):
        sent = crew.datagram(index % 2, request("OPTIONS", "sip:example.com", branch=f"z9hG4bK{index}"))
        allowed += len(sent)
    assert 64 <= allowed <= 64 + 2


def test_wrong_passwords_count_in_sum() -> None:
    """A guesser with many ports must not have the guesses of each worker."""
    from sansip.auth import AuthConfig
    from sansip.auth.authenticator import Authenticator
    from sansip.bans import Bans
    from sansip.entropy import Entropy

    one = Authenticator(AuthConfig(), [SECRET], Entropy(SECRET), Bans(10))
    other = Authenticator(AuthConfig(), [SECRET], Entropy(b"o" * 32), Bans(10))
    one.share(lambda source, user, answer: other.hear_of_failure(source, user, answer, 0.0))
    most = AuthConfig().failures_per_user
    for index in range(most):
        one._guard.failed("192.0.2.1", "bob", index, 0.0)
    assert other._guard.barred("192.0.2.1", "bob", 0.0) is not None


def test_the_cancel_and_the_ack_of_a_spiral_follow_its_invite() -> None:
    """RFC 3261 9.1, 17.1.1.3: else a phone rings on that nobody calls, and the 487 is repeated for 32 s."""
    crew = Crew()
    server, phone = ("192.0.2.10", 5060), ("192.0.2.3", 5060)
    crew.datagram(0, register(), BOB)
    carol = register("sip:carol@192.0.2.3").replace(b"bob@", b"carol@")
    crew.datagram(0, carol.replace(b"z9hG4bKr", b"z9hG4bKc"), phone)
    sent = crew.datagram(1, invite())
    copy = next(action.data for _, action in sent if action.address == BOB)
    # The contact of bob was carol's address here.
    copy = copy.replace(b"INVITE sip:bob@192.0.2.2 ", b"INVITE sip:carol@example.com ")
    sent = crew.datagram(0, copy, server)
    asked = next(action.data for number, action in sent if (number, action.address) == (1, phone))
    start, *_ = asked.split(b"\r\n")
    crew.datagram(0, asked.replace(start, b"SIP/2.0 180 Ringing"), phone)
    lines = copy.partition(b"\r\n\r\n")[0].split(b"\r\n")
    vias = [line for line in lines if line.startswith(b"Via")]
    names = (b"From", b"To", b"Call-ID", b"Max-Forwards")
    taken = [line for line in lines[1:] if line.split(b":")[0] in names]
    end = [b"Content-Length: 0", b"", b""]
    cancel = [b"CANCEL sip:carol@example.com SIP/2.0", vias[0], *taken, b"CSeq: 1 CANCEL", *end]
    sent = crew.datagram(0, b"\r\n".join(cancel), server)
    assert {action.data[:11] for _, action in sent} == {b"SIP/2.0 200", b"CANCEL sip:"}
    sent = crew.datagram(0, asked.replace(start, b"SIP/2.0 487 Gone"), phone)
    gone = next(action.data for _, action in sent if action.data.startswith(b"SIP/2.0 487"))
    to = next(line for line in gone.split(b"\r\n") if line.startswith(b"To"))
    taken = [to if line.startswith(b"To") else line for line in taken]
    ack = [b"ACK sip:carol@example.com SIP/2.0", vias[0], *taken, b"CSeq: 1 ACK", *end]
    crew.datagram(0, b"\r\n".join(ack), server)
    servers = [one for stack in crew.stacks for one in stack.transactions.servers.values()]
    states = [one.state for one in servers if one.method == "INVITE"]
    # That of the caller at worker 1 rings until the 487 of the spiral comes back to it.
    assert states == ["proceeding", "confirmed"]


def test_requests_of_a_gathered_method_come_to_the_first_worker() -> None:
    """The module that knows them is there alone; they count once."""
    crew = Crew(3, Limits(source_rate=1, source_burst=3))
    for stack in crew.stacks:
        assert stack.seat is not None
        stack.seat.gathers = frozenset(("SUBSCRIBE",))
    message = request("SUBSCRIBE", "sip:nobody@example.com", to="<sip:nobody@example.com>")
    for number in (1, 2, 0):
        actions = crew.stacks[number].datagram_received(UDP, message, ALICE, 0.0)
        sent = crew.perform(number, actions)
        # Each of the three copies is one of the burst, though two were passed on.
        assert [worker for worker, action in sent if isinstance(action, SendDatagram)] == [0], number


def test_other_requests_stay_where_they_come() -> None:
    """Only what the first worker alone can serve is carried to it."""
    crew = Crew(2)
    for stack in crew.stacks:
        assert stack.seat is not None
        stack.seat.gathers = frozenset(("SUBSCRIBE",))
    actions = crew.stacks[1].datagram_received(UDP, invite(), ALICE, 0.0)
    assert not any(isinstance(action, PassOn) for action in actions)


def test_a_mark_that_a_stranger_wrote_leads_past_no_module() -> None:
    """A topmost Via of ours with the mark of another worker does not take a gathered request there."""
    crew = Crew(3)
    for stack in crew.stacks:
        assert stack.seat is not None
        stack.seat.gathers = frozenset(("SUBSCRIBE",))
    message = request("SUBSCRIBE", "sip:nobody@example.com", to="<sip:nobody@example.com>")
    vias = [line for line in invite().split(b"\r\n") if line.startswith(b"Via")]
    assert len(vias) == 1
    listener = LISTENERS[0]
    own = f"Via: SIP/2.0/UDP {listener.host}:{listener.port};branch=z9hG4bKB123\r\nVia:".encode()
    for number in (1, 2, 0):
        actions = crew.stacks[number].datagram_received(UDP, message.replace(b"Via:", own, 1), ALICE, 0.0)
        passed = [action.seat for action in actions if isinstance(action, PassOn)]
        assert passed == ([0] if number else []), number


def test_a_register_sent_again_is_answered_by_the_worker_that_has_it() -> None:
    """RFC 3261 17.2.3: a NAT sends the repetition from another port; its worker must not begin a change."""
    crew = Crew()
    again = (BOB[0], BOB[1])
    [(first, answer)] = crew.datagram(0, register(), again)
    [(second, repeated)] = crew.datagram(1, register(), again)
    assert (first, second) == (0, 0)
    assert answer.data.startswith(b"SIP/2.0 200 ")
    assert repeated.data == answer.data
