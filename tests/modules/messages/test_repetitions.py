"""One message is kept once, and shown once by each phone, however often it comes."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.modules.messages import Messages
from sansip.modules.messages.notices import MessageDoubtful
from sansip.modules.messages.row import KEPT, ORIGINS
from sansip.rows import MemoryRows, Read, Scan, Write
from sansip.testing import ModuleBench
from sansip.wire import Response
from tests.modules.messages.kept import BOB, PHONE, answer, begun, come, fetch, made, register, watch, write

pytestmark = pytest.mark.usefixtures("way")


def test_the_same_call_id() -> None:
    """A server that died before the answer sends the same request again (RFC 3261 8.1.1.4)."""
    bench, first = begun("one")
    bench = bench.restarted()
    register(bench, cseq=2)
    [again] = come(bench)
    assert (first.call_id, first.body) == (again.call_id, again.body)
    # RFC 3261 17.2.3: the phone's transaction absorbs it if the phone had answered (17.2.2).
    assert first.vias[0].branch == again.vias[0].branch
    assert (first.from_tag, first.cseq) == (again.from_tag, again.cseq)


def repeated(bench: ModuleBench[Messages], body: str = "hello", branch: str = "rep") -> list[str]:
    """Send the same MESSAGE as often as this is called; return the answers."""
    lines = [
        f"MESSAGE {BOB} SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.40:5060;branch=z9hG4bK{branch}",
        "Max-Forwards: 70",
        "From: <sip:dave@elsewhere.example>;tag=d",
        f"To: <{BOB}>",
        "Call-ID: repeated",
        "CSeq: 1 MESSAGE",
        "Content-Type: text/plain",
        f"Content-Length: {len(body)}",
    ]
    bench.sent.clear()
    bench.receive(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), ("192.0.2.40", 5060))
    found = [f"{one.status} {one.reason}" for one in bench.sent if isinstance(one, Response)]
    bench.sent.clear()
    return found


def test_a_sender_that_repeats() -> None:
    """A server was killed after the message was in the store, before its 202: it is kept once."""
    bench = made()
    assert repeated(bench) == ["202 Accepted"]
    bench = bench.restarted()
    assert repeated(bench) == ["202 Accepted"]
    assert bench.command("messages.count") == 1
    # By another way (RFC 3261 8.2.2.2); another text is another message, whatever its Call-ID.
    assert repeated(bench, branch="other") == ["202 Accepted"]
    assert repeated(bench, "bye", branch="third") == ["202 Accepted"]
    register(bench)
    assert fetch(bench) == ["hello", "bye"]
    # Nor does it come again where the phone is there by now.
    bench = bench.restarted()
    register(bench, cseq=2)
    bench.sent.clear()
    assert repeated(bench) == ["202 Accepted"]
    assert come(bench) == []


def test_a_clock_that_was_put_back() -> None:
    """Order holds over a restart."""
    bench = made()
    bench.wait(500)
    write(bench, "one")
    # The bench's clock begins again.
    bench = bench.restarted()
    write(bench, "two")
    bench.sent.clear()
    register(bench)
    assert fetch(bench) == ["one", "two"]


def test_a_sender_that_repeats_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has not read its rows yet looks into the store."""
    bench = made()
    assert repeated(bench) == ["202 Accepted"]
    scan = MemoryRows.answer
    monkeypatch.setattr(
        MemoryRows,
        "answer",
        lambda self, question: (
            OSError("down") if isinstance(question, Scan) and not question.prefix else scan(self, question)
        ),
    )
    bench = bench.restarted()
    assert repeated(bench) == ["202 Accepted"]
    monkeypatch.undo()
    bench.wait(10)
    assert bench.command("messages.count") == 1


@pytest.mark.parametrize("later", [1, 31, 3_600])
def test_the_same_request_at_any_time(later: int) -> None:
    """RFC 3261 8.1.1.4, 17.2.3: a phone that keeps transactions or Call-IDs for long knows it at any time."""
    bench, first = begun("one")
    bench = bench.restarted()
    bench.wait(later)
    register(bench, cseq=2)
    [again] = come(bench)
    assert first.vias[0].branch == again.vias[0].branch
    assert (first.call_id, first.cseq, first.from_tag) == (again.call_id, again.cseq, again.from_tag)


def test_in_doubt() -> None:
    """With "give up" a message whose answer nobody saw comes once at most, and operators see that."""
    bench, first = begun("one", "two", in_doubt="give up")
    bench = bench.restarted()
    # RFC 3261 17.2.2: each phone on UDP knows the branch for 32 seconds, so nothing is in doubt yet.
    register(bench, cseq=2)
    [again] = come(bench)
    assert first.vias[0].branch == again.vias[0].branch
    bench = bench.restarted()
    bench.wait(31)
    register(bench, cseq=3)
    assert fetch(bench) == ["two"]
    assert any(isinstance(event, MessageDoubtful) and "in_doubt" in str(event) for event in bench.events)
    assert [one["doubtful"] for one in bench.command("messages.list", user=BOB)] == [
        [f"sip:bob@{PHONE[0]}:5060"],
        [],
    ]
    # It is not forgotten: a second phone gets both.
    register(bench, host="192.0.2.30")
    assert fetch(bench, "192.0.2.30") == ["one", "two"]


def test_another_transaction_after_a_failure() -> None:
    """RFC 3261 8.1.1.7: what was answered is over; the same branch would fetch the same answer."""
    bench, first = begun("one", retry=5)
    answer(bench, first, "480 Not Now")
    bench.wait(6)
    [again] = come(bench)
    assert first.vias[0].branch != again.vias[0].branch
    answer(bench, again)
    assert bench.figure("delivered") == {(): 1}


def test_a_contact_that_leads_back() -> None:
    """A message that is being delivered is not kept again: it would be delivered for ever."""
    bench, got = begun("one")
    lines = [
        f"MESSAGE {BOB} SIP/2.0",
        f"Via: {got.get('via')}",
        "Max-Forwards: 70",
        f"From: {got.get('from')}",
        f"To: <{BOB}>",
        f"Call-ID: {got.call_id}",
        f"CSeq: {got.get('cseq')}",
        "Content-Type: text/plain",
        "Content-Length: 3",
    ]
    bench.receive(("\r\n".join(lines) + "\r\n\r\none").encode())
    assert bench.command("messages.count") == 1
    # RFC 3261 16.3 step 4: 202 would mean that a phone has it.
    assert [one.status for one in bench.sent if isinstance(one, Response)] == [482]


def test_it_stays_the_request_of_its_sender() -> None:
    """Call-ID, From tag and CSeq: a phone that got it at once from a server that was killed knows it."""
    bench = made()
    repeated(bench)
    bench.sent.clear()
    register(bench)
    [got] = come(bench)
    assert (got.call_id, got.from_tag, got.cseq) == ("repeated", "d", (1, "MESSAGE"))
    # RFC 3261 8.1.1.7: its branch is ours.
    assert got.vias[0].branch != "z9hG4bKrep"


@pytest.mark.parametrize(
    "address", ['"a;tag=b" <sip:mallory@elsewhere.example>', "<sip:mallory@elsewhere.example;tag=b>"]
)
def test_a_sender_with_tag_in_its_name(address: str) -> None:
    """What only looks like a tag stays, and the message stops none behind it."""
    bench = made()
    lines = [
        f"MESSAGE {BOB} SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKname",
        "Max-Forwards: 70",
        f"From: {address};tag=real",
        f"To: <{BOB}>",
        "Call-ID: name",
        "CSeq: 1 MESSAGE",
        "Content-Type: text/plain",
        "Content-Length: 3",
    ]
    bench.receive(("\r\n".join(lines) + "\r\n\r\none").encode())
    write(bench, "two")
    bench.sent.clear()
    register(bench)
    [got] = come(bench)
    assert (got.from_.display, got.from_.uri.user) == ("a;tag=b" if '"' in address else "", "mallory")
    answer(bench, got)
    assert fetch(bench) == ["two"]
    assert not bench.failures


def test_one_request_at_two_nodes() -> None:
    """It came to both at once: each answers 202, and the user has one message."""
    bench = made(shared=True)
    other = bench.beside()
    plain = bench._answer
    answers: list[list[str]] = []

    def slow(question: Any) -> Any:
        if isinstance(question, Write) and not answers:
            # The other node is quicker.
            answers.append([])
            answers[0] += write(other, "hello")
        return plain(question)

    bench._answer = slow  # type: ignore[method-assign]  # the test's own in its place
    assert write(bench, "hello") == ["202 Accepted"]
    assert answers == [["202 Accepted"]]
    assert bench.store.count(KEPT) == 1
    assert bench.command("messages.count") == 0


def test_a_repetition_is_found_by_key() -> None:
    """Where nodes share the rows: not by a look at each message of the user."""
    bench = made(shared=True)
    other = bench.beside()
    write(bench, "hello")
    asked = watch(other)
    assert write(other, "hello") == ["202 Accepted"]
    assert [type(one) for one in asked if isinstance(one, Read | Scan | Write)] == [Read]
    bench.command("messages.remove", user=BOB)
    assert bench.store.count(ORIGINS) == 0


def test_the_same_message_by_twoways() -> None:
    """RFC 3261 8.2.2.2: both were on their way to a phone that is off; it is kept once."""
    bench = made()
    register(bench)
    bench.sent.clear()
    assert repeated(bench) == []
    assert repeated(bench, branch="other") == []
    bench.wait(40)
    assert {one.status for one in bench.sent if isinstance(one, Response)} <= {100, 202, 482}
    assert bench.command("messages.count") == 1
