"""Whatever a stranger writes, a quick way that says yes does what the long way does, octet for octet."""

from __future__ import annotations

import os
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.module import PASS, Module, Use
from sansip.proxy import ProxyConfig
from tests.properties.spelling import spell
from tests.properties.ways import CONFIGS, play
from tests.proxy.sides import INVITE, RINGS, TAKES, compare
from tests.wire.scanners import build, read_by

# ``python -m tests.properties.ways`` goes on where this ends.
PLAYS = int(os.environ.get("SANSIP_PLAYS", "250"))
# Plays that found something: a 100 was believed that the reader refuses, a branch was drawn and thrown away.
KEPT = (1000045, 1000664, 1000922, 1001436)


@pytest.fixture(scope="module")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The C module."""
    return build(tmp_path_factory.mktemp("head"))


@pytest.mark.parametrize("by", ["Python", "C"])
def test_plays_end_alike(by: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls, registrations and probes in hostile spelling, on each kind of settings; read by both readers."""
    read_by(monkeypatch, request.getfixturevalue("scanner") if by == "C" else None)
    yes: Counter[str] = Counter()
    for seed in range(PLAYS):
        yes += play(seed).yes
    # If the ways took nothing, this would prove nothing.
    assert {way for way, count in yes.items() if count > PLAYS // 50} >= {
        *("briefs", "openings", "passages", "quick", "shortcut")
    }


@pytest.mark.parametrize("seed", KEPT)
def test_plays_that_found_something(seed: int) -> None:
    """They end alike since."""
    play(seed)


@settings(max_examples=60)
@given(st.integers(5_000_000_000, 6_000_000_000), st.sampled_from(sorted(CONFIGS)), st.integers(1, 9))
def test_new_plays_end_alike(seed: int, name: str, most: int) -> None:
    """Where hypothesis searches anew, so does this; with more changes in a message."""
    play(seed, (name,), most)


def test_a_spelling_is_the_same_for_the_same_seed() -> None:
    """A seed that failed has to fail again."""
    data = b"OPTIONS sip:x SIP/2.0\r\nTo: <sip:x>\r\nCall-ID: 1\r\n\r\n"
    assert [spell(data, Random(seed), 3) for seed in range(50)] == [
        spell(data, Random(seed), 3) for seed in range(50)
    ]


class Looks(Module):
    """Sees each message as it arrives, and reads none."""

    name = "looks"

    def message_arrived(self, message: Any, flow: Any, now: float) -> Any:
        return PASS


@pytest.mark.parametrize("status", ["100 Trying", "180 Ringing", "200 OK"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("From: <sip:alice@atlanta.test>;tag=a\r\n", ""),
        ("<sip:alice@atlanta.test>", "<sip:alice@>"),
        ("<sip:bob@biloxi.test>", "<sip:bob@biloxi.test;;>"),
        (";tag=b", ";tag=b;tag=c"),
        ("Call-ID: a", "Call-ID: a b"),
        ("CSeq: 1 INVITE", "CSeq: 4294967296 INVITE"),
    ],
)
@pytest.mark.parametrize("modules", [[], [Use(Looks)]])
def test_a_malformed_response_stays_in_the_stack(status: str, old: str, new: str, modules: list[Any]) -> None:
    """RFC 3261 16.7: a module that looks had it read too late, and the callee's mistake left the stack."""
    spoiled = ("spoiled", status, old, new)
    compare([INVITE, spoiled, RINGS, spoiled, TAKES, spoiled], None, modules=modules)


@pytest.mark.parametrize("above", [450, 500, 550])
def test_what_does_not_leave_takes_no_branch(above: int) -> None:
    """RFC 3261 18.1.1: a copy that may have to go by TCP is made on the long way, with the same branch."""
    compare([INVITE, RINGS, TAKES], None, proxy=ProxyConfig(tcp_above=above))
