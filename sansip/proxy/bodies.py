"""What a module that replaces bodies is for the proxy, and the proxy for it.

Theory of operation: the module puts its ``Bodies`` into the proxy. These judge each plain INVITE, and say by
a ``Plan`` that its bodies are to be replaced; a ``Held`` (``sansip.proxy.steered``) carries that out. Neither
reads more of a message than it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sansip.proxy.relayed import Record
    from sansip.transport import Flow
    from sansip.wire import Request
    from sansip.wire.opening import Opening

__all__ = ["Bodies", "Held", "Plan"]


class Held(Protocol):
    """The relay of one INVITE, which waits.

    Attributes:
        hop: where it goes; ``call``: the record of its call; ``done``: whether a 2xx went back.
    """

    hop: Flow
    call: Record | None
    done: bool

    @property
    def came_as(self) -> Request:
        """The INVITE as it came; only while it has no final answer."""

    def leave(self, data: bytes, now: float) -> None:
        """Send ``data``, the INVITE with the body that the plan has for it."""

    def refuse(self, status: int, headers: Iterable[tuple[str, str]], now: float) -> None:
        """Answer the INVITE, which has not left."""


class Plan(Protocol):
    """The bodies of one call."""

    # Whose hooks see it once it is unusual.
    module: Any

    def begins(self, relay: Held, sent: bytes, now: float) -> None:
        """Find a body for ``sent``, which would leave; ``relay.leave`` or ``relay.refuse`` follows."""

    def answers(
        self,
        data: bytes,
        tag: str,
        status: int,
        go: Callable[[bytes, float], None],
        now: float,
    ) -> bytes | None:
        """Return what goes back in place of ``data``; None where ``go(that, now)`` follows."""

    def gives_up(self, now: float) -> None:
        """The INVITE does not leave."""

    def hands_over(self, handle: Any, branch: Any) -> None:
        """Hooks go on with the call: ``handle`` is its request, ``branch`` the way it went."""


class Bodies(Protocol):
    """A module that replaces bodies."""

    def judges(
        self, opening: Opening, data: bytes, flow: Flow, place: tuple[str, int] | None, behind: bool
    ) -> Plan | bool:
        """Judge the INVITE ``data``, read as ``opening``, which came by ``flow`` and is for ``place``.

        ``place``: address and port, None where a module will choose one (UDP over IPv4). ``behind``: whether
        that is the address of a NAT, with the phone behind it.
        True: it goes on as it is; False: it is to be read, and shown to hooks. A plan has no state yet.
        """

    def ending(
        self, call_id: str, from_tag: str, to_tag: str, side: str, call: Record | None
    ) -> Record | None:
        """Return what hears that the BYE of a dialog is answered, in place of ``call``.

        ``side``: the name of who sends it (``sansip.proxy.sides``).
        """
