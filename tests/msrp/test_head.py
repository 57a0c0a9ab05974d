"""Heads are written as RFC 4975 9 wants them, and a request knows its response (7.2)."""

from __future__ import annotations

import pytest

from sansip.msrp import Head, MsrpUri, Reader

A, B, C = (MsrpUri.parse(f"msrp://{name}.example.com:1/{name};tcp") for name in "abc")


def test_written_and_read() -> None:
    """What is written is read as the same."""
    fields = [("Message-ID", "12345"), ("Content-Type", "text/plain")]
    head = Head("dkei38sd", "SEND", 0, "", (B, C), (A,), fields, True)
    events = Reader().feed(head.whole(b"hello", "+"))
    assert events[0] == head
    assert events[1] == b"hello"


@pytest.mark.parametrize(("method", "back"), [("SEND", (B,)), ("AUTH", (B, A))])
def test_response(method: str, back: tuple[MsrpUri, ...]) -> None:
    """RFC 4975 7.2: to the previous hop for SEND, the whole way back for others."""
    answer = Head("t123", method, 0, "", (C,), (B, A)).answer(481)
    assert (answer.transaction, answer.status, answer.comment) == ("t123", 481, "No Such Session")
    assert (answer.to_path, answer.from_path) == (back, (C,))


@pytest.mark.parametrize(
    ("value", "meaning"),
    [("", "yes"), ("yes", "yes"), ("no", "no"), ("partial", "partial"), ("nonsense", "yes")],
)
def test_failure_report(value: str, meaning: str) -> None:
    """RFC 4975 7.1.1: without the field it is yes."""
    fields = [("Failure-Report", value)] if value else []
    assert Head("t123", "SEND", fields=fields).failure_report == meaning
