"""Lamps of calls at other workers, as words between the workers of one server.

Theory of operation: a call is at the worker that relays it, and the subscriptions are at the first worker. So
each other worker announces each state of its lamps, under the id of the lamp, and takes the word back behind
the last state. The parent takes the words of a worker back that dies: then the lamp goes out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sansip.modules.lamps.lamp import TERMINATED, Lamp, Party

if TYPE_CHECKING:
    from sansip.module import Core

__all__ = ["announce", "heard"]

# Begins the keys of these words.
_KEY: Final = "lamp "
# RFC 4235 3.7.1: what became of a dialog whose worker is gone.
_LOST: Final = "error"


def announce(core: Core, lamp: Lamp) -> None:
    """Tell the first worker the state of ``lamp``."""
    near, far = ((one.uri, one.display, one.target) for one in (lamp.local, lamp.remote))
    word = (
        lamp.entity, lamp.call_id, lamp.direction, near, far, lamp.since, lamp.state, lamp.local_tag,
        lamp.remote_tag, lamp.event, lamp.code,
    )  # fmt: skip
    core.announce(f"{_KEY}{lamp.id}", word, own=True)
    if lamp.state == TERMINATED:
        core.announce(f"{_KEY}{lamp.id}", None, own=True)


def heard(key: str, word: Any, known: dict[str, Lamp]) -> Lamp | None:
    """Return the lamp of which another worker has told, None where nothing is new.

    ``known``: the lamps of other workers that are on.
    """
    if not key.startswith(_KEY):
        return None
    name = key.removeprefix(_KEY)
    before = known.pop(name, None)
    if word is None:
        # Its end was told, or its worker has died.
        return None if before is None else replace(before, state=TERMINATED, event=_LOST, code=0)
    entity, call_id, direction, near, far, *rest = word
    lamp = Lamp(name, entity, call_id, direction, Party(*near), Party(*far), *rest)
    if lamp.state != TERMINATED:
        known[name] = lamp
    return None if lamp == before else lamp
