"""A request of a user agent that exists as octets alone, on its way to one address by UDP.

Theory of operation: most requests of a user agent that sends many (NOTIFYs) go to one numeric address, and
get a 2xx that says nothing new. Such a request is its octets alone, and of such a 2xx only what finds it is
read (``wire.echo``). It stands in the tables in the place of its client transaction, whose timers it shares
with the others that left at about the same time (``Departed``). With any other input ``unfold`` puts the
transaction there, in the state and with the timers that it would have by then, and the request becomes the
``Sending`` that it would have been from the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.client.sending import Sending
from sansip.transaction.non_invite_client import COMPLETED, TRYING
from sansip.wire import Request
from sansip.wire.echo import Echo
from sansip.wire.reader import read_again

if TYPE_CHECKING:
    from sansip.client.outlet import Outlet
    from sansip.transaction import ClientTransaction
    from sansip.transport import Flow

__all__ = ["BriefRequest", "Departed"]

_NEVER: Final = -1.0
# The part of T1 in which requests leave that share timers.
_SPAN: Final = 0.2


class BriefRequest:
    """One request. Made by ``Client.send_octets``; ``send`` sends it.

    Attributes:
        number: of its CSeq.
        hop, started: where it was sent, and when.
        answered_at: when its 2xx came; below zero before that.
        folded: whether it stands for its transaction.
    """

    __slots__ = (
        "_asker",
        "_branch",
        "_client",
        "_contact",
        "_data",
        "_method",
        "_owner",
        "_provisional",
        "answered_at",
        "folded",
        "hop",
        "number",
        "started",
    )

    def __init__(
        self, client: Outlet, asker: Any, method: str, branch: str, data: bytes, number: int, contact: str
    ) -> None:
        self._client = client
        # A ``BriefAsker``, which is above this file.
        self._asker = asker
        self._method = method
        self._branch = branch
        # The request, for the ``Sending`` that it may become.
        self._data = data
        self.number = number
        # The line Contact of the peer as it is known.
        self._contact = contact
        self._provisional = False
        self.answered_at = _NEVER
        self.folded = True

    def send(self, flow: Flow, now: float) -> None:
        """Send it over ``flow``, which is of UDP."""
        self.hop = flow
        self.started = now
        client = self._client
        layer = client.transactions
        owner = self._owner = layer.latest = layer.latest + 1
        layer.owners[owner] = layer.clients[f"{self._branch} {self._method}"] = self
        client.sender.send(flow, self._data, now, owner)

    def takes(self, echo: Echo, now: float) -> bool:
        """Take ``echo``, a response that came from where the request went; or do nothing."""
        if not self._is_usual(echo):
            return False
        if self.answered_at < 0.0:
            # RFC 3261 17.1.2.2: from here on a repeated one is absorbed.
            self.answered_at = now
            self._data = b""
            asker, self._asker = self._asker, None
            asker.taken(self, now)
        return True

    def _is_usual(self, echo: Echo) -> bool:
        contact = echo.contact
        # RFC 3261 12.2.1.2: another Contact moves the target of the dialog.
        return 200 <= echo.status < 300 and (contact is None or contact == self._contact)

    # --- as a transaction

    @property
    def user(self) -> BriefRequest:
        """The user of the transaction."""
        return self

    @property
    def unanswered(self) -> bool:
        """Whether no response has come."""
        return self.answered_at < 0.0

    def over(self) -> None:
        """Leave the tables."""
        layer = self._client.transactions
        key = f"{self._branch} {self._method}"
        if layer.clients.get(key) is self:
            # Else the same request was sent again, and is still under way.
            del layer.clients[key]
        layer.owners.pop(self._owner, None)

    def unfold(self) -> None:
        """Put the transaction that this has stood for in its place."""
        if not self.folded:
            return
        self.folded = False
        layer = self._client.transactions
        timers, values = layer.timers, layer.values
        state = TRYING if self.answered_at < 0.0 else COMPLETED
        key = f"{self._branch} {self._method}"
        client = layer.revive_client(self._owner, key, self._method, self._data, self.hop, self, state)
        if self.answered_at >= 0.0:
            client.end_timer = timers.put(self.answered_at + values.t4, values.t4, client, "timer K")
            return
        client.interval = values.t1
        started = self.started
        client.resend_timer = timers.put(started + values.t1, values.t1, client, "timer E")
        client.end_timer = timers.put(started + values.t1x64, values.t1x64, client, "timer F")

    # --- the user of that transaction

    def returns(self, transaction: ClientTransaction, echo: Echo, now: float) -> bool:
        """As ``takes``, where ``transaction`` stands in its place."""
        if not self._is_usual(echo):
            return False
        transaction.feed("2xx", echo, now)
        return True

    def response_received(self, transaction: ClientTransaction, response: Any, now: float) -> None:
        """A response came, or (``returns``) what was read of one."""
        if type(response) is Echo:
            self._data = b""
            self._asker.taken(self, now)
        elif response.status < 200:
            self._provisional = True
        else:
            self._become(transaction).response_received(transaction, response, now)

    def client_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        """The peer was silent, or cannot be reached."""
        self._become(transaction).client_failed(transaction, reason, now)

    def _become(self, transaction: ClientTransaction) -> Sending:
        request = read_again(self._data)
        assert isinstance(request, Request)
        self._data = b""
        sending = Sending(self._client, request, self._asker, None)
        sending.resume(transaction, self._branch, self._provisional)
        return sending


class Departed:
    """The requests that left within a short time, with the timers that their transactions would have each.

    ``since``, ``until``: that time, which is over long before its first Timer E.
    """

    __slots__ = ("_client", "requests", "since", "until")

    def __init__(self, client: Outlet, now: float) -> None:
        self._client = client
        self.requests: list[BriefRequest] = []
        t1 = client.transactions.values.t1
        self.since = now
        self.until = now + t1 * _SPAN
        client.timers.start(now, t1, self, "timer E")

    def timer_fired(self, name: str, now: float) -> None:
        """Find out what has come by the time of the first Timer E; forget those that were answered.

        Those without an answer get timers of their own then, so that this wakes once for all of them.
        """
        requests, self.requests = self.requests, []
        client = self._client
        for one in requests:
            if not one.folded:
                continue
            if name == "timer K":
                one.over()
            elif one.answered_at >= 0.0:
                self.requests.append(one)
            else:
                # Its Timer E is due within this part of T1.
                one.unfold()
        if self.requests:
            # RFC 3261 17.1.2.2: Timer K is T4; it began when the response came, so this is a little more.
            client.timers.start(now, client.transactions.values.t4, self, "timer K")
