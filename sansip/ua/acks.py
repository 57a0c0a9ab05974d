"""The ACKs of a call's 2xx: each is sent again when its 2xx comes again (RFC 3261 13.2.2.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.client import Ack, Client
    from sansip.dialog import SendAck
    from sansip.transport import Flow
    from sansip.transport.next_hop import NextHop
    from sansip.wire import Uri

__all__ = ["Acks"]


class Acks:
    """The last ACKs, by the number of their INVITE."""

    __slots__ = ("_sent",)

    def __init__(self) -> None:
        self._sent: dict[int, Ack] = {}

    def send(self, effect: SendAck, client: Client, hop: Flow | NextHop | Uri | None, now: float) -> None:
        """Send the ACK of ``effect`` to ``hop``, or the one that was sent before."""
        number = effect.request.cseq.number
        if effect.again and (sent := self._sent.get(number)) is not None:
            sent.again(now)
            return
        # As many as the usage keeps: those of older INVITEs are asked for no longer.
        for old in list(self._sent)[:-1]:
            del self._sent[old]
        self._sent[number] = client.send_ack(effect.request, now, hop=hop)
