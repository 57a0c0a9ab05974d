"""What operators see: rows of relays and calls, and a relay's own words as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sansip.modules.media.relay import Relay
    from sansip.modules.media.session import Session

__all__ = ["RelayRow", "SessionRow", "plain", "relay_row", "session_row"]


@dataclass(slots=True)
class RelayRow:
    """A relay in `media.list`.

    ``latency``: seconds, a moving average; None before the first answer. ``version``: what it told, or the
    setting.
    """

    uri: str
    set: str
    weight: int
    state: str
    why: str
    calls: int
    commands: int
    failures: int
    strays: int
    latency: float | None
    version: str


@dataclass(slots=True)
class SessionRow:
    """A call in `media.calls`."""

    id: str
    call_id: str
    name: str
    relay: str
    branches: int
    recording: bool
    moving: bool


def relay_row(relay: Relay, now: float) -> RelayRow:
    """Return the row of ``relay``."""
    full = "full" if now and now < relay.full_until else ""
    latency = None if relay.line.latency is None else round(relay.line.latency, 6)
    settings = relay.settings
    return RelayRow(
        relay.uri,
        settings.set,
        settings.weight,
        relay.state,
        relay.breaker.why or full or (relay.oddness(now) if now else ""),
        relay.sessions,
        relay.line.commands,
        relay.failures,
        relay.strays,
        latency,
        relay.version or settings.version,
    )


def session_row(session: Session) -> SessionRow:
    """Return the row of ``session``."""
    return SessionRow(
        session.key,
        session.call_id,
        session.id,
        "" if session.relay is None else session.relay.uri,
        len(session.legs),
        session.recording,
        session.moving,
    )


def plain(value: Any) -> Any:
    """Return ``value`` of a relay as JSON holds it: octets as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value
