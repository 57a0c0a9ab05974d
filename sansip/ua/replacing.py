"""An INVITE that wants the place of a call that there is (RFC 3891): which one, and whether it may.

Theory of operation: the field names a dialog by three values that its two ends have seen, and who stands on
the way between them. A BYE with these ends the call; this INVITE would go on with it in another's name, which
is worse. So the sender must be known as well (``UserAgentConfig.replaces``): by its password, its connection,
or its address. The old call goes on untouched until the INVITE is accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.dialog import Refusal

if TYPE_CHECKING:
    from sansip.ua.call import Call
    from sansip.wire import Request

__all__ = ["replaced_by"]


def replaced_by(
    request: Request, find: Callable[[str, str, str], Call | None], *, known: bool
) -> Call | Refusal:
    """Return the call that the INVITE ``request`` is to replace, or why it cannot.

    ``find`` gets Call-ID, our tag and the peer's; ``known``: the sender may replace calls. Raises
    RemoteProtocolError (400) for a field that cannot be read, or that is there twice.
    """
    if request.has("join"):
        # RFC 3891 3: they contradict each other.
        return Refusal(400, "Replaces and Join")
    wanted = request.typed("replaces")
    # RFC 3891 3: to-tag is compared with our tag, from-tag with the peer's.
    call = find(wanted.call_id, wanted.to_tag, wanted.from_tag)
    if call is None:
        return Refusal(481)
    if not known:
        # RFC 3891 3: the initiator has to be authorized.
        return Refusal(403)
    if call.ended:
        # RFC 3891 3: a 6xx, so that nothing rings for a call that was wanted no longer.
        return Refusal(603)
    if call.dialog.state == "early":
        # RFC 3891 3: an early dialog that the peer began cannot be replaced here.
        return call if call.dialog.is_caller else Refusal(481)
    return Refusal(486) if wanted.early_only else call
