"""What a registration tells of phones behind NATs that are at another address than before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sansip.transport.nat import received_address

if TYPE_CHECKING:
    from sansip.location import Binding
    from sansip.transport.moved import Moved

__all__ = ["note_moves"]


def note_moves(moved: Moved, before: Sequence[Binding], after: Sequence[Binding]) -> None:
    """Note which phones on UDP ``after`` has at other addresses than ``before``."""
    for binding in after:
        address = None if binding.received is None else received_address(binding.received)
        if address is None or not isinstance(binding.flow, int) or binding in before:
            continue
        old = next((one.received for one in before if one.contact == binding.contact and one.received), None)
        moved.note(binding.flow, None if old is None else received_address(old), address)
