"""What each reading in brief has to stand, whatever kind of message it reads: near the edge of its form.

A test file derives a class from ``InBrief``, and says what it reads, and what agreement with the reader is.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from sansip.limits import DEFAULT, Limits
from sansip.wire.plain_head import BriefReader
from tests.fuzz.mutate import change
from tests.wire.head_messages import MESSAGES

__all__ = ["InBrief", "joined", "parts_by_pattern", "split"]

# To what separates, ends, quotes, or is no text.
_OCTETS = b'\x00\r\n\t ,;:"<>@=\\%A0\x7f\x80\xff'
_SIZES = ("header_size", "head_size", "message_size", "header_parts", "uri_size")
_COUNTS = ("header_count", "via_count", "route_count", "contact_count")
# What a stranger may repeat.
_PIECES = (b"a: b\r\n", b"Via: x\r\n", b" ", b"\x80", b"a.", b"a-", b";a=b", b'"', b"<", b"1")


def split(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the lines of the head of ``data``, and its body."""
    head, _, body = data.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


def joined(lines: list[bytes], body: bytes) -> bytes:
    """Return the message of these lines and this body."""
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def parts_by_pattern(reader: BriefReader[Any], data: bytes) -> Any:
    """Return the parts that the pattern of ``reader`` finds in ``data``."""
    end = data.find(b"\r\n\r\n")
    head = data[: end + 2].decode()
    match = reader._matches(head)
    assert match is not None
    return reader._parts_of(match, match.group(*reader._keeps), head, end + 4)


class InBrief:
    """The tests of one reading."""

    # What is read; the first one is taken apart line by line.
    plain: ClassVar[tuple[bytes, ...]]
    # Fields that may stand twice, and those that need not stand there.
    several: ClassVar[tuple[bytes, ...]]
    optional: ClassVar[tuple[bytes, ...] | None]
    # Limits that the first one is near to: octets, fields.
    size: ClassVar[int] = 200
    count: ClassVar[int] = 9
    # At least so many of 6,000 spoiled messages are still read.
    least: ClassVar[int] = 300
    # Where a stranger's octets begin.
    begun: ClassVar[tuple[bytes, ...]]
    pieces: ClassVar[tuple[bytes, ...]] = _PIECES

    @staticmethod
    def agree(data: bytes) -> bool:
        """Assert that what is read is what the reader reads; return whether it was."""
        raise NotImplementedError

    @staticmethod
    def read(data: bytes, limits: Limits) -> Any:
        """Read ``data`` in brief."""
        raise NotImplementedError

    def test_spoiled_messages(self) -> None:
        """Near the edge of the plain form is where two readers would differ."""
        chance = random.Random(1)
        cls = type(self)

        def spoiled() -> bytes:
            data = bytearray(chance.choice((*cls.plain * 3, chance.choice(MESSAGES))))
            for _ in range(chance.choice((1, 1, 1, 2, 3))):
                change(data, chance, [*cls.plain, *MESSAGES])
            return bytes(data[:4_000])

        said = [cls.agree(spoiled()) for _ in range(6_000)]
        assert cls.least < sum(said) < 5_500

    def test_each_octet_spoiled(self) -> None:
        """One octet changed, at each place."""
        cls = type(self)
        for plain in cls.plain:
            for at, octet in itertools.product(range(len(plain)), _OCTETS):
                data = bytearray(plain)
                data[at] = octet
                cls.agree(bytes(data))

    def test_each_line_twice_and_away(self) -> None:
        """RFC 3261 7.3.1: a field that stands twice, or has another spelling, is for the reader."""
        cls = type(self)
        lines, body = split(cls.plain[0])
        for at in range(1, len(lines)):
            twice = cls.agree(joined([*lines[:at], lines[at], *lines[at:]], body))
            assert twice == lines[at].startswith(cls.several), lines[at]
            away = cls.agree(joined([*lines[:at], *lines[at + 1 :]], body))
            assert cls.optional is None or away == lines[at].startswith(cls.optional), lines[at]
            name, _, value = lines[at].partition(b":")
            for odd in (name.upper(), name[:1].lower(), name + b" "):
                cls.agree(joined([*lines[:at], odd + b":" + value, *lines[at + 1 :]], body))
                cls.agree(joined([*lines, odd + b":" + value], body))

    def test_any_order_of_lines(self) -> None:
        """RFC 3261 7.3.1: the order of fields of different names means nothing."""
        cls = type(self)
        (start, *lines), body = split(cls.plain[0])
        chance = random.Random(1)
        for _ in range(200):
            chance.shuffle(lines)
            assert cls.agree(joined([start, *lines], body))

    @pytest.mark.parametrize("name", [*_SIZES, *_COUNTS])
    def test_near_a_limit_the_reader_decides(self, name: str) -> None:
        """It has the right refusal."""
        cls = type(self)
        assert cls.read(cls.plain[0], DEFAULT) is not None
        limits = replace(DEFAULT, **{name: cls.size if name in _SIZES else cls.count})
        # A response has no Request-URI.
        assert (cls.read(cls.plain[0], limits) is None) == (
            name != "uri_size" or not cls.plain[0].startswith(b"SIP")
        )

    def test_time_is_linear_in_the_size(self) -> None:
        """A stranger's octets of each kind, as many as are read: no repeat is tried in two ways."""
        cls = type(self)
        for piece, before in itertools.product(cls.pieces, cls.begun):
            cls.agree(before + piece * ((2_000 - len(before)) // len(piece)) + b"\r\n\r\n")
