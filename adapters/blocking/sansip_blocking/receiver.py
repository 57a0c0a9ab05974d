"""One UDP socket, waited for in ``recvfrom``: a datagram costs one system call to wait and to read.

Theory of operation: a selector costs a system call and its Python code for each wake-up, and the drain
after it costs a read that finds nothing. Under load the next datagram comes within a millisecond; then it
is cheaper to wait in a read of the socket itself, with a time-out (SO_RCVTIMEO). The server looks at
everything else in between: after ``LOOK`` datagrams or ``SPELL`` seconds, when the time-out has passed, when
the inbox is signalled, and when a timer is due. So the server does this only while it waits
for nothing that is more urgent: no connection, no query, no worker thread, no full send buffer, no answer of
Redis or of a module's peer. Otherwise all of them are waited for together (``several``). The pump of the
socket stays where it waits, and the selector resumes it as always: it serves a backlog by turns of its
sources, and reads the socket's errors. Where datagrams come by the thousand the thread sleeps a moment first,
and serves what has come together (``sansip_sockets.gathering``).
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from errno import EAGAIN
from typing import TYPE_CHECKING, Final

from sansip.actions import Address
from sansip_blocking.jobs import Jobs
from sansip_blocking.several import TOGETHER, Several
from sansip_sockets import READ, PolledWaiter
from sansip_sockets.datagrams import DatagramSocket

if TYPE_CHECKING:
    from sansip_sockets import Hub

__all__ = ["BRISK", "LOOK", "SPELL", "Receiver"]

# Seconds that ``recvfrom`` waits at most; a timer may be that much later than ``SLACK`` of the hub allows. If
# no datagram comes in this time, the selector waits for the next one.
BRISK: Final = 0.005
# Everything else gets its turn after so many datagrams, or after so many seconds, whichever comes first: an
# operator does not notice them. In its own turns the pump serves many more datagrams.
LOOK: Final = 64
SPELL: Final = 0.02


class Receiver:
    """Serves the datagrams of the only UDP listener of ``hub`` while they come one behind the other."""

    def __init__(self, hub: Hub, waiter: PolledWaiter, jobs: Jobs) -> None:
        self._hub = hub
        self._waiter = waiter
        self._jobs = jobs
        # The socket that this made blocking, and has to make non-blocking again.
        self._blocking: socket.socket | None = None
        self._several = Several(hub, waiter, jobs, BRISK, LOOK)
        # Descriptor -> its registration, and whether it may wait: an answer for as long as it is registered.
        self._judged: dict[int, tuple[object, bool]] = {}
        # The only urgent listener, if there is one, and the watches among which it was found.
        self._only: DatagramSocket | None = None
        self._found_at = -1

    def serve(self) -> bool:
        """Unless something else is due now, serve datagrams until it is. Return whether there were any."""
        datagrams = self._alone()
        if datagrams is None:
            self.release()
            return self._several.serve(False)
        hub, jobs = self._hub, self._jobs
        clock = hub.clock
        begun = clock()
        until = min(self._waiter.deadline(), begun + SPELL)
        if begun >= until:
            return False
        sock = datagrams.sock
        if self._blocking is not sock:
            self._take(sock)
        number = datagrams.number
        inbox = hub.inbox
        wait, receive = datagrams.datagrams.wait, datagrams.datagrams.receive
        received = hub.driver.datagrams_received
        perform = hub.perform
        asked = hub.clients.asked
        gathering = hub.gathering
        for served in range(LOOK):
            if jobs.running or hub.awaited or asked.questions > asked.patient:
                if not self._several.serve(True):
                    return served > 0
                until = min(self._waiter.deadline(), begun + SPELL)
                if clock() >= until or self._alone() is not datagrams:
                    return True
                continue
            batch: list[tuple[bytes, Address]] = []
            ended = EAGAIN
            if gathering.pause > 0.0:
                time.sleep(gathering.pause)
                gathering.paused()
                ended = receive(batch, TOGETHER)
            if not batch and (ended != EAGAIN or wait(batch)):
                # No datagram came in time, or an error of an earlier send came, which the pump reads.
                return served > 0
            now = clock()
            try:
                perform(received(number, batch, now), now)
            except Exception as error:
                hub.report(f"datagrams on {hub.listeners[number]}", error)
            gathering.served(len(batch), now)
            if inbox.signalled or now >= until or ended != EAGAIN:
                # Something else is due; or an error came behind these, or more wait than one batch.
                break
        return True

    def _alone(self) -> DatagramSocket | None:
        """Return the only UDP listener, if all other sockets can wait for ``BRISK``."""
        datagrams = self._hub.datagrams
        if len(datagrams) != 1:
            return None
        if self._found_at != self._waiter.changes:
            (only,) = datagrams.values()
            self._only = only if self._is_patient(only) else None
            self._found_at = self._waiter.changes
        return self._only

    def _is_patient(self, only: DatagramSocket) -> bool:
        """Whether all that is waited for, beside ``only`` and the inbox, can wait for ``BRISK``."""
        own = (only.sock.fileno(), self._hub.inbox.reader.fileno())
        clients = self._hub.clients
        for fd, key in self._waiter.watched.items():
            if key.events != READ:
                return False
            if fd in own or fd in self._hub.quiet or clients.is_patient(fd):
                continue
            registration, patient = self._judged.get(fd, (None, False))
            if registration is not key.data:
                patient = _accepts_locally(fd)
                self._judged[fd] = key.data, patient
            if not patient:
                return False
        return True

    def _take(self, sock: socket.socket) -> None:
        """Make ``sock`` wait in ``recvfrom``; the pump reads it with MSG_DONTWAIT."""
        self.release()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, int(BRISK * 1e6)))
        # The kernel reports a full send buffer after one of its ticks; then the socket is made
        # non-blocking again.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 1))
        sock.setblocking(True)
        self._blocking = sock

    def close(self) -> None:
        """Let go of what this has."""
        self._several.close()

    def release(self) -> None:
        """Make the socket non-blocking again."""
        sock, self._blocking = self._blocking, None
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.setblocking(False)


def _accepts_locally(fd: int) -> bool:
    """Return whether ``fd`` is a Unix socket that accepts connections: an operator can wait so long."""
    with socket.socket(fileno=os.dup(fd)) as sock:
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        return sock.family == socket.AF_UNIX and listens != 0
