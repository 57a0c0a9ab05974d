"""Flow tokens: read back by whoever wrote them, for the same call, and by nobody else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.entropy import Entropy
from sansip.transport.flow_token import FlowTokens

TOKENS = FlowTokens(Entropy(b"a seed of sixteen"))


@given(st.integers(1, 2**63), st.text())
def test_read_back(conn: int, call_id: str) -> None:
    """Any connection, any Call-ID."""
    assert TOKENS.read(TOKENS.make(conn, call_id), call_id) == conn


def test_of_no_use_elsewhere() -> None:
    """RFC 5626 5.2: not in another call, not after a restart, and not with one digit changed."""
    token = TOKENS.make(7, "call")
    assert TOKENS.read(token, "another call") is None
    assert FlowTokens(Entropy(b"another sixteen..")).read(token, "call") is None
    for index in range(2, len(token)):
        other = "0" if token[index] != "0" else "1"
        assert TOKENS.read(token[:index] + other + token[index + 1 :], "call") is None


def test_it_hides_the_number() -> None:
    """How many connections a server has had is nobody's business."""
    assert TOKENS.make(1, "call")[:18] != TOKENS.make(1, "other")[:18]


@pytest.mark.parametrize("text", [None, "", "alice", "f-", "f-" + "z" * 32, "f-" + "0" * 32, "f-" + "é" * 32])
def test_users_are_no_tokens(text: str | None) -> None:
    """Whatever stands before the @ is looked at, and nothing else comes of it."""
    assert TOKENS.read(text, "call") is None


@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    """Nothing makes it raise."""
    assert TOKENS.read("f-" + text, "call") is None
