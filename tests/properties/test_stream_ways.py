"""Whatever comes by a connection, what passes as octets is what the long way sends, octet for octet."""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.stream_ways import CONFIGS, play

# ``python -m tests.properties.stream_ways`` goes on where this ends.
PLAYS = int(os.environ.get("SANSIP_PLAYS", "250")) // 2


def test_plays_end_alike() -> None:
    """Calls over TCP and TLS, to and from UDP; connections that end, pieces, repetitions, other spelling."""
    yes: Counter[str] = Counter()
    for seed in range(PLAYS):
        yes += play(seed).yes
    # If nothing passed, this would prove nothing.
    assert {what for what, count in yes.items() if count > PLAYS // 20} >= {"INV", "SIP", "ACK", "BYE", "REG"}


@settings(max_examples=60, deadline=None)
@given(st.integers(5_000_000_000, 6_000_000_000), st.sampled_from(sorted(CONFIGS)), st.integers(1, 9))
def test_new_plays_end_alike(seed: int, name: str, most: int) -> None:
    """Where hypothesis searches anew, so does this; with more changes in a message."""
    play(seed, (name,), most)
