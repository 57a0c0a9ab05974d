"""The hooks that the stack itself calls: of messages that come in, of events, and of time.

Theory of operation: each hook is one tuple of the methods that override it; an empty tuple costs the caller
one test. An exception is the module's own: it is told by ``failed``, and the message in question fails closed
or open, as the hook says. ``sansip.proxy.hooks`` calls those of requests that are forwarded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final

from sansip.module.base import DROP, PASS, Module, Reply
from sansip.module.telling import Telling

if TYPE_CHECKING:
    from sansip.module.order import Method
    from sansip.routing import IncomingRequest, Route
    from sansip.transport import Flow
    from sansip.wire import Request, Response

__all__ = ["StackHooks"]

# Seconds after which a module whose clock failed is asked again.
_AGAIN: Final = 1.0


class StackHooks:
    """Calls ``methods``, which are by the name of their hook; ``failed`` hears of what they raise.

    ``has_clocks``: whether some module has a clock of its own, to be asked by ``next_due``. ``due``: a time
    before which those that tell it (``Module.tells_due``) have nothing to do; ``tell`` hears when it changes.
    """

    __slots__ = (
        "_failed",
        "_next_due",
        "_tell",
        "_telling",
        "_time_passed",
        "due",
        "event",
        "has_clocks",
        "message_arrived",
        "request_received",
        "stray_received",
    )

    def __init__(
        self,
        methods: Mapping[str, tuple[Method, ...]],
        failed: Callable[[Module, str, BaseException], None],
        tell: Callable[[float], None],
    ) -> None:
        self._failed = failed
        self._tell = tell
        self.due = inf
        self._telling = Telling((), failed)
        # (event, now): tells the modules that want to hear of it.
        self.event = self._telling.tell
        self.replace(methods)

    def replace(self, methods: Mapping[str, tuple[Method, ...]]) -> None:
        """Call these from now on: the same hooks, wrapped."""
        self.message_arrived = methods["message_arrived"]
        self.stray_received = methods["stray_received"]
        self.request_received = methods["request_received"]
        self._telling.replace(methods["event_received"])
        self._time_passed = methods["time_passed"]
        # One that does nothing when time passes need not be asked when that is.
        clocks = {id(module) for module, _ in self._time_passed}
        asked = tuple(one for one in methods["next_due"] if id(one[0]) in clocks)
        self._next_due = tuple(one for one in asked if not one[0].tells_due)
        self.has_clocks = bool(self._next_due)
        if len(self._next_due) < len(asked):
            # Some are here from before: they are asked once.
            self.has_due(0.0)

    def judge(self, message: Request | Response, flow: Flow, now: float) -> Reply | bool | None:
        """Return None for a message to take, False for one to drop, or the answer to give at once."""
        for module, hook in self.message_arrived:
            try:
                verdict = hook(message, flow, now)
            except Exception as error:
                self._failed(module, "message_arrived", error)
                return Reply(500)
            if verdict is PASS:
                continue
            if verdict is DROP:
                return False
            if isinstance(verdict, Reply):
                return verdict
            self._failed(
                module, "message_arrived", TypeError(f"it returned {verdict!r:.80}, which is no verdict")
            )
            return Reply(500)
        return None

    def takes_stray(self, response: Response, flow: Flow, now: float) -> bool:
        """Whether a module took a response that no transaction waits for."""
        return any(self._asked(one, "stray_received", response, flow, now) for one in self.stray_received)

    def before(self, route: Route, request: IncomingRequest) -> Route | None:
        """Return what decides on a new request: ``route``, None where a module took it.

        Where a module has to wait before it knows, what waits is a part of the route that is returned.
        """
        methods = iter(self.request_received)
        for module, hook in methods:
            try:
                taken = hook(request)
            except Exception as error:
                self._failed(module, "request_received", error)
                continue
            if taken is False:
                continue
            if inspect.iscoroutine(taken):
                return partial(self._ask_first, module, taken, methods, route)
            if taken:
                return None
        return route

    async def _ask_first(
        self,
        module: Module,
        work: Coroutine[Any, Any, bool],
        rest: Iterator[Method],
        route: Route,
        request: IncomingRequest,
    ) -> None:
        try:
            taken = await work
        except Exception as error:
            self._failed(module, "request_received", error)
            taken = False
        if not taken and not request.cancelled:
            for module, hook in rest:
                try:
                    taken = hook(request)
                    taken = await taken if inspect.iscoroutine(taken) else taken
                except Exception as error:
                    self._failed(module, "request_received", error)
                    taken = False
                if taken:
                    break
        if taken or request.cancelled:
            # Whatever its module does of it, and when, nothing more is decided here.
            request.taken = True
            return
        decided = route(request)
        if inspect.iscoroutine(decided):
            await decided

    def _asked(self, method: Method, name: str, *arguments: Any) -> bool:
        try:
            return bool(method[1](*arguments))
        except Exception as error:
            self._failed(method[0], name, error)
            return False

    def has_due(self, deadline: float) -> None:
        """A module that tells its deadline has something to do at ``deadline``."""
        if deadline < self.due:
            self.due = deadline
            self._tell(deadline)

    def next_due(self) -> float | None:
        """Return when ``time_passed`` has something to do for modules that do not tell it."""
        due = None
        for _, hook in self._next_due:
            try:
                one = hook()
                if one is not None:
                    one += 0.0
            except Exception:
                # No input of the stack: ``time_passed`` asks again, and tells.
                continue
            if one is not None and (due is None or one < due):
                due = one
        return due

    def time_passed(self, now: float) -> None:
        """Let modules with clocks of their own do the work that is due."""
        self.due = inf
        for module, hook in self._time_passed:
            try:
                due = module.next_due()
            except Exception as error:
                self._fails(module, "next_due", error, now)
                continue
            try:
                if due is not None and due <= now:
                    hook(now)
                    due = module.next_due() if module.tells_due else None
                if due is not None and module.tells_due and due < self.due:
                    self.due = due
            except Exception as error:
                self._fails(module, "time_passed", error, now)
        self._tell(self.due)

    def _fails(self, module: Module, hook: str, error: Exception, now: float) -> None:
        """Tell of ``error``, and ask ``module`` again: what it had told may be forgotten, or overdue."""
        if module.tells_due:
            self.due = min(self.due, now + _AGAIN)
        self._failed(module, hook, error)
