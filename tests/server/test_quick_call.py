"""A call of the benchmark's SIPp stays octets in the stack that ``sansip serve`` builds.

The reader, and all behind it, costs several times as much as the quick ways. Nobody sees from outside which
way a call takes: one parameter more in what phones write can send each call the long way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from sansip import ListenerConfig, SendDatagram, Stack, reception
from sansip.actions import Ask
from sansip.auth import AuthConfig, compute_response, ha1
from sansip.config import StackConfig
from sansip.location import LocationUpdate
from sansip.module import Module, Use
from sansip.modules.media import Media, MediaSettings, RelaySettings
from sansip.modules.messages import Messages
from sansip.modules.rooms import Room, Rooms, RoomsSettings
from sansip.proxy.pair import Pair
from sansip.routing import openings, passages
from sansip.routing.default import route
from sansip_server.config import build
from sansip_server.config.schema import Settings
from tests.relays import Engine

SCENARIOS = Path(__file__).parents[2] / "benchmarks" / "scenarios"
SERVER, CALLER, CALLEE = ("127.0.0.1", 5060), ("127.0.0.1", 5070), ("127.0.0.1", 5071)
REGISTER = """REGISTER sip:bench.test SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5071;branch=z9hG4bKr;rport
Max-Forwards: 70
From: <sip:callee0@bench.test>;tag=1
To: <sip:callee0@bench.test>
Call-ID: r
CSeq: 1 REGISTER
Contact: <sip:callee0@127.0.0.1:5071;transport=udp>
Expires: 3600
Content-Length: 0

"""


class Sipp:
    """One side of a scenario: it writes its messages as SIPp does."""

    def __init__(self, scenario: str, local: tuple[str, int], known: dict[str, str] | None = None) -> None:
        root = ElementTree.parse(SCENARIOS / scenario).getroot()
        self.sends = iter([step.text or "" for step in root if step.tag == "send"])
        self.local = local
        self.known = known or {}
        self.last: list[str] = []
        self.next_url = self.route = ""
        self.branches = 0

    def hear(self, data: bytes) -> None:
        self.last = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        if data.startswith(b"SIP/2.0 200") and not self.route:
            # rrs="true"
            self.route = ", ".join(reversed(self.all("Record-Route")))
            self.next_url = self.all("Contact")[0].strip("<>")

    def all(self, name: str) -> list[str]:
        return [line.partition(": ")[2] for line in self.last[1:] if line.partition(":")[0] == name]

    def _last(self, match: re.Match[str]) -> str:
        # The values of several lines come back on one.
        values = self.all(match[1])
        return f"{match[1]}: {', '.join(values)}" if values else ""

    def says(self) -> bytes:
        """Return the next message of the scenario."""
        text = "\n".join(line.strip() for line in next(self.sends).strip().split("\n"))
        text = f"{text}\n" if "\n\n" in text else f"{text}\n\n"
        self.branches += 1
        known = {
            "transport": "UDP",
            "local_ip": self.local[0],
            "local_port": str(self.local[1]),
            "service": "callee0",
            "domain": "bench.test",
            "branch": f"z9hG4bK-20867-1-{self.branches}",
            "pid": "20867",
            "call_number": "1",
            "call_id": "1-20867@127.0.0.1",
            "next_url": self.next_url,
            "routes": f"Route: {self.route}",
            "field1": "",
            **self.known,
        }
        text = re.sub(r"\[last_([\w-]+):\]", self._last, text)
        text = re.sub(r"\[(\w+)\]", lambda match: known.get(match[1], match[0]), text)
        # Without those for which there is nothing.
        head, _, body = text.replace("\n", "\r\n").partition("\r\n\r\n")
        head = "\r\n".join(line for line in head.split("\r\n") if line)
        return f"{head.replace('[len]', f'{len(body):5}')}\r\n\r\n{body}".encode()


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what makes a message of octets."""
    counted: Counter[str] = Counter()

    def count(module: Any, name: str) -> None:
        function = getattr(module, name)

        def counting(*given: Any, **named: Any) -> Any:
            counted[name] += 1
            return function(*given, **named)

        monkeypatch.setattr(module, name, counting)

    count(reception, "parse_message")
    count(reception, "read_again")
    count(reception.Reception, "message_received")
    count(reception.Reception, "take")
    for module in (openings, passages):
        if str(module.__file__).endswith(".py"):
            count(module, "read_arrived")
    return counted


def config_of(settings: Settings, **more: Any) -> StackConfig:
    config = build.stack_config(
        settings, [ListenerConfig(0, "udp", *SERVER)], ["bench.test"], [], route, b"0123456789abcdef"
    )
    for name, value in more.items():
        setattr(config, name, value)
    return config


def call(stack: Stack, relay: Engine | None = None) -> Iterator[tuple[bytes, list[bytes]]]:
    """Play the call of the benchmark; yield each message in, and what went out to the phones for it."""
    caller, callee = Sipp("uac.xml", CALLER), Sipp("uas.xml", CALLEE)
    now = 1.0

    def gives(data: bytes, source: tuple[str, int]) -> tuple[bytes, list[bytes]]:
        nonlocal now
        now += 0.001
        sent: list[SendDatagram] = []
        actions = stack.datagram_received(0, data, source, now)
        while actions:
            one, *actions = actions
            if not isinstance(one, SendDatagram):
                continue
            if one.listener >= 0:
                sent.append(one)
                continue
            assert relay is not None
            for answer in relay.answer(one.data):
                actions += stack.datagram_received(one.listener, answer, one.address, now)
        for one in sent:
            (caller if one.address == CALLER else callee).hear(one.data)
        return data, [one.data for one in sent]

    yield gives(REGISTER.replace("\n", "\r\n").encode(), CALLEE)
    yield gives(caller.says(), CALLER)
    yield gives(callee.says(), CALLEE)
    yield gives(callee.says(), CALLEE)
    yield gives(caller.says(), CALLER)
    yield gives(caller.says(), CALLER)
    yield gives(callee.says(), CALLEE)


def begin(settings: Settings, **more: Any) -> Stack:
    stack = Stack(config_of(settings, **more), bytes(range(32)))
    stack.time_passed(0.5)
    return stack


def test_sipp_is_written_as_it_writes() -> None:
    """Joined Via values, a padded length, parameters in URIs: by these each live call took the long way."""
    (_, invite, rings, _, ack, bye, _) = [data for data, _ in call(begin(Settings()))]
    assert b"Contact: <sip:caller@127.0.0.1:5070;transport=UDP>\r\n" in invite
    assert re.search(rb"Content-Length:   [0-9]{3}\r\n\r\nv=0\r\n", invite)
    assert re.search(rb"Via: SIP/2.0/UDP 127.0.0.1:5060;branch=[^,]*, SIP/2.0/UDP 127.0.0.1:5070;", rings)
    assert ack.startswith(b"ACK sip:callee0@127.0.0.1:5071;transport=UDP SIP/2.0\r\n")
    assert re.search(rb"\r\nRoute: <sip:127.0.0.1:5060;lr;d=[0-9a-f]*>\r\n", bye)


def test_no_message_is_made_of_a_call(way: Counter[str]) -> None:
    """Each of the six messages of a call, and the REGISTER before it, goes on as octets."""
    stack = begin(Settings())
    sent = [[data.partition(b" ")[0] for data in out] for _, out in call(stack)]
    assert sent == [
        [b"SIP/2.0"],
        # RFC 3261 17.2.1: a 100, and the INVITE.
        [b"SIP/2.0", b"INVITE"],
        [b"SIP/2.0"],
        [b"SIP/2.0"],
        [b"ACK"],
        [b"BYE"],
        [b"SIP/2.0"],
    ]
    assert way == {}
    assert all(isinstance(one, Pair) and one.done for one in stack.transactions.clients.values())
    assert len(stack.transactions.clients) == 2


@pytest.mark.parametrize("kind", [Messages, Rooms])
def test_beside_modules_for_messages(way: Counter[str], kind: type[Module]) -> None:
    """Their steps are for MESSAGE: a call does not wait for them. (A room's REGISTER is looked at.)"""
    settings = RoomsSettings([Room("sip:team@bench.test")]) if kind is Rooms else None
    stack = begin(Settings(), modules=[Use(kind, settings)])
    assert len([out for _, out in call(stack)]) == 7
    assert way["message_received"] == (kind is Rooms)
    assert all(isinstance(one, Pair) and one.done for one in stack.transactions.clients.values())


def test_through_a_media_relay(way: Counter[str]) -> None:
    """Descriptions are changed in the octets; SIPp's padded Content-Length sent each call the long way."""
    relays = [RelaySettings("ng:198.51.100.1:2223")]
    used = Use(Media, MediaSettings(relays, profiles=["always"], probe_interval=0.0))
    played = list(call(begin(Settings(), modules=[used]), Engine("203.0.113.5")))
    [_, (_, [_, invite]), _, (_, [ok]), *_] = played
    for one in (invite, ok):
        head, _, body = one.partition(b"\r\n\r\n")
        assert b"c=IN IP4 203.0.113.5" in body
        assert b"\r\nContent-Length: %d\r\n" % len(body) in head + b"\r\n"
    assert way == {}


def test_the_long_way_sends_the_same() -> None:
    """The quick ways change the cost of a call and nothing else."""
    quick, long = begin(Settings()), begin(Settings())
    long.reception.openings = long.reception.passages = long.reception.quick = None
    long.reception.briefs = long.reception.shortcut = None
    assert list(call(quick)) == list(call(long))


def test_the_count_counts(way: Counter[str]) -> None:
    """Without this the test above would prove nothing."""
    stack = begin(Settings())
    stack.reception.openings = None
    list(call(stack))
    assert way["message_received"] > 0


def registration(stack: Stack, port: str) -> Iterator[tuple[bytes, list[bytes]]]:
    """Play the registration of ``benchmarks/register.py``; yield each message in, and what went out."""
    phone = Sipp("register_digest.xml", CALLEE, {"field0": "callee0"})
    now = 1.0
    for _ in range(2):
        data = phone.says()
        sent = []
        for one in stack.datagram_received(0, data, CALLEE, now):
            if isinstance(one, Ask):
                # The store takes the binding.
                assert isinstance(one.question, LocationUpdate)
                sent += stack.answer(one.id, None, now + 0.001)
            else:
                sent.append(one)
        out = [one.data for one in sent if isinstance(one, SendDatagram)]
        yield data, out
        phone.hear(out[0])
        phone.known["field1"] = answer_of(out[0].decode(), f"sip:{SERVER[0]}:{port}")
        now += 0.01


def answer_of(challenged: str, uri: str) -> str:
    """Return the Authorization of SIPp, which hashes the address that it sends to."""
    found = re.search(r'nonce="([^"]+)"', challenged)
    nonce = "" if found is None else found[1]
    key = ha1("callee0", "bench.test", "secret", "MD5")
    proof = compute_response(
        key, "REGISTER", uri, nonce, algorithm="MD5", qop="auth", nc="00000001", cnonce="6b8b4567"
    )
    return (
        'Authorization: Digest username="callee0",realm="bench.test",cnonce="6b8b4567",nc=00000001,qop=auth,'
        f'uri="{uri}",nonce="{nonce}",response="{proof}",algorithm=MD5'
    )


def test_no_message_is_made_of_a_registration(way: Counter[str]) -> None:
    """Challenge, proof and store: the second REGISTER took the long way, for SIPp hashes another URI."""
    known = {"MD5": ha1("callee0", "bench.test", "secret", "MD5")}
    stack = begin(Settings(), auth=AuthConfig(algorithms=("MD5",)), durable=True)
    stack.recall = lambda lookup: known if lookup.username == "callee0" else None
    out = [sent for _, sent in registration(stack, "5060")]
    assert [[one.partition(b"\r\n")[0] for one in sent] for sent in out] == [
        [b"SIP/2.0 401 Unauthorized"],
        [b"SIP/2.0 200 OK"],
    ]
    assert way == {}
