"""Refusals without a transaction (RFC 3261 8.2.7): for what cannot be read, or is too much.

Theory of operation: a message that is no SIP, or one more than there is room for,
must cost as little as possible and still be answered, so the answer is sent and
forgotten. Its To tag is computed from the request, so that a retransmission
gets the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.wire import Request, response_to

if TYPE_CHECKING:
    from sansip.entropy import Entropy
    from sansip.transport import Flow, Sender

__all__ = ["Refusals"]


class Refusals:
    """Answers of one stack, which calls itself ``server_name`` ("" for nothing)."""

    __slots__ = ("_entropy", "_sender", "_server_name")

    def __init__(self, sender: Sender, entropy: Entropy, server_name: str) -> None:
        self._sender = sender
        self._entropy = entropy
        self._server_name = server_name

    def send(
        self,
        request: Request,
        back: Flow,
        status: int,
        reason: str | None,
        now: float,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Answer ``request`` along ``back``; nothing is sent where it lacks what an answer needs."""
        # RFC 3261 8.2.7: a retransmission must get the same To tag.
        tag = self._entropy.keyed_hash("\n".join((request.get("via") or "", request.get("call-id") or "")))
        try:
            response = response_to(request, status, reason, to_tag=tag, headers=headers)
        except RemoteProtocolError:
            return
        if self._server_name:
            response.append("Server", self._server_name)
        self._sender.send(back, response.to_bytes(), now)
