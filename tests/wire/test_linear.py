"""The time grows with the length of a peer's message, and no faster.

Theory of operation: each parser is fed the same unit repeated, once so often
and once eight times as often. What is linear takes eight times as long, what is
quadratic sixty-four times; the bound lies between, far from both, and only the
quickest of a few tries counts. Inputs that are done in a few milliseconds even
at the larger size are no danger whatever their growth.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from time import process_time
from typing import Any

import pytest

from sansip.errors import RemoteProtocolError
from sansip.limits import DEFAULT
from sansip.wire import (
    check_headers,
    parse_host,
    parse_message,
    parse_multipart,
    parse_name_addr,
    parse_params,
    parse_uri,
    parse_via,
    split_host_port,
    split_values,
    unfold,
)
from sansip.wire.headers.registry import PARSERS

SMALL, TIMES = 1_000, 8
HARMLESS = 0.004

UNITS = [
    " ",
    "\t",
    ";",
    ",",
    '"',
    "\\",
    "<",
    ">",
    "a",
    "=",
    ":",
    "/",
    "@",
    "[",
    "]",
    "(",
    ")",
    "%",
    "%41",
    "1",
    ".",
]
UNITS += [
    "a.",
    "a-",
    "-",
    "1.",
    ";a",
    ";a=b",
    ";a=",
    '""',
    '"\\',
    '\\"',
    "<>",
    "<a>,",
    "a,",
    ", ",
    " ;",
    "a=b,",
    'a="b",',
]
UNITS += ["::", ":1", "\r\n ", "\r\n \t", "é", "sip:", "?a=b&", "a b ", "()", "(\\", "+", "*", "~ "]
STARTS = [
    "",
    "sip:",
    "sip:a@h;",
    "sip:h?",
    "<sip:h>",
    '"',
    "SIP/2.0/UDP h",
    "Digest a=",
    "1 ",
    "text/plain;",
    "[",
    "(",
]


def seconds(work: Callable[[str], Any], text: str) -> float:
    """Return the least processor time of a few tries."""
    best = float("inf")
    for _ in range(3):
        begin = process_time()
        with contextlib.suppress(RemoteProtocolError):
            work(text)
        best = min(best, process_time() - begin)
        if best < HARMLESS:
            break
    return best


def assert_linear(
    work: Callable[[str], Any], units: list[str], starts: list[str], small: int = SMALL
) -> None:
    for unit in units:
        for start in starts:
            large = seconds(work, start + unit * (small * TIMES))
            if large > HARMLESS:
                ratio = large / max(seconds(work, start + unit * small), 1e-9)
                assert ratio < TIMES * 4, (unit, start, ratio)


TEXT_PARSERS: dict[str, Callable[[str], Any]] = {
    "host": parse_host,
    "host and port": split_host_port,
    "name-addr": lambda text: parse_name_addr(text, "To", ""),
    "params": lambda text: parse_params(text, "To", ""),
    "split": split_values,
    "unfold": unfold,
    "uri": parse_uri,
    "via": parse_via,
    "multipart": lambda text: parse_multipart(text.encode(), "a"),
}


@pytest.mark.parametrize("name", TEXT_PARSERS)
def test_parsers_of_text(name: str) -> None:
    """Each on its own, without any limit."""
    assert_linear(TEXT_PARSERS[name], UNITS, STARTS)


@pytest.mark.parametrize("key", sorted(PARSERS))
def test_parsers_of_fields(key: str) -> None:
    """Each typed field, without any limit."""
    assert_linear(
        lambda text: PARSERS[key]([unfold(text)]), UNITS, ["", "<sip:h>", "Digest a=", "a"], SMALL // 2
    )


@pytest.mark.parametrize(
    "name", ["Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "X", "Contact"]
)
def test_whole_messages(name: str) -> None:
    """Each place of a message that a peer can fill, as far as the limits let it."""
    limits = DEFAULT

    def work(text: str) -> None:
        fields = {
            "Via": "SIP/2.0/UDP h;branch=z9hG4bK1",
            "From": "<sip:a@h>;tag=1",
            "To": "<sip:b@h>",
            "Call-ID": "x",
            "CSeq": "1 A",
        } | {name: text}
        lines = [f"{key}: {value}" for key, value in fields.items()]
        message = parse_message("\r\n".join(["A sip:h SIP/2.0", *lines, "\r\n"]).encode(), limits)
        check_headers(message)

    assert_linear(
        work, [*UNITS, f"\r\n{name}: ", "\r\nb:", "\r", "\n"], ["", "SIP/2.0/UDP h;branch=", "<sip:"]
    )


@pytest.mark.parametrize("start", ["", "A ", "A sip:", "SIP/2.0 ", "SIP/2.0 200 "])
def test_start_lines_and_line_ends(start: str) -> None:
    """The start line, and octets that never become a message."""
    units = [*UNITS, "\r\n", "\r\n\r", "\r", "\n", "a: b\r\n"]
    assert_linear(lambda text: parse_message(text.encode()), units, [start])
    assert_linear(lambda text: parse_message(f"{text} SIP/2.0\r\n\r\n".encode()), units, [start])
