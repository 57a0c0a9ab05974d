"""The pieces of a plain head: a line that stands once, names that no other line has, places in octets."""

from __future__ import annotations

import pytest

from sansip.limits import DEFAULT
from sansip.wire.plain_head import VIA, BriefReader, head_pattern, line, octets_at, value

HEAD = head_pattern(
    "X (?P<what>[a-z]+)", (line("to", "To: (?P<tag>.)"), value("hops", "Hops: ", "[0-9]")), "to|t", ("what",)
)


@pytest.mark.parametrize(
    ("head", "found"),
    [
        ("X a\r\nTo: 1\r\nHops: 2\r\n", ("a", "To: 1", "1", "2")),
        ("X a\r\nHops: 2\r\nOther:\r\nTo: 1\r\nOther: 3\r\n", ("a", "To: 1", "1", "2")),
        ("X a\r\nOther: 3\r\n", ("a", None, None, None)),
        ("X a\r\nOther: 3\r\nOther: 4", None),
        # RFC 3261 7.3.1: a field that stands twice, and another spelling of one that is read.
        ("X a\r\nTo: 1\r\nTo: 1\r\n", None),
        ("X a\r\nTo: 1\r\nTO: 2\r\n", None),
        ("X a\r\nTo: 1\r\nt : 2\r\n", None),
        # A field that is not named may have any form beside the one that is read.
        ("X a\r\nHops: 2\r\nHops: 3\r\n", ("a", None, None, "2")),
        # RFC 3261 7.3.1: a fold.
        ("X a\r\nOther: 3\r\n 4\r\n", None),
        ("X a\r\nOther: \0\r\n", None),
        ("X a\r\n", None),
    ],
)
def test_lines_of_a_head(head: str, found: tuple[str | None, ...] | None) -> None:
    """Each line has one reading."""
    match = HEAD.fullmatch(head)
    assert (None if match is None else match.groups()) == found


@pytest.mark.parametrize(
    ("params", "plain"),
    [
        (";branch=z9hG4bK1", True),
        (";rport;branch=z9hG4bK1", True),
        (";branch=z9hG4bK1;rport", True),
        (";rport;branch=z9hG4bK1;rport", False),
        (";rport=5060;branch=z9hG4bK1", False),
        (";branch=1", False),
        (";branch=z9hG4bK1;received=192.0.2.1", False),
    ],
)
def test_rport_stands_once(params: str, plain: bool) -> None:
    """RFC 3581 3, RFC 3261 7.3.1, 8.1.1.7."""
    pattern = head_pattern("X", (line("via", VIA),), "via|v", ("via",))
    assert (pattern.fullmatch(f"X\r\nVia: SIP/2.0/UDP 192.0.2.1:5060{params}\r\n") is not None) == plain


def test_places_in_octets() -> None:
    """A character has one to four octets."""
    assert octets_at("aé\u2028\U0001f600b", (0, 1, 2, 3, 4, 5)) == (0, 1, 3, 6, 10, 11)


def test_the_scanner_reads_first() -> None:
    """Octets that are no ASCII are for the pattern; what is ASCII and not plain is for the reader."""
    pattern = head_pattern("X", (value("length", "Length: ", "[0-9]"),), "length", ("length",))
    asked: list[bytes] = []

    def scan(data: bytes) -> tuple[int, int] | None:
        asked.append(data)
        return None if b"?" in data else (1, 0)

    reader = BriefReader(
        lambda data, parts: parts,
        pattern,
        ("length", "length"),
        lambda match, kept, head, body: (2, body),
        scan,
    )
    assert reader.read(b"X\r\nLength: 0\r\n\r\n", DEFAULT) == (1, 0)
    assert reader.read(b"X\r\nA: ?\r\nLength: 0\r\n\r\n", DEFAULT) is None
    assert reader.read("X\r\nA: é?\r\nLength: 0\r\n\r\n".encode(), DEFAULT) == (2, 24)
    # RFC 3261 18.3: the body is as long as it says.
    assert reader.read("X\r\nA: é?\r\nLength: 1\r\n\r\n".encode(), DEFAULT) is None
    # RFC 3261 18.3: without a length it may go on.
    assert reader.read("X\r\nA: é?\r\n\r\n".encode(), DEFAULT) is None
    assert reader.read(b"X\r\nA: \xff?\r\nLength: 0\r\n\r\n", DEFAULT) is None
    assert len(asked) == 6
