"""How many contacts an address-of-record may have, and which go where there are more.

Theory of operation: each contact is one more copy of every call, so there are few. Contacts of closed
connections never count: if there are too many contacts, they go first. If there are still too many, the
registrar refuses the new contact, or puts it in the place of the contact that was refreshed longest ago. It
never removes a contact of the request itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.location import Binding

__all__ = ["fit"]


def fit(
    after: Sequence[Binding],
    standing: int,
    most: int,
    *,
    stays: Callable[[Binding], bool],
    is_dead: Callable[[Binding], bool],
    replace_oldest: bool,
) -> Sequence[Binding] | None:
    """Return ``after`` with ``most`` bindings or fewer, or None where that cannot be.

    Args:
        standing: how many stood before. A request that adds none is let through,
            where more stand than may (the limit was lowered).
        stays: whether a binding is one of the request's own.
        is_dead: whether nothing leads to the phone of a binding any more.
        replace_oldest: whether living ones of before may go, too.
    """
    if len(after) <= most:
        return after
    kept = list(after)
    old = sorted((one for one in after if not stays(one)), key=lambda one: one.refreshed_at)
    going = [one for one in old if is_dead(one)]
    if replace_oldest:
        going += [one for one in old if one not in going]
    for gone in going:
        if len(kept) <= most:
            break
        kept.remove(gone)
    return kept if len(kept) <= max(most, standing) else None
