"""The octets of a message as a trace writes them, and the fields that can be read of octets."""

from __future__ import annotations

import re

from sansip.errors import RemoteProtocolError
from sansip.testing import Draft
from sansip.wire import Message, parse_message

__all__ = ["body_octets", "raw_octets", "read_draft"]

_ESCAPES = {"\\r": b"\r", "\\n": b"\n", "\\\\": b"\\"}


def raw_octets(text: str) -> bytes:
    """Return the octets of a raw block (conformance/README.md)."""
    if text.endswith("\n\\") or text == "\\":
        # A lone backslash: the octets end here, in the middle of a message.
        text = text[:-2] + "\n" if len(text) > 1 else ""
    elif text.endswith("\\") and not text.endswith("\\\\"):
        text = text[:-1]
    elif "\n\n" not in text and not re.fullmatch(r"(\\[rn])+", text):
        text += "\n\n"
    return body_octets(text)


def body_octets(text: str) -> bytes:
    """Return the octets of a raw message: line ends are CRLF, ``\\xNN`` is one octet."""
    if not text:
        return b""
    data = bytearray()
    for part in re.split(r"(\\(?:x[0-9A-Fa-f]{2}|[rn\\]))", text.replace("\n", "\r\n")):
        if re.fullmatch(r"\\x[0-9A-Fa-f]{2}", part):
            data.append(int(part.removeprefix("\\x"), 16))
        else:
            data += _ESCAPES.get(part) or part.encode("utf-8", "surrogateescape")
    return bytes(data)


def read_draft(data: bytes) -> Draft:
    """Return the readable fields of a raw message, to relate its answers to it."""
    message: Message | None
    try:
        message = parse_message(data)
    except RemoteProtocolError as error:
        message = error.message
    if message is None:
        return Draft(data.split(b"\r\n", 1)[0].decode("utf-8", "replace"))
    headers = [(key, message.get_all(key)) for key in dict.fromkeys(message.keys)]
    return Draft(
        message.start_line, [(key, value) for key, values in headers for value in values], message.body
    )
