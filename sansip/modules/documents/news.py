"""Which documents changed at other nodes that share the rows.

Theory of operation: nodes that share a Redis (``rows``) have one live value with the last changes and their
number. The node that changed a document adds to it, the others look once a second and read those documents
again. A node that missed more than the value holds reads them all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, TypeAlias

from sansip.module.sharing import Shared
from sansip.rows import Table

__all__ = ["NEWS", "News", "added", "missed"]

Key: TypeAlias = tuple[str, str, str]
# Changes that the value holds.
_MOST: Final = 50


@dataclass(slots=True)
class News:
    """The live value. ``number`` counts changes; ``keys``: the last of them as JSON, the newest last."""

    name: str
    number: int
    keys: str


NEWS: Final = Table("documents_news", News, key=("name",))
_LAST: Final = "last"
# Seconds for which the value is kept without a change.
_KEPT: Final = 7 * 86_400.0


async def added(values: Shared[News], key: Key) -> int:
    """Tell the other nodes of a change; return its number. Raises ``OSError`` where they cannot be told."""

    def more(before: News | None) -> News:
        keys = [] if before is None else json.loads(before.keys)
        number = 0 if before is None else before.number
        return News(_LAST, number + 1, json.dumps([*keys, key][-_MOST:]))

    after = await values.change((_LAST,), more, ttl=_KEPT)
    assert after is not None
    return after.number


async def missed(values: Shared[News], seen: int) -> tuple[int, list[Key] | None]:
    """Return the number of the last change, and the documents since ``seen``; None for all of them."""
    news = await values.get(_LAST)
    if news is None or news.number == seen:
        return seen, []
    keys = [(auid, user, name) for auid, user, name in json.loads(news.keys)]
    behind = news.number - seen
    if 0 < behind <= len(keys):
        return news.number, keys[-behind:]
    # It began anew, or this node was away for long.
    return news.number, None
