"""`sansip parse`: every message becomes JSON, and a refusal names the rule, the reason and the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from sansip_server.cli import sansip

OPTIONS = (
    b"OPTIONS sip:bob@example.org;x SIP/2.0\r\n"
    b"v: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1;rport\r\n"
    b'f: "A. \\"Q\\" B" <sip:alice@example.org>;tag=1\r\n'
    b"t: <sip:bob@example.org>\r\n"
    b"i: abc\r\nCSeq: 7\r\n OPTIONS\r\nMax-Forwards: 70\r\n"
    b"X-Odd: caf\xe9\r\n"
    b"m: <sip:alice@192.0.2.1>;q=0.5\r\n"
)


def message(more: bytes = b"", body: bytes = b"") -> bytes:
    return OPTIONS + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


def parse(data: bytes, *options: str) -> Result:
    return CliRunner().invoke(sansip, ["parse", *options], input=data)


def field(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(header for header in document["headers"] if header["name"] == name)


def test_accepted() -> None:
    """Start line, each header with its typed value, body, verdict."""
    result = parse(message(body=b"hi"))
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert (document["verdict"], document["kind"], document["faults"]) == ("accepted", "request", [])
    assert document["start_line"]["method"] == "OPTIONS"
    assert document["start_line"]["uri"]["params"] == {"x": None}
    assert field(document, "Via")["typed"][0]["port"] == 5062
    assert field(document, "From")["typed"]["display"] == 'A. "Q" B'
    assert field(document, "CSeq") == {
        "name": "CSeq",
        "value": "7 OPTIONS",
        "typed": {"number": 7, "method": "OPTIONS"},
    }
    assert field(document, "Contact")["typed"][0]["params"] == {"q": "0.5"}
    assert document["body"] == {"size": 2, "text": "hi"}


def test_octets_that_are_no_utf8() -> None:
    """The JSON is always valid, and no octet is lost."""
    document = json.loads(parse(message(body=b"\xff\x00")).stdout)
    assert field(document, "X-Odd")["value"] == "caf\N{REPLACEMENT CHARACTER}"
    assert field(document, "X-Odd")["line_base64"] == "WC1PZGQ6IGNhZuk="
    assert document["body"] == {"size": 2, "base64": "/wA="}


def test_multipart() -> None:
    """The parts of a body, each with its headers."""
    body = b"--b\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b\r\n\r\n\xff\r\n--b--\r\n"
    document = json.loads(parse(message(b"Content-Type: multipart/mixed;boundary=b\r\n", body)).stdout)
    assert document["body"]["parts"] == [
        {"headers": [["Content-Type", "text/plain"]], "body": {"size": 2, "text": "hi"}},
        {"headers": [], "body": {"size": 1, "base64": "/w=="}},
    ]
    broken = json.loads(parse(message(b"Content-Type: multipart/mixed\r\n", body)).stdout)
    assert broken["verdict"] == "accepted"
    assert broken["body"]["section"].startswith("RFC 2046")


def test_dates_are_iso() -> None:
    """RFC 3339 is what programs read."""
    document = json.loads(parse(message(b"Date: Sat, 13 Nov 2010 23:29:00 GMT\r\n")).stdout)
    assert field(document, "Date")["typed"] == "2010-11-13T23:29:00+00:00"


def test_refused() -> None:
    """Reason, section, the status a server answers; and the same in a line for people."""
    result = parse(message(b"Max-Forwards: 71\r\n"))
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["verdict"] == "refused"
    assert document["answer"] == {"status": 400, "reason": "Bad Request"}
    assert document["field"] == "Max-Forwards"
    assert document["section"].startswith("RFC 3261 ")
    assert field(document, "Call-ID")["typed"] == "abc"
    assert result.stderr.startswith("sansip parse: refused: ")
    assert result.stderr.endswith("; a server answers 400 Bad Request\n")


@pytest.mark.parametrize(
    "data",
    [
        OPTIONS.replace(b"OPTIONS", b"ACK") + b"Content-Length: x\r\n\r\n",
        b"SIP/2.0 2000 OK\r\n\r\n",
        b"hello\r\n\r\n",
    ],
    ids=["ack", "response", "garbage"],
)
def test_what_gets_no_answer(data: bytes) -> None:
    """An ACK, a response, and octets that are no SIP are never answered (RFC 3261 8.2.6, 18.3)."""
    result = parse(data)
    assert result.exit_code == 1
    assert json.loads(result.stdout)["answer"] is None
    assert "it gets no answer" in result.stderr


def test_a_malformed_field_that_the_server_does_not_read() -> None:
    """It is accepted, for a proxy passes on fields that it does not need, and the fault is named."""
    document = json.loads(parse(message(b"Record-Route: <sip:\r\n")).stdout)
    assert document["verdict"] == "accepted"
    assert [fault["field"] for fault in document["faults"]] == ["Record-Route"]
    assert "error" in field(document, "Record-Route")


def test_lf_line_ends() -> None:
    """A message that went through an editor: the hint says what to do, and doing it helps."""
    data = message().replace(b"\r\n", b"\n")
    result = parse(data)
    assert result.exit_code == 1
    assert "--lf takes them for CRLF" in result.stderr
    assert parse(data, "--lf").exit_code == 0


def test_from_a_file(tmp_path: Path) -> None:
    """A file by name, standard input by `-` or by nothing."""
    file = tmp_path / "message"
    file.write_bytes(message())
    by_name = CliRunner().invoke(sansip, ["parse", str(file)])
    assert by_name.stdout == parse(message(), "-").stdout == parse(message(), "--json").stdout


def test_stream() -> None:
    """Messages, keepalives and a cut-off end, each at its offset."""
    data = message() + b"\r\n\r\n" + message(body=b"abc") + message()[:50]
    result = parse(data, "--stream")
    assert result.exit_code == 1
    size = len(message())
    assert [(item["verdict"], item["offset"], item["size"]) for item in json.loads(result.stdout)] == [
        ("accepted", 0, size),
        ("keepalive", size, 4),
        ("accepted", size + 4, len(message(body=b"abc"))),
        ("truncated", size + 4 + len(message(body=b"abc")), 50),
    ]
    assert "truncated at octet" in result.stderr


def test_stream_that_loses_its_framing() -> None:
    """Without a Content-Length the end of the message is unknown (RFC 3261 18.3)."""
    result = parse(message() + OPTIONS + b"\r\n" + message(), "--stream")
    assert result.exit_code == 1
    good, bad = json.loads(result.stdout)
    assert (good["verdict"], bad["verdict"], bad["section"]) == ("accepted", "refused", "RFC 3261 18.3")
    assert bad["offset"] == good["size"]
    assert bad["answer"]["status"] == 400
    assert bad["unread"] == bad["size"]


def test_stream_of_good_messages_ends_well() -> None:
    """A stray CRLF at the end is a keepalive on its way, nothing cut off."""
    assert parse(message() + message() + b"\r\n", "--stream").exit_code == 0


def test_too_large_an_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something endless on standard input does not fill the memory."""
    monkeypatch.setattr("sansip_server.commands.parse.LARGEST_INPUT", 100)
    result = parse(b"x" * 101)
    assert result.exit_code == 2
    assert "larger than" in result.stderr


@given(st.binary(min_size=1, max_size=300), st.booleans())
def test_any_octets_give_json(data: bytes, stream: bool) -> None:
    """Nothing one can feed it ends in a traceback."""
    result = parse(data, *(["--stream"] if stream else []))
    assert result.exit_code in (0, 1), result.output
    json.loads(result.stdout)


@given(st.integers(0, len(message()) - 1), st.binary(min_size=1, max_size=4))
def test_any_damage_gives_json(at: int, junk: bytes) -> None:
    """A good message with a few octets overwritten reaches further into the program."""
    data = message()
    result = parse(data[:at] + junk + data[at + len(junk) :])
    assert result.exit_code in (0, 1), result.output
    json.loads(result.stdout)
