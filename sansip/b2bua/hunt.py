"""Calling targets until one takes the call: groups of equal q, one after the other (RFC 3261 16.6, 16.7).

Theory of operation: a group's targets are called at once, each by an INVITE of its own, and the next group
once all of them have failed. The first 2xx wins, and the others are cancelled. Three values bound the calls
that one INVITE may cause: its Max-Forwards, which is lowered (RFC 7332); its Max-Breadth, which the branches
share (RFC 5393 5.3); and ``limits.branches`` for redirections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from sansip.proxy.best_response import choose, slim
from sansip.proxy.recursion import Redirects
from sansip.proxy.target import groups
from sansip.ua import CallRefused

if TYPE_CHECKING:
    from sansip.ua import Call, OutgoingCall, UserAgent
    from sansip.ua.call import CallHandler
    from sansip.wire import Response, Uri

__all__ = ["Hunt", "Hunter", "Invitation"]

_ELSEWHERE: Final = 'SIP;cause=200;text="Call completed elsewhere"'


@dataclass(slots=True)
class Invitation:
    """The content of the INVITE to every target.

    Attributes:
        asked: the URI that was called; redirections are judged by it.
        body, headers, from_, to: as of ``UserAgent.invite``.
        breadth: Max-Breadth that the branches under way share.
        depth: how many calls of ours it is within.
        ring: seconds for a target to take the call; answer: seconds for it to say anything.
        follows: whether redirections are followed.
        extensions: the extensions that we say we support, None for all.
    """

    asked: Uri
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = ()
    from_: str = ""
    to: str = ""
    breadth: int = 60
    depth: int = 0
    ring: float | None = None
    answer: float | None = None
    follows: bool = False
    extensions: Sequence[str] | None = None


class Hunter(Protocol):
    """The owner of a hunt."""

    def hunt_progressed(self, call: Call | None, response: Response, now: float) -> None: ...
    def hunt_taken(self, outgoing: OutgoingCall, call: Call, now: float) -> None: ...
    def hunt_failed(self, best: Response | None, now: float) -> None: ...


class Hunt:
    """One search for a target that takes a call.

    Attributes:
        outgoing: the INVITEs under way.
        over: whether a target took the call, all have failed, or the call was given up.
    """

    __slots__ = (
        "_agent",
        "_failures",
        "_groups",
        "_handler",
        "_hunter",
        "_invitation",
        "_known",
        "_redirects",
        "_starting",
        "outgoing",
        "over",
    )

    def __init__(
        self,
        agent: UserAgent,
        hunter: Hunter,
        handler: CallHandler,
        targets: Sequence[Sequence[Any]],
        invitation: Invitation,
    ) -> None:
        self._agent = agent
        self._hunter = hunter
        self._handler = handler
        self._groups = [list(group) for group in targets]
        self._invitation = invitation
        self._failures: list[Response] = []
        self._redirects: Redirects | None = None
        # URIs that were called, or wait for that.
        self._known = {str(getattr(one, "uri", one)) for group in self._groups for one in group}
        self._starting = False
        self.outgoing: list[OutgoingCall] = []
        self.over = False

    def begin(self, now: float) -> None:
        """Call the first targets, or those that come next."""
        if self._starting or self.over:
            return
        # A loop and no recursion: a hundred targets may fail at once.
        self._starting = True
        while self._groups and not self.outgoing and not self.over:
            self._call(self._next_group(), now)
        self._starting = False
        if not self.outgoing and not self.over:
            self.over = True
            failures = self._failures
            if self._redirects is not None:
                failures = self._redirects.kept(failures)
            self._hunter.hunt_failed(choose(failures) if failures else None, now)

    def _next_group(self) -> list[Any]:
        group, most = self._groups.pop(0), self._invitation.breadth
        if len(group) > most:
            # RFC 5393 5.3.3: those that cannot be called in parallel are called after it.
            self._groups.insert(0, group[most:])
        return group[:most]

    def _call(self, group: Sequence[Any], now: float) -> None:
        wanted = self._invitation
        share, rest = divmod(wanted.breadth, len(group))
        for index, target in enumerate(group):
            # RFC 5393 5.3.3.2
            breadth = ("Max-Breadth", str(share + (index < rest)))
            call = self._agent.invite(
                target,
                wanted.body,
                headers=[breadth, *wanted.headers],
                from_=wanted.from_,
                to=wanted.to,
                user="",
                handler=self._handler,
                on_progress=self._hunter.hunt_progressed,
                within=wanted.ring,
                redirects=0,
                depth=wanted.depth,
                extensions=wanted.extensions,
            )
            self.outgoing.append(call)
        if wanted.answer is not None:
            silent = _Silence(self, list(self.outgoing))
            self._agent.client.timers.start(now, wanted.answer, silent, "answer")
        for call in list(self.outgoing):
            call.answered.then(partial(self._answered, call), now)

    def give_up_silent(self, calls: Sequence[OutgoingCall], now: float) -> None:
        """The time to say anything is over."""
        self._agent.now = now
        for call in calls:
            if call in self.outgoing and not call.heard:
                call.give_up()

    def _answered(self, outgoing: OutgoingCall, result: Any, now: float) -> None:
        if outgoing in self.outgoing:
            self.outgoing.remove(outgoing)
        if isinstance(result, Exception):
            if isinstance(result, CallRefused):
                self._refused(result.response)
            self.begin(now)
        elif self.over:
            # The hunt does not want it: it crossed our CANCEL.
            result.bye()
        else:
            self.stop(_ELSEWHERE)
            self._hunter.hunt_taken(outgoing, result, now)

    def _refused(self, response: Response) -> None:
        if response.status >= 600:
            # RFC 3261 16.7 step 5: it speaks for all of them.
            self._groups.clear()
            self.cancel(None)
        elif 300 <= response.status < 400 and self._invitation.follows and not self.over:
            self._follow(response)
        self._failures.append(response)
        slim(self._failures, choose(self._failures))

    def _follow(self, response: Response) -> None:
        if self._redirects is None:
            self._redirects = Redirects(self._known)
        most = self._agent.limits.branches - len(self._known)
        found = self._redirects.follow(response, self._invitation.asked, most, True)
        self._known |= {str(one.uri) for one in found}
        # RFC 3261 16.7 step 4
        self._groups = (groups(found) if found else []) + self._groups

    def cancel(self, reason: str | None) -> None:
        """Cancel the calls under way; a next group is called all the same."""
        for call in self.outgoing:
            call.cancel(reason)

    def stop(self, reason: str | None) -> None:
        """Call no further target."""
        self.over = True
        self._groups.clear()
        self.cancel(reason)


class _Silence:
    """Waits for the first word of the targets of one group."""

    __slots__ = ("_calls", "_hunt")

    def __init__(self, hunt: Hunt, calls: Sequence[OutgoingCall]) -> None:
        self._hunt = hunt
        self._calls = calls

    def timer_fired(self, _name: str, now: float) -> None:
        self._hunt.give_up_silent(self._calls, now)
