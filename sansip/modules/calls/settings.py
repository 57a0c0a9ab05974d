"""The table [calls]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sansip.module import Doc

__all__ = ["CallsSettings"]


@dataclass(slots=True)
class CallsSettings:
    """The table [calls]."""

    max_duration: Annotated[
        float, Doc("Seconds after which an answered call is hung up: both sides get a BYE. 0: never.")
    ] = 43_200.0
    session_expires: Annotated[
        int,
        Doc("Seconds of the session timer (RFC 4028) that calls get which ask for none or more; 0: none."),
    ] = 0
    min_se: Annotated[
        int, Doc("The shortest session timer that is let through; callers who ask for less get 422.")
    ] = 90
    probe: Annotated[
        float,
        Doc("Seconds between two OPTIONS to both sides of an answered call, to find dead ones; 0: none."),
    ] = 0.0
    most: Annotated[
        int, Doc("Calls on record at once; further ones pass without a record, and `limit` refuses them.")
    ] = 200_000
    most_of_stranger: Annotated[
        int, Doc("The same for the calls of one address of which nothing is known.")
    ] = 2_000
