"""How long an INVITE may last, and how many dialogs its answers may begin.

Theory of operation: Timer C (RFC 3261 16.6 step 11) starts again with every provisional response, so it does
not end a call whose phone sends a provisional response now and then. ``limits.ring_time`` ends such a call.
It counts from the first relay of the INVITE, over all its branches. It has no timer of its own: each branch
that waits has Timer C running, set to fire early enough, and looks at both limits.

A dialog begins with each To tag that is new (12.1.2). The tags that went back are
remembered, and there is a bound for their number: those of early dialogs, and those of
2xx responses, of which each is a call for the caller to end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sansip.entropy import Entropy

__all__ = ["HASHED", "begin", "next_look"]

# Characters of a tag that is remembered as it is; of longer ones a hash, behind what no tag begins with.
_LONG: Final = 64
HASHED: Final = "\t"


def next_look(timer_c: float, ring_left: float) -> float:
    """Return in how many seconds to look at a branch that waits.

    ``timer_c``: seconds until Timer C; ``ring_left``: until the INVITE has rung long enough.
    """
    if timer_c <= ring_left:
        return timer_c
    # Whole seconds, rather early than late: each duration is a queue of timers, and
    # thousands of calls must not have one each.
    return max(1.0, ring_left // 1.0)


def begin(tags: tuple[str, ...], tag: str | None, most: int, entropy: Entropy) -> tuple[str, ...] | None:
    """Return ``tags``, of the dialogs so far, with ``tag``; None where these would be more than ``most``.

    RFC 3261 12.1.2: without a tag, as RFC 2543 had it, there is one dialog.
    """
    if not tag:
        return tags
    if len(tag) > _LONG:
        tag = HASHED + entropy.keyed_hash(tag)
    if tag in tags:
        return tags
    return (*tags, tag) if len(tags) < most else None
