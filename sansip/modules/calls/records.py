"""The records of calls in the life of the module: it starts, takes those of a process before back, reloads.

Theory of operation: the records themselves, and what becomes of them, are in ``book``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sansip.module import Again, Module, Slot
from sansip.modules.calls.book import Book
from sansip.modules.calls.call import Call
from sansip.modules.calls.events import CallsRead, CallTakenBack
from sansip.modules.calls.keeping import KEPT, Keeping
from sansip.modules.calls.settings import CallsSettings, judge
from sansip.modules.calls.spiral import parent_of
from sansip.modules.calls.together import Together
from sansip.sources import source_of

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.routing import IncomingRequest

__all__ = ["Records"]

# Seconds until the rows are asked for again.
_AGAIN: Final = 1.0


class Records(Module):
    """The module without its hooks of messages and its commands."""

    name = "calls"
    # The requests of a call come to the worker that has its record.
    over_workers = True
    tells_due = True
    Settings = CallsSettings
    tables = (KEPT,)
    settings: CallsSettings

    # The call of a request, in hooks and routes.
    _of: Slot[Call] = Slot()

    def __init__(self, settings: CallsSettings) -> None:
        super().__init__(settings)
        book = self._book = Book(settings)
        # Its parts: they live as long.
        self._calls = book.calls
        self._talks = book.talks
        self._counts = book.counts
        self._watch = book.watch
        self._strangers = book.strangers

    # --- its life

    def check(self, settings: CallsSettings) -> None:
        """Raise ``ModuleFault`` for settings that cannot be used."""
        judge(settings)

    def start(self, core: Core, now: float) -> None:
        node = core.place
        self._keeping = Keeping(core, node)
        self._counts.tally = None if core.shares_rows else core.tally
        self._together = Together(core, node, self._counts, self.settings.lease) if core.shares_rows else None
        if self._together is not None:
            core.timers.start(now, self.settings.lease / 3, self, "renew")
        self._book.start(core, self._keeping, self._together)
        self._elsewhere = self._book.elsewhere
        self._supervision = self._book.supervision
        self._is_read = not self.settings.keep
        self._restoring = Again(core, self._restore, _AGAIN, "", failed=self._unread)
        if self.settings.keep:
            self._restoring.begin(now)

    async def _restore(self) -> None:
        """Take the calls of the process before."""
        core = self.core
        # Where rows are shared other nodes have calls there, too.
        found = await self._keeping.restore((core.place,) if core.shares_rows else (), core.mine)
        self._keeping.trouble = ""
        for call in found:
            self._take_back(call, core.ua.now)
        self._read(core.ua.now)

    def _read(self, now: float) -> None:
        if not self._is_read:
            self._is_read = True
            self.core.tell(CallsRead(), now)

    @property
    def is_read(self) -> bool:
        """Whether the calls that the process before kept are here, or cannot be read now."""
        return self._is_read

    def _take_back(self, call: Call, now: float) -> None:
        call.number = self._book.next_number()
        self._calls[call.id] = call
        self._talks.take_back(call)
        keys, call.keys = call.keys, set()
        for key in keys:
            self._counts.add(call, key)
            if self._together is not None:
                self._together.restored(key)
        if not call.talks:
            self._book.end(call, "", "no dialog of it is known", now)
        else:
            self._book.look_again(call, now)
        if not call.over:
            self._elsewhere.answered(call)
        self.core.tell(CallTakenBack(call), now)

    def _unread(self, error: BaseException, now: float) -> None:
        self._keeping.trouble = f"the calls of the process before cannot be read: {error}"
        self._read(now)

    def announced(self, key: str, word: Any, now: float) -> None:
        """Hear of a call of another worker."""
        self._elsewhere.heard(key, word, now)

    def configure(self, settings: CallsSettings, now: float) -> None:
        """Take other settings; a call that goes on is kept from its next refresh on."""
        super().configure(settings, now)
        self._book.settings = settings
        if settings.keep and not self._keeping.loaded:
            self._restoring.begin(now)
        if self._together is not None:
            self._together.lease = settings.lease

    def timer_fired(self, name: object, now: float) -> None:
        if self._together is not None:
            self._together.renew(now)
            self.core.timers.start(now, self.settings.lease / 3, self, "renew")

    def health(self) -> str:
        """Return what keeps calls from their rows, and from the counts of all nodes."""
        keeping = self._keeping
        if self.settings.keep and not keeping.loaded and not keeping.trouble:
            return "the calls of the process before are not read yet"
        return keeping.trouble or ("" if self._together is None else self._together.trouble)

    def figures(self) -> dict[str, Any]:
        """Return how many calls there are, in which state."""
        found = {"now_calling": 0, "now_ringing": 0, "now_answered": 0}
        for call in self._calls.values():
            found[f"now_{call.state}"] += 1
        return found

    def __len__(self) -> int:
        """Return how many calls there are that have not ended."""
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls.values())

    # --- states

    def _begin(self, request: IncomingRequest) -> Call | None:
        """Return the record of an INVITE that makes a dialog, a new one where there is none; else None."""
        call = self._of.get(request)
        if call is not None or request.method != "INVITE" or request.in_dialog:
            return call
        server = request.server
        if request.cancelled or server is None or server.answered:
            # The caller gave up while a route waited: there will be no call.
            return None
        call = parent_of(request, self.core.listeners, self.core.proxy.transactions.clients, self._of)
        if call is None:
            stranger = source_of(request.flow.host) if request.is_stranger else None
            if len(self._calls) >= self.settings.most:
                return None
            if not self._strangers.take(stranger, self.settings.most_of_stranger):
                return None
            message, arrived = request.message, request.arrived
            call = Call(
                self._book.new_id(),
                message.call_id,
                message.from_tag or "",
                str(message.from_.uri),
                str(message.to.uri),
                message.uri_text if arrived is None else arrived.uri_text,
                request.flow.host,
                request.now,
                self._book.next_number(),
                stranger,
            )
            call.request = request
            self._book.enter(call, request.now)
        self._of.set(request, call)
        return call

    # --- time

    def next_due(self) -> float | None:
        """Return when the next call is looked at."""
        return self._watch.next_due()

    def time_passed(self, now: float) -> None:
        """End calls whose time is over; probe calls that may be dead."""
        self._book.time_passed(now)
