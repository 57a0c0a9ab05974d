"""The calls that a user agent has: by their dialogs, by their numbers, and by when they have something to do.

Theory of operation: a call that is not over is found by its dialog id, and any call by its number, before it
is answered, too. ``Watch`` holds when calls have something to do, and ``time_passed`` asks it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.dialog import DialogId
from sansip.ua.call import Call
from sansip.ua.incoming import IncomingCall
from sansip.ua.outgoing import OutgoingCall
from sansip.ua.strangers import Strangers
from sansip.ua.watch import Watch

if TYPE_CHECKING:
    from sansip.limits import Limits

__all__ = ["Book"]


class Book:
    """The calls there are.

    Attributes:
        now: the time of the input that is being handled; coroutines need not say it.
        calls: those that are not over, by their dialogs.
        outgoing: our INVITEs on their way, by number.
        numbered: calls, and those that came in and are not answered, by number.
        strangers: the calls that strangers have here.
    """

    def __init__(self, limits: Limits) -> None:
        self.now = 0.0
        self.calls: dict[DialogId, Call] = {}
        self.outgoing: dict[int, OutgoingCall] = {}
        self.numbered: dict[int, Call | IncomingCall] = {}
        self.strangers = Strangers(limits)
        self._number = 0
        self._watch = Watch()
        # Our INVITEs on their way, by Call-ID: one that comes back to us is a call within a call.
        self._inviting: dict[str, OutgoingCall] = {}

    def next_number(self) -> int:
        """Return a number that no call has had."""
        self._number += 1
        return self._number

    def add(self, call: Call) -> None:
        """Find requests of ``call`` by its dialog from now on."""
        self.calls[call.dialog.id] = call
        self.numbered[call.number] = call

    def renumber(self, call: Call, number: int) -> None:
        """Call it ``number``: the INVITE of ours that it answered had that name."""
        self.numbered.pop(call.number, None)
        call.number = number
        self.numbered[number] = call

    def forget(self, call: Call) -> None:
        """``call`` is over: its later requests get 481."""
        if self.calls.get(call.dialog.id) is call:
            del self.calls[call.dialog.id]
        self.numbered.pop(call.number, None)
        self.strangers.forget(call)

    def places(self, call: OutgoingCall) -> None:
        """The INVITE of ``call`` is about to leave."""
        self.outgoing[call.number] = call
        self._inviting[call.request.call_id] = call

    def settled(self, call: OutgoingCall) -> None:
        """No more responses come to the INVITE of ``call``."""
        self.outgoing.pop(call.number, None)
        self._inviting.pop(call.request.call_id, None)

    def find(self, call_id: str, to_tag: str, from_tag: str) -> Call | None:
        """Return the call that a Replaces field of a peer means (RFC 3891 3): ``to_tag`` is ours."""
        return self.calls.get(DialogId(call_id, to_tag, from_tag))

    def __len__(self) -> int:
        return len(self.calls)

    @property
    def dialogs(self) -> int:
        """How many dialogs there are, the early ones of forks counted each."""
        return len(self.calls)

    # --- time

    def watch(self, call: Call, now: float) -> None:
        """Look at ``call`` again when its usage is due."""
        self._watch.look(call, len(self.calls))

    def next_due(self) -> float | None:
        """Return a time before which nothing has to be done, None where nothing waits."""
        return self._watch.next_due()

    def tell_due(self, tell: Callable[[float], None]) -> None:
        """Have ``tell`` called with ``next_due`` when it has changed; ``math.inf`` is for None."""
        self._watch.tell = tell

    def time_passed(self, now: float) -> None:
        """Do the work that is due."""
        for call in self._watch.passed(now, len(self.calls)):
            self.now = now
            call.perform(call.usage.time_passed(now), now)
