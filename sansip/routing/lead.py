"""What a module makes of a plain INVITE that it sends on before anybody has read it.

Theory of operation: classes of modules may derive from ``Lead`` and leave out what they have no use for.
Those that are compiled have all its methods instead: a compiled class derives from compiled ones alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sansip.proxy.target import Target
    from sansip.routing.relaying import Relay
    from sansip.routing.request import IncomingRequest

__all__ = ["Lead", "until_decided"]


class Lead(Protocol):
    """Where a module sends a plain INVITE, and what the module hears of it.

    Attributes:
        longest: octets of the longest Request-URI that it may pick.
        answer: seconds that the target has for any response; then it counts as one that failed.
    """

    longest: int
    answer: float

    def picks(self) -> tuple[str, tuple[str, int], Target | Callable[[], Target]] | None:
        """Choose, and count the request: Request-URI, IPv4 address and port (UDP), and the target.

        In place of the target there may be what makes it: only a call that fails needs it.
        None: none can be asked after all, the step itself decides.
        """
        raise NotImplementedError

    def begins(self, call: Any) -> None:
        """``call``, a record of the module ``calls``, begins; nobody has heard of it yet."""

    def heard(self, at: float) -> None:
        """The target has answered, first at ``at``."""

    def succeeded(self, status: int, reason: str, now: float) -> None:
        """The target took the call: its 2xx went back."""

    def appears(self, request: IncomingRequest, heard: bool) -> None:
        """Note with ``request`` what hooks would find; ``heard``: they have seen a response already."""

    def goes_on(self, request: IncomingRequest, relay: Relay) -> Coroutine[Any, Any, Any]:
        """Await ``relay``, the attempt at the target, and go on as the step would."""
        raise NotImplementedError


async def until_decided(
    lead: Lead, request: IncomingRequest, relay: Relay, failed: Callable[[Exception], None]
) -> None:
    """Have ``lead`` go on; ``failed`` gets what it raises, as if it were a step of the default route."""
    try:
        await lead.goes_on(request, relay)
    except Exception as error:
        failed(error)
