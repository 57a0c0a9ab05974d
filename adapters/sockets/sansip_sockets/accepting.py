"""Accepts connections: one pump for each listener, until the listener is taken away."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sansip_sockets.bind import BoundListener
from sansip_sockets.waits import PAUSE, READ, Pump, wake

if TYPE_CHECKING:
    from sansip_sockets.host import Host

__all__ = ["Accepting"]

# Connections accepted for one wake-up, so that others get their turn.
ACCEPTS = 64
# Seconds to leave new connections to the kernel's queue when this process or
# machine has run out of descriptors or memory: retrying at once would spin.
EXHAUSTED_PAUSE = 0.1
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Accepting:
    """The listening sockets of a hub. ``accepted`` takes listener, socket and address of a connection."""

    __slots__ = ("_accepted", "_hub", "_stopped")

    def __init__(self, hub: Host, accepted: Callable[[BoundListener, socket.socket, Any], None]) -> None:
        self._hub = hub
        self._accepted = accepted
        # Listening sockets that their pumps are to close.
        self._stopped: set[socket.socket] = set()

    def close(self) -> None:
        """Close at once the sockets whose pumps have not closed them yet."""
        for sock in self._stopped:
            sock.close()

    def listen(self, listener: BoundListener) -> Pump:
        """Accept connections until the listener is taken away (``stop``)."""
        hub = self._hub
        sock = listener.sock
        wait = (READ, sock, None)
        exhausted = False
        while True:
            yield wait
            if listener.closing:
                break
            for _ in range(ACCEPTS):
                try:
                    peer, address = sock.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    if error.errno in EXHAUSTED:
                        if not exhausted:
                            exhausted = True
                            hub.report(
                                f"accept on {listener}: no connection is accepted until there is room", error
                            )
                        yield (PAUSE, sock, EXHAUSTED_PAUSE)
                        break
                    # accept(2) also passes on errors of the connection that was
                    # to come (ECONNABORTED, ENETDOWN, …): that one is gone.
                    continue
                exhausted = False
                try:
                    self._accepted(listener, peer, address)
                except Exception as error:
                    peer.close()
                    hub.report(f"connection from {address[0]} on {listener}", error)
        yield (PAUSE, sock, 0.0)
        sock.close()
        self._stopped.discard(listener.sock)

    def stop(self, listener: BoundListener) -> None:
        """Accept nothing more there; connections that were accepted go on."""
        listener.closing = True
        self._stopped.add(listener.sock)
        wake(listener.sock)
