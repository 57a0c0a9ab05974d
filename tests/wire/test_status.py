"""Reason phrases."""

from __future__ import annotations

from sansip.wire import REASONS, Response


def test_every_phrase_can_be_sent() -> None:
    """RFC 3261 21: codes from 100 to 699, and one phrase per class for the codes in between."""
    for status, reason in REASONS.items():
        assert Response.build(status, None, []).reason == reason
        assert reason.isascii()
    assert {status // 100 * 100 for status in REASONS} <= set(REASONS)
