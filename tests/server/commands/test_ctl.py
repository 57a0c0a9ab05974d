"""The output of ``sansip ctl bindings`` about keepalives."""

from __future__ import annotations

import pytest

from sansip_server.commands.ctl import _health


@pytest.mark.parametrize(
    ("rtt", "unanswered", "shown"), [(None, 0, ""), (0.0404, 0, "40.4 ms"), (0.04, 2, "2 unanswered")]
)
def test_keepalives(rtt: float | None, unanswered: int, shown: str) -> None:
    """The last round trip says little once a phone is silent."""
    assert _health(rtt, unanswered) == shown
