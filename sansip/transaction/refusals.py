"""Refusals without a transaction (RFC 3261 8.2.7).

Theory of operation: three kinds of messages must get an answer that costs as little as possible: one that is
no SIP, one more than there is room for, and a request of a sender that has proved nothing. So this node sends
the answer once for each copy that it received, and keeps no state. Such messages do not fill the memory. An
attacker that writes a victim's address into a datagram makes this node send the victim no more messages than
the attacker sent. The To tag is computed from the request, so that a retransmission gets the same, and the
ACK is recognized by it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.transaction.layer import sent_by, server_key
from sansip.wire import Request, response_to

if TYPE_CHECKING:
    from sansip.entropy import Entropy
    from sansip.transport import Flow, Sender

__all__ = ["MARK", "Refusals", "acknowledges_refusal", "refusal_tag"]

# Begins the To tags of refusals, so that of another ACK nothing has to be computed.
MARK = "r-"


def refusal_tag(key: str, call_id: str | None, entropy: Entropy) -> str:
    """Return the To tag of every answer that keeps no state (RFC 3261 8.2.7).

    ``key`` is that of the transaction that the request would have (``server_key``).
    """
    return f"{MARK}{entropy.keyed_hash(f'refusal {key} {call_id}')}"


def acknowledges_refusal(ack: Request, key: str, entropy: Entropy) -> bool:
    """Whether ``ack`` is for a refusal that was forgotten: it has ended here (RFC 3261 17.1.1.3)."""
    tag = ack.to_tag
    return tag is not None and tag.startswith(MARK) and tag == refusal_tag(key, ack.call_id, entropy)


def _key(request: Request) -> str:
    """Return the key of ``request``, which may be malformed: by the readable part of its Via."""
    try:
        return server_key(request)
    except RemoteProtocolError:
        via = request.reply_via
        return "" if via is None else f"{via.branch} {sent_by(via)}"


class Refusals:
    """Answers of one stack, which calls itself ``server_name`` ("" for nothing)."""

    __slots__ = ("_entropy", "_sender", "server_name")

    def __init__(self, sender: Sender, entropy: Entropy, server_name: str) -> None:
        self._sender = sender
        self._entropy = entropy
        self.server_name = server_name

    def send(
        self,
        request: Request,
        back: Flow,
        status: int,
        reason: str | None,
        now: float,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Answer ``request`` along ``back``; send no answer if a field for the answer is missing."""
        tag = refusal_tag(_key(request), request.get("call-id"), self._entropy)
        try:
            response = response_to(request, status, reason, to_tag=tag, headers=headers)
        except RemoteProtocolError:
            return
        if self.server_name:
            response.append("Server", self.server_name)
        self._sender.send(back, response.to_bytes(), now)
