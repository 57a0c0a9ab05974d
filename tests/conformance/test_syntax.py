"""Reading traces: their syntax, and the error for each mistake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip_conformance import TraceSyntaxError, read_text
from sansip_conformance.trace import Expect, ExpectNothing, Fault, Send

HEAD = "endpoint alice, bob udp\n"


def one(text: str, head: str = HEAD):
    (trace,) = read_text(head + text, "x.trace")
    return trace


def test_a_file_with_one_trace_needs_no_trace_line() -> None:
    """The shortest trace is a setup and a step."""
    trace = one("alice > proxy OPTIONS sip:biloxi.test\n")
    assert (trace.name, trace.suite) == ("x", "x")
    assert isinstance(trace.steps[0], Send)


def test_shared_setup_is_copied() -> None:
    """An addition to the setup of one trace does not reach the next trace."""
    first, second = read_text(
        HEAD + "trace a: A\nregister bob\nalice > proxy OPTIONS\ntrace b: B\nalice > proxy OPTIONS\n",
        "x.trace",
    )
    assert len(first.setup.registrations) == 1
    assert second.setup.registrations == []


def test_times_and_expectations() -> None:
    """Absolute and relative times, alternatives, retransmissions, silence."""
    trace = one(
        "@1.5 alice > proxy INVITE sip:bob@biloxi.test as inv\n"
        "proxy > alice expect 400|481 within 2 as no\n"
        "+0.5 proxy > bob expect INVITE sip:x again over tcp\n"
        "proxy > alice, bob expect nothing until @32\n"
        "drop 2 proxy > bob\n"
    )
    send, expect, again, nothing, drop = trace.steps
    assert isinstance(send, Send)
    assert (send.at, send.name, send.uri) == (1.5, "inv", "sip:bob@biloxi.test")
    assert isinstance(expect, Expect)
    assert (expect.what, expect.within, expect.name) == ("400|481", 2.0, "no")
    assert isinstance(again, Expect)
    assert (again.after, again.again, again.transport) == (0.5, True, "tcp")
    assert isinstance(nothing, ExpectNothing)
    assert (nothing.endpoints, nothing.until) == (["alice", "bob"], 32.0)
    assert isinstance(drop, Fault)
    assert drop.count == 2
    assert trace.duration == 32.0


def test_a_message_as_on_the_wire() -> None:
    """The start line may stand in the block."""
    trace = one("alice > proxy udp\n  INVITE sip:bob@biloxi.test SIP/2.0\n  Subject: x\n\n  body\n")
    send = trace.steps[0]
    assert isinstance(send, Send)
    assert (send.what, send.uri, send.transport) == ("INVITE", "sip:bob@biloxi.test", "udp")
    assert [(line.name, line.value) for line in send.block.lines] == [("Subject", "x")]
    assert send.block.body == "body"


def test_sections_per_step() -> None:
    """An rfc line between steps holds for the steps after it."""
    trace = one(
        "rfc: RFC 3261 16\nalice > proxy OPTIONS\nrfc: RFC 3261 17.2; RFC 4320 4.1\nalice > proxy OPTIONS\n"
    )
    assert trace.rfc == ("RFC 3261 16",)
    assert trace.steps[1].rfc == ("RFC 3261 17.2", "RFC 4320 4.1")
    assert trace.sections == ["RFC 3261 16", "RFC 3261 17.2", "RFC 4320 4.1"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("alcie > proxy OPTIONS\n", 2, "did you mean alice"),
        ("alice > proxy options\n", 2, "cannot send"),
        ("alice > bob INVITE\n", 2, "one side must be proxy"),
        ("proxy > alice 200\n", 2, "expect"),
        ("proxy > alice expect soon\n", 2, "a METHOD, a status"),
        ("proxy > alice expect 200 twice\n", 2, "after expect"),
        ("alice > proxy OPTIONS\n  no header\n", 3, "is no header field"),
        ("  Subject: x\n", 2, "indented"),
        ("rfc: section 16\nalice > proxy OPTIONS\n", 2, "RFC 3261 16.6"),
        ("config tee-one = 4\nalice > proxy OPTIONS\n", 2, "config"),
        ("module\nalice > proxy OPTIONS\n", 2, "write `module events"),
        ("module events open\nalice > proxy OPTIONS\n", 2, "write `module events"),
        ("config t-1 = 4\nalice > proxy OPTIONS\n", 2, "did you mean t1"),
        ("regsiter bob\n", 2, "did you mean `register`"),
        ("@5 alice > proxy OPTIONS\n@1 alice > proxy OPTIONS\n", 3, "order of their times"),
        ("trace Big Name: x\n", 2, "cannot name a trace"),
        ("trace a: x\n", 2, "has no steps"),
        ("trace a: x\nalice > proxy OPTIONS\ntrace a: y\nalice > proxy OPTIONS\n", 4, "already in line 2"),
        ("alice > proxy again\n", 2, "again what"),
        ("alice > proxy raw\n", 2, "below it"),
        ("level: PERHAPS\nalice > proxy OPTIONS\n", 2, "MUST"),
        ("drop proxy bob\n", 2, "drop next"),
        ("", 2, "no steps"),
    ],
)
def test_a_mistake_names_line_and_fix(text: str, line: int, words: str) -> None:
    """The author of a trace reads this and knows what to write instead."""
    with pytest.raises(TraceSyntaxError) as caught:
        read_text(HEAD + text, "x.trace")
    assert caught.value.line == line
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"x.trace:{line}: ")


@given(st.text(alphabet="alice>proxybINVTE@0.5:#<>-~ \n\t\x1d\\,;=", max_size=200))
def test_no_text_raises_anything_else(text: str) -> None:
    """Any text is a list of traces or a TraceSyntaxError."""
    try:
        read_text(HEAD + text, "x.trace")
    except TraceSyntaxError:
        pass
