"""A re-INVITE of ours to one side of a call, as if it came from the other (RFC 3261 14).

Theory of operation: like a BYE of ours (``hangup``) it has the tags and the next CSeq of the other side. That
side does not know of it and will use the number itself, so from then on the proxy adds one to its numbers
(``sansip.proxy.sequence``). The side that is asked sees the other's Contact, so its remote target stays. A
2xx gets its ACK each time that it comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.client import Asker
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.inside import Callback, Inside
from sansip.modules.calls.hangup import written
from sansip.modules.calls.talks import contact_of
from sansip.routing.awaitables import Question

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from sansip.client import Client, Sending
    from sansip.client.ack import Ack
    from sansip.modules.calls.call import Call, Side, Talk
    from sansip.proxy.sequence import Shifts
    from sansip.wire import Response

__all__ = ["Reinvite"]


class Reinvite(Inside, Asker):
    """A new offer of ours. Awaiting it returns (the final response or None where none was sent, when)."""

    __slots__ = (
        "_acks",
        "_call",
        "_callback",
        "_client",
        "_from",
        "_most",
        "_sdp",
        "_shifts",
        "_talk",
        "_to",
    )

    def __init__(
        self, client: Client, shifts: Shifts, call: Call, talk: Talk, to: Side, sdp: bytes, most: int
    ) -> None:
        self._client = client
        self._shifts = shifts
        self._call = call
        self._talk = talk
        self._to = to
        self._from = talk.callee if to is talk.caller else talk.caller
        self._sdp = sdp
        # 2xx of different phones that are acknowledged.
        self._most = most
        self._callback: Callback | None = None
        self._acks: dict[str, Ack] = {}

    def __await__(self) -> Generator[Any, Any, tuple[Response | None, float]]:
        pair: tuple[Response | None, float] = yield Question(self)
        return pair

    def put(self, callback: Callback, now: float) -> None:
        to, from_ = self._to, self._from
        headers: list[tuple[str, object]] = [("Contact", f"<{from_.target}>")]
        interval = self._interval
        if interval:
            # RFC 4028 7.4: without it the session would have a timer no more; and each side refreshes, for
            # neither knows of what the other was told.
            headers += [("Supported", "timer"), ("Session-Expires", f"{interval:.0f};refresher=uas")]
        headers.append(("Content-Type", "application/sdp"))
        try:
            request, hop = written(
                self._client, "INVITE", self._call.call_id, to, from_, from_.cseq + 1, headers, self._sdp
            )
        except (RemoteProtocolError, LocalProtocolError):
            callback((None, now), now)
            return
        tag = request.from_tag or ""
        call = self._call
        call.raised = {tag, *(call.raised or ())}
        self._shifts.raise_after(self._call.call_id, tag, from_.cseq)
        from_.cseq += 1
        self._callback = callback
        guarded, came_by = self._client.guarded, to.flow
        # A user names any place in Contact: only a gateway's own calls have it asked (RFC 3261 12.2.2).
        chosen = not guarded.active or came_by is None or guarded.sent(came_by)
        self._client.send(request, self, now, hop=hop, chosen=chosen)

    @property
    def _interval(self) -> float:
        """The seconds of the session; 0 where it has no timer."""
        talk = self._talk
        # A call of the process before does not know it: RFC 4028 4 recommends this.
        return 0.0 if talk.expires is None else talk.interval or 1_800.0

    # --- of an ``Asker``

    def final(self, sending: Sending, response: Response, now: float) -> None:
        number = sending.request.cseq.number
        while self._from.cseq < number:
            # It was repeated with credentials.
            self._shifts.raise_after(self._call.call_id, sending.request.from_tag or "", self._from.cseq)
            self._from.cseq += 1
        if 200 <= response.status < 300:
            self._acknowledge(number, response, now)
        callback, self._callback = self._callback, None
        if callback is None:
            return
        if response.status < 300:
            self._to.target = contact_of(response) or self._to.target
            if self._interval:
                self._talk.expires = now + self._interval
        callback((response, now), now)

    def _acknowledge(self, number: int, response: Response, now: float) -> None:
        # RFC 3261 13.2.2.4: each 2xx, and each repetition of one.
        tag = response.to_tag or ""
        ack = self._acks.get(tag)
        if ack is not None:
            ack.again(now)
            return
        if len(self._acks) >= self._most:
            return
        try:
            request, hop = written(
                self._client, "ACK", self._call.call_id, self._to, self._from, number, [], b""
            )
        except (RemoteProtocolError, LocalProtocolError):
            return
        self._acks[tag] = self._client.send_ack(request, now, hop=hop)
