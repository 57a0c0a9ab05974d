"""How the user agent of a stack behaves where nobody says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, field

from sansip.dialog import SessionTimerSettings

__all__ = ["UserAgentConfig"]


@dataclass(slots=True)
class UserAgentConfig:
    """The defaults of calls.

    Attributes:
        identity: URI that stands in From; "" for ``sip:`` and the first domain.
        display: the display name with it.
        user: user part of our Contact, "" for none.
        session: session timers (RFC 4028).
    """

    identity: str = ""
    display: str = ""
    user: str = ""
    session: SessionTimerSettings = field(default_factory=SessionTimerSettings)
