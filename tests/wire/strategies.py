"""Hypothesis strategies for messages: legal ones in every legal spelling, and torn ones.

Theory of operation: a message is first made of plain values, then written in an
odd way: names in any case or compact, white space and folds wherever the
grammar has LWS, header fields in any order. What the parser reads of the odd
spelling must be the plain values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from sansip.wire import COMPACT, DISPLAY, quote

__all__ = ["Plain", "plain_requests", "spelled", "torn"]

TOKENS = st.text("abcXYZ019-.!%*_+`'~", min_size=1, max_size=10)
METHODS = st.sampled_from(["INVITE", "ACK", "OPTIONS", "REGISTER", "FOO-bar!"]) | TOKENS
HOSTS = st.sampled_from(["h", "example.com", "192.0.2.1", "[2001:db8::1]", "a-b.c_d", "[::ffff:192.0.2.1]"])
PORTS = st.just("") | st.integers(0, 65535).map(lambda port: f":{port}")
USERS = st.just("") | st.text("abc019-_.!~*'()&=+$,;?/", min_size=1, max_size=8).map(lambda user: f"{user}@")
URI_PARAMS = st.sampled_from(["", ";lr", ";transport=tcp", ";lr;transport=UDP", ";a=%41;b"])
URIS = st.builds(
    lambda scheme, user, host, port, params: f"{scheme}:{user}{host}{port}{params}",
    st.sampled_from(["sip", "sips", "SIP"]),
    USERS,
    HOSTS,
    PORTS,
    URI_PARAMS,
)
DISPLAYS = st.just("") | st.text(
    st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=10
)
WORDS = st.text("""ab0-.!%*_+`'~()<>:\\"/[]?{}""", min_size=1, max_size=12)
# Where the grammar has SWS or LWS.
SPACES = st.sampled_from(["", " ", "\t", "\r\n ", " \r\n\t ", "\r\n \r\n  "])
GAPS = st.sampled_from([" ", "\t", "  ", "\r\n ", " \r\n\t"])


@dataclass
class Plain:
    """The values of a request."""

    method: str
    uri: str
    vias: list[tuple[str, str, str]]
    from_: tuple[str, str, str]
    to: tuple[str, str]
    call_id: str
    cseq: int
    body: bytes


plain_requests = st.builds(
    Plain,
    METHODS,
    URIS,
    st.lists(st.tuples(st.sampled_from(["UDP", "TCP", "WSS", "x-Y"]), HOSTS, TOKENS), min_size=1, max_size=4),
    st.tuples(DISPLAYS, URIS, TOKENS),
    st.tuples(DISPLAYS, URIS),
    st.builds(lambda left, right: left + right, WORDS, st.just("") | WORDS.map(lambda word: f"@{word}")),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=20),
)


@st.composite
def spelled(draw: Any, plain: Plain) -> bytes:
    """Return ``plain`` in an odd but legal spelling."""
    sws = lambda: draw(SPACES)  # noqa: E731 (a stand-in)

    def name(key: str) -> str:
        forms = [DISPLAY[key], key, key.upper(), DISPLAY[key].swapcase()]
        forms += [short for short, long in COMPACT.items() if long == key]
        before = draw(st.sampled_from(["", " ", " \t"]))
        return f"{draw(st.sampled_from(forms))}{before}:{sws()}"

    def address(display: str, uri: str, tag: str) -> str:
        shown = f"{quote(display)}{sws()}" if display else ""
        end = f"{sws()};{sws()}TaG{sws()}={sws()}{tag}" if tag else ""
        return f"{shown}<{uri}>{end}{sws()}"

    def via(transport: str, host: str, branch: str) -> str:
        start = f"SIP{sws()}/{sws()}2.0{sws()}/{sws()}{transport}{draw(GAPS)}{host}{sws()}"
        return f"{start};{sws()}branch{sws()}={sws()}{branch}{sws()}"

    vias = [via(*one) for one in plain.vias]
    groups = [[f"{name('via')}{f'{sws()},{sws()}'.join(vias)}"]]
    if draw(st.booleans()):
        groups = [[f"{name('via')}{one}" for one in vias]]
    zeros = draw(st.sampled_from(["", "0", "0000"]))
    groups += [
        [f"{name('from')}{address(*plain.from_)}"],
        [f"{name('to')}{address(*plain.to, '')}"],
        [f"{name('call-id')}{plain.call_id}{sws()}"],
        [f"{name('cseq')}{zeros}{plain.cseq}{draw(GAPS)}{plain.method}{sws()}"],
        [f"{name('content-length')}{zeros}{len(plain.body)}{sws()}"],
        [f'X-Filler:{sws()}a ,\t"b"{sws()}'],
    ]
    lines = [line for group in draw(st.permutations(groups)) for line in group]
    head = "\r\n".join([f"{plain.method} {plain.uri} SIP/2.0", *lines, "\r\n"])
    return head.encode() + plain.body


@st.composite
def torn(draw: Any, data: bytes) -> bytes:
    """Return ``data`` with a few octets taken away, put in or changed."""
    octets = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(octets)))
        kind = draw(st.integers(0, 2))
        piece = draw(
            st.sampled_from(
                [b"\r\n", b"\r", b"\n", b" ", b",", b";", b'"', b"<", b">", b":", b"\xff", b"\x00"]
            )
        )
        if kind == 0:
            octets[at:at] = piece
        elif kind == 1:
            del octets[at : at + draw(st.integers(1, 30))]
        else:
            octets[at : at + 1] = piece
    return bytes(octets)
