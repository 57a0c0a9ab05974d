"""One UDP listener beside other sockets: waited for together, in one system call.

Theory of operation: a server has more than its listener to wait for where a media relay answers it, its
bindings are in Redis, or a worker thread writes them: three of the nine datagrams of a call come from a
relay, each answer of a store by the inbox. None of them can wait for the others. So the thread asks the
kernel (epoll) which sockets have something. It reads one datagram of the listener (more where they are
gathered: ``sansip_sockets.gathering``), and of each socket of a
module as many as answers are waited for, and resumes the pump of any other socket: without the turn of the
loop, and without the second read that finds nothing. It is the set that the selector has, so there is nothing
to keep in step. Whatever is not a plain "readable" is for the selector, whose turn also comes after ``LOOK``
waits and for the next timer.
"""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Any, Final

from sansip_sockets import READ

if TYPE_CHECKING:
    from sansip.actions import Address
    from sansip_blocking.jobs import Jobs
    from sansip_sockets import Hub, PolledWaiter

__all__ = ["TOGETHER", "Several"]

# Datagrams served together at most, where they are gathered.
TOGETHER: Final = 31

# Sockets that one look tells of; the kernel tells of the others in the next one.
_READY: Final = 16


class Several:
    """Serves the only UDP listener of ``hub`` and what else is readable while datagrams come fast.

    ``brisk``: seconds that it waits for one at most; ``look``: waits until everything else has its turn.
    """

    def __init__(self, hub: Hub, waiter: PolledWaiter, jobs: Jobs, brisk: float, look: int) -> None:
        self._hub = hub
        self._waiter = waiter
        self._jobs = jobs
        self._brisk = brisk
        self._looks = range(look)
        # It has a descriptor of its own for the same set; None where the system has no epoll.
        epoll = getattr(select, "epoll", None)
        self._epoll: Any = None if epoll is None else epoll.fromfd(os.dup(waiter.fileno()))

    def serve(self, alone: bool) -> bool:
        """Unless something else is due now, serve datagrams until it is. Return whether there were any.

        ``alone``: until no answer is awaited; then nothing but the listener is in a hurry.
        """
        hub, waiter, jobs = self._hub, self._waiter, self._jobs
        if len(hub.datagrams) != 1 or self._epoll is None:
            return False
        sockets, places = hub.clients.sockets, waiter.places
        clock, poll, brisk = hub.clock, self._epoll.poll, self._brisk
        (only,) = hub.datagrams.values()
        own, number, receive = only.sock.fileno(), only.number, only.datagrams.receive
        inbox, asked = hub.inbox.reader.fileno(), hub.clients.asked
        received, perform, read = hub.driver.datagrams_received, hub.perform, hub.clients.read
        gathering = hub.gathering
        until, now = waiter.deadline(), clock()
        for served in self._looks:
            if now >= until:
                return served > 0
            most = 1
            if gathering.pause > 0.0:
                time.sleep(gathering.pause)
                gathering.paused()
                most = TOGETHER
            ready = poll(brisk, _READY)
            if not ready:
                return served > 0
            resumed = posted = False
            for fd, events in ready:
                if fd == own:
                    batch: list[tuple[bytes, Address]] = []
                    if receive(batch, most) and not batch:
                        # An error of an earlier send came, which the pump reads.
                        return False
                    now = clock()
                    try:
                        perform(received(number, batch, now), now)
                    except Exception as error:
                        hub.report(f"datagrams on {hub.listeners[number]}", error)
                    gathering.served(len(batch), now)
                elif fd in sockets:
                    if not read(sockets[fd]):
                        return served > 0
                else:
                    waits = places.get(fd)
                    resume = None if waits is None or events != select.EPOLLIN else waits[READ]
                    if resume is None:
                        return served > 0
                    resume()
                    resumed = True
                    posted = posted or fd == inbox
            if posted:
                # What was posted may have stopped the server, or closed the listener.
                return True
            if alone and not (jobs.running or hub.awaited or asked.questions > asked.patient):
                return True
            if resumed:
                # It may wait for another time now.
                until = waiter.deadline()
                now = clock()
        return True

    def close(self) -> None:
        """Let go of the descriptor."""
        if self._epoll is not None:
            self._epoll.close()
