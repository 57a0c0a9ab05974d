"""Failures of a call, as exceptions for the code that awaits it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.errors import LocalProtocolError

if TYPE_CHECKING:
    from sansip.wire import Response

__all__ = ["CallEnded", "CallRefused", "RequestRefused"]


class RequestRefused(Exception):
    """A request was answered with a failure: ``response``, which may be a 408 or 503 that was made here."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"{response.status} {response.reason}")
        self.response = response

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self.response.status


class CallRefused(RequestRefused):
    """No callee took the call."""


class CallEnded(LocalProtocolError):
    """The call is over; ``reason`` says why, in words for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the call is over: {reason}")
        self.reason = reason
