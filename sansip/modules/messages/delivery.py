"""Delivery: each phone of a user gets what it does not have, in order, one message at a time.

Theory of operation: for each device one task at most reads the rows of its user, sends the next message that
has no mark of this device, and marks it. A mark is written before the message leaves, and again with the
answer: what a server that is killed in between does afterwards is decided by the first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.modules.messages.keeping import PAGE
from sansip.modules.messages.row import Given, Kept
from sansip.routing.lookup import target_of

if TYPE_CHECKING:
    from sansip.location import Binding
    from sansip.module import Core, Module
    from sansip.modules.messages.keeping import Keeping

__all__ = ["Delivery"]

# A device will never take this message: another attempt is of no use.
_FOR_GOOD: Final = frozenset((400, 405, 406, 413, 415, 416, 420, 484, 488, 493, 501, 513, 603, 606))
# Devices that one message is given to: a phone may name a new Contact as often as it likes.
_DEVICES: Final = 32
# Seconds in which a phone takes a request with the same branch for a repetition, over UDP: Timer J (RFC 3261
# 17.2.2), less the time that the request and a wrong clock may take.
_REPEATS: Final = 30.0


class Delivery:
    """Delivers. Its timers are the module's."""

    def __init__(self, core: Core, module: Module, keeping: Keeping) -> None:
        self._core = core
        self._module = module
        self._keeping = keeping
        # Users whose devices are tried again later.
        self._retrying: set[str] = set()
        # (user, device) that messages are being delivered to.
        self._running: set[tuple[str, str]] = set()
        # Those of them for which something came meanwhile.
        self._again: set[tuple[str, str]] = set()
        self._delivered = core.counter("delivered", "Messages that a device took")

    def runs(self, user: str) -> bool:
        """Whether messages are being delivered to ``user``."""
        return any(one == user for one, _ in self._running)

    def retry(self, user: str, now: float) -> None:
        """The time to try ``user`` again has come."""
        self._retrying.discard(user)
        self.deliver_to(user, now)

    def changed(self, aor: str, before: Sequence[Binding], after: Sequence[Binding]) -> None:
        """Bindings changed: a device gets what it does not have."""
        if not after or (aor not in self._keeping.held.rows and before):
            return
        # All nodes hear of it.
        if self._core.once(f"deliver {aor}"):
            self.deliver_to(aor, self._core.ua.now)

    def deliver_to(self, aor: str, now: float) -> None:
        """Give all devices of ``aor`` what they do not have. What this node alone knows of it has to do."""
        for binding in self._core.location.lookup(aor, now):
            self._begin((aor, _device(binding)), now)

    def _begin(self, key: tuple[str, str], now: float) -> None:
        if key in self._running:
            # It may have read the rows before that.
            self._again.add(key)
            return
        self._running.add(key)
        self._core.run(self._deliver(*key), now, partial(self._over, key))

    def later(self, user: str, now: float) -> None:
        if user not in self._retrying:
            self._retrying.add(user)
            self._core.timers.start(now, self._keeping.settings.retry, self._module, ("retry", user))

    def _over(self, key: tuple[str, str], result: object, now: float) -> None:
        self._running.discard(key)
        again = key in self._again
        self._again.discard(key)
        if isinstance(result, BaseException) and not isinstance(result, OSError):
            self._core.failed("deliver", result)
        elif result is True and again:
            self._begin(key, now)

    async def _deliver(self, aor: str, device: str) -> bool:
        """Give a device what it does not have; return whether nothing is left."""
        after: tuple[str, str] | None = None
        while rows := await self._keeping.rows.page(aor, after=after, limit=PAGE):
            for row in rows:
                if row.until > self._core.unix(self._core.ua.now):
                    self._keeping.held.count(aor, row.id, self._keeping.sender_of(row), row.until)
                if not await self._give(row, device):
                    return False
            after = (aor, rows[-1].id)
        return True

    async def _give(self, row: Kept, device: str) -> bool:
        """Give a device a message that it does not have; return whether the next one may follow."""
        core = self._core
        unix = core.unix(core.ua.now)
        if row.until <= unix or row.due > unix:
            return True
        marks = await self._keeping.marks.all(row.user, row.id)
        mark = next((one for one in marks if one.device == device), None)
        if mark.status if mark is not None else len(marks) >= _DEVICES:
            return True
        bindings = core.location.lookup(row.user, core.ua.now)
        found = next((one for one in bindings if _device(one) == device), None)
        if found is None:
            return False
        # The same at each attempt: a phone that took the message just before a restart can tell.
        first = core.secret("call-id").keyed_hash(f"{row.id} {device}")
        call_id = f"{first}.{self.mark(row.id)}@{row.id}"
        if mark is None or not 0 <= unix - mark.at < _REPEATS:
            mark = Given(row.user, row.id, device, 0, unix)
            await self._keeping.marks.put(mark)
        # Else a server was killed before the answer: the same transaction again.
        token = core.secret("token").keyed_hash(f"{row.id} {device} {mark.at!r}")
        fields = [("Call-ID", call_id), ("Date", row.date), *row.header_fields]
        try:
            answer = await core.ua.request(
                "MESSAGE", target_of(found), fields, self._body(row), from_=row.sender, to=row.to, token=token
            )
        except (LocalProtocolError, RemoteProtocolError) as error:
            # It can never be sent, and must not stop those behind it.
            core.failed("deliver", error)
            await self._keeping.marks.put(Given(row.user, row.id, device, 400))
            return True
        if not 200 <= answer.status < 300 and answer.status not in _FOR_GOOD:
            # The next attempt is a transaction of its own.
            await self._keeping.marks.put(Given(row.user, row.id, device, 0))
            self.later(row.user, core.ua.now)
            return False
        await self._keeping.marks.put(Given(row.user, row.id, device, answer.status))
        if answer.status < 300:
            self._delivered.add()
            self._keeping.held.fetched(row.user, row.id)
        return True

    def mark(self, id: str) -> str:
        """Return what the Call-ID of each delivery of a message has."""
        return self._core.secret("call-id").keyed_hash(f"of {id}")

    def _body(self, row: Kept) -> bytes:
        kind = next((value for name, value in row.header_fields if name == "Content-Type"), "")
        if self._keeping.settings.date_in_text and kind.lower().startswith("text/plain"):
            return f"[{row.date}] ".encode() + row.body
        return row.body


def _device(binding: Binding) -> str:
    """Return what stays the same for a device: its instance (RFC 5626 4.1), else its contact."""
    return binding.instance or binding.contact
