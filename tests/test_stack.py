"""The stack as a whole: inputs, outputs, and the receivers of answers."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sansip import ListenerConfig, Stack, StackConfig
from sansip.actions import Action, Address, SendDatagram
from sansip.errors import LocalProtocolError
from sansip.events import BindingsChanged, MessageRefused
from sansip.routing import TrustedPeer, ask
from tests.rig import (
    ALICE,
    BOB,
    BOB_URI,
    HOST,
    LISTENERS,
    Rig,
    ack,
    only,
    relay_to,
    reply,
    request,
    sent,
    times,
    what,
    within,
)

# --- the constructor


def is_idle(rig: Rig) -> bool:
    """Ask anew: a type checker takes two looks at a property for one."""
    return rig.stack.idle


def test_a_short_seed() -> None:
    """Branches and tags have to be unguessable (RFC 3261 19.3)."""
    with pytest.raises(LocalProtocolError, match="16 octets"):
        Stack(StackConfig([ListenerConfig(0, "udp", HOST, 5060)]), b"short")


def test_no_listener() -> None:
    """There would be nothing to put into Via."""
    with pytest.raises(LocalProtocolError, match="listener"):
        Stack(StackConfig([]), b"x" * 16)


# --- design.md 1.3: the same bytes at the same times give the same actions


def play(rig: Rig) -> list[Any]:
    rig.register(BOB_URI)
    branch = only(rig.udp(request()), "INVITE")
    rig.wait(1)
    rig.udp(reply(branch, 180), BOB)
    rig.udp(within(request(), "CANCEL"))
    rig.udp(reply(branch, 487), BOB)
    rig.run_out()
    return [(out.time, out.action) for out in rig.log]


def test_deterministic() -> None:
    """A trace is a test, and a bug report is a journal."""
    assert play(Rig()) == play(Rig())


def test_another_seed_gives_other_tokens_alone() -> None:
    """Only chance differs, not behaviour."""
    first, second = play(Rig()), play(Rig(seed=b"another seed 123"))
    assert first != second
    assert [(time, type(action)) for time, action in first] == [
        (time, type(action)) for time, action in second
    ]


def test_actions_are_handed_over_once() -> None:
    """The list belongs to the caller."""
    rig = Rig()
    stack = rig.stack
    first = stack.datagram_received(0, request("FOO", "sip:x@other.test"), ALICE, 1.0)
    kept = copy.deepcopy(first)
    stack.datagram_received(0, request("FOO", "sip:x@other.test", branch="z9hG4bK2"), ALICE, 1.0)
    assert first == kept


def test_time_need_not_be_looked_at_exactly() -> None:
    """A late wake-up fires everything that is due, and nothing twice."""
    rig = Rig(relay_to(BOB_URI))
    rig.udp(request())
    rig.now += 100
    outs = rig.take(rig.stack.time_passed(rig.now))
    assert "408" in what(outs)
    assert what(rig.take(rig.stack.time_passed(rig.now))) == []


def test_an_early_look_does_nothing() -> None:
    """``time_passed`` may be called whenever one likes."""
    rig = Rig(relay_to(BOB_URI))
    rig.udp(request())
    assert rig.take(rig.stack.time_passed(rig.now + 0.1)) == []


def test_nothing_to_wait_for() -> None:
    """A stack at rest has no deadline."""
    rig = Rig()
    assert rig.stack.next_deadline() is None
    assert rig.stack.snapshot()["timers"] == 0


# --- who gets an answer


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE", "400"),
        (b"CSeq: 1 OPTIONS", b"CSeq: 99999999999 OPTIONS", "400"),
        (b"Max-Forwards: 70", b"Max-Forwards: many", "400"),
        (b"To: <sip:bob@biloxi.test>", b"To: <sip:bob@biloxi.test", "400"),
        (b"Call-ID: call@192.0.2.1\r\n", b"", "400"),
        (b"From: <sip:alice@biloxi.test>;tag=alice\r\n", b"", "400"),
        (b"OPTIONS sip:bob@biloxi.test SIP/2.0", b"OPTIONS sip:bob@biloxi.test SIP/7.0", "505"),
        (b"OPTIONS sip:bob@biloxi.test SIP/2.0", b"OPTIONS  sip:bob@biloxi.test SIP/2.0", "400"),
        (b"OPTIONS sip:bob@biloxi.test SIP/2.0", b"OPTIONS unknown:bob SIP/2.0", "416"),
        (b"OPTIONS sip:bob@biloxi.test SIP/2.0", b"OPTIONS sip:bob@biloxi.test?a=b SIP/2.0", "400"),
        (b"Content-Length: 0", b"Content-Length: 10", "400"),
    ],
)
def test_a_request_that_can_be_answered_is(old: bytes, new: bytes, status: str) -> None:
    """21.4.1 and others: with an event that names the fault."""
    data = request("OPTIONS")
    assert old in data
    rig = Rig()
    assert what(rig.udp(data.replace(old, new))) == [status]
    assert all(isinstance(event, MessageRefused) for event in rig.events)


def test_the_same_answer_to_the_same_mistake() -> None:
    """8.2.7: without a transaction, so the To tag has to be computed."""
    rig = Rig()
    data = request("OPTIONS").replace(b"CSeq: 1", b"CSeq: x")
    assert rig.udp(data)[0].data == rig.udp(data)[0].data
    assert rig.empty


@pytest.mark.parametrize(
    "data",
    [
        request("ACK").replace(b"CSeq: 1", b"CSeq: x"),
        request("ACK", hops=0),
        request("ACK", "sip:nobody@nowhere.test"),
        request("ACK", headers=[("Route", ";;")]),
        b"SIP/2.0 200 OK\r\n\r\n",
        b"SIP/2.0 999 Odd\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKx\r\n\r\n",
        b"SIP/7.0 200 OK\r\n\r\n",
        b"",
        b"hello",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff" * 500,
        request("OPTIONS")[:40],
    ],
)
def test_no_answer_to_acks_responses_and_noise(data: bytes) -> None:
    """17: an ACK or a response never gets an answer; noise names no receiver."""
    assert Rig().udp(data) == []


@pytest.mark.parametrize(
    "via",
    [
        "SIP/2.0/UDP 192.0.2.99:5060;branch=z9hG4bKx",
        f"SIP/2.0/UDP {HOST}:5070;branch=z9hG4bKx",
        f"SIP/2.0/UDP {HOST};branch=z9hG4bKx",
        f"SIP/2.0/UDP {HOST}:5060",
        f"SIP/2.0/UDP {HOST}:5060;branch=z9hG4bKunknown",
    ],
)
def test_a_response_that_is_not_ours(via: str) -> None:
    """18.1.2: a sent-by that we do not insert; RFC 6026 7.3: a response that matches no transaction."""
    rig = Rig(relay_to(BOB_URI))
    branch = only(rig.udp(request()), "INVITE")
    line = b"Via: " + str(branch.message.via).encode()
    data = reply(branch, 200)
    assert line in data
    assert rig.udp(data.replace(line, b"Via: " + via.encode(), 1), BOB) == []


def test_a_response_over_another_transport() -> None:
    """18.2.2: a server may open a connection for its answer."""
    rig = Rig(relay_to(BOB_URI))
    branch = only(rig.udp(request()), "INVITE")
    assert sent(rig.tcp(rig.accept(BOB), reply(branch, 200))) == [("200", ALICE)]


# --- transactions through the stack


def test_retransmissions_are_absorbed() -> None:
    """17.2: whatever state its transaction is in, a repeated request is not a new one."""
    rig = Rig()
    data = request("OPTIONS", "sip:biloxi.test")
    first = rig.udp(data)
    assert what(first) == ["200"]
    assert [rig.udp(data)[0].data for _ in range(3)] == [first[0].data] * 3


def test_the_ack_of_a_failure_is_absorbed() -> None:
    """17.2.1: it belongs to the transaction and not to the route."""
    rig = Rig()
    data = request()
    (refusal,) = rig.udp(data)
    assert refusal.what == "404"
    assert rig.udp(ack(data, refusal)) == []
    assert rig.udp(ack(data, refusal)) == []
    assert what(rig.wait(4.9)) == []
    rig.wait(0.2)
    assert rig.empty


def test_a_failure_is_repeated_by_timer_g() -> None:
    """17.2.1, through the stack."""
    rig = Rig(trusted=[TrustedPeer(ALICE[0])])
    rig.udp(request())
    assert times(rig.wait(12), rig.start, "404") == [0.5, 1.5, 3.5, 7.5, 11.5]


def test_over_tcp_nothing_is_repeated() -> None:
    """17.2.1: reliable transports carry it once."""
    rig = Rig()
    conn = rig.accept()
    assert what(rig.tcp(conn, request(transport="TCP"))) == ["404"]
    assert what(rig.wait(15)) == []


def test_merged_requests_are_two() -> None:
    """16.3: a proxy must not treat merged requests as an error."""
    rig = Rig(relay_to(BOB_URI))
    assert "INVITE" in what(rig.udp(request(branch="z9hG4bKa1")))
    assert "INVITE" in what(rig.udp(request(branch="z9hG4bKa2")))


def test_an_rfc_2543_call() -> None:
    """17.2.3: no branch at all, in the INVITE, its retransmission, and the ACK of its failure."""
    rig = Rig(relay_to(BOB_URI))
    invite = request(branch=None)
    branch = only(rig.udp(invite), "INVITE")
    assert what(rig.udp(invite)) == ["100"]
    rig.udp(reply(branch, 486), BOB)
    refusal = [out for out in rig.log if out.what == "486"][-1]
    assert rig.udp(ack(invite, refusal)) == []
    assert what(rig.wait(4.9)) == []


# --- questions


def test_an_answer_to_no_question() -> None:
    """Late, or a mistake of the adapter: nothing happens."""
    assert Rig().stack.answer(4711, "x", 1.0) == []


def test_an_answer_counts_once() -> None:
    """The first one."""

    async def route(incoming: Any) -> None:
        incoming.reply(200, await ask("x"))

    rig = Rig(route)
    rig.udp(request("MESSAGE"))
    one = rig.asks[0]
    assert rig.answer("first", one)[0].message.reason == "first"
    assert rig.answer("second", one) == []


# --- drain


def test_drain() -> None:
    """21.5.4: new dialogs get 503 with Retry-After; what runs goes on to its end."""
    rig = Rig()
    rig.register(BOB_URI)
    branch = only(rig.udp(request()), "INVITE")
    assert rig.take(rig.stack.drain(rig.now)) == []
    assert not is_idle(rig)
    (out,) = rig.udp(request(branch="z9hG4bKnew", call_id="new"))
    assert out.what == "503"
    assert out.message.has("retry-after")
    # The call being set up, its CANCEL, and requests within dialogs.
    assert sent(rig.udp(reply(branch, 200), BOB)) == [("200", ALICE)]
    assert is_idle(rig)
    route = [("Route", rig.route())]
    bye = request("BYE", BOB_URI, branch="z9hG4bKbye", to_tag="bob", headers=route)
    assert sent(rig.udp(bye)) == [("BYE", BOB)]
    assert not is_idle(rig)
    assert sent(rig.udp(reply(only(rig.log, "BYE"), 200), BOB)) == [("200", ALICE)]
    assert is_idle(rig)


def test_a_cancel_while_draining() -> None:
    """A CANCEL makes no dialog."""
    rig = Rig(relay_to(BOB_URI))
    invite = request()
    branch = only(rig.udp(invite), "INVITE")
    rig.udp(reply(branch, 180), BOB)
    rig.stack.drain(rig.now)
    outs = rig.udp(within(invite, "CANCEL"))
    assert what(outs) == ["200", "CANCEL"]
    rig.udp(reply(branch, 487), BOB)
    assert not is_idle(rig)
    rig.udp(reply(only(outs, "CANCEL"), 200), BOB)
    assert is_idle(rig)


def test_a_503_of_a_drain_is_acknowledged() -> None:
    """It is a failure like any other: repeated until its ACK, and then gone."""
    rig = Rig()
    rig.stack.drain(rig.now)
    data = request()
    (out,) = rig.udp(data)
    rig.udp(ack(data, out))
    rig.run_out()
    assert rig.empty


def test_idle_waits_for_questions() -> None:
    """A request whose route waits is not idle."""

    async def route(incoming: Any) -> None:
        await ask("x")
        incoming.reply(200)

    rig = Rig(route)
    assert is_idle(rig)
    rig.udp(request("MESSAGE"))
    assert not is_idle(rig)
    rig.answer(1)
    assert is_idle(rig)


# --- bindings


def test_bindings_expire_by_themselves() -> None:
    """10.3: and the watchers hear of it, and of how many are left."""
    rig = Rig()
    for number, expires in ((2, "60"), (3, "90")):
        headers = [("Contact", f"<sip:bob@192.0.2.{number}>"), ("Expires", expires)]
        data = request(
            "REGISTER",
            "sip:biloxi.test",
            branch=f"z9hG4bK{number}",
            cseq=number,
            sender="<sip:bob@biloxi.test>",
            headers=headers,
        )
        assert what(rig.udp(data)) == ["200"]
    rig.run_out()
    changes = [event for event in rig.events if isinstance(event, BindingsChanged)]
    assert [(event.aor, event.count, event.reason) for event in changes] == [
        ("sip:bob@biloxi.test", 1, "registered"),
        ("sip:bob@biloxi.test", 2, "registered"),
        ("sip:bob@biloxi.test", 1, "expired"),
        ("sip:bob@biloxi.test", 0, "expired"),
    ]
    assert not any(rig.stack.snapshot().values())


# --- everything on every listener


@pytest.mark.parametrize("listener", [one.id for one in LISTENERS if one.transport == "udp"])
def test_each_listener_serves(listener: int) -> None:
    """The answer leaves by the listener that the request came in by."""
    source = ALICE if listener == 0 else ("2001:db8::1", 5060, 0, 0)
    (out,) = Rig().udp(request("OPTIONS", "sip:biloxi.test", source=source[:2]), source, listener)
    assert isinstance(out.action, SendDatagram)
    assert (out.what, out.action.listener, out.action.address) == ("200", listener, source)


def test_what_time_has_passed() -> None:
    """A binding granted until a time must not end because the clock was set, nor last for ever."""
    stack = Rig().stack
    # Before an adapter has said what time of day it is.
    assert (stack.wall.unix(5.0), stack.wall.passed(5.0)) == (5.0, 5.0)
    stack.wall_offset = 1e9
    assert (stack.wall.unix(5.0), stack.wall.passed(5.0)) == (1e9 + 5.0, 1e9 + 5.0)
    stack.wall_offset = 1e9 + 7_200
    assert (stack.wall.unix(5.0), stack.wall.passed(5.0)) == (1e9 + 7_205.0, 1e9 + 5.0)
    stack.wall_offset = 1e9 - 7_200
    assert stack.wall.passed(5.0) == stack.wall.unix(5.0)


def test_a_subclass_sees_its_datagrams() -> None:
    """Between the driver and the way in lies nothing, but for what a subclass puts there."""

    class Watching(Stack):
        def datagram_received(self, listener: int, data: bytes, source: Address, now: float) -> list[Action]:
            seen.append(data)
            return super().datagram_received(listener, data, source, now)

    seen: list[bytes] = []
    config = StackConfig([ListenerConfig(0, "udp", HOST, 5060)])
    plain, watching = Stack(config, b"x" * 16), Watching(config, b"x" * 16)
    data = request("OPTIONS", "sip:example.com")
    answers = plain.datagram_received(0, data, ALICE, 1.0)
    assert isinstance(answers[0], SendDatagram)
    assert plain.datagram_received == plain.reception.datagram_received
    assert watching.datagram_received(0, data, ALICE, 1.0) == answers
    assert seen == [data]
