"""Names to addresses by ``getaddrinfo``, in worker threads.

Theory of operation: the handler of ``Resolve`` questions until the stack asks
name servers itself (RFC 3263). The system's resolver blocks, for many seconds
when a name server is silent, so several threads call it, and one dead name does not hold up the
others; equal questions share one look-up.
"""

from __future__ import annotations

import socket
from collections.abc import Hashable
from typing import Any, Protocol

from sansip.transport.transports import DATAGRAMS
from sansip_sockets.workers import handler

__all__ = ["resolve"]


class ResolveLike(Protocol):
    """The shape of ``sansip.transport.Resolve``."""

    host: str
    port: int
    transport: str


def _key(question: ResolveLike) -> Hashable:
    return (question.host, question.port, question.transport)


@handler(parallel=16, key=_key)
def resolve(question: ResolveLike) -> list[tuple[Any, int]]:
    """Return ``[(ip, port), ...]`` for a name, best first (RFC 6724); raises ``OSError``."""
    kind = socket.SOCK_DGRAM if question.transport in DATAGRAMS else socket.SOCK_STREAM
    found = socket.getaddrinfo(question.host, question.port, type=kind)
    return list(dict.fromkeys((address[0], question.port) for _, _, _, _, address in found))
