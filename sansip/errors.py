"""The two kinds of protocol error, told apart by whose mistake it was.

Theory of operation: a peer's mistake is data. The wire layer reports it as
``RemoteProtocolError``, the stack turns it into an action (a 4xx, a drop, a
close) and it never leaves the stack. A mistake of the code that embeds the
core is a bug, and ``LocalProtocolError`` is raised at the call that made it.
"""

from __future__ import annotations

from typing import Any, TypeVar

__all__ = ["LocalProtocolError", "RemoteProtocolError", "SipError", "without_frames"]

_Error = TypeVar("_Error", bound=BaseException)


class SipError(Exception):
    """Base of every exception that sansip raises on purpose."""


class LocalProtocolError(SipError):
    """The caller asked for something SIP does not allow (a bug to fix)."""


class RemoteProtocolError(SipError):
    """A peer sent something that cannot be accepted.

    Attributes:
        reason: one phrase, fit for a Reason-Phrase or a log line.
        status: the status code a server answers a *request* with (RFC 3261
            21.4/21.5); responses and ACKs are dropped instead.
        section: the rule that was broken, as ``"RFC 3261 20.16"``.
        field: header field name at fault, ``""`` for the start line or framing.
        message: its readable part, a ``sansip.wire`` Request or Response (enough to build a response), or
            None.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int = 400,
        section: str = "",
        field: str = "",
        message: Any = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.section = section
        self.field = field
        self.message = message


def without_frames(error: _Error) -> _Error:
    """Return ``error``, and those it came from, without the frames that they came through.

    An error holds its frames and their callers, and those hold their variables. If one of those leads back to
    the error, all of it stays, a message with its octets too, until the cycle collector runs. So an error
    that is kept, or no longer needed, goes through here.
    """
    chain: list[BaseException] = [error]
    while chain:
        one = chain.pop()
        chain += [other for other in (one.__cause__, one.__context__) if other is not None]
        one.__traceback__ = one.__context__ = one.__cause__ = None
    return error
