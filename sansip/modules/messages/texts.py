"""What a row holds of its message, as text: its header fields, what a phone knows it by, and names.

Theory of operation: lists are JSON, which is written here by hand: Python's encoder would be half of the
work. This is a file of its own because it is compiled, and ``row`` is not.
"""

from __future__ import annotations

import json
import re
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sansip.wire import NameAddr, Request

__all__ = ["fields_of_lines", "identity_of", "identity_written", "kept_fields", "value_of", "without_tag"]

# RFC 3428 4, 10: what says how the body is to be read and shown; the rest belongs to the transaction.
_PASSED: Final = (
    "Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "MIME-Version", "Subject",
    "Priority", "In-Reply-To", "Organization", "User-Agent", "Expires", "Reply-To",
)  # fmt: skip
_PASSED_KEYS: Final = tuple([(name, name.lower(), f'["{name}", ') for name in _PASSED])
# Reads JSON from a place of a text on; returns the value and its end.
_read: Final[Any] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # typeshed forgets it
# A name-addr with a tag alone.
_ORDINARY: Final = re.compile(r'((?:"[^"\\]*"[ \t]*)?<[^<>"]*>)(?:;tag=[\w.!%*+`\'~-]+)?')


def value_of(text: str) -> Any:
    """Return what ``text`` is as JSON. Raises ValueError for what is none."""
    try:
        found, end = _read(text, 0)
    except (StopIteration, ValueError):
        end = -1
    # White space around it is another's (`sansip store import`).
    return found if end == len(text) else json.loads(text)


def kept_fields(message: Request) -> str:
    """Return the header fields that go on with the message, as JSON."""
    keys = message.keys
    found = [
        f"{start}{quoted(value)}]"
        for name, key, start in _PASSED_KEYS
        if key in keys
        for value in message.get_all(name)
    ]
    return f"[{', '.join(found)}]"


def fields_of_lines(lines: Mapping[str, str]) -> str:
    """As ``kept_fields``; ``lines``: each line by its field, which stands once."""
    found = []
    for _, key, start in _PASSED_KEYS:
        line = lines.get(key)
        if line is not None:
            value = line[line.index(":") + 1 :].strip(" \t")
            found.append(f"{start}{quoted(value)}]")
    return f"[{', '.join(found)}]"


def identity_of(message: Request) -> str:
    """Return what a phone knows the message by, as JSON; "" for one without a From tag (RFC 2543)."""
    tag = message.from_tag
    return identity_written(message.call_id, tag, message.cseq.number) if tag else ""


def identity_written(call_id: str, tag: str, number: int) -> str:
    """Return Call-ID, From tag and CSeq number as JSON."""
    return f"[{quoted(call_id)}, {quoted(tag)}, {number}]"


def without_tag(address: NameAddr) -> str:
    """Return a From or To value without its tag, the display name included."""
    match = _ORDINARY.fullmatch(str(address))
    if match is not None:
        return match[1]
    params = {name: one for name, one in address.params.items() if name != "tag"}
    try:
        return str(address.replace(params=params))
    except LocalProtocolError:
        return f"<{address.uri}>"
