"""The ``[ua]`` table: the names and rules of the server as a user agent (docs/calls.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sansip.dialog import SessionTimerSettings
from sansip.errors import RemoteProtocolError
from sansip.ua import UserAgentConfig
from sansip.wire import parse_name_addr

__all__ = ["UaSettings", "check_identity", "ua_config"]


@dataclass(slots=True, kw_only=True)
class UaSettings:
    """Calls and requests of the server itself: routes that answer, bridges, modules; see docs/calls.md."""

    # URI that stands in From, as `sip:box@example.org`. Without it, the first domain.
    identity: str | None = None
    # The name beside it that phones show.
    display: str = ""
    # User part of Contact: a phone that calls back calls it.
    user: str = ""
    # The proxy that requests of the server itself pass first, as `sip:192.0.2.1;transport=tcp`; requests to
    # registered phones do not pass it.
    outbound: str | None = None
    # How many other targets a call tries if the callee names them (3xx). The callee then decides which
    # numbers the server calls; 0 tries none, and the caller gets the 3xx.
    redirects: int = 0
    # The senders that may replace a call by another one (RFC 3891, attended transfer) if they know its
    # Call-ID and tags: `known` are those who proved who they are, by a password or an address in
    # `[[trusted]]`.
    replaces: Literal["known", "anyone", "nobody"] = "known"
    # The answer to a phone that asks a route's call to call another target (REFER, RFC 3515), if the route
    # gave no handler: `refuse` is a 603. `accept` calls any target that the phone names, in the server's
    # name.
    transfers: Literal["refuse", "accept"] = "refuse"
    # Seconds after which a call has to show that it lives (RFC 4028); 0: it need not.
    session_interval: int = 1800
    # The smallest such interval that a phone may ask for, in seconds: 90 or more.
    session_min: int = 90
    # The side that shows it: `uac`, the caller, `uas`, the callee; `either` leaves it to the other side.
    session_refresher: Literal["either", "uac", "uas"] = "either"


def check_identity(text: str) -> None:
    """Raise ``ValueError`` for text that is no URI."""
    if "<" in text:
        raise ValueError("expected a URI alone, as sip:box@example.org; the name beside it is `display`")
    try:
        parse_name_addr(f"<{text}>", "From", "RFC 3261 20.20")
    except RemoteProtocolError as error:
        raise ValueError(f"expected a URI, as sip:box@example.org; {error.reason}") from None


def ua_config(settings: UaSettings) -> UserAgentConfig:
    """Return the core's settings. Raises ``ValueError`` for settings that cannot work."""
    refresher = "" if settings.session_refresher == "either" else settings.session_refresher
    return UserAgentConfig(
        identity=settings.identity or "",
        display=settings.display,
        user=settings.user,
        outbound=settings.outbound or "",
        redirects=settings.redirects,
        replaces=settings.replaces,
        transfers=settings.transfers,
        session=SessionTimerSettings(settings.session_interval, settings.session_min, refresher),
    )
