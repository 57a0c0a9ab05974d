"""The module: which messages are kept, and how a phone that registers gets them.

Theory of operation: a MESSAGE that reached no device is a row before its sender gets 202. When a phone
registers, its messages leave in order, one at a time; a mark says that the device has one, and no device gets
a message with a mark. Of nodes that share a store, one delivers. A message that comes while others are being
delivered waits behind them, so that order holds. Counts are of the rows, so they do not drift.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.events import NodeChanged
from sansip.module import FIRST, Again, CommandError, Module, command, function, step
from sansip.module.again import AGAIN
from sansip.modules.messages.accepting import Accepting
from sansip.modules.messages.delivery import Delivery
from sansip.modules.messages.keeping import PAGE, Keeping
from sansip.modules.messages.reminders import remind, time_of
from sansip.modules.messages.row import GIVEN, KEPT, ORIGINS, Kept
from sansip.modules.messages.settings import MessagesSettings
from sansip.modules.messages.shown import Shown, shown
from sansip.modules.messages.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.module import Core
    from sansip.routing import IncomingRequest
    from sansip.routing.usages import UsageArrived
    from sansip.wire import Response

__all__ = ["Messages"]

# Nobody was reached (RFC 3261 21): answers of a device that will not have the message are not among them.
_UNREACHED: Final = frozenset((404, 408, 410, 430, 480, 486, 500, 502, 503, 504, 600, 604))
# Seconds after which another node that was to deliver has an answer, or none (Timer F, RFC 3261 17.1.2.2).
_OTHERS: Final = 40.0


class Messages(Module):
    """Keeps messages for users without a registered phone."""

    name = "messages"
    over_workers = FIRST
    gathers = frozenset(("MESSAGE",))
    methods = frozenset(("MESSAGE",))
    Settings = MessagesSettings
    tables = (KEPT, GIVEN, ORIGINS)
    events = (NodeChanged,)
    settings: MessagesSettings

    def start(self, core: Core, now: float) -> None:
        self._keeping = Keeping(core, self.settings, self._lost)
        self._kept = self._keeping.rows
        self._given = self._keeping.marks
        self._held = self._keeping.held
        self._delivery = Delivery(core, self, self._keeping)
        self._telling = Telling(core, self._keeping, self._delivery.deliver_to)
        self._stored = core.counter("stored", "Messages that were kept")
        self._accepting = Accepting(
            core, self._keeping, self._delivery, self._telling, self._stored, self._tick
        )
        self._expired = core.counter("expired", "Messages that nobody fetched in time")
        core.watch(self._delivery.changed)
        self._ticks = self._restores = False
        # How often writes have failed that may have happened.
        self._losses = 0
        # Users of rows that were found, and whose phones have not been looked for.
        self._found: dict[str, None] = {}
        core.relays_plainly("MESSAGE", self._keeping.has_none, self._unreached)
        self._restoring = Again(core, self._restore)
        self._restoring.begin(now)

    def configure(self, settings: MessagesSettings, now: float) -> None:
        self.settings = self._keeping.settings = settings

    async def _restore(self) -> None:
        losses = self._losses
        after: tuple[str, str] | None = None
        while rows := await self._kept.page(after=after, limit=PAGE):
            for row in rows:
                if row.id not in self._held.rows.get(row.user, ()):
                    self._found[row.user] = None
                self._held.count(row.user, row.id, self._keeping.sender_of(row), row.until)
                self._keeping.follow(row)
                self._wait_for(row, self.core.ua.now)
            after = (rows[-1].user, rows[-1].id)
        self._tick(self.core.ua.now)
        for mark in await self._given.all():
            if mark.over:
                self._held.fetched(mark.user, mark.id)
        # Not where a write failed behind what was read: it is read once more.
        if losses == self._losses:
            self._keeping.complete = True
        found, self._found = self._found, {}
        for aor in found:
            # No phone has come anew: a delivery that its REGISTER began meanwhile is not begun again.
            self._delivery.kept(aor, self.core.ua.now)

    def event_received(self, event: NodeChanged, now: float) -> None:
        """A node is gone: what it kept, and was to try again, is everybody's now."""
        if event.state == "gone" and self.core.shares_rows:
            self._lost()

    def _lost(self) -> None:
        """Count the rows anew, soon."""
        self._losses += 1
        if not self._restores:
            self._restores = True
            self.core.timers.start(self.core.ua.now, AGAIN, self, "restore")

    # --- keeping

    @step("select", rank=70, methods=("MESSAGE",))
    async def for_nobody(self, request: IncomingRequest) -> None:
        """Keep a message for a user without a device."""
        user = self.core.address_of(request.uri)
        try:
            if await self._repeated(request, user):
                return
            status = await self._accepting.keep(request, user, at_once=True)
        except Exception as error:
            self.core.failed("for_nobody", error)
            self._accepting.fail(request)
            return
        if status >= 400:
            request.reply(status)

    @step("relay", methods=("MESSAGE",))
    async def for_devices(self, request: IncomingRequest) -> None:
        """Relay a message, and keep it if no device was reached."""
        aor = self.core.address_of(request.uri)
        if await self._repeated(request, aor):
            return
        if await self._delivery.runs(aor):
            # Older ones are on their way: order holds.
            if await self._accepting.keep(request, aor, at_once=True) == 202:
                return
        targets = await request.locate()
        outcome = await request.relay(targets) if targets else None
        if outcome is not None:
            await self._unreached(request, outcome)

    def usage_received(
        self, arrived: UsageArrived, now: float
    ) -> Callable[[UsageArrived, float], None] | None:
        """Keep a message for a user without a phone, from its octets."""
        return self._accepting.take(arrived)

    async def _unreached(self, request: IncomingRequest, outcome: Response) -> None:
        """Keep a message that was relayed, if no device was reached."""
        if outcome.status in _UNREACHED:
            await self._accepting.keep(request, self.core.address_of(request.uri), at_once=False)

    async def _repeated(self, request: IncomingRequest, user: str) -> bool:
        """Answer a message that is kept already: its sender heard nothing of a server that was killed."""
        found = await self._keeping.find(user, request.message)
        if found:
            # By two ways at once, and the first is being written (RFC 3261 8.2.2.2); or a delivery of ours,
            # which a contact leads back here (16.3 step 4): no phone has it.
            again = found in self._held.coming or any(
                self.core.listeners.serves(one.host, one.port) for one in request.message.vias
            )
            request.reply(482 if again else 202)
        return bool(found)

    # --- time

    def _tick(self, now: float, *, again: bool = False) -> None:
        """Look for messages whose time is over once in a minute, as long as there may be some."""
        # Of other nodes, too: they may be gone.
        if not self._ticks and (again or self._held.total or self.core.shares_rows):
            self._ticks = True
            self.core.timers.start(now, 60.0, self, "expire")

    async def _remind(self, user: str, text: str, at: float, sender: str) -> str:
        row = await remind(self.core, self._keeping, user, text, at, sender)
        self._tick(self.core.ua.now)
        self._wait_for(row, self.core.ua.now)
        return row.id

    def _wait_for(self, row: Kept, now: float) -> None:
        """Start the timer of a message that is due later."""
        unix = self.core.unix(now)
        if row.due > unix:
            self.core.timers.start(now, row.due - unix, self, ("due", row.user, row.id))

    def timer_fired(self, name: object, now: float) -> None:
        if isinstance(name, tuple):
            if name[0] == "retry":
                self._delivery.retry(name[1], name[2], now)
                return
            if name[0] == "due" and not self.core.once(f"deliver {name[1]}"):
                # The other node has a timer for it if it started since; else this one has to do it.
                self.core.timers.start(now, _OTHERS, self, ("late", name[1]))
                return
            self._delivery.deliver_to(name[1], now)
            return
        if name == "restore":
            self._restores = False
            self._restoring.begin(now)
            return
        self._ticks = False
        self._keeping.recounted.clear()
        unix = self.core.unix(now)
        # Also where another node removes the rows, they count here no more.
        over = [(user, one) for user, held in self._held.rows.items() for one in held if held[one] <= unix]
        for user, one in over:
            self._held.uncount(user, one)
        if self.core.once("expire"):
            self.core.run(self._expire(unix), now, self._looked)
        else:
            self._tick(now)

    def _looked(self, result: object, now: float) -> None:
        if isinstance(result, BaseException):
            self.core.failed("expire", result)
        # A notice of one that failed may have been kept; or the store is away, and has them still.
        self._tick(now, again=isinstance(result, BaseException))

    async def _expire(self, unix: float) -> None:
        """Remove messages whose time is over, with their marks."""
        after: tuple[str, str] | None = None
        while rows := await self._kept.page(after=after, limit=PAGE):
            gone = [row for row in rows if row.until <= unix]
            removed = await self._keeping.remove([(row.user, row.id) for row in gone])
            for row, marks in zip(gone, removed, strict=True):
                if not any(one.over for one in marks):
                    self._expired.add()
                    if row.reports:
                        await self._telling.tell(row, "failed")
            after = (rows[-1].user, rows[-1].id)

    # --- operators

    @command("messages.list")
    async def list_all(self, user: str, limit: int = 100) -> list[Shown]:
        """Return the messages that are kept for ``user``, an address-of-record, without their text."""
        rows = await self._kept.page(user, limit=max(1, min(limit, 1_000)))
        return [shown(row, await self._given.all(user, row.id)) for row in rows]

    @command("messages.remind")
    async def remind(self, user: str, text: str, at: str, sender: str = "") -> str:
        """Have ``user`` get ``text`` at the time ``at``; return the id of the message.

        ``at``: with its offset to UTC, ``2026-12-24T18:00+01:00``. ``sender``: the address that it is from,
        by default the user's own. Where no phone is there at that time, the message waits like others.
        """
        return await self._remind(user, text, time_of(at), sender)

    @function
    async def reminder(self, user: str, text: str, at: float, sender: str = "") -> str:
        """Have ``user`` get ``text`` at ``at``, in seconds since 1970; return the id of the message.

        Raises ``CommandError`` for a time that is over, a user who is none of ours, a limit.
        """
        return await self._remind(user, text, at, sender)

    @command("messages.count")
    def count(self) -> int:
        """Return how many messages are kept."""
        return self._held.total

    @command("messages.remove")
    async def remove(self, user: str, id: str = "") -> int:
        """Remove a message, or all of a user; return how many."""
        rows = await self._kept.all(user)
        found = [row for row in rows if id in ("", row.id)]
        if not found:
            raise CommandError(f"messages.remove: {user!r:.80} has no such message (see messages.list)")
        await self._keeping.remove([(row.user, row.id) for row in found])
        return len(found)
