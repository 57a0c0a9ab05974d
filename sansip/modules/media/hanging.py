"""A call whose answer got no relay is hung up, where the module ``calls`` has no record of it.

Theory of operation: the 2xx has everything that a BYE to both sides needs. It goes back first: an INVITE that
was answered ends by a BYE (RFC 3261 15), once its caller knows the dialog.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.modules.calls import Call
from sansip.modules.calls.hangup import send
from sansip.modules.calls.talks import Talks

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.calls import Talk
    from sansip.transport import Flow
    from sansip.wire import Request, Response

__all__ = ["Hanging", "dialog_begun"]

_REASON: Final = 'SIP;cause=200;text="no media relay"'


def dialog_begun(
    core: Core,
    request: Request,
    response: Response,
    flows: tuple[Flow, Flow | None],
    now: float,
    *,
    trusted: bool,
) -> Talk | None:
    """Return the dialog that ``response``, a 2xx, begins, None where it does not go through here.

    ``flows``: of the caller and of the callee; ``trusted``: whether the caller is no stranger.
    """
    call = Call("", request.call_id, request.from_tag or "", "", "", "", flows[0].host, now)
    call.target = request.uri_text
    return Talks().begin(call, core.listeners, request, response, flows, trusted)


class Hanging:
    """A dialog that ends as soon as its 2xx has left."""

    __slots__ = ("_call_id", "_core", "_talk")

    def __init__(self, core: Core, call_id: str, talk: Talk, now: float) -> None:
        self._core = core
        self._call_id = call_id
        self._talk = talk
        core.timers.start(now, 0.0, self, "hang up")

    def timer_fired(self, _name: str, now: float) -> None:
        talk = self._talk
        for to, other in ((talk.caller, talk.callee), (talk.callee, talk.caller)):
            send(self._core.proxy.client, "BYE", self._call_id, to, other, now, _ignore, _REASON)


def _ignore(_status: int, _now: float) -> None:
    """An answer that changes nothing: the call is over here."""
