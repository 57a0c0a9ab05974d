"""Messages from worker to worker: a Unix datagram socket for each place.

Theory of operation: the parent makes a pair of sockets for each place among the workers. The worker in that
place reads one end, all others write to the other. So what is passed on waits in the kernel while a worker is
started again. A message that does not fit any more is dropped, like a datagram on a congested link: SIP
repeats it. No other program can reach these sockets.
"""

from __future__ import annotations

import marshal
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sansip.actions import Address, Disconnect, PassOn, SendData
from sansip.seat import Seat, seat_of_connection
from sansip_sockets.waits import READ, Pump, Wait

if TYPE_CHECKING:
    from sansip_sockets.hub import Hub

__all__ = ["BUFFER", "Mesh", "inboxes"]

# Octets of messages that wait for one worker.
BUFFER = 4 * 1024 * 1024
# Messages read before other sockets get their turn.
BATCH = 64
# Octets of the longest message: a SIP message (``limits.message_size``) and a little more. → dropped
LONGEST = BUFFER
_COOKIE = b"z9hG4bK"


def inboxes(count: int) -> list[tuple[socket.socket, socket.socket]]:
    """Return for each place the end to read and the end to write to."""
    pairs = []
    for _ in range(count):
        reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        for sock in (reader, writer):
            sock.setblocking(False)
        pairs.append((reader, writer))
    return pairs


class Mesh:
    """The mesh as the worker with ``seat`` has it: its own inbox, and the way to those of the others.

    ``dropped`` counts the messages that did not fit.
    """

    def __init__(self, hub: Hub, seat: Seat, inbox: socket.socket, writers: Sequence[socket.socket]) -> None:
        self._hub = hub
        self._seat = seat
        self._inbox = inbox
        self._writers = writers
        self.dropped = 0
        self._takers: dict[str, Callable[..., None]] = {
            "pass": self._passed_on,
            "send": self._send,
            "close": self._close,
            "error": self._error,
        }
        hub.perform_by({PassOn: self._pass_on})
        hub.elsewhere = self._elsewhere
        hub.strange_error = self._strange_error
        hub.spawn(self._pump())

    # --- to the others

    def _pass_on(self, action: PassOn) -> None:
        place = (action.listener, action.conn, action.data, tuple(action.source))
        self._write(action.seat, ("pass", *place, action.identities))

    def _elsewhere(self, action: SendData | Disconnect) -> bool:
        """Have a connection's own worker do ``action``; return False if the connection is none of theirs."""
        number = seat_of_connection(action.conn)
        if number == self._seat.number or not 0 <= number < len(self._writers):
            return False
        if isinstance(action, SendData):
            self._write(number, ("send", action.conn, action.data))
        else:
            self._write(number, ("close", action.conn, action.reason))
        return True

    def _strange_error(self, listener: int, address: Address, quoted: bytes, reason: str) -> None:
        """Give an ICMP error to the worker whose mark is in the branch of the datagram it is about."""
        # Not a branch in the Request-URI, which a peer wrote.
        branch = quoted.find(_COOKIE, quoted.find(b"\r\n") + 1)
        if branch < 0:
            return
        mark = quoted[branch + len(_COOKIE) :][:1].decode("ascii", "replace")
        other = self._seat.other(mark)
        if other is not None:
            self._write(other, ("error", listener, tuple(address), quoted, reason))

    def _write(self, number: int, value: Any) -> None:
        data = marshal.dumps(value)
        try:
            # The reader would get the beginning of a longer one.
            if len(data) <= LONGEST:
                self._writers[number].send(data)
                return
        except OSError:
            pass  # there is no room
        self.dropped += 1

    # --- from the others

    def _pump(self) -> Pump:
        wait: Wait = (READ, self._inbox, None)
        # One for all: the system gives it memory as far as it is ever filled.
        buffer = bytearray(LONGEST)
        view = memoryview(buffer)
        while True:
            yield wait
            for _ in range(BATCH):
                try:
                    size = self._inbox.recv_into(buffer)
                except BlockingIOError:
                    break
                except OSError:
                    return
                try:
                    kind, *values = marshal.loads(view[:size])
                    self._takers[kind](*values)
                except Exception as error:
                    self._hub.report("a message from another worker", error)

    def _passed_on(
        self, listener: int, conn: int, data: bytes, source: tuple[Any, ...], identities: tuple[str, ...]
    ) -> None:
        hub = self._hub
        now = hub.clock()
        stack: Any = hub.driver.stack
        actions = stack.passed_on(listener, conn, data, source, now, identities)
        hub.perform(hub.driver.outgoing(actions, now), now)

    def _send(self, conn: int, data: bytes) -> None:
        now = self._hub.clock()
        self._hub.perform(self._hub.driver.outgoing([SendData(conn, data)], now), now)

    def _error(self, listener: int, address: tuple[Any, ...], quoted: bytes, reason: str) -> None:
        hub = self._hub
        owner = hub.sent.owner(listener, address, quoted)
        if owner:
            now = hub.clock()
            hub.perform(hub.driver.send_failed(owner, reason, now), now)

    def _close(self, conn: int, reason: str) -> None:
        now = self._hub.clock()
        self._hub.perform(self._hub.driver.outgoing([Disconnect(conn, reason)], now), now)
