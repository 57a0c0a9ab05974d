"""Finds the addresses of a URI, for a command that may wait: RFC 3263 with the server's own resolver.

Theory of operation: the core's ``Locator`` says which datagrams to send to which
name server; this file sends them over plain sockets, and gives the ``Locator`` a reply or the
next deadline, whichever comes first. A machine without a name server that answers still knows
addresses (``getaddrinfo``), and then this takes those.
"""

from __future__ import annotations

import os
import selectors
import socket
import time
from typing import Any

from sansip.actions import Action, CloseDatagram, Connect, Disconnect, OpenDatagram, SendData, SendDatagram
from sansip.clock import Timers
from sansip.entropy import Entropy
from sansip.limits import Limits
from sansip.transport.dns import DnsConfig, Locator, Place, Resolver
from sansip.transport.next_hop import NextHop
from sansip.transport.transports import SCTP, TRANSPORTS

__all__ = ["locate"]

_TRANSPORTS = tuple(one for one in TRANSPORTS if one != SCTP)


def locate(hop: NextHop, config: DnsConfig) -> list[Place]:
    """Return (transport, ip, port) of ``hop``, best first; raise LookupError if there is none."""
    if hop.numeric:
        return [(hop.transport, hop.host, hop.port)]
    found: list[Place] | Exception = _Search(config).run(hop)
    if isinstance(found, Exception):
        raise LookupError(str(found))
    return found


class _Search:
    """One search, with its sockets and its deadline."""

    def __init__(self, config: DnsConfig) -> None:
        self._timers = Timers()
        self._out: list[Action] = []
        self._numbers = iter(range(1, 1 << 30))
        self._resolver = Resolver(
            config, self._timers, Entropy(os.urandom(32)), Limits(), self._out, self._numbers.__next__
        )
        reach = [(transport, six) for transport in _TRANSPORTS for six in (False, True)]
        self._locator = Locator(self._resolver, reach)
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[int, socket.socket] = {}
        self._found: Any = None

    def run(self, hop: NextHop) -> Any:
        """Return places, or the exception instead of them."""
        try:
            self._locator.locate(hop.question(), self._done, time.monotonic())
            self._perform()
            while self._found is None:
                deadline = self._timers.next_deadline()
                if deadline is None:
                    return LookupError("the search ended without an answer")
                for key, _ in self._selector.select(max(deadline - time.monotonic(), 0.0)):
                    self._read(key.data)
                self._timers.fire_due(time.monotonic())
                self._perform()
            return self._found
        finally:
            for sock in self._sockets.values():
                sock.close()
            self._selector.close()

    def _done(self, found: Any, now: float) -> None:
        self._found = found if isinstance(found, Exception) or found else LookupError("no address")

    def _perform(self) -> None:
        while self._out:
            actions = self._out[:]
            self._out.clear()
            for action in actions:
                try:
                    self._do(action)
                except OSError:
                    self._failed(action)

    def _do(self, action: Action) -> None:
        if isinstance(action, OpenDatagram):
            self._open(action.listener, socket.SOCK_DGRAM, action.address)
        elif isinstance(action, SendDatagram):
            self._socket(action.listener).send(action.data)
        elif isinstance(action, Connect):
            self._open(action.conn, socket.SOCK_STREAM, action.address)
            self._resolver.connection_opened(action.conn, time.monotonic())
        elif isinstance(action, SendData):
            self._socket(action.conn).sendall(action.data)
        elif isinstance(action, CloseDatagram):
            self._close(action.listener)
        elif isinstance(action, Disconnect):
            self._close(action.conn)

    def _failed(self, action: Action) -> None:
        now = time.monotonic()
        if isinstance(action, SendDatagram | OpenDatagram):
            self._resolver.send_failed(action.listener, now)
        elif isinstance(action, SendData | Connect):
            self._resolver.connection_closed(action.conn, now)

    def _open(self, number: int, kind: socket.SocketKind, address: Any) -> None:
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, kind)
        self._sockets[number] = sock
        sock.settimeout(self._resolver.config.timeout)
        sock.connect(address)
        self._selector.register(sock, selectors.EVENT_READ, number)

    def _socket(self, number: int) -> socket.socket:
        sock = self._sockets.get(number)
        if sock is None:
            # This machine has no such address family.
            raise OSError("not open")
        return sock

    def _close(self, number: int) -> None:
        sock = self._sockets.pop(number, None)
        if sock is not None:
            if sock.fileno() in self._selector.get_map():
                self._selector.unregister(sock)
            sock.close()

    def _read(self, number: int) -> None:
        sock = self._sockets.get(number)
        if sock is None:
            return
        now = time.monotonic()
        try:
            data = sock.recv(65_535)
        except OSError:
            data = b""
        if sock.type == socket.SOCK_DGRAM:
            if data:
                self._resolver.datagram_received(number, data, sock.getpeername(), now)
            else:
                self._resolver.send_failed(number, now)
        elif data:
            self._resolver.data_received(number, data, now)
        else:
            self._close(number)
            self._resolver.connection_closed(number, now)
