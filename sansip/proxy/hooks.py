"""What the proxy lets others see and change of a request on its way: tuples of functions.

Theory of operation: the proxy knows no module. It has one tuple for each moment, empty where nobody looks;
``active`` says whether any of them has something, so that a relay which nobody looks at costs one test. Each
member is (who, function); what a function raises is told to ``failed(who, moment, error)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from sansip.proxy.branch import Branch
    from sansip.wire import Request, Response

__all__ = ["Hooks"]

Method = tuple[Any, Callable[..., Any]]


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
    )

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
    ) -> None:
        self._branch_leaving = branch_leaving
        self._response_received = response_received
        self._branch_ended = branch_ended
        self._response_leaving = response_leaving
        self._request_ended = request_ended
        self._failed = failed
        self.active = active

    def leaving(self, handle: Any, branch: Branch, message: Request) -> bool:
        """A copy is about to leave; return whether it may: nothing leaves that a hook failed at."""
        for who, hook in self._branch_leaving:
            try:
                hook(handle, branch, message)
            except Exception as error:
                self._tell(who, "branch_leaving", error)
                return False
        return True

    def received(self, handle: Any, branch: Branch, response: Response) -> None:
        """A branch has a response other than 100."""
        for who, hook in self._response_received:
            try:
                hook(handle, branch, response)
            except Exception as error:
                self._tell(who, "response_received", error)

    def ended(self, handle: Any, branch: Branch, status: int) -> None:
        """A branch has ended with ``status``."""
        for who, hook in self._branch_ended:
            try:
                hook(handle, branch, status)
            except Exception as error:
                self._tell(who, "branch_ended", error)

    def answering(self, handle: Any, response: Response) -> None:
        """An answer other than 100 is about to leave."""
        for who, hook in self._response_leaving:
            try:
                hook(handle, response)
            except Exception as error:
                self._tell(who, "response_leaving", error)

    def done(self, handle: Any) -> None:
        """The final answer has left."""
        for who, hook in self._request_ended:
            try:
                hook(handle)
            except Exception as error:
                self._tell(who, "request_ended", error)

    def _tell(self, who: Any, moment: str, error: BaseException) -> None:
        if self._failed is not None:
            self._failed(who, moment, error)
