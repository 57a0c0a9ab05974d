"""The table [quotas], and the rows of users who have limits of their own."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Literal, TypeAlias

from sansip.module import Doc

__all__ = ["Period", "QuotasSettings"]

Period: TypeAlias = Literal["hour", "day", "month"]


@dataclass(slots=True)
class QuotasSettings:
    """The limits of each user; 0 is no limit. Raises ``ValueError`` for settings that could not work."""

    calls: Annotated[int, Doc("Calls that a user has at once.")] = 0
    minutes: Annotated[float, Doc("Minutes that a user talks in a period.")] = 0.0
    spend: Annotated[
        float, Doc("What a user's calls cost in a period, by their tariffs, in the unit of these.")
    ] = 0.0
    period: Annotated[Period, Doc("An hour, a day or a month; they begin by UTC.")] = "day"
    takes: Annotated[
        Literal["calls", "nothing"],
        Doc("`calls`: the default route limits all calls of users; `nothing`: only what routes `admit`."),
    ] = "calls"
    most_users: Annotated[
        int, Doc("Users whose use is known in one period; calls of further ones are refused.")
    ] = 100_000

    def __post_init__(self) -> None:
        for name in ("calls", "minutes", "spend"):
            value = getattr(self, name)
            if not (isfinite(value) and 0 <= value < 1e12):
                raise ValueError(f"{name} must be 0 or more, got {value}")
        if self.most_users < 1:
            raise ValueError(f"most_users must be at least 1, got {self.most_users}")
