"""A MESSAGE that is kept from its octets: the row and the answer are those of the long way (``Pair``)."""

from __future__ import annotations

import random

import pytest

from sansip.errors import RemoteProtocolError
from sansip.limits import Limits
from sansip.module import Module, Use, step
from sansip.modules.messages import Messages, MessagesSettings
from sansip.routing import IncomingRequest
from sansip.testing import ModuleBench
from sansip.wire import parse_message
from tests.modules.messages.kept import ways, write
from tests.modules.messages.pair import BOB, Pair

ACCEPTED = "SIP/2.0 202 Accepted"


class Other(Module):
    """Looks at messages."""

    name = "other"
    seen = 0

    @step("screen", methods=("MESSAGE",))
    async def look(self, request: IncomingRequest) -> None:
        """Count it."""
        self.seen += 1


@pytest.fixture(autouse=True)
def _alone() -> None:
    """One node, with rows in memory as well."""
    ways.update(shared=False, memory=8_388_608)


def test_plain_ones_are_taken() -> None:
    """RFC 3428 7: 202 once the row is durable; then they come in order."""
    pair = Pair()
    for text in ("one", "two", "grüße"):
        assert pair.receive(pair.message(text)) == [ACCEPTED]
    assert pair.taken == 3
    pair.register()
    assert pair.fetch() == ["one", "two", "grüße"]


@pytest.mark.parametrize(
    "given",
    [
        {"from_": 'From: "Dave" <sip:dave@elsewhere.example;x=y>;tag=d'},
        {"from_": "From: <sip:carol@example.com:5060>;tag=a-1"},
        {"to": 'To: "Bob" <sip:bob@example.com>'},
        {"uri": "sip:bob@example.com:5060"},
        {"uri": "sip:bob@EXAMPLE.com"},
        {"via": "Via: SIP/2.0/UDP 192.0.2.40:5060;rport;branch=z9hG4bKx"},
        {"more": "Subject: lunch, at noon\r\nPriority:  urgent "},
        {"more": "Expires: 60"},
        {"more": "Date: Tue, 14 Nov 2023 22:13:00 GMT\r\nExpires: 1000"},
        {"more": "Date: yesterday"},
        {"type": "Content-Type: message/cpim"},
    ],
)
def test_what_is_kept(given: dict[str, str]) -> None:
    """Names, parameters, the fields of the text and its time are kept as on the long way."""
    pair = Pair()
    more = given.pop("more", "User-Agent: phone")
    assert pair.receive(pair.message("hello", more, **given)) == [ACCEPTED]
    assert pair.taken == 1
    pair.wait(1.0)
    pair.register()
    assert len(pair.come()) == 1


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({"from_": "From: Dave <sip:dave@elsewhere.example>;tag=d"}, ACCEPTED),
        ({"from_": "From: <sip:dave@elsewhere.example>"}, ACCEPTED),
        ({"from_": "From: sip:dave@elsewhere.example;tag=d"}, ACCEPTED),
        ({"uri": "sip:192.0.2.10"}, ""),
        ({"uri": "sip:bob@192.0.2.10"}, ACCEPTED),
        ({"uri": "sip:bob@other.test"}, "SIP/2.0 403 Relaying Denied"),
        ({"to": "To: <sip:bob@example.com>;tag=x"}, "SIP/2.0 481 "),
        ({"more": "Expires: 0"}, "SIP/2.0 404 Not Found"),
        ({"more": "Expires: soon"}, ACCEPTED),
        ({"more": "Date: Tue, 14 Nov 2000 22:13:00 GMT\r\nExpires: 10"}, "SIP/2.0 404 Not Found"),
        ({"more": "Proxy-Require: x"}, "SIP/2.0 420 Bad Extension"),
        ({"more": "Route: <sip:192.0.2.10;lr>"}, ACCEPTED),
        ({"more": "Subject: a\r\nSubject: b"}, ACCEPTED),
        ({"more": "Subject: a\r\n b"}, ACCEPTED),
        ({"cseq": "1234567890"}, ACCEPTED),
    ],
)
def test_what_the_long_way_decides(given: dict[str, str], answer: str) -> None:
    """What is not plain is left alone, and the next message is as if it had not been."""
    pair = Pair()
    more = given.pop("more", "User-Agent: phone")
    [found] = pair.receive(pair.message("hello", more, **given))
    assert found.startswith(answer)
    assert pair.taken == 0
    assert pair.receive(pair.message("next")) == [ACCEPTED]
    pair.register()
    pair.come()


def test_repetitions() -> None:
    """RFC 3261 17.2.2: a retransmission gets the answer once more; by another way it is kept once."""
    pair = Pair()
    first = pair.message("one", call_id="same")
    assert pair.receive(first) == pair.receive(first) == [ACCEPTED]
    assert pair.receive(pair.message("one", call_id="same")) == [ACCEPTED]
    assert pair.taken == 1
    pair.restart()
    assert pair.receive(pair.message("one", call_id="same")) == [ACCEPTED]
    assert pair.taken == 1
    pair.register()
    assert pair.fetch() == ["one"]


def test_a_store_that_fails() -> None:
    """What is not durable is not acknowledged, and not counted; what was kept before comes."""
    pair = Pair(per_user=2)
    assert pair.receive(pair.message("one")) == [ACCEPTED]

    def breaks(broken: bool) -> None:
        for bench in pair.both:
            bench.broken = broken

    breaks(True)
    for _ in range(3):
        assert pair.receive(pair.message("two"))[0].startswith("SIP/2.0 503")
    breaks(False)
    pair.wait(10.0)
    assert pair.receive(pair.message("three")) == [ACCEPTED]
    pair.register()
    assert pair.fetch() == ["one", "three"]


def test_limits() -> None:
    """RFC 3261 21.4.11, 21.4.18: the user is not unknown; the sender is told what is the matter."""
    pair = Pair(per_user=3, per_sender=2, size=200)
    assert pair.receive(pair.message("x" * 300)) == ["SIP/2.0 413 Request Entity Too Large"]
    statuses = [pair.receive(pair.message("one")) for _ in range(3)]
    assert statuses == [[ACCEPTED], [ACCEPTED], ["SIP/2.0 480 Temporarily Unavailable"]]
    other = {"from_": "From: <sip:eve@elsewhere.example>;tag=e"}
    assert pair.receive(pair.message("one", **other)) == [ACCEPTED]
    assert pair.receive(pair.message("one", **other)) == ["SIP/2.0 480 Temporarily Unavailable"]
    assert pair.taken == 3


def test_what_the_sender_hears() -> None:
    """RFC 5438 8.1: a sender at the phone that is registered under that name gets its notice."""
    pair = Pair(notice="It waits.")
    pair.register(source="192.0.2.40")
    carol = {"uri": "sip:carol@example.com", "from_": f"From: <{BOB}>;tag=b"}
    answers = pair.receive(pair.message("hello", **carol))
    assert answers[-1].startswith("MESSAGE") or answers[0] == ACCEPTED
    assert pair.taken == 1
    assert pair.fetch() == ["It waits."]


def test_for_a_phone_that_is_there() -> None:
    """The server relays a message to a registered phone, on the long way."""
    pair = Pair()
    pair.register()
    assert pair.receive(pair.message("hello"))[0].startswith("MESSAGE sip:bob@192.0.2.20")
    assert pair.taken == 0


def test_another_module_has_a_say() -> None:
    """A step before ours sees each message."""
    bench = ModuleBench(Messages, MessagesSettings(), others=[Use(Other, None)], shares_rows=False)
    assert write(bench) == ["202 Accepted"]
    assert bench.stack.modules.get(Other).seen == 1


def test_a_mixed_life() -> None:
    """Hundreds of messages, phones that come, refuse and are silent, restarts: the same actions each time."""
    pair = Pair(retry=20, per_user=1_000, per_sender=1_000)
    chance = random.Random(11)
    for number in range(400):
        what = chance.random()
        if what < 0.6:
            data = pair.message(
                f"text {number}", chance.choice(("User-Agent: x", "Subject: s", "Expires: 90"))
            )
            if chance.random() < 0.15:
                at = chance.randrange(len(data))
                data = data[:at] + bytes([chance.choice(b' \r\n:;,<a0"\xff')]) + data[at + 1 :]
            try:
                parse_message(data, Limits(), datagram=True)
            except RemoteProtocolError:
                continue
            pair.receive(data)
        elif what < 0.75:
            gone = chance.choice(("", ";expires=0", ";expires=0"))
            pair.register(source=chance.choice(("192.0.2.20", "192.0.2.21")), more=gone)
        elif what < 0.78:
            pair.restart()
        else:
            pair.wait(chance.choice((0.0, 0.3, 5.0, 40.0)))
        for data, where in pair.come():
            if chance.random() < 0.8:
                pair.answer(data, where, chance.choice(("200 OK", "200 OK", "200 OK", "480 No", "415 No")))
    assert pair.taken > 50
