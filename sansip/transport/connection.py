"""One connection: its flow, the message being received, the data to send, the transactions that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sansip.transport.flow import Flow
from sansip.transport.framing import StreamFramer

if TYPE_CHECKING:
    from sansip.clock import Timer

__all__ = ["Connection", "Pending"]


class Pending(Protocol):
    """A request on its way (a client transaction) that must hear of a lost connection."""

    flow: Flow
    number: int

    def feed(self, given: str, argument: Any, now: float) -> None: ...


class Connection:
    """One stream. ``waiting`` holds the requests that have no answer yet."""

    __slots__ = (
        "begun",
        "flow",
        "framer",
        "heard",
        "heard_at",
        "incoming",
        "is_open",
        "last",
        "leaving",
        "mirrored",
        "patience",
        "queue",
        "queued",
        "timer",
        "told",
        "waiting",
    )

    def __init__(self, flow: Flow, framer: StreamFramer, incoming: bool, now: float) -> None:
        self.flow = flow
        self.framer = framer
        self.incoming = incoming
        self.is_open = incoming
        self.heard = False
        # When something went either way, and when something came.
        self.last = self.heard_at = now
        # For how long it may be silent, where the phone was told (``watch``); 0: as long as all.
        self.patience = 0.0
        # When the message now incomplete began, None while there is none.
        self.begun: float | None = None
        # Data that waits for it to be established, each with its owner (``SendData``).
        self.queue: list[tuple[bytes, int]] = []
        self.queued = 0
        self.waiting: dict[Pending, None] = {}
        self.timer: Timer | None = None
        # It was let go for others (``room``), and its end has not come yet.
        self.leaving = False
        # It is another worker's, which watches over it.
        self.mirrored = False
        # The other workers know it.
        self.told = False
