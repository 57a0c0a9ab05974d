"""One request is followed through few files: the figures of ``tools.crossings`` are held."""

from __future__ import annotations

import pytest

from tools.crossings import walks

# Files that are entered, and calls from one file of the core into another. Lower them when the code has
# become simpler. A keyed hash is a function of ``keyed.py`` (the mark of a dialog is two), a noted Via one
# of ``splice.py``: where the modules in C are, each is a call of C.
MOST = {
    "OPTIONS": (17, 19),
    "REGISTER": (24, 39),
    # What a copy gains in octets is one idea, and a file. A binding is made by an ``__init__`` that is
    # written out; that of a dataclass is in no file. What leaves is put together in a file of its own, which
    # with the scanner in C is one call.
    "INVITE": (30, 48),
    "180": (15, 21),
    "200": (15, 20),
    "ACK": (19, 26),
    # Its tag, Call-ID and branch are asked of `passing.py` by functions, which with the scanner in C are not
    # entered.
    "BYE": (23, 36),
    "200 (BYE)": (12, 19),
}


@pytest.mark.parametrize("walk", walks(), ids=lambda walk: walk.name)
def test_a_request_does_not_wander(walk) -> None:
    """A reader walks the same way: a change that adds a stop gives its reason, and raises the figure."""
    files, switches = MOST[walk.name]
    assert 0 < len(walk.files) <= files, walk.files
    assert 0 < walk.switches <= switches, walk.files
