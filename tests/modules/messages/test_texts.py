"""What a row holds of its message is the same, whether a message was made or its lines were read in brief."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.modules.messages.texts import (
    fields_of_lines,
    identity_of,
    identity_written,
    kept_fields,
    value_of,
    without_tag,
)
from sansip.wire import NameAddr, Request, parse_message, parse_name_addr


def message(*lines: str) -> Request:
    head = "\r\n".join(
        ["MESSAGE sip:b@example.com SIP/2.0", "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", *lines]
    )
    found = parse_message(f"{head}\r\n\r\n".encode("utf-8", "surrogateescape"))
    assert isinstance(found, Request)
    return found


PLAIN = ("From: <sip:a@example.com>;tag=x", "To: <sip:b@example.com>", "Call-ID: c", "CSeq: 7 MESSAGE")


def test_fields() -> None:
    """Alike from both, in one order; what belongs to the transaction stays out."""
    lines = ["Subject:  lunch? \u2615 \udcff", "Content-Type: text/plain", 'User-Agent: "q"\\']
    request = message(*PLAIN, *lines)
    by_field = {line.partition(":")[0].lower(): line for line in (*PLAIN, *lines)}
    assert kept_fields(request) == fields_of_lines(by_field)
    assert value_of(kept_fields(request)) == [
        ["Content-Type", "text/plain"],
        ["Subject", "lunch? \u2615 \udcff"],
        ["User-Agent", '"q"\\'],
    ]


def test_identity() -> None:
    """None without a From tag (RFC 2543)."""
    assert json.loads(identity_of(message(*PLAIN))) == ["c", "x", 7]
    assert identity_of(message("From: <sip:a@example.com>", *PLAIN[1:])) == ""


@given(st.text(), st.text(), st.integers(0, 2**31))
def test_json(call_id: str, tag: str, number: int) -> None:
    """Rows of today are those of a server of before, which wrote them with ``json``."""
    text = identity_written(call_id, tag, number)
    assert text == json.dumps([call_id, tag, number])
    assert value_of(text) == [call_id, tag, number]


@pytest.mark.parametrize("text", [' ["a"]', '["a"]\n', '\n["a"] '])
def test_json_of_others(text: str) -> None:
    """`sansip store import` may have brought JSON that somebody else wrote."""
    assert value_of(text) == ["a"]


@pytest.mark.parametrize("text", ["", " ", "[", "x"])
def test_no_json(text: str) -> None:
    """A damaged row raises ValueError, as ever."""
    with pytest.raises(json.JSONDecodeError):
        value_of(text)


@pytest.mark.parametrize(
    ("given_", "left"),
    [
        ("<sip:a@example.com>;tag=x", "<sip:a@example.com>"),
        ('"A \\" B" <sip:a@example.com>;tag=x', '"A \\" B" <sip:a@example.com>'),
        ("sip:a@example.com;tag=x", "<sip:a@example.com>"),
        ("<sip:a@example.com>;x=y;tag=z", "<sip:a@example.com>;x=y"),
    ],
)
def test_without_tag(given_: str, left: str) -> None:
    """The tag is the transaction's; the display name and other parameters are the sender's."""
    address: NameAddr = parse_name_addr(given_, "From", "RFC 3261 20.20")
    assert without_tag(address) == left
