"""One request is followed through few files: the figures of ``tools.crossings`` are held."""

from __future__ import annotations

import pytest

from tools.crossings import walks

# REGISTER has a stop for what commits a change of bindings (`routing.change`): three had one each before.
# Files that are entered, and calls from one file of the core into another. Lower them when the code has
# become simpler.
MOST = {"OPTIONS": (25, 63), "REGISTER": (38, 111), "BYE": (40, 147)}


@pytest.mark.parametrize("walk", walks(), ids=lambda walk: walk.name)
def test_a_request_does_not_wander(walk) -> None:
    """A reader walks the same way: a change that adds a stop gives its reason, and raises the figure."""
    files, switches = MOST[walk.name]
    assert 0 < len(walk.files) <= files, walk.files
    assert 0 < walk.switches <= switches, walk.files
