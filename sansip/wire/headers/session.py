"""Small structured values: session timers, reliability, Reason, Retry-After, Timestamp, Warning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sansip.wire.abnf import HOST, QUOTED, TOKEN, compiled, unquote
from sansip.wire.faults import excerpt, malformed
from sansip.wire.headers.parametered import parse_parametered, split_parameters
from sansip.wire.headers.simple import parse_delta_seconds, parse_number
from sansip.wire.params import Params, parse_params

__all__ = [
    "RAck",
    "Reason",
    "RetryAfter",
    "SessionExpires",
    "Timestamp",
    "Warn",
    "parse_rack",
    "parse_reason",
    "parse_retry_after",
    "parse_rseq",
    "parse_session_expires",
    "parse_timestamp",
    "parse_warning",
]

_DIGITS: Final = compiled("[0-9]++")
_RACK: Final = compiled(rf"([0-9]++)[ \t]++([0-9]++)[ \t]++({TOKEN})")
_TIMESTAMP: Final = compiled(r"([0-9]++(?:\.[0-9]*+)?+)(?:[ \t]++([0-9]*+(?:\.[0-9]*+)?+))?+")
_WARNING: Final = compiled(rf"([0-9]{{3}}) ({HOST}(?::[0-9]{{1,5}})?+(?= )|{TOKEN}) ({QUOTED})")


@dataclass(slots=True)
class SessionExpires:
    """Session-Expires or Min-SE (RFC 4028 4, 5).

    Attributes:
        seconds: the interval.
        refresher: ``"uac"``, ``"uas"`` or None.
    """

    seconds: int
    refresher: str | None = None
    params: Params = field(default_factory=dict)


def parse_session_expires(text: str, name: str, section: str) -> SessionExpires:
    """Return Session-Expires or Min-SE."""
    value, params = split_parameters(text, _DIGITS, "seconds", name, section)
    refresher = params.get("refresher")
    return SessionExpires(
        parse_delta_seconds(value, name, section), None if refresher is None else refresher.lower(), params
    )


class RAck(NamedTuple):
    """RAck (RFC 3262 7.2): names the response that a PRACK acknowledges."""

    rseq: int
    cseq: int
    method: str


def parse_rack(text: str, name: str, section: str) -> RAck:
    """Return RAck."""
    match = _RACK.fullmatch(text)
    if match is None:
        raise malformed(name, f"expected two numbers and a method, got {excerpt(text)!r}", section)
    numbers = [parse_number(match[group], name, section, 0xFFFFFFFF) for group in (1, 2)]
    return RAck(numbers[0], numbers[1], match[3])


def parse_rseq(text: str, name: str, section: str) -> int:
    """Return RSeq, 1 to 2**32-1 (RFC 3262 7.1)."""
    number = parse_number(text, name, section, 0xFFFFFFFF)
    if number == 0:
        raise malformed(name, "must not be 0", section)
    return number


@dataclass(slots=True)
class Reason:
    """One Reason value (RFC 3326 2).

    Attributes:
        protocol: ``"SIP"``, ``"Q.850"`` or another, as written.
        cause: the code, or None.
        text: the phrase without quotes, or None.
    """

    protocol: str
    cause: int | None = None
    text: str | None = None
    params: Params = field(default_factory=dict)


def parse_reason(text: str, name: str, section: str) -> Reason:
    """Return a Reason value."""
    parsed = parse_parametered(text, name, section)
    params = parsed.params
    cause = None
    if "cause" in params:
        cause = parse_number(params["cause"] or "", name, section, 0xFFFFFFFF)
    phrase = params.get("text")
    return Reason(parsed.value, cause, None if phrase is None else unquote(phrase), params)


@dataclass(slots=True)
class RetryAfter:
    """Retry-After (RFC 3261 20.33): seconds, a comment, and how long it will hold."""

    seconds: int
    comment: str = ""
    duration: int | None = None
    params: Params = field(default_factory=dict)


def parse_retry_after(text: str, name: str, section: str) -> RetryAfter:
    """Return Retry-After."""
    match = _DIGITS.match(text)
    if match is None:
        raise malformed(name, f"expected seconds, got {excerpt(text)!r}", section)
    seconds = parse_delta_seconds(match[0], name, section)
    comment, end = _comment(text, match.end(), name, section)
    params = parse_params(text[end:], name, section)
    duration = None
    if "duration" in params:
        duration = parse_delta_seconds(params["duration"] or "", name, section)
    return RetryAfter(seconds, comment, duration, params)


def _comment(text: str, start: int, name: str, section: str) -> tuple[str, int]:
    """Return the comment at ``start``, without its parentheses, and where it ends (RFC 3261 25.1)."""
    begin = start
    while begin < len(text) and text[begin] in " \t":
        begin += 1
    if begin == len(text) or text[begin] != "(":
        return "", start
    depth = 0
    at = begin
    while at < len(text):
        # Comments nest, so no regular expression can find their end.
        character = text[at]
        if character == "\\":
            at += 1
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                return text[begin + 1 : at], at + 1
        at += 1
    raise malformed(name, "unterminated comment", section)


class Timestamp(NamedTuple):
    """Timestamp (RFC 3261 20.38): the sender's clock, and the delay until the response, in seconds."""

    value: float
    delay: float = 0.0


def parse_timestamp(text: str, name: str, section: str) -> Timestamp:
    """Return Timestamp."""
    match = _TIMESTAMP.fullmatch(text)
    # float() of a long run of digits is linear, but its value means nothing.
    if match is None or len(text) > 64:
        raise malformed(name, f"expected seconds, got {excerpt(text)!r}", section)
    delay = match[2]
    return Timestamp(float(match[1]), float(delay) if delay and delay != "." else 0.0)


class Warn(NamedTuple):
    """One Warning value (RFC 3261 20.43); named so beside the built-in ``Warning``."""

    code: int
    agent: str
    text: str


def parse_warning(text: str, name: str, section: str) -> Warn:
    """Return a Warning value. The code has three digits (RFC 4475 3.1.2.5)."""
    match = _WARNING.fullmatch(text)
    if match is None:
        raise malformed(name, f'expected code, agent and "text", got {excerpt(text)!r}', section)
    return Warn(int(match[1]), match[2], unquote(match[3]))
