"""The table [presence]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from sansip.module import Doc

__all__ = ["PresenceSettings"]


@dataclass(slots=True)
class PresenceSettings:
    """Who sees what without rules, what is shown without a PUBLISH, how often. Raises ``ValueError``."""

    without_rules: Annotated[
        Literal["allow", "confirm", "polite-block", "block"],
        Doc("What the watchers of a user get who has no rules (`pres-rules`)."),
    ] = "allow"
    registrations: Annotated[
        bool, Doc("Whether a user whose phones publish nothing is open while one is registered.")
    ] = True
    calls: Annotated[
        bool, Doc("Whether a user in a call is shown on the phone; needs the module `calls`.")
    ] = True
    interval: Annotated[float, Doc("Seconds between two NOTIFYs to one watcher, in the long run.")] = 5.0
    burst: Annotated[int, Doc("NOTIFYs to one watcher that may follow each other without that pause.")] = 3

    def __post_init__(self) -> None:
        if not 0 <= self.interval <= 3600:
            raise ValueError(f"interval is {self.interval:g}: 0 to 3600 seconds")
        if self.burst < 1:
            raise ValueError("burst: at least 1")
