"""A refresh and a PUBLISH that are answered from their octets: the answers are those of the long way.

Two stacks with one seed get the same inputs; one of them makes a message of each request.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.presence_core import Bench, ok
from sansip.actions import Ask, SendDatagram
from sansip.modules.events import Events
from sansip.rows import Read, Scan, Write
from sansip.sources import SourceRates

FULL = OSError("the disk is full")
ALICE = ("192.0.2.1", 5060)
PIDF = (
    '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@biloxi.test">'
    '<tuple id="a"><status><basic>{}</basic></status></tuple></presence>'
)


class Pair:
    """The stack as it is, and one without the quick way."""

    def __init__(self, **given: Any) -> None:
        self.both = [Bench(**given), Bench(**given)]
        self.both[1].stack.reception.usages = None
        self.taken = 0
        usages = self.both[0].stack.reception.usages
        assert usages is not None
        answers = usages.answers

        def counted(*given: Any) -> bool:
            found = answers(*given)
            self.taken += found
            return found

        counting: Any = SimpleNamespace(answers=counted)
        self.both[0].stack.reception.usages = counting
        self.now = 100.0
        # What phones answer NOTIFYs with, and what the rows say to a write; None: nothing yet.
        self.answers_notify = True
        self.rows: Callable[[Bench, Any], Any] | None = lambda bench, asked: bench.rows.answer(asked)
        self.waiting: list[tuple[int, Any]] = []

    def give(self, work: Callable[[Bench], list[Any]]) -> list[Any]:
        """Give both the same input, and what follows from it; return the actions."""
        queue: list[Callable[[Bench], list[Any]]] = [work]
        seen = []
        while queue:
            step = queue.pop(0)
            first, second = (step(bench) for bench in self.both)
            # Two exceptions are equal if they say the same.
            assert list(map(repr, first)) == list(map(repr, second))
            seen += first
            for action in first:
                if isinstance(action, Ask) and isinstance(action.question, Read | Scan | Write):
                    if self.rows is None:
                        self.waiting.append((action.id, action.question))
                        continue
                    queue.append(self.answering(action.id, action.question))
                elif (
                    isinstance(action, SendDatagram)
                    and action.data.startswith(b"NOTIFY")
                    and self.answers_notify
                ):
                    queue.append(self.datagram(ok(action.data.decode()), action.address))
        return seen

    def answering(self, number: int, question: Any) -> Callable[[Bench], list[Any]]:
        rows = self.rows
        assert rows is not None
        return lambda bench: bench.stack.answer(number, rows(bench, question), self.now)

    def datagram(self, data: bytes, source: Any = ALICE) -> Callable[[Bench], list[Any]]:
        return lambda bench: bench.stack.datagram_received(0, data, source, self.now)

    def send(self, data: bytes, source: Any = ALICE) -> str:
        """Return the last response."""
        sent = [
            one.data.decode(errors="replace")
            for one in self.give(self.datagram(data, source))
            if isinstance(one, SendDatagram)
        ]
        return ([""] + [one for one in sent if one.startswith("SIP/2.0")])[-1]

    def release(self) -> None:
        """The rows answer."""
        self.rows = lambda bench, asked: bench.rows.answer(asked)
        waiting, self.waiting = self.waiting, []
        for number, question in waiting:
            self.give(self.answering(number, question))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.give(lambda bench: bench.stack.time_passed(self.now))


def subscribe(tag: str = "", cseq: int = 1, expires: str = "Expires: 3600\r\n", **given: str) -> bytes:
    to = "To: <sip:bob@biloxi.test>" + (f";tag={tag}" if tag else "")
    uri = given.get("uri") or ("sip:192.0.2.10:5060" if tag else "sip:bob@biloxi.test")
    return (
        f"SUBSCRIBE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {given.get('via', '192.0.2.1:5060')};"
        f"branch={given.get('branch', f'z9hG4bK{cseq}')}{given.get('rport', '')}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:alice@biloxi.test>;tag=w\r\n{to}\r\n"
        f"Call-ID: {given.get('call_id', 'one')}\r\nCSeq: {cseq} SUBSCRIBE\r\n"
        f"Contact: {given.get('contact', '<sip:alice@192.0.2.1>')}\r\n"
        f"Event: {given.get('event', 'presence')}\r\n"
        f"{expires}{given.get('more', '')}Content-Length: 0\r\n\r\n"
    ).encode()


def begun() -> tuple[Pair, str]:
    pair = Pair()
    answer = pair.send(subscribe())
    assert answer.startswith("SIP/2.0 200")
    assert pair.taken == 1
    pair.taken = 0
    return pair, answer.partition("\r\nTo: ")[2].partition("tag=")[2].partition("\r\n")[0]


def test_a_refresh_is_taken() -> None:
    """Each refresh that says the same is quick, from the first on."""
    pair, tag = begun()
    for number in range(2, 6):
        answer = pair.send(subscribe(tag, number))
        assert answer.startswith("SIP/2.0 200")
        assert "Expires: 3600\r\n" in answer
        pair.wait(40.0)
    assert pair.taken == 4


def test_a_tag_with_another_call_id() -> None:
    """RFC 3261 12: a tag of ours that comes with another Call-ID names no dialog, also once it was taken."""
    pair, tag = begun()
    pair.send(subscribe(tag, 2))
    assert pair.send(subscribe(tag, 3, call_id="two")).startswith("SIP/2.0 481")
    assert pair.send(subscribe(tag, 4)).startswith("SIP/2.0 200")
    assert pair.taken == 2


@pytest.mark.parametrize("given", [{"rport": ";rport"}, {"more": "User-Agent: phone\r\nAllow: NOTIFY\r\n"}])
def test_what_does_not_matter(given: dict[str, str]) -> None:
    """Such a refresh is quick as well."""
    pair, tag = begun()
    assert pair.send(subscribe(tag, 2, **given)).startswith("SIP/2.0 200")
    assert pair.taken == 1


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"expires": "Expires: 0\r\n"}, "200"),
        ({"expires": "Expires: 1\r\n"}, "423"),
        ({"expires": ""}, "200"),
        ({"contact": "<sip:alice@192.0.2.1:5070>"}, "200"),
        ({"contact": "<sip:alice@192.0.2.1>;expires=5"}, "200"),
        ({"event": "weather"}, "481"),
        ({"event": "presence;id=a"}, "481"),
        ({"call_id": "two"}, "481"),
        ({"more": "Require: unknown\r\n"}, "420"),
        ({"more": "Accept: text/none\r\n"}, "406"),
        ({"more": "Record-Route: <sip:192.0.2.1;lr>\r\n"}, "200"),
        ({"more": "Subject: x\r\n"}, "200"),
    ],
)
def test_what_the_long_way_decides(given: dict[str, str], status: str) -> None:
    """What says more, or asks for less, is not quick; and the next refresh is as if it had not been."""
    pair, tag = begun()
    pair.send(subscribe(tag, 2, **given))
    assert pair.taken == 0
    pair.wait(1.0)
    pair.send(subscribe(tag, 3))
    pair.send(subscribe(tag, 4))
    pair.wait(40.0)


def test_order_and_repetition() -> None:
    """RFC 3261 12.2.2: a lower number is refused; a retransmission gets the answer once more."""
    pair, tag = begun()
    pair.send(subscribe(tag, 5))
    again = pair.send(subscribe(tag, 5))
    assert again.startswith("SIP/2.0 200")
    assert pair.taken == 1
    assert pair.send(subscribe(tag, 4)).startswith("SIP/2.0 500")
    assert pair.send(subscribe(tag, 5, branch="z9hG4bKother")).startswith("SIP/2.0 500")
    assert pair.send(subscribe(f"{tag[:-1]}x", 6))[:11] in ("SIP/2.0 481", "")
    assert pair.send(subscribe(tag, 6), ("192.0.2.1", 5070)).startswith("SIP/2.0 200")
    assert pair.taken == 1
    assert pair.send(subscribe(tag, 7, via="192.0.2.9:5060"), ("192.0.2.9", 5060)).startswith("SIP/2.0 200")


def test_a_notify_without_answer() -> None:
    """RFC 6665 4.2.2: one NOTIFY at a time, and the refresh's own follows the answer; silence ends it."""
    pair, tag = begun()
    pair.answers_notify = False
    pair.send(subscribe(tag, 2))
    pair.send(subscribe(tag, 3))
    assert pair.taken == 2
    for _ in range(70):
        pair.wait(0.5)
    pair.send(subscribe(tag, 4))


def test_rows_that_fail_or_wait() -> None:
    """A refresh that cannot be kept is not accepted; while it waits, others come, and it may end."""
    pair, tag = begun()
    pair.rows = lambda bench, asked: FULL
    assert pair.send(subscribe(tag, 2)).startswith("SIP/2.0 503")
    pair.rows = None
    pair.send(subscribe(tag, 3))
    assert pair.send(subscribe(tag, 3)) == ""
    pair.send(subscribe(tag, 5))
    pair.send(subscribe(tag, 4))
    pair.wait(4.5)
    pair.waiting.reverse()
    pair.release()
    pair.rows = None
    pair.send(subscribe(tag, 7))
    pair.send(subscribe(tag, 8, "Expires: 0\r\n"))
    pair.waiting.reverse()
    pair.release()
    pair.wait(40.0)
    assert pair.taken >= 4


def test_a_draining_server_and_limits() -> None:
    """A server that drains, and one whose sender is over its limit, decide as on the long way."""
    pair, tag = begun()
    for bench in pair.both:
        bench.stack.limits.source_rate = 1
        bench.stack.reception.rates = SourceRates(bench.stack.limits)
    for number in range(2, 8):
        pair.send(subscribe(tag, number))
    pair.give(lambda bench: bench.stack.drain(pair.now))
    pair.wait(40.0)
    pair.send(subscribe(tag, 9))


# --- the first SUBSCRIBE


@pytest.mark.parametrize(
    ("given", "status", "quick"),
    [
        ({}, "200", True),
        ({"rport": ";rport"}, "200", True),
        ({"expires": ""}, "200", True),
        ({"expires": "Expires: 99999999\r\n"}, "200", True),
        ({"expires": "Expires: 0\r\n"}, "200", True),
        ({"expires": "Expires: 1\r\n"}, "423", True),
        ({"expires": "Expires: x\r\n"}, "200", True),
        ({"more": "Accept: application/pidf+xml, text/none;q=0.1\r\n"}, "200", True),
        ({"more": "Accept: application/pidf-diff+xml\r\n"}, "200", True),
        ({"more": "Accept: text/none\r\n"}, "406", True),
        ({"more": "Supported: eventlist\r\nAllow-Events: presence\r\n"}, "200", True),
        ({"contact": "*"}, "400", True),
        ({"contact": "<mailto:alice@biloxi.test>"}, "400", True),
        ({"contact": "<sip:alice@192.0.2.1:5070;transport=tcp>;expires=7"}, "200", True),
        ({"contact": "<sip:alice@phone.test>"}, "200", True),
        ({"contact": "<sip:alice@192.0.2.77>"}, "200", True),
        ({"contact": "<sip:a@192.0.2.1>, <sip:b@192.0.2.1>"}, "400", True),
        ({"uri": "sip:bob@192.0.2.10"}, "200", True),
        ({"uri": "sip:BOB@biloxi.test"}, "200", True),
        ({"event": "weather"}, "489", False),
        ({"event": "presence;id=a"}, "200", False),
        ({"event": "presence.winfo"}, "403", True),
        ({"more": "Require: unknown\r\n"}, "420", False),
        ({"more": "Record-Route: <sip:192.0.2.1;lr>\r\n"}, "200", False),
        ({"uri": "sip:biloxi.test"}, "484", False),
    ],
)
def test_a_first_subscribe(given: dict[str, str], status: str, quick: bool) -> None:
    """RFC 6665 4.2.1: accepted or refused as on the long way, and what follows is the same as well."""
    pair = Pair()
    answer = pair.send(subscribe(**given))
    assert (answer[8:11], bool(pair.taken)) == (status, quick)
    pair.wait(1.0)
    tag = answer.partition("\r\nTo: ")[2].partition("tag=")[2].partition("\r\n")[0]
    pair.send(subscribe(tag, 2, **given))
    pair.wait(4_000.0)


def test_a_first_subscribe_twice() -> None:
    """RFC 3261 17.2.2, 8.2.2.2: a retransmission gets the answer again, a copy by another way 482."""
    pair, _ = begun()
    assert pair.send(subscribe()).startswith("SIP/2.0 200")
    assert pair.send(subscribe(branch="z9hG4bKother")).startswith("SIP/2.0 482")
    assert pair.send(subscribe(call_id="two", branch="z9hG4bKtwo")).startswith("SIP/2.0 200")


def test_rows_of_a_first_subscribe() -> None:
    """What cannot be kept is not accepted; while the row is written, the place is taken."""
    pair = Pair()
    pair.rows = lambda bench, asked: FULL
    assert pair.send(subscribe()).startswith("SIP/2.0 503")
    pair.rows = None
    for bench in pair.both:
        bench.stack.modules.get(Events).settings.most = 1
    assert pair.send(subscribe(call_id="two", branch="z9hG4bKtwo")) == ""
    assert pair.send(subscribe(call_id="three", branch="z9hG4bKthree")).startswith("SIP/2.0 503")
    pair.wait(5.0)
    pair.release()
    pair.wait(40.0)
    assert pair.taken == 3


@pytest.mark.parametrize("limit", ["most", "most_of_watcher", "most_of_resource", "unanswered", "size"])
def test_limits_of_first_subscribes(limit: str) -> None:
    """Each limit refuses what the long way refuses."""
    pair, _ = begun()
    pair.answers_notify = False
    for bench in pair.both:
        setattr(bench.stack.modules.get(Events).settings, limit, 2)
    found = [
        pair.send(subscribe(call_id=f"c{number}", branch=f"z9hG4bKc{number}"))[8:11] for number in range(4)
    ]
    assert found[-1] in ("403", "503", "513")
    assert pair.taken == 4


# --- PUBLISH


def publish(etag: str, cseq: int, body: str = "", **given: str) -> bytes:
    kind = given.get("type", "Content-Type: application/pidf+xml\r\n" if body else "")
    match = given.get("match", f"SIP-If-Match: {etag}\r\n" if etag else "")
    return (
        f"PUBLISH {given.get('uri', 'sip:bob@biloxi.test')} SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP 192.0.2.1:5060;branch={given.get('branch', f'z9hG4bKp{cseq}')}\r\n"
        f"Max-Forwards: 70\r\n"
        f"From: <sip:bob@biloxi.test>;tag=p\r\nTo: <sip:bob@biloxi.test>\r\nCall-ID: pub\r\n"
        f"CSeq: {cseq} PUBLISH\r\nEvent: {given.get('event', 'presence')}\r\n"
        f"{given.get('expires', 'Expires: 600')}\r\n{match}{kind}{given.get('more', '')}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def tag_of(answer: str) -> str:
    assert answer.startswith("SIP/2.0 200"), answer
    return answer.partition("SIP-ETag: ")[2].partition("\r\n")[0]


def published() -> tuple[Pair, str]:
    pair, _ = begun()
    return pair, tag_of(pair.send(publish("", 1, PIDF.format("open"))))


def test_publications() -> None:
    """RFC 3903 4.2, 4.3: refreshed and modified; watchers hear of what changed alone."""
    pair, etag = published()
    for number, body in enumerate(("", PIDF.format("closed"), "", PIDF.format("open")), 2):
        etag = tag_of(pair.send(publish(etag, number, body)))
        pair.wait(2.0)
    assert pair.taken == 4
    pair.wait(700.0)


@pytest.mark.parametrize(
    "given",
    [
        {"expires": "Expires: 0"},
        {"expires": "Expires: 1"},
        {"expires": "Expires: x"},
        {"expires": "Expires: 999999999"},
        {"match": "SIP-If-Match: other\r\n"},
        {"match": "SIP-If-Match: \r\n"},
        {"body": "<x/>"},
        {"body": PIDF, "type": "Content-Type: text/plain\r\n"},
        {"body": PIDF, "type": ""},
        {"body": PIDF, "more": "Content-Encoding: gzip\r\n"},
        {"event": "weather"},
        {"event": "presence;a=b"},
        {"uri": "sip:192.0.2.10"},
        {"uri": "sip:carol@biloxi.test"},
        {"uri": "sip:bob@BILOXI.test"},
        {"uri": "sip:bob@192.0.2.10"},
        {"uri": "sip:bob@other.test"},
        {"more": "Require: x\r\n"},
    ],
)
def test_other_publications(given: dict[str, str]) -> None:
    """The quick way answers as the long way does, whichever is taken."""
    pair, etag = published()
    pair.send(publish(etag, 2, given.pop("body", ""), **given))
    pair.wait(1.0)
    pair.send(publish(etag, 3))
    pair.wait(1_000.0)


def test_one_of_several_wins() -> None:
    """RFC 3903 6: of several requests with one entity-tag one wins; what cannot be kept is not accepted."""
    pair, etag = published()
    pair.rows = lambda bench, asked: FULL
    assert pair.send(publish(etag, 2)).startswith("SIP/2.0 503")
    pair.rows = None
    pair.send(publish(etag, 3, PIDF.format("closed")))
    assert pair.send(publish(etag, 4)).startswith("SIP/2.0 412")
    pair.wait(5.0)
    pair.release()
    assert pair.send(publish(etag, 5)).startswith("SIP/2.0 412")
    assert pair.taken >= 2


def test_a_mixed_life() -> None:
    """Hundreds of requests, some late, some twice, some broken: the same actions all the time."""
    pair, tag = begun()
    etag = tag_of(pair.send(publish("", 1, PIDF.format("open"))))
    chance = random.Random(7)
    for number in range(2, 400):
        pair.answers_notify = chance.random() < 0.9
        if chance.random() < 0.5:
            data = subscribe(
                tag, number - chance.choice((0, 0, 0, 0, 3)), rport=chance.choice(("", ";rport"))
            )
        else:
            data = publish(etag, number, chance.choice(("", PIDF.format("open"), PIDF.format("closed"))))
        if chance.random() < 0.1:
            at = chance.randrange(len(data))
            data = data[:at] + bytes([chance.choice(b' \r\n:;,<a0"\xff')]) + data[at + 1 :]
        answer = pair.send(data)
        if "SIP-ETag: " in answer:
            etag = tag_of(answer)
        pair.wait(chance.choice((0.0, 0.1, 1.0, 30.0)))
        if answer.startswith(("SIP/2.0 481", "SIP/2.0 412")):
            found = pair.send(subscribe(cseq=number, call_id="one", branch=f"z9hG4bKn{number}"))
            if found.startswith("SIP/2.0 200"):
                tag = found.partition("\r\nTo: ")[2].partition("tag=")[2].partition("\r\n")[0]
            made = pair.send(publish("", number, PIDF.format("open"), branch=f"z9hG4bKm{number}"))
            if made.startswith("SIP/2.0 200"):
                etag = tag_of(made)
    assert pair.taken > 100
