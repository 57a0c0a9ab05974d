"""Does what a driver returned: the way of every message out of the stack.

Theory of operation: actions are done in order; an exception of one is reported, and the next ones are done.
Then the octets for connections leave, the functions that wait for the end of the turn are called, and the
heart of the hub hears of a deadline that is earlier than its own. Deadlines may be kept up to ``SLACK`` late;
while the heart wakes that soon anyway, nobody asks for the next deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from sansip.actions import Action, Notify, SendData, SendDatagram
from sansip.driver import Driver
from sansip.stack import Stack

__all__ = ["SLACK", "Performing"]

# Seconds a timer may be late, so that one wake-up serves many. A runtime may add 5 ms: a twentieth of T1.
SLACK: Final = 0.02


class Writing(Protocol):
    """What writes to connections (``sansip_sockets.writing``)."""

    dirty: list[Any]

    def write(self, action: SendData, /) -> None: ...
    def flush(self) -> None: ...


class Performing:
    """Performs the actions of one hub.

    ``sendto`` has the way out of each UDP listener, ``rare`` the function for each kind of action that a
    message seldom causes. ``sent(action)`` remembers a datagram of a transaction; ``failed(action, error)``
    hears of exceptions. ``wake()`` has the heart look at the time.
    """

    __slots__ = ("_driver", "_ends", "_failed", "_notify", "_rare", "_report", "_sendto", "_sent", "_timed",
                 "_wake", "_writing", "armed")  # fmt: skip

    def __init__(
        self,
        driver: Driver,
        sendto: Mapping[int, Callable[[bytes, Any], Any]],
        sent: Callable[[SendDatagram], object],
        writing: Writing,
        rare: Mapping[type, Callable[[Any], None]],
        notify: Callable[[Any], None] | None,
        failed: Callable[[Action, Exception], None],
        report: Callable[[str, Exception], None],
        wake: Callable[[], None],
    ) -> None:
        self._driver = driver
        self._sendto = sendto
        self._sent = sent
        self._writing = writing
        self._rare = rare
        self._notify = notify
        self._failed = failed
        self._report = report
        self._wake = wake
        # Called once when the actions of this turn have been performed.
        self._ends: list[Callable[[], None]] = []
        # When the heart wakes by itself; minus infinity while it looks already.
        self.armed = float("inf")
        # A stack whose timers say when it is due: the next deadline is then two numbers to look at.
        stack = driver.stack
        self._timed: Stack | None = stack if isinstance(stack, Stack) else None

    def perform(self, actions: list[Any], now: float) -> None:
        """Do what the driver returned, in order. An exception of one action is reported, not raised."""
        sendto = self._sendto
        for action in actions:
            try:
                if isinstance(action, SendDatagram):
                    sendto[action.listener](action.data, action.address)
                    if action.owner > 0:
                        self._sent(action)
                elif isinstance(action, SendData):
                    self._writing.write(action)
                elif isinstance(action, Notify):
                    if self._notify is not None:
                        self._notify(action.event)
                else:
                    self._rare[type(action)](action)
            except Exception as error:
                self._failed(action, error)
        if self._writing.dirty:
            self._writing.flush()
        if self._ends:
            self._end_turn()
        # Unless the heart wakes so soon anyway that nothing new can be due before.
        armed = self.armed
        if armed > now + 2 * SLACK:
            stack = self._timed
            if (
                stack is None
                or stack.timers.earliest + SLACK < armed
                or stack.unstarted
                or stack.modules.stack_hooks.has_clocks
                or self._driver.timers.earliest + SLACK < armed
            ):
                self.settle(now)

    def at_end(self, function: Callable[[], None]) -> None:
        """Call ``function`` after the last action of this ``perform``; for code that performs one.

        Also for a ``function`` that is called so: what is asked at the end of a turn leaves with it.
        """
        self._ends.append(function)

    def _end_turn(self) -> None:
        while self._ends:
            ends = self._ends
            self._ends = []
            for function in ends:
                try:
                    function()
                except Exception as error:
                    self._report("the end of a turn", error)

    def settle(self, now: float) -> None:
        """Have the heart wake for a deadline that is earlier than what it waits for."""
        deadline = self._driver.next_deadline()
        if deadline is not None and deadline + SLACK < self.armed:
            self.armed = deadline + SLACK
            self._wake()
