"""Listening sockets: opened with the options SIP wants, or refused in one clear line.

Theory of operation: sockets are bound before the stack is built, because the
stack writes its ports into Via and Record-Route and only the kernel knows which
port 0 became. What cannot be bound raises ``BindError``, whose text names the
listener and what to do about it.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sansip.actions import Address
from sansip.transport.transports import DATAGRAMS, SCTP
from sansip_sockets import sctp

__all__ = ["BindError", "BoundListener", "ListenerLike", "bind", "bind_all", "bind_group", "listener_text"]

# Octets the kernel keeps for us while Python is busy: 4 MiB is a third of a
# second of 10,000 messages/s. The kernel lowers it to net.core.rmem_max.
RECEIVE_BUFFER = 4 * 1024 * 1024
SEND_BUFFER = 1024 * 1024
# Connections the kernel completes ahead of us; lowered to net.core.somaxconn.
ACCEPT_BACKLOG = 4096

# linux/in.h and linux/in6.h; the socket module has no names for them before 3.14.
IP_RECVERR = 11
IPV6_RECVERR = 25
IP_BIND_ADDRESS_NO_PORT = 24


class ListenerLike(Protocol):
    """What is needed of a listener's configuration: ``sansip.config.ListenerConfig`` has it."""

    @property
    def id(self) -> int: ...
    @property
    def transport(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def shares(self) -> int | None: ...


class BindError(Exception):
    """A listener cannot be opened; the text is one line that names it and the fix."""


@dataclass(slots=True)
class BoundListener:
    """An open listening socket. ``config`` has the host and port that were really bound."""

    config: Any
    sock: socket.socket
    address: Address
    # A reload took it away: its pump closes the socket.
    closing: bool = False

    @property
    def id(self) -> int:
        return int(self.config.id)

    @property
    def transport(self) -> str:
        return str(self.config.transport)

    @property
    def host(self) -> str:
        return str(self.address[0])

    @property
    def port(self) -> int:
        return int(self.address[1])

    @property
    def pumped(self) -> bool:
        """Whether the socket is its own to read."""
        return self.config.shares is None

    def __str__(self) -> str:
        return listener_text(self.transport, self.host, self.port)


def listener_text(transport: str, host: str, port: int) -> str:
    """Return ``udp:127.0.0.1:5060`` or ``tcp:[::1]:5060``."""
    return f"{transport}:[{host}]:{port}" if ":" in host else f"{transport}:{host}:{port}"


def bind_all(configs: Iterable[ListenerLike | BoundListener]) -> list[BoundListener]:
    """Open every listener, or none: raises ``BindError`` for the first that fails.

    One that is open already stays as it is.
    """
    bound: list[BoundListener] = []
    try:
        for config in configs:
            if isinstance(config, BoundListener):
                bound.append(config)
                continue
            bound.append(bind(config) if config.shares is None else _share(config, bound))
    except BindError:
        for listener in bound:
            listener.sock.close()
        raise
    return bound


def bind_group(
    configs: Iterable[ListenerLike], count: int, first: Collection[int] = ()
) -> list[list[BoundListener]]:
    """Open every listener ``count`` times, once for each worker; the kernel divides what comes among them.

    ``first``: the listeners that the first worker alone has. Returns a list for each worker. Raises
    ``BindError``, and leaves no socket open then.
    """
    groups: list[list[BoundListener]] = [[] for _ in range(count)]
    try:
        for config in configs:
            if config.id in first:
                groups[0].append(bind(config))
                continue
            actual = config
            if config.shares is None:
                # A socket of its own: with SO_REUSEPORT a second server of this user would share the port.
                probe = bind(config)
                actual = probe.config
                probe.sock.close()
            for group in groups:
                group.append(bind(actual, shared=True) if config.shares is None else _share(config, group))
    except BindError:
        for group in groups:
            for listener in group:
                listener.sock.close()
        raise
    return groups


def bind(config: ListenerLike, *, shared: bool = False) -> BoundListener:
    """Open the socket of one listener, non-blocking; port 0 takes a free one.

    ``config`` is a dataclass (``ListenerConfig``). ``shared``: further sockets of this user may have the same
    address (SO_REUSEPORT). Raises ``BindError``.
    """
    text = listener_text(config.transport, config.host, config.port)
    kind = socket.SOCK_DGRAM if config.transport in DATAGRAMS else socket.SOCK_STREAM
    try:
        family, _, _, _, address = socket.getaddrinfo(
            config.host.strip("[]"), config.port, type=kind, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError, OverflowError) as error:
        raise BindError(f"cannot listen on {text}: {config.host!r} is not an address: {error}") from None
    try:
        sock = sctp.open_socket(family) if config.transport == SCTP else socket.socket(family, kind)
    except OSError as error:
        raise BindError(f"cannot listen on {text}: {_fix(error, config, address)}") from None
    try:
        sock.setblocking(False)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # "::" must leave IPv4 to a listener of its own: mapped addresses
            # (::ffff:192.0.2.1) in a Via are understood by nobody.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_DGRAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            _report_icmp(sock)
            sock.bind(address)
        else:
            # Without it, connections of the last run in TIME_WAIT keep the port
            # for a minute. (For datagrams it would let a second server steal it.)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(ACCEPT_BACKLOG)
        actual = sock.getsockname()
    except OSError as error:
        sock.close()
        raise BindError(f"cannot listen on {text}: {_fix(error, config, address)}") from None
    return BoundListener(replace(config, host=actual[0], port=actual[1]), sock, actual)  # type: ignore[type-var]  # a dataclass of the caller's


def _share(config: ListenerLike, bound: Iterable[BoundListener]) -> BoundListener:
    """Return a listener on the socket of another."""
    for owner in bound:
        if owner.id == config.shares:
            actual = replace(config, host=owner.address[0], port=owner.address[1])  # type: ignore[type-var]  # a dataclass of the caller's
            return BoundListener(actual, owner.sock, owner.address)
    raise BindError(
        f"listener {config.id} shares the socket of listener {config.shares}, which is not before it"
    )


def _report_icmp(sock: socket.socket) -> None:
    """Have the kernel say which destination an ICMP error was about (see ``icmp.py``)."""
    if sys.platform == "linux":
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)


def _fix(error: OSError, config: ListenerLike, address: Address) -> str:
    """Return what is wrong and what to do about it."""
    if config.transport == SCTP and sctp.is_missing(error):
        return sctp.MISSING
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {config.port} is in use by another program; stop that program or choose another port "
            "(0 takes a free one)"
        )
    if error.errno == errno.EACCES:
        return (
            f"port {config.port} needs a privilege this user lacks; choose a port above 1023 or grant "
            "CAP_NET_BIND_SERVICE"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"no interface of this machine has the address {address[0]}; "
            f"use one of its own or {'::' if ':' in address[0] else '0.0.0.0'} for all of them"
        )
    if error.errno == errno.EAFNOSUPPORT:
        return f"this machine has no {'IPv6' if ':' in address[0] else 'IPv4'}; leave this listener out"
    return os.strerror(error.errno) if error.errno else str(error)
