"""The records of calls: they begin, change their state, and end; those of a process before are taken back.

Theory of operation: the hooks (``module``) say what happens to a call, and ``states`` what its next state is.
A record ends in one place, ``_end``, and with it all its counts and its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sansip.module import Again, Module, Slot
from sansip.modules.calls.call import Call, Talk
from sansip.modules.calls.counts import Counts
from sansip.modules.calls.elsewhere import Elsewhere
from sansip.modules.calls.events import CallAnswered, CallFinished, CallRang, CallsRead, CallTakenBack
from sansip.modules.calls.keeping import KEPT, Keeping
from sansip.modules.calls.settings import CallsSettings, judge
from sansip.modules.calls.spiral import parent_of
from sansip.modules.calls.states import TABLE, Happening
from sansip.modules.calls.strangers import Strangers
from sansip.modules.calls.supervision import Supervision, due
from sansip.modules.calls.talks import Talks
from sansip.modules.calls.together import Together
from sansip.modules.calls.watch import Watch
from sansip.seat import MOST
from sansip.sources import source_of

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.routing import IncomingRequest

__all__ = ["Records"]

# Seconds beyond ``limits.ring_time`` after which an INVITE that was never answered is forgotten.
_SLACK: Final = 64.0
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
        self._calls: dict[str, Call] = {}
        self._talks = Talks()
        self._counts = Counts()
        self._watch = Watch()
        self._number = 0
        self._strangers = Strangers()

    # --- its life

    def check(self, settings: CallsSettings) -> None:
        """Raise ``ModuleFault`` for settings that cannot be used."""
        judge(settings)

    def start(self, core: Core, now: float) -> None:
        node = core.place
        self._watch.tell = core.has_due
        self._elsewhere = Elsewhere(core)
        self._keeping = Keeping(core, node)
        self._counts.tally = None if core.shares_rows else core.tally
        self._together = Together(core, node, self._counts, self.settings.lease) if core.shares_rows else None
        if self._together is not None:
            core.timers.start(now, self.settings.lease / 3, self, "renew")
        self._is_read = not self.settings.keep
        self._restoring = Again(core, self._restore, _AGAIN, "", failed=self._unread)
        if self.settings.keep:
            self._restoring.begin(now)
        self._supervision = Supervision(core, self._over, self._end, self._look_again)
        self._tried = core.counter("tried", "Calls whose INVITE was relayed")
        self._answered = core.counter("answered", "Calls that were answered")
        self._ended = core.counter("ended", "Calls that ended, by who ended them", ("by",))

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
        call.number = self._next_number()
        self._calls[call.id] = call
        self._talks.take_back(call)
        keys, call.keys = call.keys, set()
        for key in keys:
            self._counts.add(call, key)
            if self._together is not None:
                self._together.restored(key)
        if not call.talks:
            self._end(call, "", "no dialog of it is known", now)
        else:
            self._look_again(call, now)
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

    @property
    def _patience(self) -> float:
        """Seconds after which an INVITE that was never answered is forgotten."""
        return self.core.limits.ring_time + _SLACK

    def _next_number(self) -> int:
        """Return the number of a new call; no two workers have the same."""
        self._number += 1
        seat = self.core.seat
        return self._number if seat is None else self._number * MOST + seat.number

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
                self.core.new_id(),
                message.call_id,
                message.from_tag or "",
                str(message.from_.uri),
                str(message.to.uri),
                message.uri_text if arrived is None else arrived.uri_text,
                request.flow.host,
                request.now,
                number=self._next_number(),
                stranger=stranger,
            )
            call.request = request
            self._calls[call.id] = call
            self._watch.look(call, request.now + self._patience, len(self._calls))
        self._of.set(request, call)
        return call

    def _move(self, call: Call, happening: Happening, now: float) -> bool:
        """Take ``call`` to its next state; return whether that is another one."""
        before, call.state = call.state, TABLE[call.state, happening]
        if call.state == before:
            return False
        call.over = call.state == "ended"
        if call.state == "ringing":
            call.rang = now
            self.core.tell(CallRang(call), now)
        elif call.state == "answered":
            call.answered = now
            self._answered.add()
            self._elsewhere.answered(call)
            self.core.tell(CallAnswered(call), now)
        return True

    def _over(self, call: Call, talk: Talk, by: str, why: str, now: float) -> None:
        """One dialog of ``call`` has ended; with the last one the call has."""
        if len(call.talks) > 1:
            self._talks.end(call, talk)
        else:
            self._end(call, by, why, now)

    def _end(self, call: Call, by: str, why: str, now: float) -> None:
        if call.over:
            return
        self._move(call, "ends", now)
        call.ended, call.ended_by, call.why = now, by, why
        call.request = None
        self._calls.pop(call.id, None)
        self._elsewhere.over(call)
        if call.stranger is not None:
            self._strangers.give_back(call.stranger)
        self._talks.forget(call)
        for tag in call.raised:
            self.core.proxy.shifts.forget(call.call_id, tag)
        if call.keys:
            keys = tuple(call.keys)
            self._counts.forget(call)
            if self._together is not None:
                for key in keys:
                    self._together.changed(key, now)
        if call.tried:
            self._ended.add(by or "nobody seen")
            self.core.notify(CallFinished(call), now)
        self._keeping.drop(call, now)

    # --- time

    def _look_again(self, call: Call, now: float) -> None:
        self._watch.look(call, due(call, self.settings, now), len(self._calls))

    def next_due(self) -> float | None:
        """Return when the next call is looked at."""
        return self._watch.next_due()

    def time_passed(self, now: float) -> None:
        """End calls whose time is over; probe calls that may be dead."""
        for call in self._watch.passed(now):
            self._supervision.look(call, self.settings, now)
