"""One request that begins no dialog, carried as one of our own: MESSAGE, OPTIONS, PUBLISH, INFO (RFC 7092).

Theory of operation: this does for single requests what a bridge does for calls. The far side sees another
Call-ID, other tags, no Via and no route of this side, and header fields by ``Policy``; its answer goes back.
Targets are tried one after the other, because only one may answer such a request. A request of ours that
comes back to us ends: RFC 3261 16.3 detects loops by their Via, and the Via does not pass here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from sansip.b2bua.bridge import MAPPED, party
from sansip.later import Later
from sansip.proxy.best_response import choose, slim

if TYPE_CHECKING:
    from sansip.b2bua.policy import Policy
    from sansip.ua import UserAgent
    from sansip.wire import Request, Response

__all__ = ["CARRIED", "Carry"]

# Methods, and the fields that belong to them, in requests and in answers.
CARRIED: Final = {
    # RFC 3428 5: how long the text is worth anything.
    "MESSAGE": ("Expires",),
    "OPTIONS": (),
    # RFC 3903 4, 6
    "PUBLISH": ("Event", "Expires", "SIP-If-Match", "SIP-ETag", "Min-Expires"),
    "INFO": (),
}


class Answering(Protocol):
    """The request handle, as far as it is needed."""

    message: Request

    def reply(
        self,
        status: int,
        reason: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None: ...


class Carry:
    """A request on its way. ``answered`` awaits the answer that was given."""

    __slots__ = ("_agent", "_failures", "_hides", "_policy", "_request", "_targets", "_within", "answered")

    def __init__(
        self,
        agent: UserAgent,
        request: Answering,
        targets: Sequence[Any],
        policy: Policy,
        hides: Collection[str],
        within: float | None,
    ) -> None:
        self._agent = agent
        self._request = request
        self._targets = list(targets)
        self._policy = policy
        self._hides = hides
        self._within = within
        self._failures: list[Response] = []
        self.answered: Later[Response] = Later()

    def begin(self, now: float) -> None:
        """Try the next target."""
        message, policy = self._request.message, self._policy
        hops = message.max_forwards
        headers = [("Max-Forwards", str((70 if hops is None else hops) - 1))]
        headers += policy.fields(message, self._hides)
        headers += self._own(message)
        self._agent.request(
            message.method,
            self._targets.pop(0),
            headers,
            message.body,
            from_=policy.from_ or party(message.from_),
            to=policy.to or party(message.to),
            within=self._within,
        ).then(partial(self._answered), now)

    def _own(self, message: Request | Response) -> list[tuple[str, str]]:
        names = CARRIED[self._request.message.method]
        return [(name, value) for name in names for value in message.get_all(name)]

    def _answered(self, response: Response, now: float) -> None:
        if response.status >= 300:
            self._failures.append(response)
            slim(self._failures, choose(self._failures))
            if response.status < 600 and self._targets:
                self.begin(now)
                return
            response = choose(self._failures)
        status = MAPPED.get(response.status, response.status)
        headers = [*self._policy.fields(response, self._hides), *self._own(response)]
        if 300 <= status < 400:
            headers += [("Contact", value) for value in response.get_all("contact")]
        reason = response.reason if status == response.status else None
        self._request.reply(status, reason, headers, response.body)
        self.answered.set(response, now)
