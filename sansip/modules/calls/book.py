"""The records of calls: they begin, change their state, and end.

Theory of operation: what happens to a call is said here, by ``module`` and its hooks and, for calls that pass
as octets, by ``ride``, and ``states`` what the next state is. A record ends in one place, ``end``, and
with it all its counts and its row. The module has one book as long as it lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.modules.calls.call import Call, Follower, Talk
from sansip.modules.calls.counts import Counts
from sansip.modules.calls.elsewhere import Elsewhere
from sansip.modules.calls.events import CallAnswered, CallFinished, CallRang
from sansip.modules.calls.states import TABLE, Happening
from sansip.modules.calls.strangers import Strangers
from sansip.modules.calls.supervision import Supervision, due
from sansip.modules.calls.talks import Talks
from sansip.modules.calls.watch import Watch
from sansip.seat import MOST

if TYPE_CHECKING:
    from sansip.entropy import Entropy
    from sansip.module import Core
    from sansip.module.metrics import Counter
    from sansip.module.telling import Teller
    from sansip.modules.calls.keeping import Keeping
    from sansip.modules.calls.settings import CallsSettings
    from sansip.modules.calls.together import Together

__all__ = ["UNACKED", "Book"]

# Seconds beyond ``limits.ring_time`` after which an INVITE that was never answered is forgotten.
_SLACK: Final = 64.0
# Seconds in which the ACK of a 2xx has to come by: twice 64*T1 (RFC 3261 13.3.1.4).
UNACKED: Final = 64.0


class Book:
    """All calls that have not ended.

    Attributes:
        calls: by their ids.
        talks, counts, strangers, watch: their dialogs, keys and sources, and when each is looked at.
        settings: of the module; a reload puts in others.
        tried, answered, ended: what operators see counted.
    """

    __slots__ = (
        "_core",
        "_entropy",
        "_keeping",
        "_limits",
        "_mark",
        "_number",
        "_place",
        "_teller",
        "_together",
        "answered",
        "calls",
        "counts",
        "elsewhere",
        "ended",
        "settings",
        "strangers",
        "supervision",
        "talks",
        "tried",
        "watch",
    )

    _core: Core
    _entropy: Entropy
    _keeping: Keeping
    _limits: Any
    _mark: str
    _place: int
    _teller: Teller
    _together: Together | None
    answered: Counter
    elsewhere: Elsewhere
    ended: Counter
    supervision: Supervision
    tried: Counter

    def __init__(self, settings: CallsSettings) -> None:
        self.settings = settings
        self.calls: dict[str, Call] = {}
        self.talks = Talks()
        self.counts = Counts()
        self.strangers = Strangers()
        self.watch = Watch(self.calls)
        self._number = 0

    def start(self, core: Core, keeping: Keeping, together: Together | None) -> None:
        """Begin to serve; ``together``: what counts with other nodes, where there are some."""
        self._core = core
        self._teller = core.teller
        self._keeping = keeping
        self._together = together
        self._limits = core.limits
        self._entropy = core.entropy
        self._mark = core.id_mark
        seat = core.seat
        self._place = -1 if seat is None else seat.number
        self.watch.tell = core.has_due
        self.elsewhere = Elsewhere(core)
        self.supervision = Supervision(core, self.over, self.end, self.look_again)
        self.tried = core.counter("tried", "Calls whose INVITE was relayed")
        self.answered = core.counter("answered", "Calls that were answered")
        self.ended = core.counter("ended", "Calls that ended, by who ended them", ("by",))

    def new_id(self) -> str:
        """Return the id of a new call, as ``Core.new_id``."""
        return self._mark + self._entropy.token()

    def next_number(self) -> int:
        """Return the number of a new call; no two workers have the same."""
        number = self._number = self._number + 1
        return number if self._place < 0 else number * MOST + self._place

    def enter(self, call: Call, now: float) -> None:
        """Enter ``call``; it is forgotten if its INVITE is never answered."""
        self.calls[call.id] = call
        ring_time: float = self._limits.ring_time
        # It may be answered, and its ACK missing.
        self.watch.look(call, now + ring_time + _SLACK, now + UNACKED)

    # --- states

    def move(self, call: Call, happening: Happening, now: float) -> bool:
        """Take ``call`` to its next state; return whether that is another one."""
        before = call.state
        state = call.state = TABLE[before, happening]
        if state == before:
            return False
        call.over = state == "ended"
        follower = call.follower
        if state == "ringing":
            call.rang = now
            if follower is not None:
                self._follow(call, follower, state, now)
            self._teller.tell(CallRang(call), now)
        elif state == "answered":
            call.answered = now
            self.answered.add()
            self.elsewhere.answered(call)
            if follower is not None:
                self._follow(call, follower, state, now)
            self._teller.tell(CallAnswered(call), now)
        return True

    def _follow(self, call: Call, follower: Follower, state: str, now: float) -> None:
        """Tell the module that sent the call somewhere."""
        try:
            if state == "ringing":
                follower.rang(call, now)
            elif state == "answered":
                follower.answered(call, now)
            else:
                call.follower = None
                follower.ended(call, now)
        except Exception as error:
            self._core.failed("follower", error)

    def over(self, call: Call, talk: Talk, by: str, why: str, now: float) -> None:
        """One dialog of ``call`` has ended; with the last one the call has."""
        if len(call.talks) > 1:
            self.talks.end(call, talk)
        else:
            self.end(call, by, why, now)

    def end(self, call: Call, by: str, why: str, now: float) -> None:
        """``call`` is over; ``by``: who ended it."""
        if call.over:
            return
        self.move(call, "ends", now)
        call.ended, call.ended_by, call.why = now, by, why
        call.request = None
        self.calls.pop(call.id, None)
        self.elsewhere.over(call)
        if call.stranger is not None:
            self.strangers.give_back(call.stranger)
        self.talks.forget(call)
        for tag in call.raised or ():
            self._core.proxy.shifts.forget(call.call_id, tag)
        if call.keys:
            keys = tuple(call.keys)
            self.counts.forget(call)
            if self._together is not None:
                for key in keys:
                    self._together.changed(key, now)
        if call.follower is not None:
            self._follow(call, call.follower, "ended", now)
        if call.tried:
            self.ended.add(by or "nobody seen")
            self._teller.notify(CallFinished(call), now)
        keeping = self._keeping
        if keeping.puts or keeping.written:
            keeping.drop(call, now)

    def goes_on(self, call: Call, status: int, now: float) -> None:
        """A 2xx has gone back: watch the call, or end it. ``status``: of the first 2xx, 0 for others."""
        if status:
            call.status = status
            self.move(call, "answers", now)
        if not call.talks:
            # Answered here, or we are not on the path of its dialog: nothing more will be seen of it.
            self.end(call, "", "goes on without this server", now)
        elif call.given_up:
            # An operator ended it, and the 2xx crossed the CANCEL (RFC 3261 9.1).
            call.request = None
            self.supervision.hang_up(call, call.given_up, now)
        else:
            self.look_again(call, now)

    # --- time

    def look_again(self, call: Call, now: float) -> None:
        """Look at an answered call when that is due."""
        self.watch.look(call, due(call, self.settings, now))

    def time_passed(self, now: float) -> None:
        """End calls whose time is over; probe calls that may be dead."""
        for call in self.watch.passed(now):
            self.supervision.look(call, self.settings, now)
