"""What the C module keeps of a message in brief gives what the parts give, which it reads as well."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from sansip.wire.echo import Echo
from sansip.wire.opening import Opening
from sansip.wire.passing import Passing
from tests.fuzz.mutate import change
from tests.wire.scanners import read_by
from tests.wire.test_echo import OKS
from tests.wire.test_opening import INVITE, PROVEN, ROUTED
from tests.wire.test_passing import BYE
from tests.wire.test_passing import PROVEN as PROVEN_BYE

KINDS: dict[str, tuple[Any, tuple[bytes, ...]]] = {
    "echo": (Echo, OKS),
    "passing": (Passing, (BYE, PROVEN_BYE)),
    "opening": (Opening, (INVITE, ROUTED, PROVEN)),
}
# What is seen of each.
SEEN = {
    "echo": ("status", "key", "branch", "method", "top", "contact", "recorded", "goes_back", "body"),
    "passing": (
        *("method", "uri", "host", "port", "via", "sent_host", "sent_port", "sent_by", "key", "rport"),
        *("branch", "from_", "from_tag", "to", "to_tag", "call_id_line", "call_id", "cseq_line", "cseq"),
        *("hops", "route", "credentials", "deciding", "body"),
    ),
    "opening": (
        *("uri", "user", "host", "port", "via", "sent_host", "sent_port", "sent_by", "key", "rport"),
        *("branch", "from_", "from_host", "from_tag", "to", "call_id_line", "call_id", "cseq_line", "cseq"),
        *("hops", "contact", "route", "credentials", "deciding", "body"),
    ),
}


@pytest.fixture(autouse=True)
def by_the_module(monkeypatch: pytest.MonkeyPatch, scanner: Any) -> None:
    """Ask each Cut by the module that made it."""
    read_by(monkeypatch, scanner)


def both(scanner: Any, kind: str, data: bytes) -> tuple[Any, Any] | None:
    """Return what is made of the parts of ``data``, and of its Cut; None where it is not plain."""
    make, _ = KINDS[kind]
    parts, cut = getattr(scanner, kind)(data), getattr(scanner, f"{kind}_cut")(data)
    assert (parts is None) == (cut is None), data
    return None if parts is None else (make(data, parts), make(data, cut))


def spoiled(kind: str) -> Iterator[bytes]:
    """Yield messages of ``kind``, and others like them."""
    _, plain = KINDS[kind]
    yield from plain
    chance = random.Random(kind)
    for _ in range(4_000):
        data = bytearray(chance.choice(plain))
        change(data, chance, list(plain))
        yield bytes(data)


@pytest.mark.parametrize("kind", KINDS)
def test_both_say_the_same(scanner: Any, kind: str) -> None:
    """A line that one of them sees otherwise is a message of another sender."""
    read = 0
    for data in spoiled(kind):
        pair = both(scanner, kind, data)
        if pair is None:
            continue
        read += 1
        by_parts, by_cut = pair
        for name in SEEN[kind]:
            assert getattr(by_cut, name) == getattr(by_parts, name), (name, data)
        if kind == "echo":
            for recorded in (None, "Record-Route: <sip:a>"):
                if recorded is None or by_parts.recorded is not None:
                    assert by_cut.octets(recorded) == by_parts.octets(recorded)
            continue
        for proven in (False, True):
            given: tuple[Any, ...] = "Via: ours", "Via: noted", 60, proven
            if kind == "opening":
                given = "sip:é", *given
                start = "SIP/2.0 100 Trying", "Via: noted", "To: x", "Content-Length: 0\r\n\r\n"
                assert by_cut.answer(*start) == by_parts.answer(*start)
            assert by_cut.forwarded(*given) == by_parts.forwarded(*given)
    assert read > 500


def test_both_compare_alike(scanner: Any) -> None:
    """RFC 3261 8.2.6.2: one octet that differs, and a response is not to this request."""
    lines = (
        "Via: SIP/2.0/UDP 192.0.2.99:5060;branch=z9hG4bK1.2",
        'From: "A, B" <sip:a@a.test>;tag=1',
        "To: <sip:b@b.test>",
        "Call-ID: 1@a.test",
        "CSeq: 7 INVITE",
    )
    tagged = (*lines[:2], f"{lines[2]};tag=2", *lines[3:])
    untagged = OKS[0].replace(b";tag=2", b"")
    differ = [
        (*given[:at], other, *given[at + 1 :])
        for given in (lines, tagged)
        for at in range(5)
        for other in ("", given[at][:-1], f"{given[at]}x", f"{given[at][:-1]}é", f"x{given[at][1:]}")
    ]
    said = set()
    for data, given, tag in itertools.product((*OKS, untagged), (lines, tagged, *differ), (None, "2", "3")):
        by_parts, by_cut = both(scanner, "echo", data) or (None, None)
        assert by_parts is not None
        assert by_cut is not None
        found = by_parts.repeats(*given, tag)
        assert by_cut.repeats(*given, tag) == found, (given, tag)
        if found:
            assert by_cut.tag == by_parts.tag
            said.add(by_cut.tag)
    assert said == {None, "2", "3"}


def test_what_it_refuses_to_be_asked(scanner: Any) -> None:
    """Wrong arguments raise; the C code reads no memory that is not the message's."""
    cut = scanner.opening_cut(INVITE)[-3]
    asking = {
        scanner.cut_text: (0,),
        scanner.cut_repeats: ("", "", "", "", "", None),
        scanner.cut_returned: (None,),
        scanner.cut_passed: ("", "", 1, False),
        scanner.cut_opened: ("", "", "", 1, False),
        scanner.cut_answered: ("", "", "", ""),
    }
    for ask, given in asking.items():
        for wrong in ((), (cut,), (INVITE, *given), (cut, *given, None)):
            with pytest.raises(TypeError, match="a Cut is asked"):
                ask(*wrong)
        ask(cut, *given)
    for which in (-1, 9, 1 << 40):
        with pytest.raises(ValueError, match="no such text"):
            scanner.cut_text(cut, which)
    for ask, wrong in (
        (scanner.cut_text, ("a",)),
        (scanner.cut_passed, (b"", "", 1, False)),
        (scanner.cut_opened, ("", "", None, 1, False)),
        (scanner.cut_answered, ("", "", None, "")),
    ):
        with pytest.raises(TypeError):
            ask(cut, *wrong)
    # What is no text is no line.
    assert scanner.cut_repeats(cut, 1, 1, 1, 1, 1, None) is False
    with pytest.raises(TypeError):
        type(cut)()
    with pytest.raises(AttributeError):
        cut.route = 10**6
    for read in (scanner.echo_cut, scanner.passing_cut, scanner.opening_cut):
        with pytest.raises(TypeError):
            read("text")


def test_it_keeps_its_octets(scanner: Any) -> None:
    """The message that it was cut out of may be gone."""
    data = bytes(bytearray(INVITE))
    cut = scanner.opening_cut(data)[-3]
    del data
    other = [bytes(len(INVITE)) for _ in range(100)]
    assert scanner.cut_text(cut, 2) == "Call-ID: 1@a.test"
    assert len(other) == 100
