"""Hooks of the proxy: tuples of functions that see and change a request on its way.

Theory of operation: the proxy knows no module. It has one tuple for each moment, empty where no module looks.
``active`` says whether any tuple has a member, so a relay without hooks costs one test. Each member is (who,
function), and ``handle.now`` is the time while it runs. If a function raises an exception, the proxy calls
``failed(who, moment, error)``. A function that returns a coroutine holds its message
(``sansip.proxy.waiting``); one that returns None costs a call.

A reload that adds or removes modules makes other hooks. A request passes those that it began with, which its
handle knows (``handle.modules.hooks``): those are called, and the proxy's own say whether there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from sansip.proxy.waiting import Begin, BranchRefused, Hold, Method, Waits

if TYPE_CHECKING:
    from sansip.clock import Timers
    from sansip.wire import Request, Response

__all__ = ["BranchRefused", "Hooks", "waits_of"]

# The next step for a response that has passed: go(response, now).
Go = Callable[[Any, float], None]


class Hooks:
    """The hooks of one proxy. ``handle`` is the object that routes and modules get for the request."""

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

    # Set wherever a hook may wait.
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

    def of(self, who: Any) -> Hooks:
        """Return those of the module ``who`` alone."""
        return Hooks(
            *(tuple(one for one in getattr(self, f"_{name}") if one[0] is who) for name in self.NAMES),
            failed=self._failed,
            active=True,
            timers=self.timers,
            begin=self.begin,
            hook_time=self.hook_time,
        )

    def leaving(
        self,
        handle: Any,
        branch: object,
        message: Request,
        go: Callable[[Any, bool, float], None],
        given: Any,
        now: float,
    ) -> bool | None:
        """Return whether a copy may leave: nothing leaves that a hook failed at.

        None where it waits: ``go(given, allowed, now)`` follows.
        """
        handle.now = now
        return self.leaves(handle, branch, message, go, given, now)

    def leaves(
        self,
        handle: Any,
        branch: object,
        message: Request,
        go: Callable[[Any, bool, float], None],
        given: Any,
        now: float,
    ) -> bool | None:
        """Do what ``leaving`` does with a handle that knows the time, or that nobody has looked at."""
        for method in self._branch_leaving:
            try:
                work = method[1](handle, branch, message)
            except BranchRefused:
                return False
            except Exception as error:
                self.tell(method[0], "branch_leaving", error)
                return False
            if work is not None:
                rest = _after(self._branch_leaving, method)
                waits = waits_of(handle)
                arguments = (handle, branch, message)
                hold = Hold(self, "branch_leaving", rest, arguments, True, waits, branch, partial(go, given))
                waits.hold(branch, hold, work, method[0], now)
                return None
        return True

    def received(self, handle: Any, branch: object, response: Response, go: Go, now: float) -> bool:
        """Show a response other than 100 of a branch; return whether it has passed.

        Where it waits, ``go(response, now)`` follows.
        """
        waits = handle.waits
        if waits is not None and waits.lines is not None and (line := waits.blocked(branch)) is not None:
            line.append(partial(self._received_late, handle, branch, response, go))
            return False
        handle.now = now
        return self.arrives(handle, branch, response, go, now)

    def arrives(self, handle: Any, branch: object, response: Response, go: Go, now: float) -> bool:
        """Do what ``received`` does; nothing waits of that branch, and as in ``leaves``."""
        for method in self._response_received:
            try:
                work = method[1](handle, branch, response)
            except Exception as error:
                self.tell(method[0], "response_received", error)
                continue
            if work is not None:
                rest = _after(self._response_received, method)
                arguments = (handle, branch, response)
                self._hold(
                    "response_received", rest, arguments, branch, partial(go, response), work, method, now
                )
                return False
        return True

    def _received_late(self, handle: Any, branch: object, response: Response, go: Go, now: float) -> None:
        if self.received(handle, branch, response, go, now):
            go(response, now)

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
        waits = waits_of(arguments[0])
        hold = Hold(self, moment, rest, arguments, False, waits, key, lambda _, now: go(now))
        waits.hold(key, hold, work, method[0], now)

    def ended(self, handle: Any, branch: object, status: int, now: float) -> None:
        """A branch has ended with ``status``."""
        handle.now = now
        self.ends(handle, branch, status)

    def ends(self, handle: Any, branch: object, status: int) -> None:
        """Do what ``ended`` does, as in ``leaves``."""
        for who, hook in self._branch_ended:
            try:
                hook(handle, branch, status)
            except Exception as error:
                self.tell(who, "branch_ended", error)

    def answering(self, handle: Any, response: Response, go: Go, now: float) -> bool:
        """Show an answer other than 100 that is about to leave; return whether it has passed.

        Where it waits, ``go(response, now)`` follows.
        """
        waits = handle.waits
        if waits is not None and waits.lines is not None and (line := waits.blocked(None)) is not None:
            line.append(partial(self._answering_late, handle, response, go))
            return False
        handle.now = now
        return self.answers(handle, response, go, now)

    def answers(self, handle: Any, response: Response, go: Go, now: float) -> bool:
        """Do what ``answering`` does; nothing waits on the way back, and as in ``leaves``."""
        for method in self._response_leaving:
            try:
                work = method[1](handle, response)
            except Exception as error:
                self.tell(method[0], "response_leaving", error)
                continue
            if work is not None:
                rest = _after(self._response_leaving, method)
                arguments = (handle, response)
                self._hold(
                    "response_leaving", rest, arguments, None, partial(go, response), work, method, now
                )
                return False
        return True

    def _answering_late(self, handle: Any, response: Response, go: Go, now: float) -> None:
        if self.answering(handle, response, go, now):
            go(response, now)

    def cancelled(self, handle: Any, now: float) -> None:
        """The caller gave up: no message of the request waits any longer."""
        if handle.waits is not None:
            handle.waits.end(now)

    def done(self, handle: Any, now: float) -> None:
        """The final answer has left."""
        handle.now = now
        self.finishes(handle)

    def finishes(self, handle: Any) -> None:
        """Do what ``done`` does, as in ``leaves``."""
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


def waits_of(handle: Any) -> Waits:
    """Return what waits of the request of ``handle``."""
    waits = handle.waits
    if waits is None:
        waits = handle.waits = Waits()
    return waits  # type: ignore[no-any-return]  # Any by design
