"""The client of MSRP that traces have: it cuts octets into messages without a line of ``sansip.msrp``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sansip_conformance.msrp import MsrpMessage, read_message, written

SAMPLES = Path(__file__).parents[1] / "msrp" / "rfc4975"
SEND = MsrpMessage("a786hjs2", "SEND", fields=[("To-Path", "x"), ("From-Path", "y")], body=b"hi")


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.msrp")), ids=lambda path: path.stem)
def test_the_examples_of_the_rfc(path: Path) -> None:
    """RFC 4975 as its examples are written: start line, flag and body of each."""
    known = json.loads((SAMPLES / "index.json").read_text("utf-8"))["messages"]
    wanted = next(one for one in known if one["file"] == path.name)
    if wanted["suspect"]:
        # The RFC's text has it without the empty line before its body.
        with pytest.raises(ValueError, match="no header field"):
            read_message(path.read_bytes())
        return
    message, size = read_message(path.read_bytes())
    assert message is not None
    assert size == len(path.read_bytes())
    assert (message.transaction, message.flag) == (wanted["transaction_id"], wanted["flag"])
    assert (message.method or None, message.status or None) == (wanted["request"], wanted["status"])
    if wanted["body"] is not None:
        assert message.body == wanted["body"].encode()


@pytest.mark.parametrize("flag", ["$", "+", "#"])
@pytest.mark.parametrize("body", [None, b"", b"hi", b"\r\n-------other123$\r\n"])
def test_what_is_written_is_read(flag: str, body: bytes | None) -> None:
    """A message is the same after both, with whatever follows it."""
    fields = [("To-Path", "x"), ("From-Path", "y")]
    message = MsrpMessage("a786hjs2", "SEND", fields=fields, body=body, flag=flag)
    data = written(message)
    assert read_message(data + b"MSRP next") == (message, len(data))


def test_what_is_not_over() -> None:
    """A head is there as soon as it is whole, with what has come of its body."""
    data = written(SEND)
    seen = [read_message(data[:size]) for size in range(len(data))]
    assert not any(size for _, size in seen)
    heads = [message for message, _ in seen if message is not None]
    assert heads[0].body == b""
    assert heads[2].body == b"hi"
    assert {one.flag for one in heads} == {""}


@pytest.mark.parametrize("data", [b"SIP/2.0 200 OK\r\n", b"MSRP a786hjs2 SEND\r\nTo-Path\r\n\r\nhi"])
def test_what_is_no_msrp(data: bytes) -> None:
    """A relay that sends such octets fails its trace."""
    with pytest.raises(ValueError, match="no "):
        read_message(data)
