"""A request of a user agent that exists as octets alone, on its way to one address by UDP.

Theory of operation: most requests of a user agent that sends many (NOTIFYs) go to one numeric address, and
get a 2xx that says nothing new. Such a request is its octets and its transaction alone, and of such a 2xx
only what finds the transaction is read (``wire.echo``). With any other input it becomes the ``Sending`` that
it would have been from the start, and that takes the input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.client.sending import Sending
from sansip.wire import Request
from sansip.wire.echo import Echo
from sansip.wire.reader import read_again

if TYPE_CHECKING:
    from sansip.client.outlet import Outlet
    from sansip.transaction import ClientTransaction
    from sansip.transport import Flow

__all__ = ["BriefRequest"]


class BriefRequest:
    """One request. Made by ``Client.send_octets``.

    Attributes:
        number: of its CSeq.
    """

    __slots__ = ("_asker", "_branch", "_client", "_contact", "_data", "_provisional", "number")

    def __init__(
        self, client: Outlet, asker: Any, data: bytes, branch: str, number: int, contact: str
    ) -> None:
        self._client = client
        # A ``BriefAsker``, which is above this file.
        self._asker = asker
        # The request, for the ``Sending`` that it may become.
        self._data = data
        self._branch = branch
        self.number = number
        # The line Contact of the peer as it is known.
        self._contact = contact
        self._provisional = False

    def start(self, method: str, flow: Flow, now: float) -> None:
        """Send it over ``flow``, which is of UDP."""
        transaction = self._client.transactions.begin_client(self._branch, method, self._data, flow, self)
        transaction.start(now)

    def returns(self, transaction: ClientTransaction, echo: Echo, now: float) -> bool:
        """Take ``echo``, a response that came from where the request went; or do nothing."""
        contact = echo.contact
        if not 200 <= echo.status < 300 or not (contact is None or contact == self._contact):
            # RFC 3261 12.2.1.2: another Contact moves the target of the dialog.
            return False
        transaction.feed("2xx", echo, now)
        return True

    def _become(self, transaction: ClientTransaction) -> Sending:
        request = read_again(self._data)
        assert isinstance(request, Request)
        self._data = b""
        sending = Sending(self._client, request, self._asker, None)
        sending.resume(transaction, self._branch, self._provisional)
        return sending

    # --- the user of the client transaction

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
