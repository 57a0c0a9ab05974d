"""Event and Subscription-State (RFC 6665 8.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from sansip.wire.headers.parametered import parse_parametered
from sansip.wire.headers.simple import parse_delta_seconds
from sansip.wire.params import Params

__all__ = ["Event", "SubscriptionState", "parse_event", "parse_subscription_state"]


@dataclass(slots=True)
class Event:
    """The Event header field.

    Attributes:
        package: with its templates, in lower case, as ``"presence.winfo"``.
        params: name in lower case → value as written.
    """

    package: str
    params: Params = field(default_factory=dict)

    @property
    def id(self) -> str | None:
        """The id parameter, or None (RFC 6665 4.5.2: part of what identifies a subscription)."""
        return self.params.get("id")


@dataclass(slots=True)
class SubscriptionState:
    """The Subscription-State header field.

    Attributes:
        state: in lower case: active, pending, terminated or an extension.
        reason: in lower case, or None.
        expires, retry_after: seconds, or None.
    """

    state: str
    reason: str | None = None
    expires: int | None = None
    retry_after: int | None = None
    params: Params = field(default_factory=dict)


def parse_event(text: str, name: str, section: str) -> Event:
    """Return the event package and its parameters."""
    parsed = parse_parametered(text, name, section)
    return Event(parsed.value.lower(), parsed.params)


def parse_subscription_state(text: str, name: str, section: str) -> SubscriptionState:
    """Return the state of a subscription."""
    parsed = parse_parametered(text, name, section)
    params = parsed.params
    reason = params.get("reason")
    seconds = {
        key: parse_delta_seconds(value or "", name, section)
        for key, value in params.items()
        if key in ("expires", "retry-after")
    }
    return SubscriptionState(
        parsed.value.lower(),
        None if reason is None else reason.lower(),
        seconds.get("expires"),
        seconds.get("retry-after"),
        params,
    )
