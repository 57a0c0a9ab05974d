"""The datagrams of one UDP socket: read as many as wait, wait for the next one, send one.

Theory of operation: Python's sockets make a tuple of texts of each address, and an exception of each socket
that has nothing to read. A server pays both for nearly every datagram. So there is a class in C beside this
one (``_udp.c``, compiled at the installation where there is a compiler) that keeps the addresses of the
phones that send now, and returns the error as a number. This class is the reference: both do the same
(``tests/adapters/sockets/test_udp.py``).
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from errno import EAGAIN, ESHUTDOWN
from typing import Any, Protocol

__all__ = ["Datagrams", "PlainDatagrams", "datagrams_of"]

# No UDP payload is longer (RFC 768: 16-bit length).
DATAGRAM_SIZE = 65_535
# Nothing here waits for the socket but ``wait``, even if a runtime has made it blocking.
DONTWAIT = socket.MSG_DONTWAIT


class Datagrams(Protocol):
    """The datagrams of one socket."""

    def receive(self, batch: list[tuple[bytes, Any]], most: int, /) -> int:
        """Append the datagrams that wait to ``batch``, each with its address, at most ``most``.

        Returns 0 where so many were read, else the number of the error that ended it: ``errno.EAGAIN`` where
        no more are there, or the error of an earlier send.
        """
        ...

    def wait(self, batch: list[tuple[bytes, Any]], /) -> int:
        """Append the next datagram to ``batch``; a blocking socket waits for it.

        Returns 0, or the number of the error; ``errno.EAGAIN`` where the time-out of the socket has passed,
        ``errno.ESHUTDOWN`` where the socket was shut down.
        """
        ...

    def sendto(self, data: bytes, address: Any, /) -> int:
        """Send ``data`` to ``address``, and return its length; raises as ``socket.sendto`` does."""
        ...


class PlainDatagrams:
    """They, by the methods of ``sock``."""

    __slots__ = ("_recvfrom", "sendto")

    def __init__(self, sock: socket.socket) -> None:
        self._recvfrom = sock.recvfrom
        self.sendto = sock.sendto

    def receive(self, batch: list[tuple[bytes, Any]], most: int, /) -> int:
        recvfrom, append = self._recvfrom, batch.append
        try:
            for _ in range(most):
                datagram = recvfrom(DATAGRAM_SIZE, DONTWAIT)
                if datagram[1] is None:
                    return ESHUTDOWN
                append(datagram)
        except BlockingIOError:
            return EAGAIN
        except OSError as error:
            return error.errno or -1
        return 0

    def wait(self, batch: list[tuple[bytes, Any]], /) -> int:
        try:
            datagram = self._recvfrom(DATAGRAM_SIZE)
            if datagram[1] is None:
                return ESHUTDOWN
            batch.append(datagram)
        except BlockingIOError:
            return EAGAIN
        except OSError as error:
            return error.errno or -1
        return 0


def _class_in_c() -> Callable[[socket.socket], Datagrams] | None:
    try:
        from sansip_sockets import _udp
    except ImportError:
        return None
    return _udp.Datagrams


_InC = _class_in_c()


def datagrams_of(sock: socket.socket) -> Datagrams:
    """Return the datagrams of ``sock``, by the class in C if it is here."""
    # A socket of another class has methods of its own.
    return PlainDatagrams(sock) if _InC is None or type(sock) is not socket.socket else _InC(sock)
