"""The reader of MSRP: any cut of the octets gives the same messages, in constant memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.msrp import End, Head, MsrpError, Reader
from sansip.msrp.reader import HEAD_SIZE

SAMPLES = Path(__file__).parent / "rfc4975"
PATHS = "To-Path: msrp://b.example.com:1/b;tcp\r\nFrom-Path: msrp://a.example.com:1/a;tcp\r\n"
OF_TEXT = "Message-ID: 12345\r\nContent-Type: text/plain\r\n\r\n"


def send(body: bytes, flag: str = "$", transaction: str = "dkei38sd") -> bytes:
    head = f"MSRP {transaction} SEND\r\n{PATHS}{OF_TEXT}".encode()
    return head + body + f"\r\n-------{transaction}{flag}\r\n".encode()


def told(events: list[Any]) -> list[Any]:
    """Return events with the pieces of a body joined."""
    joined: list[Any] = []
    for event in events:
        if isinstance(event, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += event
        else:
            joined.append(event)
    return joined


def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((SAMPLES / "index.json").read_text())["messages"]
    return [one for one in found if one["to_path"] and not one["suspect"]]


@pytest.mark.parametrize("case", cases(), ids=lambda case: str(case["file"]))
def test_examples(case: dict[str, Any]) -> None:
    """The messages that RFC 4975 shows."""
    events = told(Reader().feed((SAMPLES / case["file"]).read_bytes()))
    head, end = events[0], events[-1]
    assert isinstance(head, Head)
    assert head.transaction == case["transaction_id"]
    assert (head.method or None, head.status or None) == (case["request"], case["status"])
    assert [uri.text for uri in head.to_path] == case["to_path"]
    assert [uri.text for uri in head.from_path] == case["from_path"]
    for name in ("message_id", "byte_range", "success_report", "failure_report", "content_type"):
        assert head.get(name.replace("_", "-")) == (case[name] or "")
    body = events[1].decode() if len(events) == 3 else None
    assert (body or None) == (case["body"] or None)
    assert end == End(case["flag"])


NASTY = st.lists(
    st.sampled_from(
        [b"\r\n", b"-------", b"dkei38sd", b"$", b"\r\n-------dkei38sd", b"x", b"\r", b"---", b"MSRP "]
    )
).map(b"".join)


@given(st.lists(NASTY, min_size=1, max_size=3), st.lists(st.integers(1, 40), max_size=60))
def test_cuts(bodies: list[bytes], cuts: list[int]) -> None:
    """RFC 4975 7.1: only the end-line with its flag and CRLF ends a body; how octets come does not matter."""
    bodies = [body for body in bodies if not any(b"\r\n-------dkei38sd" + f in b"\r\n" + body + b"\r\n-------"
              for f in (b"$\r\n", b"+\r\n", b"#\r\n"))]  # fmt: skip
    stream = b"".join(send(body) for body in bodies)
    whole = told(Reader().feed(stream))
    assert [event for event in whole if isinstance(event, bytes)] == [body for body in bodies if body]
    reader, events, at = Reader(), [], 0
    for cut in [*cuts, len(stream)]:
        events += reader.feed(stream[at : at + cut])
        at += cut
    assert told(events) == whole


def test_memory() -> None:
    """A large body is given on as it comes; at most an end-line stays."""
    reader = Reader()
    reader.feed(send(b"")[: -len("\r\n-------dkei38sd$\r\n")])
    for _ in range(1_000):
        assert reader.feed(b"\r\n-------dkei38s" * 100)
        assert len(reader._buffer) < 40
    assert told(reader.feed(b"\r\n-------dkei38sd$\r\n"))[-1] == End("$")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"MSRP a SEND\r\n" + PATHS.encode() + b"\r\n",
        b"MSRP abcd send\r\n" + PATHS.encode() + b"-------abcd$\r\n",
        # 7.1: the paths come first.
        b"MSRP abcd SEND\r\nMessage-ID: 12345\r\n" + PATHS.encode() + b"-------abcd$\r\n",
        # 7.1: the end-line is that of the transaction.
        b"MSRP abcd SEND\r\n" + PATHS.encode() + b"-------abce$\r\n",
        b"MSRP abcd SEND\r\n" + PATHS.encode() + b"-------abcd!\r\n",
        # 7.1: a body has a type, which stands last.
        b"MSRP abcd SEND\r\n" + PATHS.encode() + b"\r\nbody\r\n-------abcd$\r\n",
        b"MSRP abcd SEND\r\n" + PATHS.encode() + b"Content-Type: a/b\r\nX: y\r\n\r\nbody\r\n-------abcd$\r\n",
        # 9: a response has no body.
        b"MSRP abcd 200 OK\r\n" + PATHS.encode() + b"Content-Type: a/b\r\n\r\nbody\r\n-------abcd$\r\n",
        b"MSRP abcd SEND\r\n" + PATHS.encode() + b"X: a\x00b\r\n-------abcd$\r\n",
        b"MSRP abcd SEND\r\n" + PATHS.encode() + b" folded\r\n-------abcd$\r\n",
        b"MSRP abcd SEND\r\n" + PATHS.encode() + PATHS.encode() + b"-------abcd$\r\n",
        b"MSRP abcd SEND\r\n" + PATHS.encode() + b"X: \xff\r\n-------abcd$\r\n",
    ],
)  # fmt: skip
def test_refused(data: bytes) -> None:
    """Where the next message begins cannot be known after that: the connection ends."""
    with pytest.raises(MsrpError):
        Reader().feed(data)


def test_bounds() -> None:
    """A head and an end-line have bounds; a path has that of the head."""
    with pytest.raises(MsrpError, match="head of more"):
        Reader().feed(b"MSRP abcd SEND\r\nX: " + b"a" * HEAD_SIZE)
    with pytest.raises(MsrpError, match="end-line"):
        Reader().feed(b"MSRP abcd SEND\r\n" + PATHS.encode() + b"-------" + b"a" * 100)
    path = " ".join(["msrp://b.example.com:1/b;tcp"] * 17)
    head = f"MSRP abcd SEND\r\nTo-Path: {path}\r\n{PATHS.splitlines()[1]}\r\n-------abcd$\r\n"
    [found, _] = Reader().feed(head.encode())
    assert isinstance(found, Head)
    assert len(found.to_path) == 17
