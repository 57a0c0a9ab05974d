"""One request is followed through few files: the figures of ``tools.crossings`` are held."""

from __future__ import annotations

import pytest

from tools.crossings import walks

# Calls from one file of the core into another. Lower them when the code has become simpler.
MOST = {"OPTIONS": 90, "REGISTER": 155, "BYE": 195}


@pytest.mark.parametrize("walk", walks(), ids=lambda walk: walk.name)
def test_a_request_does_not_wander(walk) -> None:
    """A reader walks the same way: who adds a stop to a request's way says why, and raises the figure."""
    assert len(walk.files) < 55
    assert 0 < walk.switches <= MOST[walk.name], walk.files
