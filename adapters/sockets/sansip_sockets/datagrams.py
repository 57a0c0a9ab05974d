"""The pump of a UDP socket: wait, drain, let the stack think, send.

Theory of operation: this is the path of almost every message, so it is written
for it. One wake-up serves the datagram that caused it, then reads all that wait
by now (up to 32), hands them to the stack as one batch and performs all its
actions, and so on until none is left: while Python worked more may have come,
and asking the socket is ten times cheaper than going through the event loop.
A lone datagram costs one read that finds nothing, not two. No task, future or
object is made per datagram beside what the stack makes.

If more than one batch waits, the pump reads all datagrams and serves them by turns of their
sources (``sansip_sockets.backlog``): one slice, then another look at the socket. After
``ROUNDS`` slices other sockets and timers get their turn.
"""

from __future__ import annotations

import socket
from collections import deque
from errno import EAGAIN
from functools import partial
from typing import TYPE_CHECKING

from sansip.actions import Action, Address, SendDatagram
from sansip.notices import LimitNotices
from sansip_sockets.backlog import Backlog
from sansip_sockets.bind import BoundListener
from sansip_sockets.icmp import read_icmp_errors
from sansip_sockets.udp import datagrams_of
from sansip_sockets.waits import PAUSE, READ, WRITE, Pump, Wait, wake

if TYPE_CHECKING:
    from sansip_sockets.host import Host

__all__ = ["DatagramSocket"]

# Datagrams read before any of them is answered, in each turn of one wake-up. 32 spread the costs and are
# answered within a few milliseconds. The turns are few, so that other sockets and timers get theirs.
BATCH = 32
TURNS = (1, BATCH, BATCH, BATCH)
# Datagrams served between two looks at a socket where many wait, and how often that is
# done before others get their turn.
SLICE = 16
ROUNDS = 4
# Datagrams read in one look at the most, so that a flood does not keep us reading.
READS = 1_024
# Datagrams kept while the socket's send buffer is full. Beyond it they are
# dropped, like on any congested link; SIP repeats them.
QUEUE = 1_024


def scoped(address: Address) -> Address:
    """Return ``address`` with the zone of its host as a number (RFC 4007 11.2), as sockets want it."""
    host, _, zone = address[0].partition("%")
    try:
        number = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
    except OSError:
        # The interface is gone, and so is the phone.
        return address
    return (host, address[1], 0, number)


class DatagramSocket:
    """A UDP listener. ``sendto`` is the way out and may be replaced while it is full."""

    __slots__ = ("_backlog", "_closed", "_had_error", "_hub", "_listener", "_notices", "_queue", "_said",
                 "datagrams", "dropped", "number", "sock")  # fmt: skip

    def __init__(self, hub: Host, listener: BoundListener) -> None:
        self._hub = hub
        self._listener = listener
        self.sock = listener.sock
        self.datagrams = datagrams_of(listener.sock)
        self.number = listener.id
        self._queue: deque[SendDatagram] = deque()
        self._had_error = False
        self._closed = False
        # Datagrams dropped because nothing more could be queued.
        self.dropped = 0
        limits = hub.driver.limits
        self._backlog = Backlog(limits.datagram_backlog, partial(hub.driver.stack.is_crowd, listener.id))
        self._said: list[Action] = []
        self._notices = LimitNotices(self._said, limits.notices)

    def pump(self) -> Pump:
        hub = self._hub
        number = self.number
        received = hub.driver.datagrams_received
        perform = hub.perform
        clock = hub.clock
        served = hub.gathering.served
        receive = self.datagrams.receive
        wait: Wait = (READ, self.sock, None)
        soon: Wait = (READ, self.sock, 0.0)
        backlog = self._backlog
        lines = backlog.lines
        while True:
            yield soon if lines else wait
            if self._closed:
                break
            try:
                if lines:
                    self._serve_by_turns()
                    continue
                for most in TURNS:
                    batch: list[tuple[bytes, Address]] = []
                    ended = receive(batch, most)
                    if ended == EAGAIN:
                        if not batch:
                            if most == 1:
                                # The socket woke us and had nothing to read: so the error
                                # queue has something.
                                self._read_errors()
                            break
                    elif ended:
                        # The pending error of an earlier send; the datagrams behind it are
                        # read in the next turn.
                        self._read_errors()
                    if len(batch) == BATCH:
                        for datagram in batch:
                            backlog.put(datagram)
                        self._serve_by_turns()
                        break
                    now = clock()
                    perform(received(number, batch, now), now)
                    served(len(batch), now)
            except Exception as error:
                hub.report(f"datagrams on {self._listener}", error)
            if self._had_error:
                # libuv, and so uvloop, stops watching a socket that has had an
                # error: watch it anew.
                self._had_error = False
                yield (PAUSE, self.sock, 0.0)
        yield (PAUSE, self.sock, 0.0)
        self.sock.close()

    @property
    def is_open(self) -> bool:
        """Whether the socket is not closed yet."""
        return self.sock.fileno() != -1

    def close(self) -> None:
        """Wake the pump, which closes the socket; queued datagrams are lost."""
        self._closed = True
        self._queue.clear()
        wake(self.sock)

    def _serve_by_turns(self) -> None:
        """Read whatever waits, and serve a few batches of it, one datagram of each source after another."""
        hub = self._hub
        backlog = self._backlog
        for _ in range(ROUNDS):
            left = READS
            while left > 0:
                read: list[tuple[bytes, Address]] = []
                ended = self.datagrams.receive(read, BATCH)
                left -= len(read) or 1
                for datagram in read:
                    source = backlog.put(datagram)
                    if source:
                        self._notices.reached("datagram_backlog", source, hub.clock())
                if ended == EAGAIN:
                    break
                if ended:
                    # The error of an earlier send, to a flooder that is gone: other datagrams wait behind it.
                    self._read_errors()
            now = hub.clock()
            batch = backlog.take(SLICE)
            if not batch:
                break
            hub.perform(hub.driver.datagrams_received(self.number, batch, now), now)
            hub.gathering.served(len(batch), now)
        if self._said:
            said = self._said[:]
            self._said.clear()
            hub.perform(said, hub.clock())

    def failed(self, action: SendDatagram, error: Exception) -> None:
        """Handle that ``sendto`` raised ``error`` for ``action``."""
        if isinstance(error, BlockingIOError):
            self._enqueue(action)
            return
        if isinstance(error, OSError):
            # It may be an ICMP error of another datagram, which the kernel reports to this call.
            self._read_errors()
            address = action.address
            if "%" in address[0]:
                address = scoped(address)
            try:
                self.sock.sendto(action.data, address)
                self._hub.sent.append(action)
                return
            except BlockingIOError:
                self._enqueue(action)
                return
            except OSError as again:
                error = again
        self._tell(action.owner, getattr(error, "strerror", None) or str(error))

    def _tell(self, owner: int, reason: str) -> None:
        # RFC 3261 18.4: the user of the transport is told.
        if owner:
            self._hub.later(self._hub.driver.send_failed, owner, reason)

    def _read_errors(self) -> None:
        self._had_error = True
        for address, quoted, reason in read_icmp_errors(self.sock):
            owner = self._hub.sent.owner(self.number, address, quoted)
            if not owner and self._hub.strange_error is not None:
                # The kernel gives an error to any of the sockets that share the port.
                self._hub.strange_error(self.number, address, quoted, reason)
            self._tell(owner, reason)

    # --- the send buffer is full

    def _enqueue(self, action: SendDatagram) -> None:
        if not self._queue:
            self._hub.sendto[self.number] = _blocked
            self._hub.spawn(self._flush())
        if len(self._queue) < QUEUE:
            self._queue.append(action)
        else:
            self.dropped += 1

    def _flush(self) -> Pump:
        wait = (WRITE, self.sock, None)
        queue = self._queue
        while queue:
            yield wait
            if self._closed:
                return
            try:
                while queue:
                    self.sock.sendto(queue[0].data, queue[0].address)
                    self._hub.sent.append(queue.popleft())
            except BlockingIOError:
                pass
            except Exception as error:
                action = queue.popleft()
                if not isinstance(error, OSError):
                    self._hub.report(f"send to {action.address}", error)
                self._tell(action.owner, getattr(error, "strerror", None) or str(error))
        if not self._closed:
            self._hub.sendto[self.number] = self.datagrams.sendto


def _blocked(_data: bytes, _address: Address) -> int:
    """Stand in for ``sendto`` while earlier datagrams wait: later ones must not overtake them."""
    raise BlockingIOError
