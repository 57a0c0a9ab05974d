"""A result is returned, an exception is raised."""

from __future__ import annotations

import pytest

from sansip_sockets.outcome import outcome


def test_outcome() -> None:
    """The value that an adapter's ``act`` returns to its caller."""
    assert outcome(3) == 3
    with pytest.raises(TimeoutError):
        outcome(TimeoutError())
