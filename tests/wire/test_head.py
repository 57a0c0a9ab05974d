"""The scanner of heads says yes only where the reader does, and its C reads no octet too far."""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.errors import RemoteProtocolError
from sansip.limits import DEFAULT
from sansip.wire import Request, head, parse_message
from sansip.wire.names import COMPACT, DISPLAY
from sansip.wire.reader import read_message
from tests.fuzz.mutate import change
from tests.sanitized import run_sanitized
from tests.wire import head_rules
from tests.wire.head_messages import MESSAGES
from tests.wire.scanners import ROOT
from tests.wire.strategies import plain_requests, spelled, torn


@pytest.fixture
def read(scanner: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``read_ordinary`` on the C module, also where it is not installed."""
    if not head.HAS_SCANNER:
        monkeypatch.setattr(head, "_read", scanner.read)
    return head.read_ordinary


def names(scanner: Any) -> list[str]:
    return [name for name in vars(scanner.Index) if not name.startswith("_")]


def found(index: Any, scanner: Any) -> dict[str, int] | None:
    return None if index is None else {name: getattr(index, name) for name in names(scanner)}


def facts(message: Any) -> list[Any]:
    """All that a message says."""
    told = [type(message), message.keys, message.lines, message._first, message.body, message.version]
    told += [message.start_line, message.call_id, message.cseq, message.max_forwards, message.to_bytes()]
    for address in (message.from_, message.to):
        told += [str(address), address.tag, address.display, str(address.uri), address.params]
    via = message.via
    told += [str(via), via.transport, via.host, via.port, via.branch, via.params, via.sent_by]
    if isinstance(message, Request):
        uri: Any = message.uri
        told += [message.method, message.uri_text, str(uri), uri.scheme, uri.user, uri.host, uri.port]
        told += [uri.params, uri.headers, uri.password, uri.transport]
    return told


def agree(data: bytes, scanner: Any, read: Any) -> bool:
    """Assert that both scanners and the reader say the same of ``data``; return whether it is ordinary."""
    index = scanner.scan(data)
    assert found(index, scanner) == found(head_rules.scan(data), scanner)
    for datagram in (True, False):
        message = read(data, DEFAULT, datagram)
        if message is not None:
            assert facts(message) == facts(read_message(data, DEFAULT, datagram))
    return index is not None


@pytest.mark.parametrize("data", MESSAGES)
def test_what_is_ordinary(data: bytes, scanner: Any, read: Any) -> None:
    """These are what phones, SIPp and proxies send: a scanner that says no to them is of no use."""
    assert agree(data, scanner, read)


def test_every_name_that_it_knows(scanner: Any, read: Any) -> None:
    """Proxy-Authorization had no key in C: one such request of any stranger ended the process."""
    source = (ROOT / "sansip" / "wire" / "_head.c").read_text()
    known = re.findall(r'\{"([a-z-]+)", [0-9]+, [A-Z_]+\}', source)
    assert {"via", "expires", "proxy-authorization", "m"} <= set(known)
    head_of = b"OPTIONS sip:biloxi.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n"
    head_of += b"Max-Forwards: 70\r\nFrom: <sip:a@biloxi.test>;tag=a\r\nTo: <sip:biloxi.test>\r\n"
    head_of += b"Call-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n"
    for name in known:
        # Names that stand there already make it another's to read; none may end the process.
        scanner.scan(head_of + f"{name}: 1\r\n\r\n".encode())
    for name in ("proxy-authorization", "Proxy-Authorization", "expires", "max-breadth", "proxy-require"):
        assert agree(head_of + f"{name}: 1\r\n\r\n".encode(), scanner, read)


@pytest.mark.parametrize("name", sorted({*DISPLAY.values(), *COMPACT}))
def test_each_known_field(name: str, scanner: Any, read: Any) -> None:
    """One that is read by its number in one place has a key in all: one had none, and was a crash."""
    line = f"{name}: 1".encode()
    agree(MESSAGES[0].replace(b"Content-Type: text/plain", line), scanner, read)
    agree(MESSAGES[1].replace(b"Record-Route: <sip:127.0.0.1;lr;d=1>", line), scanner, read)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_odd_and_torn_messages(data: st.DataObject, scanner: Any) -> None:
    """For any spelling and any missing part both scanners answer alike, as the reader does."""
    octets = data.draw(plain_requests.flatmap(spelled) | st.sampled_from(MESSAGES))
    if data.draw(st.booleans()):
        octets = data.draw(torn(octets))
    index = scanner.scan(octets)
    assert found(index, scanner) == found(head_rules.scan(octets), scanner)
    if index is not None:
        read_message(octets, dataclasses.replace(DEFAULT, uri_size=10**6), True)


def mutated(seed: int, messages: Sequence[bytes] = MESSAGES) -> Any:
    """Yield ``messages``, each spoiled in a few places."""
    chance = random.Random(seed)
    while True:
        data = bytearray(chance.choice(messages))
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            change(data, chance, MESSAGES)
        yield bytes(data[:4_000])


def test_spoiled_messages(scanner: Any, read: Any) -> None:
    """Near the edge of the ordinary form is where two readers would differ (RFC 3261 7.3.1, 8.1.1, 25.1)."""
    said = [agree(data, scanner, read) for data in itertools.islice(mutated(1), 6_000)]
    # Equally many of each, so that both answers were put to the test.
    assert 500 < sum(said) < 5_500


def test_each_octet_spoiled(scanner: Any, read: Any) -> None:
    """One octet changed, at each place of a request: to what separates, ends, quotes, or is no text."""
    for at in range(len(MESSAGES[0])):
        for octet in b'\x00\r\n\t ,;:"<>@=\\%A0\x7f\x80\xff':
            data = bytearray(MESSAGES[0])
            data[at] = octet
            agree(bytes(data), scanner, read)


def test_cut_at_each_octet(scanner: Any, read: Any) -> None:
    """A datagram that was cut ends anywhere."""
    for data in MESSAGES[:3]:
        for end in range(len(data)):
            agree(data[:end], scanner, read)


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("head_size", 300),
        ("message_size", 300),
        ("header_size", 30),
        ("uri_size", 10),
        ("header_count", 5),
        ("via_count", 5),
        ("route_count", 5),
        ("contact_count", 5),
    ],
)
def test_near_a_limit_the_reader_decides(limit: str, value: int, read: Any) -> None:
    """It knows what to answer; the quick way only knows that it may be too much."""
    limits = dataclasses.replace(DEFAULT, **{limit: value})
    assert read(MESSAGES[0], DEFAULT, True) is not None
    assert read(MESSAGES[0], limits, True) is None


def test_a_stream_needs_a_length(read: Any) -> None:
    """RFC 3261 18.3: on a stream nothing else says where a body ends."""
    data = MESSAGES[0].replace(b"Content-Length: 5\r\n", b"")
    assert read(data, DEFAULT, True) is not None
    assert read(data, DEFAULT, False) is None
    with pytest.raises(RemoteProtocolError, match="missing on a stream"):
        parse_message(data, datagram=False)


def test_what_it_refuses_to_be_given(scanner: Any) -> None:
    """Wrong arguments raise; the C code reads no memory that is not the message's."""
    with pytest.raises(TypeError):
        scanner.scan("text")
    with pytest.raises(TypeError):
        scanner.scan(bytearray(MESSAGES[0]))
    with pytest.raises(TypeError):
        scanner.Index()
    index = scanner.scan(MESSAGES[0])
    with pytest.raises(AttributeError):
        index.body = 10**6
    for given_ in ((), (MESSAGES[0],), (MESSAGES[0], None), ("text", {})):
        with pytest.raises(TypeError):
            scanner.read(*given_)
    with pytest.raises(TypeError):
        scanner.brief("text")
    for read in (scanner.echo, scanner.passing, scanner.opening, scanner.ending, scanner.usage):
        with pytest.raises(TypeError):
            read("text")


SANITIZED = """
import itertools, sys
from pathlib import Path
from sansip.wire.names import SPELLINGS
from tests.wire.scanners import load
from tests.wire.test_head import mutated
from tests.wire.head_messages import MESSAGES
from tests.wire.scanners import ROOT
from tests.wire.test_brief import OPTIONS, REGISTER
from tests.wire.test_echo import OK
from tests.wire.test_ending import ACK
from tests.wire.test_opening import INVITE, PROVEN
from tests.wire.test_passing import BYE, PROVEN as PROVEN_BYE
from tests.wire.test_usage import AUTHORIZATION, LINES, MESSAGE, octets
SUBSCRIBE, MESSAGE = octets([*LINES, AUTHORIZATION]), octets(MESSAGE, b"abc")
scanner = load(Path(sys.argv[1]))
yes = 0
def cut_up(data):
    for read in (scanner.echo_cut, scanner.passing_cut, scanner.opening_cut):
        found = read(data)
        if found is None:
            continue
        cut = found[-3]
        texts = [scanner.cut_text(cut, which) for which in range(9)]
        top, lines = texts[8], texts[:4]
        for to in (lines[1], lines[1][:-6], lines[1] + "x", "é"):
            for tag in (None, "2"):
                scanner.cut_repeats(cut, top, lines[0], to, lines[2], lines[3], tag)
        # Also where it is of another kind.
        for ask, given in (
            (scanner.cut_returned, (None,)),
            (scanner.cut_returned, ("Record-Route: <sip:a>",)),
            (scanner.cut_passed, ("Via: ours", "Via: é", 60, True)),
            (scanner.cut_opened, ("sip:é", "Record-Route: a", "Via: b", 60, True)),
            (scanner.cut_answered, ("SIP/2.0 100 Trying", "Via: é", "To: b", "rest")),
        ):
            try:
                ask(cut, *given)
            except ValueError:
                pass
MESSAGES += [OPTIONS, REGISTER, OK, BYE, INVITE, ACK, PROVEN, PROVEN_BYE, SUBSCRIBE, MESSAGE]
cut = [data[:end] for data in MESSAGES for end in range(len(data))]
MESSAGES += [INVITE.replace(b"To:", name.encode() + b": 1\\r\\nTo:") for name in [*SPELLINGS, "X-A"]]
for data in itertools.chain(MESSAGES, cut, itertools.islice(mutated(2), int(sys.argv[2]))):
    scanner.scan(data)
    yes += scanner.read(data, SPELLINGS) is not None
    for read in (scanner.brief, scanner.echo, scanner.passing, scanner.opening, scanner.ending):
        read(data)
    scanner.usage(data)
    cut_up(data)
    scanner.spliced(data, len(data) // 2, len(data), "é", 0, len(data) // 3, "")
    scanner.text_hash(7, data.decode(errors="surrogateescape"), len(data))
    scanner.noted(data.decode("ascii", "ignore"), "192.0.2.1", len(data))
for data in itertools.islice(mutated(3, [OPTIONS, REGISTER]), int(sys.argv[2])):
    yes += scanner.brief(data) is not None
plain = [OK, BYE, INVITE, ACK, PROVEN, PROVEN_BYE]
for data in itertools.islice(mutated(4, plain), int(sys.argv[2])):
    for read in (scanner.echo, scanner.passing, scanner.opening, scanner.ending):
        yes += read(data) is not None
    cut_up(data)
for data in itertools.islice(mutated(5, [SUBSCRIBE, MESSAGE]), int(sys.argv[2]) // 4):
    yes += scanner.usage(data) is not None
assert yes > 100
print("sanitized")
"""


@pytest.mark.timeout(300)
def test_under_sanitizers(tmp_path: Path) -> None:
    """C that reads one octet behind a datagram is how servers are taken over: ASan and UBSan see it.

    Each input is a block of memory of its own, with nothing behind it that may be read.
    """
    from hatch_build import compile_scanner

    run_sanitized(compile_scanner, tmp_path, SANITIZED, os.environ.get("SANSIP_SOAK_INPUTS", "4000"))


def test_without_the_module_the_reader_reads_all() -> None:
    """Where there is no compiler nothing changes but the time."""
    program = (
        "import sys; sys.modules['sansip.wire._head'] = None\n"
        "from sansip.wire import head, parse_message\n"
        "from tests.wire.head_messages import MESSAGES\n"
        "print(head.HAS_SCANNER, parse_message(MESSAGES[0]).method)\n"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    output = subprocess.check_output([sys.executable, "-c", program], text=True, env=environment)
    assert output == "False INVITE\n"
