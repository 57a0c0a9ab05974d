"""The objects that only the cycle collector can free: there should be none.

Theory of operation: the collector is off, something is done, and then the collector
runs and keeps what it finds instead of freeing it. Whatever it finds could be reached
from nowhere and was not freed: on a busy server it would have stayed for as long as
the collector takes to come, whose octets it holds or not.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable

__all__ = ["left_by"]


def left_by(play: Callable[[], object]) -> dict[str, int]:
    """Return how many objects of which type only the cycle collector could free after ``play()``."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    # Older objects, which are most of the time, are not looked through again.
    gc.freeze()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        play()
        gc.collect()
        return dict(Counter(type(one).__name__ for one in gc.garbage))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        if was_enabled:
            gc.enable()
