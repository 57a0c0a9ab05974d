"""The table [lamps]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from sansip.module import Doc

__all__ = ["LampsSettings"]


@dataclass(slots=True)
class LampsSettings:
    """Who may watch the calls of a user, and how they are told. Raises ``ValueError``."""

    watchers: Annotated[
        Literal["users", "self", "everyone"],
        Doc("Who may watch a user's calls: users of our domains, only the user, or all who may subscribe."),
    ] = "users"
    partial: Annotated[
        bool, Doc("Whether a NOTIFY tells only what changed; some old phones need all calls in each.")
    ] = True
    interval: Annotated[float, Doc("Seconds between two NOTIFYs to one watcher, in the long run.")] = 1.0
    burst: Annotated[int, Doc("NOTIFYs to one watcher that may follow each other without that pause.")] = 8

    def __post_init__(self) -> None:
        if not 0 <= self.interval <= 3600:
            raise ValueError(f"interval is {self.interval:g}: 0 to 3600 seconds")
        if self.burst < 1:
            raise ValueError("burst: at least 1")
