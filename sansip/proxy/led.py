"""What a plain relay tells the module that chose its target, and what takes over where the target fails.

Theory of operation: a module may send an INVITE on that nobody has read (``Module.leads``). As long as
it goes well one object relays it (``proxy.pair``) and tells this how soon the target answered, and its 2xx.
With the first unusual input the relay becomes a response context. Then this makes the request handle that the
long way would have had by then, and the module waits with it for the outcome, as its route would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from sansip.proxy.branch import Branch
    from sansip.proxy.context import ResponseContext
    from sansip.proxy.relayed import Record
    from sansip.transaction import ServerTransaction
    from sansip.wire import Request

__all__ = ["Led"]


class Led(Protocol):
    """One INVITE on its way to the target that a module chose. ``handle``: for modules, once it is made."""

    handle: Any

    def hears(self, status: int, now: float) -> None:
        """The target sent a provisional response."""

    def succeeds(self, status: int, data: bytes, now: float) -> None:
        """The first 2xx, ``data``, went back."""

    def appears(
        self, request: Request, server: ServerTransaction, call: Record | None, began: float
    ) -> Record | None:
        """Make the handle of ``request``; return the record that the response context tells, if any."""

    def goes_on(self, context: ResponseContext, branch: Branch) -> None:
        """Have the module wait for the outcome of ``context``; ``branch`` is its only one."""
