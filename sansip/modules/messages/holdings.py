"""What is kept, by user: the counts that the limits are held against.

Theory of operation: the counts follow the rows, and are read from them again at a start. What a device has
counts for no limit of its user any more; its row stays for further devices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.modules.messages.settings import MessagesSettings

__all__ = ["Holdings"]


class Holdings:
    """The messages of each user, by their ids.

    Attributes:
        waiting: user -> sender of each message that no device has, by its id.
        rows: user -> when each message ends (since 1970), by its id; those that a device has, too.
        coming: ids whose rows are being written.
        total: how many there are.

    ``strange(sender)``: whether that is a name that anybody could have written.
    """

    __slots__ = ("_strange", "coming", "rows", "total", "waiting")

    def __init__(self, strange: Callable[[str], bool] = lambda sender: False) -> None:
        self._strange = strange
        self.waiting: dict[str, dict[str, str]] = {}
        self.rows: dict[str, dict[str, float]] = {}
        self.coming: set[str] = set()
        self.total = 0

    def count(self, user: str, id: str, sender: str, until: float) -> None:
        held = self.rows.setdefault(user, {})
        if id not in held:
            held[id] = until
            self.total += 1
            self.waiting.setdefault(user, {})[id] = sender

    def find(self, user: str, origin: str) -> str:
        """Return the id that ends with ``origin``, also where it is being written; "" without one."""
        for one in self.rows.get(user, ()):
            if one.endswith(origin):
                return one
        return ""

    def fetched(self, user: str, id: str) -> None:
        """A device has the message: it counts for no limit of the user any more."""
        held = self.waiting.get(user, {})
        held.pop(id, None)
        if not held:
            self.waiting.pop(user, None)

    def uncount(self, user: str, id: str) -> None:
        self.fetched(user, id)
        held = self.rows.get(user, {})
        if held.pop(id, None) is not None:
            self.total -= 1
        if not held:
            self.rows.pop(user, None)

    def surplus(self, user: str, most: int) -> list[str]:
        """Return the oldest messages of ``user`` that a device has, as many as there are above ``most``."""
        held, waiting = self.rows.get(user, {}), self.waiting.get(user, {})
        over = len(held) - most
        return sorted(one for one in held if one not in waiting)[:over] if over > 0 else []

    def limit_of(self, settings: MessagesSettings, user: str, sender: str, size: int) -> str:
        """Return the limit that one more message would pass, "" where there is none."""
        held = self.waiting.get(user)
        if size > settings.size:
            return "size"
        number = same = strange = 0
        if held:
            number = len(held)
            for one in held.values():
                if one == sender:
                    same += 1
        if number >= settings.per_user:
            return "per_user"
        if same >= settings.per_sender:
            return "per_sender"
        # RFC 3428 11: a name of another domain proves nothing; one of ours needs a password.
        if self._strange(sender):
            if held:
                for one in held.values():
                    if self._strange(one):
                        strange += 1
            if strange >= settings.per_strangers:
                return "per_strangers"
        return "most" if self.total >= settings.most else ""
