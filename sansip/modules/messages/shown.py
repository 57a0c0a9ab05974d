"""A kept message as operators see it: without its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sansip.modules.messages.row import DOUBTFUL

if TYPE_CHECKING:
    from sansip.modules.messages.row import Given, Kept

__all__ = ["Shown", "shown"]


@dataclass(slots=True)
class Shown:
    """A kept message. ``devices`` have it; ``refused`` are those that never will.

    ``doubtful``: those that may have it, for a server died before their answer (``messages.in_doubt``).
    """

    id: str
    sender: str
    date: str
    octets: int
    devices: list[str]
    refused: list[str]
    doubtful: list[str]


def shown(row: Kept, marks: Sequence[Given]) -> Shown:
    """Return what operators see of ``row``."""
    return Shown(
        row.id,
        row.sender,
        row.date,
        len(row.body),
        [one.device for one in marks if 200 <= one.status < 300],
        [one.device for one in marks if one.status >= 300],
        [one.device for one in marks if one.status == DOUBTFUL],
    )
