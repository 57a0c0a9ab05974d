"""Registrations that must survive: the 200 waits for the store (StackConfig.durable)."""

from __future__ import annotations

from typing import Any

from sansip import Ask, ListenerConfig, SendDatagram, Stack, StackConfig, parse_message
from sansip.location import LocationUpdate

PHONE = ("192.0.2.7", 5060)
AOR = "sip:bob@biloxi.test"


def make() -> Stack:
    return Stack(
        StackConfig([ListenerConfig(0, "udp", "192.0.2.1", 5060)], ["biloxi.test"], durable=True), b"s" * 16
    )


def register(stack: Stack, number: int, now: float, contact: str = "<sip:bob@192.0.2.7>") -> list[Any]:
    lines = [
        "REGISTER sip:biloxi.test SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK{number}",
        "Max-Forwards: 70",
        "From: <sip:bob@biloxi.test>;tag=1",
        "To: <sip:bob@biloxi.test>",
        "Call-ID: one",
        f"CSeq: {number} REGISTER",
        f"Contact: {contact}",
        "Content-Length: 0",
    ]
    return stack.datagram_received(0, "\r\n".join([*lines, "", ""]).encode(), PHONE, now)


def statuses(actions: list[Any]) -> list[int]:
    return [parse_message(a.data).status for a in actions if isinstance(a, SendDatagram)]


def test_the_200_waits_for_the_store() -> None:
    """An acknowledged binding is stored; until then the phone hears nothing."""
    stack = make()
    actions = register(stack, 1, 1.0)
    (question,) = [a for a in actions if isinstance(a, Ask)]
    assert isinstance(question.question, LocationUpdate)
    assert [binding.contact for binding in question.question.stored] == ["sip:bob@192.0.2.7"]
    assert statuses(actions) == []
    assert statuses(stack.answer(question.id, None, 1.1)) == [200]


def test_a_store_that_fails_is_no_200() -> None:
    """A failed store is a 503 with Retry-After (RFC 3261 21.5.4), and nothing was registered."""
    stack = make()
    (question,) = [a for a in register(stack, 1, 1.0) if isinstance(a, Ask)]
    actions = stack.answer(question.id, OSError("disk full"), 1.1)
    assert statuses(actions) == [503]
    (sent,) = [a for a in actions if isinstance(a, SendDatagram)]
    assert parse_message(sent.data).get("retry-after")
    assert stack.location.lookup(AOR, 2.0) == []


def test_a_store_that_never_answers() -> None:
    """After limits.answer_time the phone is told to try again; a 100 came first (RFC 4320 4.1)."""
    stack = make()
    register(stack, 1, 1.0)
    actions = stack.time_passed(12.0)
    assert statuses(actions) == [100, 503]
    assert stack.snapshot()["questions"] == 0


def test_known_bindings_stay_when_the_store_fails() -> None:
    """A refresh that cannot be stored leaves the binding that is."""
    stack = make()
    (question,) = [a for a in register(stack, 1, 1.0) if isinstance(a, Ask)]
    stack.answer(question.id, None, 1.1)
    (before,) = stack.location.lookup(AOR, 2.0)
    (question,) = [a for a in register(stack, 2, 3.0) if isinstance(a, Ask)]
    stack.answer(question.id, OSError("gone"), 3.1)
    assert stack.location.lookup(AOR, 4.0) == [before]


def test_restore() -> None:
    """The bindings that a store gives back at the start are found, except for expired ones."""
    stack = make()
    (question,) = [a for a in register(stack, 1, 1.0) if isinstance(a, Ask)]
    stored = question.question.stored
    again = make()
    assert again.restore(stored, 5.0) == 1
    assert [binding.contact for binding in again.location.lookup(AOR, 5.0)] == ["sip:bob@192.0.2.7"]
    assert make().restore(stored, 1e6) == 0


def test_a_removal_waits_for_the_store() -> None:
    """A phone that was told that it is gone must not be back after a restart."""
    stack = make()
    (question,) = [a for a in register(stack, 1, 1.0) if isinstance(a, Ask)]
    stack.answer(question.id, None, 1.1)
    gone = "<sip:bob@192.0.2.7>;expires=0"
    for number, result, status, left in ((2, OSError("disk full"), 503, 1), (3, None, 200, 0)):
        actions = register(stack, number, 2.0 + number, gone)
        (question,) = [a for a in actions if isinstance(a, Ask)]
        assert question.question.after == ()
        assert statuses(actions) == []
        assert statuses(stack.answer(question.id, result, 2.1 + number)) == [status]
        assert len(stack.location.lookup(AOR, 3.0 + number)) == left


def test_two_registrations_at_once() -> None:
    """The failure of one does not take away the binding that the other was told of."""
    first, second = "<sip:bob@192.0.2.7>", "<sip:bob@192.0.2.8>"
    for results, told, left in (
        ((None, OSError("full")), [200, 503], [first]),
        ((OSError("full"), None), [503, 200], [second]),
    ):
        stack = make()
        asked = [
            next(a for a in register(stack, number, 1.0, contact) if isinstance(a, Ask))
            for number, contact in ((1, first), (2, second))
        ]
        answers = [
            status
            for question, result in zip(asked, results, strict=True)
            for status in statuses(stack.answer(question.id, result, 1.1))
        ]
        assert answers == told
        found = [f"<{one.contact}>" for one in stack.location.lookup(AOR, 2.0)]
        assert set(left) <= set(found)
