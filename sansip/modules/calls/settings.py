"""The table [calls]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from sansip.module import Doc, ModuleFault

__all__ = ["CallsSettings", "judge"]


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
    keep: Annotated[
        bool,
        Doc(
            "Keep answered calls in rows, so that a restart knows them: their limits, timers and records go"
            " on, and they can be hung up. The 2xx of a call leaves when its row is written."
        ),
    ] = False
    lease: Annotated[
        float,
        Doc("Seconds after which the calls of a node that died count no more, where nodes share a Redis."),
    ] = 60.0
    most_of_stranger: Annotated[
        int, Doc("The same for the calls of one address of which nothing is known.")
    ] = 2_000


def judge(settings: CallsSettings) -> None:
    """Raise ``ModuleFault`` for settings that cannot be used.

    RFC 4028 5: no Min-SE below 90 outside of tests, where ``min_se`` may be less on purpose.
    """
    if settings.min_se < 1:
        raise ModuleFault("calls.min_se: at least 1 second, and 90 where RFC 4028 is to hold")
    if settings.session_expires and settings.session_expires < settings.min_se:
        raise ModuleFault(
            f"calls.session_expires is {settings.session_expires}, less than calls.min_se "
            f"({settings.min_se}): raise it, or set 0 for no timer"
        )
    for name in ("max_duration", "probe"):
        if not 0 <= getattr(settings, name) < 1e9:
            raise ModuleFault(f"calls.{name}: 0, or a number of seconds")
    if not 0.1 <= settings.lease < 1e6:
        raise ModuleFault(f"calls.lease: at least 0.1 seconds, got {settings.lease:g}")
    for name in ("most", "most_of_stranger"):
        if getattr(settings, name) < 1:
            raise ModuleFault(f"calls.{name}: at least 1")
