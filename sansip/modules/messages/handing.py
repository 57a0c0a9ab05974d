"""What a phone gets from memory, as octets: the quick way of a delivery.

Theory of operation: nearly every phone that registers is reached by UDP at the numeric address in its
Contact, and what waits for it is in memory (``recent``). Then each message is written from its row, and
leaves with no request object (``Client.send_octets``), one at a time; its answer writes the mark, and the
mark lets the next one go. Where anything else is the case, now or later, the coroutine of ``delivery`` does
what is left. It is the reference: the same requests leave, octet for octet
(``tests/modules/messages/test_handing.py``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from sansip.client import same_branch
from sansip.modules.messages.row import Given, Kept
from sansip.modules.messages.texts import value_of
from sansip.routing.lookup import target_of
from sansip.transport import Flow
from sansip.ua.request import hidden_way, numeric_way
from sansip.wire import SipUri
from sansip.wire.abnf import compiled
from sansip.wire.fields import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sansip.client import BriefRequest, Client, Sending
    from sansip.location import Binding
    from sansip.modules.messages.recent import Recent
    from sansip.transport import Listener
    from sansip.wire import Request, Response

__all__ = ["Handing"]

# Lines of one kind of character, and no other: each can be written as it is.
_plain_lines: Final = compiled(r"(?:[\x21-\x7e][\x20-\x7e\t]*+\r\n)++").fullmatch


class _Delivery(Protocol):
    """The parts of ``delivery`` that are needed here."""

    @property
    def recent(self) -> Recent: ...
    @property
    def client(self) -> Client: ...
    @property
    def asks_before(self) -> bool: ...
    def wants(self, row: Kept, device: str, marks: Mapping[str, Given], unix: float) -> bool: ...
    def binding(self, key: tuple[str, str], now: float) -> Binding | None: ...
    def begins(self, key: tuple[str, str], now: float) -> None: ...
    def token(self, row: Kept, device: str, mark: Given | None) -> str: ...
    def body(self, row: Kept) -> bytes: ...
    def unix(self, now: float) -> float: ...
    def mark_of(self, row: Kept, device: str, status: int, now: float) -> Given: ...
    def put_mark(self, mark: Given, told: Callable[[Any, float], None], now: float) -> None: ...
    def marked(self, row: Kept, mark: Given, now: float) -> bool: ...
    def rest(self, key: tuple[str, str], now: float) -> None: ...
    def over(self, key: tuple[str, str], result: object, now: float) -> None: ...


class Handing:
    """The messages for one device of a user, from the first one on that it does not have.

    It has the methods of a ``BriefAsker``, and is none: it is compiled, and that class is not.
    """

    __slots__ = ("_at", "_delivery", "_device", "_key", "_recent", "_row", "_rows")

    def __init__(self, delivery: _Delivery, key: tuple[str, str]) -> None:
        self._delivery = delivery
        recent = self._recent = delivery.recent
        self._key = key
        self._device = key[1]
        self._rows = recent.rows(key[0])
        self._at = 0
        # The one that is under way.
        self._row: Kept | None = None

    def goes(self, now: float) -> None:
        """Send the next message that the device does not have."""
        self._guarded(self._goes, now)

    def _guarded(self, step: Callable[[float], None], now: float) -> None:
        """Do ``step``. After an exception nobody else would end this delivery, and others wait for it."""
        try:
            step(now)
        except Exception as error:
            self._delivery.over(self._key, error, now)

    def _goes(self, now: float) -> None:
        delivery, rows, recent = self._delivery, self._rows, self._recent
        user = self._key[0]
        if not recent.knows(user):
            delivery.rest(self._key, now)
            return
        unix = delivery.unix(now)
        while self._at < len(rows):
            row = rows[self._at]
            marks = recent.marks(user, row.id)
            if delivery.wants(row, self._device, marks, unix):
                self._send(row, marks.get(self._device), now)
                return
            self._at += 1
        delivery.over(self._key, True, now)

    def _send(self, row: Kept, mark: Given | None, now: float) -> None:
        delivery = self._delivery
        binding = delivery.binding(self._key, now)
        if binding is None:
            delivery.over(self._key, False, now)
            return
        client = delivery.client
        branch = same_branch(client.entropy, delivery.token(row, self._device, mark))
        made = None if delivery.asks_before else _written(row, delivery.body(row), binding, branch, client)
        if made is None:
            delivery.rest(self._key, now)
            return
        self._row = row
        delivery.begins(self._key, now)
        data, flow, number = made
        asker: Any = self
        client.send_octets("MESSAGE", branch, data, flow, asker, now, number=number, contact="")

    # --- as a ``BriefAsker``

    def leaving(self, sending: Sending, request: Request, listener: Listener, now: float) -> None:
        """A copy leaves."""

    def provisional(self, sending: Sending, response: Response, now: float) -> None:
        """The phone says that it takes longer."""

    def ended(self, sending: Sending, now: float) -> None:
        """No more responses will come."""

    def next_cseq(self, sending: Sending) -> int | None:
        """One more (RFC 3261 22.2)."""
        return None

    def resent(self, sending: Sending, request: Request, now: float) -> None:
        """It is sent again with credentials."""

    def taken(self, brief: BriefRequest, now: float) -> None:
        """The phone has the message."""
        self._guarded(partial(self._answered, 200), now)

    def final(self, sending: Sending, response: Response, now: float) -> None:
        """The phone says something else, or nothing."""
        self._guarded(partial(self._answered, response.status), now)

    def _answered(self, status: int, now: float) -> None:
        row = self._row
        assert row is not None
        delivery = self._delivery
        mark = delivery.mark_of(row, self._device, status, now)
        delivery.put_mark(mark, partial(self._marked, row, mark), now)

    def _marked(self, row: Kept, mark: Given, result: Any, now: float) -> None:
        """The mark is durable, or ``result`` is an exception."""
        self._guarded(partial(self._goes_on, row, mark, result), now)

    def _goes_on(self, row: Kept, mark: Given, result: Any, now: float) -> None:
        delivery = self._delivery
        if isinstance(result, BaseException):
            delivery.over(self._key, result, now)
        elif delivery.marked(row, mark, now):
            self._at += 1
            self.goes(now)
        else:
            delivery.over(self._key, False, now)


def _written(
    row: Kept, body: bytes, binding: Binding, branch: str, client: Client
) -> tuple[bytes, Flow, int] | None:
    """Return the request for the phone at ``binding``, where it goes and its number; None if not plain."""
    uri = binding.uri
    if (
        not row.request
        or binding.path
        or isinstance(binding.flow, Flow)
        or not isinstance(uri, SipUri)
        or uri.scheme != "sip"
        or uri.headers
        or "<" not in row.sender
        or "<" not in row.to
        or client.guarded.active
    ):
        return None
    flow = None
    if binding.received is not None:
        flow = hidden_way(target_of(binding), client.listeners)
    if flow is None:
        flow = numeric_way(uri, client.listeners)
    if flow is None or (client.auth.accounts and client.auth.answers(flow.host, None)):
        return None
    listener = client.listeners[flow.listener]
    call_id, tag, cseq = value_of(row.request)
    number = int(cseq)
    lines = [f"{name}: {value}\r\n" for name, value in value_of(row.fields)]
    head = (
        f"MESSAGE {uri} SIP/2.0\r\n{listener.via};branch={branch}\r\nMax-Forwards: 70\r\n"
        f"From: {row.sender};tag={tag}\r\nTo: {row.to}\r\nCSeq: {number} MESSAGE\r\n"
        f"Date: {row.date}\r\n{''.join(lines)}Call-ID: {call_id}\r\n"
        f"Content-Length: {len(body)}\r\n"
    )
    data = encode(f"{head}\r\n") + body
    # RFC 3261 18.1.1: it may have to go over TCP.
    if _plain_lines(head) is None or (client.tcp_above and len(data) > client.tcp_above):
        return None
    return data, flow, number
