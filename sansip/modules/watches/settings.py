"""The table [watches]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sansip.module import Doc
from sansip.ua.drafting import check_server

__all__ = ["WatchesSettings"]


@dataclass(slots=True)
class WatchesSettings:
    """Where this server subscribes for its users, how fast, and how often. Raises ``ValueError``."""

    server: Annotated[
        str,
        Doc("The server that each SUBSCRIBE passes, a SIP URI; empty: straight to the resource's domain."),
    ] = ""
    expires: Annotated[int, Doc("Seconds that a subscription is asked to last; it is refreshed.")] = 3_600
    most: Annotated[int, Doc("Subscriptions elsewhere at once; further ones are not made.")] = 10_000
    most_of_watcher: Annotated[
        int, Doc("The same for one user: each member of its lists that is elsewhere is one.")
    ] = 100
    rate: Annotated[
        float,
        Doc(
            "New subscriptions each second, in the long run; further ones wait their turn. One user's list "
            "must not make this server send a burst to places of the user's choice."
        ),
    ] = 20.0
    size: Annotated[int, Doc("Octets of a state that are kept; a larger one counts as none.")] = 8_192

    def __post_init__(self) -> None:
        check_server(self.server)
        if not 60 <= self.expires <= 86_400:
            raise ValueError(f"expires is {self.expires}: 60 to 86400 seconds")
        if self.most < 1 or self.most_of_watcher < 1:
            raise ValueError("most, most_of_watcher: at least 1")
        if not 0.1 <= self.rate <= 10_000:
            raise ValueError(f"rate is {self.rate:g}: 0.1 to 10000 in a second")
        if not 512 <= self.size <= 65_536:
            raise ValueError(f"size is {self.size}: 512 to 65536 octets")
