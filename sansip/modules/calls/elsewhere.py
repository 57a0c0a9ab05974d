"""Calls of other workers, as far as modules of the first worker ask (``presence``): who is in one.

Theory of operation: a call is at the worker that relays it, and the watchers of users are at the first
worker. So each other worker announces its answered calls there, under the id of the call, and takes the word
back when the call is over. The parent takes the words of a worker back that dies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.calls.call import Call

__all__ = ["CallElsewhere", "Elsewhere"]

# Begins the keys of these words.
_KEY: Final = "talk "


@dataclass(slots=True)
class CallElsewhere:
    """A call of another worker was answered, or is ``over``. Only modules hear of it.

    ``stranger``: as in ``Call``; None where the caller has proved to be a user of ours.
    """

    id: str
    caller: str
    asked: str
    stranger: str | None
    over: bool


class Elsewhere:
    """The answered calls of other workers, and the words about those of this one."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._alone = core.seat is None
        # Calls that were announced from here; calls of others.
        self._said: set[str] = set()
        self._known: dict[str, tuple[str, str, str | None]] = {}

    def answered(self, call: Call) -> None:
        """Tell the first worker of a call, if a module there asks."""
        if not self._alone and self._core.tells_first(CallElsewhere):
            self._said.add(call.id)
            word = (call.caller, call.asked, None if call.stranger is None else str(call.stranger))
            self._core.announce(f"{_KEY}{call.id}", word, own=True)

    def over(self, call: Call) -> None:
        """Take the word back."""
        if call.id in self._said:
            self._said.discard(call.id)
            self._core.announce(f"{_KEY}{call.id}", None, own=True)

    def heard(self, key: str, word: Any, now: float) -> None:
        """Another worker has told ``word`` under ``key``."""
        if not key.startswith(_KEY):
            return
        call = key.removeprefix(_KEY)
        if word is not None:
            self._known[call] = caller, asked, stranger = word
            self._core.tell(CallElsewhere(call, caller, asked, stranger, False), now)
        elif (known := self._known.pop(call, None)) is not None:
            caller, asked, stranger = known
            self._core.tell(CallElsewhere(call, caller, asked, stranger, True), now)
