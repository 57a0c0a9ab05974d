"""The part of a hub that its pumps need.

Theory of operation: the hub makes the pumps, so it imports their files; this is how they know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from sansip.actions import Action, Address, Disconnect, SendData
from sansip.driver import Driver
from sansip_sockets.bind import BoundListener
from sansip_sockets.gathering import Gathering
from sansip_sockets.inbox import Inbox
from sansip_sockets.reports import Reports
from sansip_sockets.sent import Sent
from sansip_sockets.waits import Spawn

__all__ = ["Host"]


class Host(Protocol):
    """The hub, as pumps see it (``sansip_sockets.hub.Hub``)."""

    driver: Driver
    spawn: Spawn
    clock: Callable[[], float]
    report: Reports
    inbox: Inbox
    gathering: Gathering
    # Number of a UDP listener -> its way out.
    sendto: dict[int, Callable[[bytes, Any], Any]]
    sent: Sent
    elsewhere: Callable[[SendData | Disconnect], bool] | None
    strange_error: Callable[[int, Address, bytes, str], None] | None

    @property
    def listeners(self) -> Mapping[int, BoundListener]: ...
    @property
    def idle(self) -> bool: ...
    def perform(self, actions: list[Action], now: float) -> None: ...
    def settle(self, now: float) -> None: ...
    def later(self, method: Callable[..., list[Action]], *args: Any) -> None: ...
