"""The table [publications]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sansip.module import Doc

__all__ = ["PublicationsSettings"]


@dataclass(slots=True)
class PublicationsSettings:
    """How long publications live, and how many there are. Raises ``ValueError``."""

    open: Annotated[
        bool,
        Doc("Whether senders may publish that have proved nothing; they may publish for any user then."),
    ] = False
    least: Annotated[int, Doc("Seconds of the shortest publication; for less there is a 423.")] = 60
    longest: Annotated[int, Doc("Seconds of the longest publication; what asks for more gets this.")] = 7_200
    most: Annotated[int, Doc("Publications at once; for more there is a 503.")] = 200_000
    most_of_user: Annotated[
        int, Doc("The same for one user and package (one for each device); for more there is a 403.")
    ] = 20
    size: Annotated[int, Doc("Octets of one publication; for more there is a 413.")] = 16_384

    def __post_init__(self) -> None:
        for name in ("least", "longest", "most", "most_of_user", "size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: at least 1")
        if self.least > self.longest:
            raise ValueError(f"least is {self.least}, above longest ({self.longest})")
