"""The default behaviour of the user agent of a stack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sansip.dialog import SessionTimerSettings

__all__ = ["UserAgentConfig"]


@dataclass(slots=True)
class UserAgentConfig:
    """The defaults of calls.

    Attributes:
        identity: URI that stands in From; "" for ``sip:`` and the first domain.
        display: the display name with it.
        user: user part of our Contact, "" for none.
        outbound: URI of the proxy that requests of ours out of dialogs pass first (RFC 3261 8.1.2), "" for
            none. Registered phones, and requests with a Route of their own, go their own way.
        redirects: how many others a call of ours tries where a 3xx names them (RFC 3261 8.1.3.4). The
            callee then decides which numbers we call, and we may pay for it.
        replaces: which callers may have a new call take the place of one (RFC 3891), if they know its Call-ID
            and tags. ``"known"``: callers that proved who they are; ``"anyone"``; ``"nobody"``.
        transfers: the answer to a REFER within a call (RFC 3515) if no handler was given: ``"refuse"`` is a
            603; ``"accept"`` calls the URI that the peer names, in our name.
        session: session timers (RFC 4028).
    """

    identity: str = ""
    display: str = ""
    user: str = ""
    outbound: str = ""
    redirects: int = 0
    replaces: Literal["known", "anyone", "nobody"] = "known"
    transfers: Literal["refuse", "accept"] = "refuse"
    session: SessionTimerSettings = field(default_factory=SessionTimerSettings)
