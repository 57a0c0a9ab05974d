"""One request is followed through few files: the figures of ``tools.crossings`` are held."""

from __future__ import annotations

import pytest

from tools.crossings import walks

# Files that are entered, and calls from one file of the core into another. Lower them when the code has
# become simpler.
MOST = {
    "OPTIONS": (16, 19),
    "REGISTER": (23, 39),
    # What a copy gains in octets is one idea, and a file. A binding is made by an ``__init__`` that is
    # written out; that of a dataclass is in no file. What leaves is put together in a file of its own, which
    # with the scanner in C is one call.
    "INVITE": (30, 45),
    "180": (14, 19),
    "200": (15, 20),
    "ACK": (18, 23),
    "BYE": (22, 31),
    "200 (BYE)": (12, 19),
}


@pytest.mark.parametrize("walk", walks(), ids=lambda walk: walk.name)
def test_a_request_does_not_wander(walk) -> None:
    """A reader walks the same way: a change that adds a stop gives its reason, and raises the figure."""
    files, switches = MOST[walk.name]
    assert 0 < len(walk.files) <= files, walk.files
    assert 0 < walk.switches <= switches, walk.files
