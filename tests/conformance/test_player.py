"""The player catches a server that does otherwise: each trace here is wrong on purpose."""

from __future__ import annotations

import pytest

from sansip_conformance import play_on_core, read_text

HEAD = "domain biloxi.test\nendpoint alice, bob udp\nregister bob\n"


def verdict(text: str, head: str = HEAD):
    (trace,) = read_text(head + text, "x.trace")
    return play_on_core(trace)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("alice > proxy OPTIONS sip:biloxi.test\nproxy > alice expect 404\n", 5, "got 200 OK"),
        ("alice > proxy OPTIONS sip:biloxi.test\nproxy > bob expect OPTIONS\n", 5, "nothing came"),
        (
            "alice > proxy OPTIONS sip:biloxi.test\nproxy > alice expect nothing until @1\n",
            5,
            "expected nothing",
        ),
        (
            "alice > proxy OPTIONS sip:biloxi.test\nproxy > bob expect nothing until @1\n",
            5,
            "no step expects 200",
        ),
        (
            "alice > proxy OPTIONS sip:biloxi.test\nproxy > alice expect 200\n  Subject: x\n",
            6,
            "is not there",
        ),
        ("alice > proxy OPTIONS sip:biloxi.test\nproxy > alice expect 200\n  -Allow\n", 6, "is there"),
        ("alice > proxy OPTIONS sip:biloxi.test\nproxy > alice expect 200\n  count Via 2\n", 6, "1 Via"),
        ("alice > proxy OPTIONS sip:biloxi.test\nproxy > alice expect 200\n  Allow ~ DANCE\n", 6, "no value"),
        (
            "alice > proxy OPTIONS sip:biloxi.test\nproxy > alice expect 200\n  Allow !~ OPTIONS\n",
            6,
            "has a value",
        ),
        (
            """alice > proxy MESSAGE sip:bob@biloxi.test
proxy > bob expect MESSAGE
@0.6 proxy > bob expect MESSAGE again
""",
            6,
            "instead of 0.6",
        ),
        (
            "alice > proxy MESSAGE sip:bob@biloxi.test as m\nproxy > bob expect MESSAGE\n  like m\n",
            6,
            "expected like m",
        ),
        ("alice > proxy ACK\n", 4, "no response to an INVITE"),
        ("bob > proxy 200\n", 4, "expect one first"),
        ("alice > proxy OPTIONS sip:<who>\n", 4, "has no value yet"),
    ],
)
def test_a_deviation_fails(text: str, line: int, words: str) -> None:
    """A suite that passes whatever happens would prove nothing."""
    found = verdict(text)
    assert found.outcome == "fail"
    assert found.line == line
    assert words in found.reason


def test_the_section_is_named() -> None:
    """A failure says which section it rests on."""
    found = verdict("alice > proxy OPTIONS sip:biloxi.test\nrfc: RFC 3261 11.2\nproxy > alice expect 404\n")
    assert found.rfc == ("RFC 3261 11.2",)


def test_captures_compare() -> None:
    """A name means the same everywhere in a trace."""
    found = verdict(
        "alice > proxy MESSAGE sip:bob@biloxi.test\nproxy > bob expect MESSAGE\n"
        "  Via: SIP/2.0/UDP <proxy>;branch=<b>\n  Via: SIP/2.0/UDP <alice>;branch=<b>\n"
    )
    assert (found.outcome, found.line) == ("fail", 7)


def test_a_route_that_leaks_is_seen() -> None:
    """At the end every transaction must have ended; a raised exception is a verdict, too."""
    found = verdict(
        "route\n  def route(request):\n      raise RuntimeError('x')\nalice > proxy OPTIONS sip:x.test\n"
        "proxy > alice expect 500\n",
        HEAD.replace("register bob\n", ""),
    )
    assert found.outcome == "pass"


def test_needs_are_skipped() -> None:
    """A trace is skipped where it needs a feature that this player does not have."""
    found = verdict("needs a moon rocket\nalice > proxy OPTIONS sip:biloxi.test\nproxy > alice expect 200\n")
    assert (found.outcome, found.reason) == ("skip", "needs a moon rocket")
