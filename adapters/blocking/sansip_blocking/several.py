"""One UDP listener beside sockets of modules to peers of theirs: waited for together, in one system call.

Theory of operation: with a media relay three of the nine datagrams of a call come from there, and none of
them can wait for the others. So the thread asks the kernel (epoll) which sockets have something, and reads
one datagram of each at once: without the turn of the loop, the pump and the second read that finds nothing.
It is the set that the selector has, so there is nothing to keep in step. As soon as any other socket has
something the selector's turn comes; so it does after ``LOOK`` waits, for the next timer, and for the inbox.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sansip.actions import Address
    from sansip_blocking.jobs import Jobs
    from sansip_sockets import Hub, PolledWaiter

__all__ = ["Several"]


class Several:
    """Serves the only UDP listener of ``hub`` and the sockets of modules while their datagrams come fast.

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

    def serve(self) -> bool:
        """Unless something else is due now, serve datagrams until it is. Return whether there were any."""
        hub, jobs = self._hub, self._jobs
        sockets = hub.clients.sockets
        if not sockets or len(hub.datagrams) != 1 or jobs.running or self._epoll is None:
            return False
        clock, inbox, poll, brisk = hub.clock, hub.inbox, self._epoll.poll, self._brisk
        until = self._waiter.deadline() - brisk
        (only,) = hub.datagrams.values()
        own, number, receive = only.sock.fileno(), only.number, only.datagrams.receive
        received, perform, read = hub.driver.datagrams_received, hub.perform, hub.clients.read
        now = clock()
        for served in self._looks:
            if inbox.signalled or now >= until or jobs.running:
                return served > 0
            ready = poll(brisk)
            if not ready:
                return served > 0
            for fd, _ in ready:
                if fd == own:
                    batch: list[tuple[bytes, Address]] = []
                    if receive(batch, 1) and not batch:
                        # An error of an earlier send came, which the pump reads.
                        return False
                    now = clock()
                    try:
                        perform(received(number, batch, now), now)
                    except Exception as error:
                        hub.report(f"datagrams on {hub.listeners[number]}", error)
                elif fd not in sockets or not read(sockets[fd]):
                    return served > 0
            now = clock()
        return True

    def close(self) -> None:
        """Let go of the descriptor."""
        if self._epoll is not None:
            self._epoll.close()
