"""An OPTIONS or REGISTER over a stream is answered from its octets as on the long way."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from sansip import ListenerConfig, SendData, Stack, StackConfig
from sansip.auth import AuthConfig
from sansip.limits import Limits
from sansip.module import PASS, Module, Use
from sansip.proxy import ProxyConfig
from sansip.routing import TrustedPeer
from tests.properties.spelling import spell
from tests.rig import Flow

OPTIONS = b"""OPTIONS sip:biloxi.test SIP/2.0
Via: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK1;rport
Max-Forwards: 70
From: <sip:alice@atlanta.test>;tag=a
To: <sip:biloxi.test>
Call-ID: o
CSeq: 1 OPTIONS
User-Agent: phone
Content-Length: 0

""".replace(b"\n", b"\r\n")
REGISTER = b"""REGISTER sip:biloxi.test SIP/2.0
Via: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK2
Max-Forwards: 70
From: <sip:bob@biloxi.test>;tag=a
To: <sip:bob@biloxi.test>
Call-ID: r
CSeq: 1 REGISTER
Contact: <sip:bob@192.0.2.1:5060;transport=tcp>
Content-Length: 0

""".replace(b"\n", b"\r\n")
SOURCE = ("192.0.2.1", 40000)


class Looks(Module):
    """Sees each message as it arrives."""

    name = "looks"

    def message_arrived(self, message: Any, flow: Any, now: float) -> Any:
        return PASS


CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "passwords": {"auth": AuthConfig()},
    "trusted peer": {"trusted": [TrustedPeer("192.0.2.1", "carrier")]},
    "rport always": {"proxy": ProxyConfig(force_rport="always")},
    "two a second": {"limits": Limits(source_rate=2, source_burst=3)},
    "small limits": {"limits": Limits(header_size=300, head_size=320, uri_size=60)},
    "looks": {"modules": [Use(Looks)]},
    "no room": {"limits": Limits(aors=1)},
    "one phone": {"limits": Limits(bindings_per_aor=1)},
    "no phone": {"limits": Limits(bindings_per_aor=0)},
}


class Counted:
    """Counts what is answered in brief (it is compiled in one build, so nothing derives from it)."""

    def __init__(self, briefs: Any) -> None:
        self.briefs = briefs
        self.count = 0
        self.methods: Counter[bytes] = Counter()

    def answers(self, data: bytes, *given: Any) -> bool:
        answered: bool = self.briefs.answers(data, *given)
        self.count += answered
        self.methods[data.split(b" ", 1)[0]] += answered
        return answered


class Streams:
    """A stack that answers in brief, and one that makes a message of everything, with a connection each."""

    def __init__(self, source: tuple[str, int] = SOURCE, transport: str = "tcp", **more: Any) -> None:
        kinds = enumerate(("udp", transport))
        listeners = [ListenerConfig(number, kind, "192.0.2.99", 5060) for number, kind in kinds]
        self.now = 1000.0
        self.stacks = [Stack(StackConfig(listeners, ["biloxi.test"], **more), b"s" * 16) for _ in range(2)]
        quick: Any = self.stacks[0]
        long = self.stacks[1]
        self.briefs: Any = Counted(quick.reception.briefs)
        quick.reception.briefs = self.briefs
        long.reception.briefs = long.reception.shortcut = long.reception.quick = None
        self.conns = [stack.new_connection() for stack in self.stacks]
        for stack, conn in zip(self.stacks, self.conns, strict=True):
            stack.connection_opened(conn, Flow(1, transport, source, True), self.now)

    def feed(self, data: bytes) -> list[Any]:
        """Give both ``data``; return the actions, which are the same."""
        self.now += 0.25
        pairs = zip(self.stacks, self.conns, strict=True)
        actual, expected = [stack.data_received(conn, data, self.now) for stack, conn in pairs]
        assert actual == expected, data
        quick, long = self.stacks
        assert quick.snapshot() == long.snapshot()
        # A flow equals itself alone.
        assert repr(quick.location.snapshot()) == repr(long.location.snapshot())
        assert quick.reception.rates._buckets == long.reception.rates._buckets
        return actual


def test_several_in_one_read() -> None:
    """RFC 3261 18.3: pipelined, in pieces, beside a REGISTER and a ping; each has its answer, in order."""
    streams = Streams()
    streams.feed(OPTIONS)
    # The first input starts the stack.
    started = streams.briefs.count
    sent = streams.feed(OPTIONS * 3 + REGISTER + b"\r\n\r\n" + OPTIONS[:50])
    sent += streams.feed(OPTIONS[50:])
    assert streams.briefs.count - started == 5
    answers = [one.data for one in sent if isinstance(one, SendData) and one.data.startswith(b"SIP/2.0 200")]
    assert len(answers) == 5
    assert b";rport=40000;received=192.0.2.1\r\n" in answers[0]


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize(
    "source", [SOURCE, ("192.0.2.1", 5060), ("198.51.100.9", 5060), ("2001:db8::1", 5060)]
)
@pytest.mark.parametrize("via", [b";rport", b"", b";received=192.0.2.9", b";maddr=192.0.2.9", b";rport=1"])
def test_where_it_came_from(transport: str, source: tuple[str, int], via: bytes) -> None:
    """RFC 3261 18.2.1, 18.2.2, RFC 3581 4: it goes back by its connection; Via says from where it came."""
    streams = Streams(source, transport)
    for number in range(3):
        streams.feed(OPTIONS.replace(b";rport", via).replace(b"bK1", b"bK%d" % number))


@pytest.mark.parametrize("name", CONFIGS)
def test_any_spelling(name: str) -> None:
    """Whatever a stranger writes: what is answered in brief is what the route would answer."""
    chance = Random(name)
    taken: Counter[bytes] = Counter()
    for _ in range(120):
        streams = Streams(**CONFIGS[name])
        for number in range(6):
            data = chance.choice((OPTIONS, OPTIONS, OPTIONS, REGISTER))
            data = data.replace(b"z9hG4bK", b"z9hG4bK%d" % number)
            data = data.replace(b"CSeq: 1 R", b"CSeq: %d R" % chance.randint(1, 6))
            data = data.replace(b"bob@192", chance.choice((b"bob@192", b"bob@192", b"bob2@192")))
            streams.feed(spell(data, chance, chance.choice((0, 1, 1, 2))))
        taken += streams.briefs.methods
    # How many of the spelled ones are read in brief differs between the readers in C and in Python.
    assert (taken[b"REGISTER"] > 0) == (name not in ("looks", "small limits", "no phone")), taken
    # The route answers what a trusted peer asks, and decides on its REGISTER as on anybody's.
    assert (taken[b"OPTIONS"] > 0) == (name not in ("looks", "small limits", "trusted peer")), taken


def test_a_module_of_ones_own_sees_it() -> None:
    """A module that looks at each message has the route decide."""
    streams = Streams(modules=[Use(Looks)])
    for _ in range(3):
        streams.feed(OPTIONS)
    assert streams.briefs.count == 0


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize(
    "source", [("192.0.2.1", 5060), SOURCE, ("198.51.100.9", 40000), ("10.0.0.1", 40000)]
)
@pytest.mark.parametrize("via", [b"", b";rport"])
@pytest.mark.parametrize("asked", [b"", b";transport=tcp", b";transport=tls", b";transport=udp", b";ob"])
@pytest.mark.parametrize("host", [b"192.0.2.1:5060", b"10.0.0.7:5060", b"192.0.2.1", b"198.51.100.9:40000"])
def test_a_binding_keeps_its_connection(
    transport: str, source: tuple[str, int], via: bytes, asked: bytes, host: bytes
) -> None:
    """RFC 5626 5.3, RFC 3261 18.2.1: made, refreshed, and gone with its connection; and where a NAT shows."""
    streams = Streams(source, transport)
    streams.feed(OPTIONS)
    data = REGISTER.replace(b"192.0.2.1:5060;transport=tcp", host + asked).replace(b"bK2", b"bK2" + via)
    for number in range(1, 4):
        streams.feed(data.replace(b"bK2", b"bK2%d" % number).replace(b"CSeq: 1", b"CSeq: %d" % number))
    quick, long = streams.stacks
    bound = quick.location.lookup("sip:bob@biloxi.test", streams.now)
    assert [one.cseq for one in bound] == [3]
    ends = [
        stack.connection_closed(conn, "gone", streams.now)
        for stack, conn in zip(streams.stacks, streams.conns, strict=True)
    ]
    assert ends[0] == ends[1]
    assert repr(quick.location.snapshot()) == repr(long.location.snapshot())


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("via", [b"", b";rport"])
@pytest.mark.parametrize("shown", [b"", b'"x@2.16.1.2" '])
def test_a_source_that_is_the_end_of_the_contact(transport: str, via: bytes, shown: bytes) -> None:
    """A phone behind a NAT at 2.16.1.2 names 172.16.1.2; no way may take that for its source."""
    streams = Streams(("2.16.1.2", 40000), transport)
    streams.feed(OPTIONS)
    streams.feed(
        REGISTER.replace(b"<sip:bob@192.0.2.1:5060;transport=tcp>", shown + b"<sip:bob@172.16.1.2>")
        .replace(b"192.0.2.1:5060", b"2.16.1.2")
        .replace(b"bK2", b"bK2" + via)
    )
    [bound] = streams.stacks[0].location.lookup("sip:bob@biloxi.test", streams.now)
    if not shown:
        assert bound.received is not None
        assert bound.received.address == ("2.16.1.2", 40000)


def test_it_is_answered_in_brief() -> None:
    """Registered, refreshed, and registered at a second place, which the registrar decides."""
    streams = Streams()
    streams.feed(OPTIONS)
    before = streams.briefs.count
    for number in range(1, 4):
        streams.feed(REGISTER.replace(b"bK2", b"bK2%d" % number).replace(b"CSeq: 1", b"CSeq: %d" % number))
    assert streams.briefs.count - before == 3
    streams.feed(
        REGISTER.replace(b"bK2", b"bKo").replace(b"bob@192", b"bob2@192").replace(b"ID: r", b"ID: s")
    )
    assert streams.briefs.count - before == 3
    assert len(streams.stacks[0].location.lookup("sip:bob@biloxi.test", streams.now)) == 2


def test_an_older_one_does_not_count() -> None:
    """RFC 3261 10.3 step 7: for the same Call-ID the CSeq has to be higher."""
    streams = Streams()
    streams.feed(OPTIONS)
    streams.feed(REGISTER.replace(b"CSeq: 1", b"CSeq: 5"))
    before = streams.briefs.count
    sent = streams.feed(REGISTER.replace(b"bK2", b"bK3").replace(b"CSeq: 1", b"CSeq: 4"))
    assert streams.briefs.count == before
    assert not any(isinstance(one, SendData) and one.data.startswith(b"SIP/2.0 2") for one in sent)
