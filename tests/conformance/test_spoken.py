"""Reading the steps of endpoints that speak MSRP or HTTP, and the error for each mistake."""

from __future__ import annotations

import pytest

from sansip_conformance import TraceSyntaxError, read_text
from sansip_conformance.spoken import Hear, Say
from sansip_conformance.trace import Expect, Send

HEAD = "endpoint alice, bob msrps\nendpoint bill http\nendpoint carol udp\n"


def step(text: str):
    (trace,) = read_text(HEAD + text, "x.trace")
    return trace.steps[0]


def test_what_is_said() -> None:
    """Paths, the endpoint that a path leads to, flags, names, texts."""
    found = step("alice > proxy SEND <alice.path> msrps://x.test:1/y;tcp continued as s1\n")
    assert isinstance(found, Say)
    assert (found.path, found.flag, found.name) == (["<alice.path>", "msrps://x.test:1/y;tcp"], "+", "s1")
    found = step("alice > proxy SEND to bob unfinished with long\n")
    assert (found.toward, found.flag, found.text) == ("bob", "", "long")
    found = step("alice > proxy 413 Too much to s1\n")
    assert (found.verb, found.what, found.reason, found.to) == ("response", "413", "Too much", "s1")
    assert step("bill > proxy PUT /a/b with lists\n").path == ["/a/b"]


def test_what_is_heard() -> None:
    """A method or a status; the end of a connection is what it is for SIP."""
    found = step("@3 proxy > alice expect SEND aborted as s1\n")
    assert isinstance(found, Hear)
    assert (found.what, found.flag, found.name, found.at) == ("SEND", "#", "s1", 3.0)
    assert step("proxy > bill expect 403|405 within 2\n").within == 2.0
    assert not isinstance(step("proxy > alice expect close\n"), Hear)


def test_sip_is_what_it_was() -> None:
    """Other endpoints have the steps of SIP."""
    assert type(step("carol > proxy OPTIONS sip:x.test\n")) is Send
    assert type(step("proxy > carol expect 200\n")) is Expect


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("alice > proxy send <bob.uri>\n", "cannot send `send`"),
        ("bill > proxy GET\n", "write the path after GET"),
        ("bill > proxy 200\n", "cannot send `200`"),
        ("bill > proxy raw\n  GET /\n", "cannot send `raw`"),
        ("bill > proxy GET /x continued\n", "`continued` unknown"),
        ("alice > proxy SEND to bob loudly\n", "`loudly` unknown"),
        ("alice > proxy SEND to bob as 1\n", "cannot be a name"),
        ("proxy > bill expect GET\n", "`expect GET`"),
        ("proxy > alice expect pong\n", "`expect pong`"),
        ("text friends\nalice > proxy SEND to bob\n", "write `text friends`"),
        ("server proxy udp msrps\n", "`msrps` is no transport"),
    ],
)
def test_a_mistake_is_named(text: str, words: str) -> None:
    """With its line, and the correct form."""
    with pytest.raises(TraceSyntaxError, match=r"x\.trace:") as caught:
        read_text(HEAD + text, "x.trace")
    assert words in str(caught.value)
