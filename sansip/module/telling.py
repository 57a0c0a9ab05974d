"""Events told to modules: to each one that names the class of the event, in their order.

Theory of operation: a module may emit an event when it hears of one. Such chains are counted from the first
of them, and end at a bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sansip.actions import Notify
from sansip.routing.room import is_exempt

if TYPE_CHECKING:
    from sansip.transport import Flow

__all__ = ["Teller", "Telling"]

# Events that may lead to each other.
_MOST: Final = 100

# A module, and a method of it: ``order.Method`` (which imports what imports this file).
Method: TypeAlias = tuple[Any, Callable[..., Any]]


class Telling:
    """Calls ``hooks``, the methods ``event_received``; ``failed`` hears of what they raise."""

    __slots__ = ("_by_kind", "_failed", "_hooks", "_told", "_under_way")

    def __init__(self, hooks: tuple[Method, ...], failed: Callable[[Any, str, BaseException], None]) -> None:
        self._hooks = hooks
        self._failed = failed
        # Kind of an event -> those that want to hear of it.
        self._by_kind: dict[type, tuple[Method, ...]] = {}
        # Events under way, each told by a module as it heard of the one before, and how many were told.
        self._under_way = 0
        self._told = 0

    def replace(self, hooks: tuple[Method, ...]) -> None:
        """Call ``hooks`` from now on."""
        self._hooks = hooks
        self._by_kind = {}

    def tell(self, event: Any, now: float) -> None:
        """Tell the modules that want to hear of ``event``."""
        kind = type(event)
        hooks = self._by_kind.get(kind)
        if hooks is None:
            hooks = tuple([one for one in self._hooks if isinstance(event, one[0].events)])
            self._by_kind[kind] = hooks
        if not hooks or self._told >= _MOST:
            # Such chains must not go on, and double, for ever.
            return
        self._under_way += 1
        self._told += 1
        if self._told == _MOST:
            endless = RecursionError(f"{_MOST} events, each told by a module that heard of another")
            self._failed(hooks[0][0], "event_received", endless)
        try:
            for module, hook in hooks:
                try:
                    hook(event, now)
                except Exception as error:
                    self._failed(module, "event_received", error)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._told = 0


class Teller:
    """What a module says to others: ``Core.tell`` and ``Core.notify``, for its compiled parts."""

    __slots__ = ("_stack",)

    def __init__(self, stack: Any) -> None:
        self._stack = stack

    def tell(self, event: Any, now: float) -> None:
        """Tell the modules that want to hear of ``event``, and not the log."""
        self._stack.modules.event(event, now)

    def notify(self, event: Any, now: float) -> None:
        """Tell the log, and the modules that want to hear of it, of ``event``."""
        stack = self._stack
        # As ``Service.tell``.
        stack.out.append(Notify(event))
        stack.modules.event(event, now)

    def exempts(self, flow: Flow) -> bool:
        """Whether something is known of the sender at ``flow``, who has proved nothing: not a stranger."""
        return is_exempt(self._stack, flow)
