"""SCTP in the kernel: sockets in the one-to-one style, and messages with boundaries (RFC 4168).

Theory of operation: in the one-to-one style (RFC 6458 4) an association has a
socket of its own that is listened on, accepted, connected and closed as TCP's
is, so ``streams`` runs it. Four things differ, and are here:

- a write is one message: it is taken whole or not at all, and two are never joined;
- a read ends at a boundary, which ``MSG_EOR`` marks; a message that is larger than the read,
  or than the kernel's buffer, comes in several pieces (partial delivery), which are put together
  before the stack sees anything;
- there is no half-open end: a shutdown says goodbye for both sides, and code that must not wait aborts;
- a message may overtake another, so that a lost one delays only itself.
"""

from __future__ import annotations

import errno
import socket
import struct

__all__ = ["MISSING", "abort", "is_missing", "open_socket", "send_all", "tune"]

# <linux/sctp.h>; the socket module has only the protocol's number.
PROTOCOL = 132
SCTP_NODELAY = 3
SCTP_DEFAULT_SNDINFO = 34
SCTP_SNDINFO = 2
UNORDERED = 1 << 0
ABORT = 1 << 2
# Octets taken by one read, which ends with the message in any case.
READ_SIZE = 65_536
# struct sctp_sndinfo: stream, flags, payload protocol, context, association.
SNDINFO = struct.Struct("=HHIIi")

# The errors of a kernel without the protocol: the family or the type does not know it, or no
# module could be loaded.
_NO_PROTOCOL = (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT)
MISSING = (
    "this kernel has no SCTP; load its module (modprobe sctp; Debian and Ubuntu: "
    "apt install linux-modules-extra-$(uname -r) where it is not there), or leave this listener out: "
    "a kernel built without CONFIG_IP_SCTP, as in many containers, cannot have it"
)


def is_missing(error: OSError) -> bool:
    """Whether a socket could not be made because the kernel has no SCTP."""
    return error.errno in _NO_PROTOCOL


def open_socket(family: int) -> socket.socket:
    """Return a one-to-one socket. Raises ``OSError`` (``is_missing``) if there is no SCTP."""
    return socket.socket(family, socket.SOCK_STREAM, PROTOCOL)


def tune(sock: socket.socket) -> None:
    """Set what SIP wants of an association, before it is connected or when it was accepted."""
    try:
        # Each message goes when it is written.
        sock.setsockopt(PROTOCOL, SCTP_NODELAY, 1)
        # RFC 4168 5 and 5.1: payload protocol 0, stream zero, unordered, so that a lost
        # message does not hold up those behind it.
        sock.setsockopt(PROTOCOL, SCTP_DEFAULT_SNDINFO, SNDINFO.pack(0, UNORDERED, 0, 0, 0))
    except OSError:
        pass  # the peer is gone already: the first read says so


def abort(sock: socket.socket) -> None:
    """End the association at once, for both sides (RFC 9260 9.1); pumps that wait for ``sock`` wake."""
    try:
        sock.sendmsg([b""], [(PROTOCOL, SCTP_SNDINFO, SNDINFO.pack(0, ABORT, 0, 0, 0))])
    except OSError:
        pass  # there is none, or not any more
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # as above


def send_all(sock: socket.socket, messages: list[bytes]) -> int:
    """Send ``messages`` as the kernel takes them; return how many it took. Raises ``OSError``."""
    for index, message in enumerate(messages):
        try:
            sock.send(message)
        except BlockingIOError:
            return index
    return len(messages)
