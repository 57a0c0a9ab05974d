"""The table [events]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sansip.module import Doc

__all__ = ["EventsSettings"]


@dataclass(slots=True)
class EventsSettings:
    """Who may subscribe, for how long, and how many subscriptions there are. Raises ``ValueError``."""

    open: Annotated[
        bool,
        Doc(
            "Whether senders may subscribe that have proved nothing: no password, no trusted address. They "
            "get 403 by default, for a NOTIFY goes where a forged SUBSCRIBE says."
        ),
    ] = False
    least: Annotated[int, Doc("Seconds of the shortest subscription; for less there is a 423.")] = 60
    longest: Annotated[int, Doc("Seconds of the longest subscription; what asks for more gets this.")] = 7_200
    most: Annotated[int, Doc("Subscriptions at once; for more there is a 503.")] = 200_000
    most_of_watcher: Annotated[int, Doc("The same for one watcher; for more there is a 403.")] = 500
    most_of_resource: Annotated[int, Doc("The same for one resource; for more there is a 503.")] = 20_000
    unanswered: Annotated[
        int,
        Doc(
            "Subscriptions of one watcher (of one address, where it has proved nothing) whose first NOTIFY "
            "has no answer yet; for more there is a 503. Each NOTIFY is repeated ten times to an address "
            "that may not want it."
        ),
    ] = 30
    size: Annotated[
        int, Doc("Octets that one subscription may hold: addresses, routes, filter; for more there is a 513.")
    ] = 8_192
    restore_rate: Annotated[
        int, Doc("Subscriptions that get their first NOTIFY after a restart, each second.")
    ] = 500

    def __post_init__(self) -> None:
        for name in ("least", "longest", "most", "most_of_watcher", "most_of_resource", "unanswered"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: at least 1")
        if self.least > min(self.longest, 3600):
            # RFC 6665 4.2.1.1: an hour is never too brief.
            raise ValueError(f"least is {self.least}: at most 3600, and not above longest ({self.longest})")
        if self.restore_rate < 1 or self.size < 512:
            raise ValueError("restore_rate: at least 1; size: at least 512")
