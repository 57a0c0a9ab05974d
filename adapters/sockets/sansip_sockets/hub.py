"""The hub: one stack, its sockets, and the pumps between them.

Theory of operation: whatever wakes a pump (datagrams, a stream, the time, an
answer) becomes one input of the driver, and the list of actions that comes back
is performed before the pump waits again. Nothing recurses: a failure found
while performing is posted to the inbox and handled in the next turn.

The *heart* is the pump of the inbox, and of the time: it waits for the inbox to
be readable for as long as the next deadline is away. Timers of SIP are half a
second and more, so deadlines may be kept up to ``SLACK`` late: under load fifty
wake-ups a second serve thousands of timers, and while the heart is due that soon, no code
needs to ask for the next deadline (``sansip_sockets.performing``).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from sansip.actions import (
    Action,
    Address,
    Ask,
    CloseDatagram,
    Connect,
    Disconnect,
    OpenDatagram,
    Reading,
    SendData,
    SendDatagram,
)
from sansip.driver import Driver, HandOver
from sansip.transport.transports import DATAGRAMS
from sansip_sockets.answering import Answering, Handlers, StartCoroutine, judge
from sansip_sockets.bind import BoundListener
from sansip_sockets.clients import DatagramClients
from sansip_sockets.datagrams import DatagramSocket
from sansip_sockets.drain import Drain
from sansip_sockets.gathering import Gathering
from sansip_sockets.inbox import Inbox
from sansip_sockets.performing import SLACK, Performing
from sansip_sockets.reports import Report, Reports
from sansip_sockets.sent import Sent
from sansip_sockets.streams import Streams
from sansip_sockets.waits import PAUSE, READ, Pump, Spawn, Wait
from sansip_sockets.workers import Offload

__all__ = ["SLACK", "Hub"]


class Hub:
    """Owns the sockets and performs actions.

    ``spawn`` is the runtime's way to drive a pump. ``notify`` receives events;
    ``report(text, exception)`` receives faults inside (default: the log). ``offload`` runs a job in another
    thread; ``start_coroutine`` is needed for handlers that are ``async def``; ``gather`` is as in
    ``Options``.
    """

    def __init__(
        self,
        driver: Driver,
        listeners: list[BoundListener],
        spawn: Spawn,
        *,
        handlers: Handlers | None = None,
        notify: Callable[[Any], None] | None = None,
        report: Report | None = None,
        offload: Offload | None = None,
        start_coroutine: StartCoroutine | None = None,
        gather: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        judge(handlers, start_coroutine)
        self.driver = driver
        self.spawn = spawn
        self.clock = clock
        self.report = Reports(report, clock)
        self.listeners = {listener.id: listener for listener in listeners}
        self.inbox = Inbox()
        self.gathering = Gathering(gather)
        self.streams = Streams(self)
        self.clients = DatagramClients(self)
        self.datagrams: dict[int, DatagramSocket] = {}
        # Numbers of listeners whose socket is closed for good: one for each that an operator took away.
        self._removed: set[int] = set()
        self._closing: list[DatagramSocket] = []
        # Number of a UDP listener -> its way out; the hottest look-up there is.
        self.sendto: dict[int, Callable[[bytes, Any], Any]] = {}
        # Datagrams of transactions, for ICMP errors about them.
        self.sent = Sent(driver.limits.sends_remembered)
        # The function that serves connections of other protocols than SIP
        # (``sansip_sockets.http``).
        self.on_foreign: Callable[[HandOver, socket.socket], None] | None = None
        self.answering = Answering(
            self, self.answer, handlers or {}, offload, start_coroutine, self.answer_all
        )
        self._rare: dict[type, Callable[[Any], None]] = {
            Connect: self.streams.connect,
            Disconnect: self.streams.disconnect,
            Reading: self.streams.read,
            OpenDatagram: self.clients.open,
            CloseDatagram: self._shut,
            Ask: self.answering.ask,
            HandOver: self._hand_over,
        }
        # Descriptors of connections whose peer speaks when it was asked alone (Redis), and how many of these
        # have to answer: meanwhile the runtime waits for them as for any other.
        self.quiet: set[int] = set()
        self.awaited = 0
        # Takes what is sent over a connection that this process does not have: that of another worker.
        self.elsewhere: Callable[[SendData | Disconnect], bool] | None = None
        # Takes an ICMP error about a datagram that this process did not send: listener, destination, the
        # beginning of the datagram, the reason.
        self.strange_error: Callable[[int, Address, bytes, str], None] | None = None
        self._wall_offset = float("inf")
        self._drains: list[Drain] = []
        # The number of turns of the loop, for the watchdog; and the function that the watchdog calls before
        # it ends the process without the loop. It runs in the watchdog's thread and saves only data that
        # must not be lost.
        self.beats = 0
        self.on_abandon: Callable[[], None] | None = None
        driver.on_error = self.report
        self._performing = Performing(
            driver,
            self.sendto,
            self.sent.append,
            self.streams.writing,
            self._rare,
            notify,
            self._failed,
            self.report,
            self.inbox.wake,
        )
        # ``perform(actions, now)`` does what the driver returned, ``at_end(function)`` calls a function after
        # the last action, ``settle(now)`` has the heart wake for a new deadline.
        self.perform = self._performing.perform
        self.at_end = self._performing.at_end
        self.settle = self._performing.settle

    def perform_by(self, ways: Mapping[type, Callable[[Any], None]]) -> None:
        """Perform actions of further kinds, each by its function."""
        self._rare.update(ways)

    def start(self) -> None:
        """Spawn the pumps of the listeners, and the heart."""
        self._set_wall_clock()
        for listener in self.listeners.values():
            if listener.pumped:
                self.listen(listener)
        self.spawn(self._heart())

    def listen(self, listener: BoundListener) -> None:
        """Spawn the pump of ``listener``."""
        if listener.transport in DATAGRAMS:
            datagrams = self.datagrams[listener.id] = DatagramSocket(self, listener)
            self.sendto[listener.id] = datagrams.datagrams.sendto
            self.spawn(datagrams.pump())
        else:
            self.spawn(self.streams.accepting.listen(listener))

    def _shut(self, action: CloseDatagram) -> None:
        """Close the socket of a query, or of a listener that was taken away."""
        datagrams = self.datagrams.pop(action.listener, None)
        if datagrams is None:
            self.clients.shut(action)
        else:
            del self.sendto[action.listener]
            self._removed.add(action.listener)
            self.listeners = {one: bound for one, bound in self.listeners.items() if one != action.listener}
            datagrams.close()
            self._closing.append(datagrams)

    @property
    def is_closing(self) -> bool:
        """Whether the socket of a UDP listener waits for its pump to close it, in its next turn."""
        self._closing = [one for one in self._closing if one.is_open]
        return bool(self._closing)

    def close(self) -> None:
        """Close every socket. The runtime has let go of all pumps before."""
        for drain in self._drains:
            drain.finish(False)
        self.streams.close()
        self.clients.close()
        for listener in self.listeners.values():
            listener.sock.close()
        self.inbox.close()
        self.answering.close()

    def drain(self, timeout: float, done: Callable[[bool], None]) -> None:
        """Refuse what is new; call ``done(True)`` when what runs has finished.

        ``done(False)`` is called where ``timeout`` seconds were not enough, or the
        hub is closed meanwhile.
        """
        now = self.clock()
        drain = Drain(self, timeout, done)
        self._drains.append(drain)
        self.perform(self.driver.drain(now), now)
        drain.look(now)

    @property
    def idle(self) -> bool:
        """Whether nothing runs in the stack and nothing waits to be written."""
        return self.driver.stack.idle and self.streams.flushed

    def send(self, actions: list[Action]) -> None:
        """Perform actions that the stack returned to code outside of the hub (stack's thread only)."""
        now = self.clock()
        self.perform(self.driver.outgoing(actions, now), now)

    def act(self, verb: str, number: int, given: dict[str, Any], done: Callable[[Any], None]) -> None:
        """Have the stack's user agent do ``verb`` (``sansip.ua.acting``); ``done`` gets the result."""
        stack: Any = self.driver.stack
        now = self.clock()
        self.send(stack.act(verb, number, given, now, lambda result, _now: done(result)))
        self.inbox.wake()

    def later(self, method: Callable[..., list[Action]], *args: Any) -> None:
        """Feed the driver in the next turn: ``method(*args, now)``."""
        self.inbox.post(self._feed, method, args)

    def answer(self, number: int, result: Any) -> None:
        """Give the stack the answer to question ``number`` (stack's thread only)."""
        self._feed(self.driver.answer, (number, result))

    def answer_all(self, answers: Iterable[tuple[int, Any]]) -> None:
        """Give the stack the answers to several questions, and then perform the actions of all."""
        now = self.clock()
        actions: list[Action] = []
        for number, result in answers:
            try:
                actions += self.driver.answer(number, result, now)
            except Exception as error:
                self.report("an answer", error)
        self.perform(actions, now)

    def _feed(self, method: Callable[..., list[Action]], args: tuple[Any, ...]) -> None:
        now = self.clock()
        self.perform(method(*args, now), now)

    # --- actions that need more than a call

    def _failed(self, action: Action, error: Exception) -> None:
        if isinstance(action, SendDatagram):
            if action.listener in self.datagrams:
                self.datagrams[action.listener].failed(action, error)
            elif action.listener < 0:
                self.clients.failed(action, error)
            elif action.listener in self._removed:
                # A reload took the listener away, and its transactions have had their time.
                self.later(self.driver.send_failed, action.owner, "the listener was removed")
                return
        if not isinstance(error, OSError):
            # The action has a wrong address, or a listener that does not exist: a bug above us.
            self.report(f"action {action!r:.200}", error)

    def _hand_over(self, action: HandOver) -> None:
        foreign = self.on_foreign
        # A connection that comes before HTTP is served is closed.
        heir = socket.socket.close if foreign is None else partial(foreign, action)
        self.streams.give(action.conn, heir)

    # --- time and other threads

    def _set_wall_clock(self) -> None:
        """Tell the stack what time of day it is: Unix time is ``now + wall_offset``."""
        offset = time.time() - self.clock()
        # Only when the machine's clock was set, so that a journal has few entries.
        if not abs(offset - self._wall_offset) < 0.5:
            self._wall_offset = self.driver.stack.wall_offset = offset

    def _heart(self) -> Pump:
        failures = 0
        while True:
            try:
                wait = self._until_next_deadline()
            except Exception as error:
                self.report("timers", error)
                wait = (PAUSE, self.inbox.reader, 0.1)
            yield wait
            # From here on, code that performs actions need not wake the heart.
            self._performing.armed = float("-inf")
            try:
                self._beat()
                failures = 0
            except Exception as error:
                self.report("timers", error)
                # A deadline that stays in the past must not take the whole processor.
                failures += 1
                yield (PAUSE, self.inbox.reader, min(0.1 * failures, 1.0))

    def _until_next_deadline(self) -> Wait:
        deadline = self.driver.next_deadline()
        if deadline is None:
            self._performing.armed = float("inf")
            return (READ, self.inbox.reader, None)
        self._performing.armed = deadline + SLACK
        return (READ, self.inbox.reader, max(self._performing.armed - self.clock(), 0.0))

    def _beat(self) -> None:
        self.beats += 1
        self._set_wall_clock()
        for function, args in self.inbox.take():
            try:
                function(*args)
            except Exception as error:
                self.report("a posted call", error)
        now = self.clock()
        deadline = self.driver.next_deadline()
        if deadline is not None and deadline <= now:
            self.perform(self.driver.time_passed(now), now)
