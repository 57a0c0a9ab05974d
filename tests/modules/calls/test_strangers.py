"""Calls of senders that proved nothing, by source."""

from __future__ import annotations

from tests.modules.calls.calling import CONTACT, bench
from tests.rig import request


def test_strangers_have_their_share() -> None:
    """One address of which nothing is known fills no table."""
    rig, calls = bench(most_of_stranger=2)
    for number in range(4):
        names = {"branch": f"z9hG4bKn{number}", "from_tag": f"t{number}", "call_id": f"c{number}"}
        rig.udp(request(headers=[CONTACT], **names))
    assert len(calls) == 2
