"""What the proxy lets others see and change of a request on its way: tuples of functions.

Theory of operation: the proxy knows no module. It has one tuple for each moment, empty where nobody looks;
``active`` says whether any of them has something, so that a relay which nobody looks at costs one test. Each
member is (who, function), and ``handle.now`` is the time while it runs; what a function raises is told to
``failed(who, moment, error)``. A function that returns a coroutine holds its message
(``sansip.proxy.waiting``); one that returns None costs a call.

A reload that adds or removes modules makes other hooks. A request passes those that it began with, which its
handle knows (``handle.modules.hooks``); the latest are asked, and hand it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from sansip.proxy.waiting import Begin, Hold, Method, Waits

if TYPE_CHECKING:
    from sansip.clock import Timers
    from sansip.wire import Request, Response

__all__ = ["Hooks"]


class Hooks:
    """The hooks of one proxy. ``handle`` is what stands for the request in routes and modules."""

    NAMES: ClassVar = (
        "branch_leaving",
        "response_received",
        "branch_ended",
        "response_leaving",
        "request_ended",
    )

    __slots__ = (
        "_branch_ended",
        "_branch_leaving",
        "_failed",
        "_request_ended",
        "_response_leaving",
        "_response_received",
        "active",
        "begin",
        "changes_responses",
        "hook_time",
        "timers",
    )

    # There wherever a hook may wait.
    timers: Timers
    begin: Begin

    def __init__(
        self,
        branch_leaving: tuple[Method, ...] = (),
        response_received: tuple[Method, ...] = (),
        branch_ended: tuple[Method, ...] = (),
        response_leaving: tuple[Method, ...] = (),
        request_ended: tuple[Method, ...] = (),
        *,
        failed: Callable[[Any, str, BaseException], None] | None = None,
        active: bool = False,
        timers: Timers | None = None,
        begin: Begin | None = None,
        hook_time: float = 0.0,
    ) -> None:
        self.replace(branch_leaving, response_received, branch_ended, response_leaving, request_ended)
        self._failed = failed
        self.active = active
        # Whether a 2xx may leave otherwise than it came.
        self.changes_responses = bool(response_received or response_leaving)
        self.hook_time = hook_time
        if timers is not None and begin is not None:
            self.timers = timers
            self.begin = begin

    def replace(
        self,
        branch_leaving: tuple[Method, ...],
        response_received: tuple[Method, ...],
        branch_ended: tuple[Method, ...],
        response_leaving: tuple[Method, ...],
        request_ended: tuple[Method, ...],
    ) -> None:
        """Call these from now on: the same hooks, wrapped."""
        self._branch_leaving = branch_leaving
        self._response_received = response_received
        self._branch_ended = branch_ended
        self._response_leaving = response_leaving
        self._request_ended = request_ended

    def leaving(
        self, handle: Any, branch: object, message: Request, go: Callable[[bool, float], None], now: float
    ) -> None:
        """A copy is about to leave; ``go(allowed, now)``: nothing leaves that a hook failed at."""
        if handle.modules.hooks is not self:
            handle.modules.hooks.leaving(handle, branch, message, go, now)
            return
        handle.now = now
        for method in self._branch_leaving:
            try:
                work = method[1](handle, branch, message)
            except Exception as error:
                self.tell(method[0], "branch_leaving", error)
                go(False, now)
                return
            if work is not None:
                rest = _after(self._branch_leaving, method)
                waits = _waits(handle)
                hold = Hold(self, "branch_leaving", rest, (handle, branch, message), True, waits, branch, go)
                waits.hold(branch, hold, work, method[0], now)
                return
        go(True, now)

    def received(
        self, handle: Any, branch: object, response: Response, go: Callable[[float], None], now: float
    ) -> None:
        """A branch has a response other than 100; ``go(now)`` when it has passed."""
        if handle.modules.hooks is not self:
            handle.modules.hooks.received(handle, branch, response, go, now)
            return
        waits = handle.waits
        if waits is not None and (line := waits.blocked(branch)) is not None:
            line.append(partial(self.received, handle, branch, response, go))
            return
        handle.now = now
        for method in self._response_received:
            try:
                work = method[1](handle, branch, response)
            except Exception as error:
                self.tell(method[0], "response_received", error)
                continue
            if work is not None:
                rest = _after(self._response_received, method)
                self._hold(
                    "response_received", rest, (handle, branch, response), branch, go, work, method, now
                )
                return
        go(now)

    def _hold(
        self,
        moment: str,
        rest: Iterator[Method],
        arguments: tuple[Any, ...],
        key: Any,
        go: Callable[[float], None],
        work: Any,
        method: Method,
        now: float,
    ) -> None:
        waits = _waits(arguments[0])
        hold = Hold(self, moment, rest, arguments, False, waits, key, lambda _, now: go(now))
        waits.hold(key, hold, work, method[0], now)

    def ended(self, handle: Any, branch: object, status: int, now: float) -> None:
        """A branch has ended with ``status``."""
        if handle.modules.hooks is not self:
            handle.modules.hooks.ended(handle, branch, status, now)
            return
        handle.now = now
        for who, hook in self._branch_ended:
            try:
                hook(handle, branch, status)
            except Exception as error:
                self.tell(who, "branch_ended", error)

    def answering(self, handle: Any, response: Response, go: Callable[[float], None], now: float) -> None:
        """An answer other than 100 is about to leave; ``go(now)`` when it has passed."""
        if handle.modules.hooks is not self:
            handle.modules.hooks.answering(handle, response, go, now)
            return
        waits = handle.waits
        if waits is not None and (line := waits.blocked(None)) is not None:
            line.append(partial(self.answering, handle, response, go))
            return
        handle.now = now
        for method in self._response_leaving:
            try:
                work = method[1](handle, response)
            except Exception as error:
                self.tell(method[0], "response_leaving", error)
                continue
            if work is not None:
                rest = _after(self._response_leaving, method)
                self._hold("response_leaving", rest, (handle, response), None, go, work, method, now)
                return
        go(now)

    def repeats(self, handle: Any, response: Response) -> tuple[bool, bytes | None]:
        """Return whether a 2xx to an INVITE is one before it once more, and its octets.

        None in place of them: it waits still, and leaves when it has waited.
        """
        if handle.modules.hooks is not self:
            own: Hooks = handle.modules.hooks
            return own.repeats(handle, response)
        return _waits(handle).repeats(response) if self.changes_responses else (False, None)

    def accepted(self, handle: Any, response: Response, data: bytes) -> None:
        """A 2xx to an INVITE left as ``data``."""
        if handle.modules.hooks is not self:
            handle.modules.hooks.accepted(handle, response, data)
            return
        if self.changes_responses:
            _waits(handle).accepted(response, data)

    def cancelled(self, handle: Any, now: float) -> None:
        """The caller gave up: nothing of the request waits any longer."""
        if handle.waits is not None:
            handle.waits.end(now)

    def done(self, handle: Any, now: float) -> None:
        """The final answer has left."""
        if handle.modules.hooks is not self:
            handle.modules.hooks.done(handle, now)
            return
        handle.now = now
        for who, hook in self._request_ended:
            try:
                hook(handle)
            except Exception as error:
                self.tell(who, "request_ended", error)

    def settle(self) -> None:
        """No request of former hooks runs any more: look whether there is anything to do by these alone."""
        each = [getattr(self, f"_{name}") for name in self.NAMES]
        self.active = any(each)
        self.changes_responses = bool(self._response_received or self._response_leaving)

    def tell(self, who: Any, moment: str, error: BaseException) -> None:
        """Tell that module ``who`` has failed."""
        if self._failed is not None:
            self._failed(who, moment, error)


def _after(methods: tuple[Method, ...], method: Method) -> Iterator[Method]:
    return iter(methods[methods.index(method) + 1 :])


def _waits(handle: Any) -> Waits:
    waits = handle.waits
    if waits is None:
        waits = handle.waits = Waits()
    return waits  # type: ignore[no-any-return]
