"""What the reception asks of its quick ways, each of which reads a message in brief, or not at all.

The ways themselves are in ``sansip.routing``. Tests put others in their place, also in the compiled build.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sansip.actions import Address
    from sansip.routing import IncomingRequest
    from sansip.transport import Flow
    from sansip.wire import Request
    from sansip.wire.opening import Opening

__all__ = ["Answers", "AnswersOver", "AnswersRead", "Relays", "Sends", "SendsLocated"]


class Answers(Protocol):
    """Answers requests that are read in brief (``Briefs``, ``Usages``)."""

    def answers(
        self, data: bytes, listener: int, source: Address, force_rport: str, now: float, /
    ) -> bool: ...


class AnswersOver(Protocol):
    """The same, also for requests that came over a stream."""

    def answers(
        self,
        data: bytes,
        listener: int,
        source: Address,
        force_rport: str,
        now: float,
        over: Flow | None = None,
        /,
    ) -> bool: ...


class Sends(Protocol):
    """Sends requests on that are read in brief (``Passages``, ``Openings``)."""

    def sends(
        self,
        data: bytes,
        listener: int,
        source: Address,
        force_rport: str,
        now: float,
        over: Flow | None = None,
        /,
    ) -> bool: ...


class SendsLocated(Protocol):
    """Sends an INVITE on whose opening was read, and whose binding is at hand (``Openings``)."""

    def sends(
        self,
        data: bytes,
        listener: int,
        source: Address,
        force_rport: str,
        now: float,
        over: Flow | None,
        opening: Opening | None,
        /,
    ) -> bool: ...


class AnswersRead(Protocol):
    """Answers requests that were read (``Shortcut``)."""

    def answers(self, request: Request, key: str, back: Flow, flow: Flow, now: float, /) -> bool: ...


class Relays(Protocol):
    """Sends requests on that were read (``QuickRelay``)."""

    def relays(self, request: Request, key: str, back: Flow, flow: Flow, now: float, /) -> bool: ...
    def decides(self, handle: IncomingRequest, now: float, /) -> bool: ...
