"""Messages and verdicts as JSON, for ``sansip parse``.

Theory of operation: typed values are shown by their attributes, under the attributes' names: URIs
with raw user and parameters, hosts without brackets, a parameter without a value as null. Octets
that are no UTF-8 are shown as U+FFFD in text and kept whole in ``line_base64`` or ``base64``, so
that the JSON is always valid and nothing is lost.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sansip.errors import RemoteProtocolError
from sansip.wire import (
    DISPLAY,
    REASONS,
    Message,
    NameAddr,
    OtherUri,
    Request,
    Response,
    SipUri,
    Star,
    TelUri,
    Via,
    check_headers,
    message_parts,
    unfold,
)
from sansip.wire.headers.registry import PARSERS

__all__ = ["accepted", "message_json", "plain", "refused", "typed_json"]

# The attributes to show of values that also have computed ones.
_SHOWN: dict[type, tuple[str, ...]] = {
    SipUri: ("scheme", "user", "user_decoded", "password", "host", "port", "params", "headers"),
    TelUri: ("scheme", "number", "params"),
    OtherUri: ("scheme", "opaque"),
    NameAddr: ("display", "uri", "params"),
    Via: ("protocol", "version", "transport", "host", "port", "params"),
}


def plain(text: str) -> str:
    """Return ``text`` with octets that are no UTF-8 replaced, so that it can be written anywhere."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def typed_json(value: Any) -> Any:
    """Return a typed header value as a value of JSON."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, bytes):
        return plain(value.decode("utf-8", "surrogateescape"))
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Star):
        return "*"
    if type(value) in _SHOWN:
        return {name: typed_json(getattr(value, name)) for name in _SHOWN[type(value)]}
    if isinstance(value, Mapping):
        return {plain(str(name)): typed_json(item) for name, item in value.items()}
    if hasattr(value, "_asdict"):
        return typed_json(value._asdict())
    if isinstance(value, list | tuple | set | frozenset):
        return [typed_json(item) for item in value]
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value) if not field.name.startswith("_")]
        return {name: typed_json(getattr(value, name)) for name in names}
    return plain(str(value))


def accepted(message: Request | Response, size: int) -> dict[str, Any]:
    """Return the verdict on a message that the parser took, with the faults in single fields."""
    shown = message_json(message)
    faults = [_fault(error) for error in check_headers(message)]
    return {"verdict": "accepted", "size": size, **shown, "faults": faults}


def refused(error: RemoteProtocolError, size: int) -> dict[str, Any]:
    """Return the verdict on octets that are no acceptable message.

    ``answer`` is the status that a server gives. It answers only a request that is no ACK, and
    that it understood far enough (RFC 3261 8.2.6, 18.3).
    """
    message = error.message
    answered = isinstance(message, Request) and message.method != "ACK"
    verdict = {
        "verdict": "refused",
        "size": size,
        "reason": plain(error.reason),
        "section": error.section,
        "field": error.field,
        "answer": {"status": error.status, "reason": REASONS.get(error.status, "")} if answered else None,
    }
    return verdict | (message_json(message) if message is not None else {})


def message_json(message: Message) -> dict[str, Any]:
    """Return start line, headers in order, and body. Works on messages understood in part."""
    start: dict[str, Any] = {"line": plain(message.start_line)}
    if isinstance(message, Request):
        start |= {"method": plain(message.method), "uri_text": plain(message.uri_text)}
        start["uri"] = _try(message, "uri")
    elif isinstance(message, Response):
        start |= {"status": message.status, "reason": plain(message.reason)}
    kind = "response" if isinstance(message, Response) else "request"
    shown: set[str] = set()
    headers = []
    for key, line in zip(message.keys, message.lines, strict=True):
        headers.append(_header(message, key, line, first=key not in shown))
        shown.add(key)
    return {"kind": kind, "start_line": start, "headers": headers, "body": _body(message)}


def _header(message: Message, key: str, line: str, *, first: bool) -> dict[str, Any]:
    """Return one header line; the typed value of a field stands at its first line, for all of them."""
    name, _, value = line.partition(":")
    # Known fields by their full name, others as they were written.
    shown: dict[str, Any] = {
        "name": DISPLAY.get(key) or plain(name.strip()),
        "value": plain(unfold(value).strip()),
    }
    if not line.isascii() and plain(line) != line:
        shown["line_base64"] = base64.b64encode(line.encode("utf-8", "surrogateescape")).decode("ascii")
    if first and (key in PARSERS or key == "via"):
        typed = _try(message, "typed", key)
        if isinstance(typed, dict) and "error" in typed:
            shown |= typed
        else:
            shown["typed"] = typed
    return shown


def _try(message: Message, name: str, *arguments: str) -> Any:
    """Return an attribute, or the result of a method, as JSON; a malformed one gives its fault."""
    try:
        value = getattr(message, name)
        return typed_json(value(*arguments) if arguments else value)
    except RemoteProtocolError as error:
        return {"error": plain(error.reason), "section": error.section}


def _body(message: Message) -> dict[str, Any] | None:
    if not message.body:
        return None
    shown = _octets(message.body)
    try:
        parts = message_parts(message)
    except RemoteProtocolError as error:
        return shown | {"error": plain(error.reason), "section": error.section}
    if parts is not None:
        shown["parts"] = [
            {
                "headers": [[plain(name), plain(value)] for name, value in part.headers],
                "body": _octets(part.body),
            }
            for part in parts
        ]
    return shown


def _octets(data: bytes) -> dict[str, Any]:
    try:
        return {"size": len(data), "text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"size": len(data), "base64": base64.b64encode(data).decode("ascii")}


def _fault(error: RemoteProtocolError) -> dict[str, Any]:
    return {"field": error.field, "reason": plain(error.reason), "section": error.section}
