"""Transactions by their keys: a received message finds its machine here.

Theory of operation: two dictionaries, one for each side. A request finds its
server transaction by the branch and sent-by of its top Via (RFC 3261 17.2.3);
a response finds its client transaction by that branch and the CSeq method
(17.1.3). Peers of RFC 2543 send no usable branch; their requests are matched by
the fields that RFC names instead.

The layer owns no policy: a request without a transaction goes back to the
stack, which decides whether to make one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.transaction.base import ClientTransaction, ClientUser, ServerTransaction, ServerUser, Transactions
from sansip.transaction.invite_client import InviteClientTransaction
from sansip.transaction.invite_server import InviteServerTransaction
from sansip.transaction.non_invite_client import NonInviteClientTransaction
from sansip.transaction.non_invite_server import NonInviteServerTransaction
from sansip.wire.host import host_text, plain_host

if TYPE_CHECKING:
    from sansip.transport.flow import Flow
    from sansip.wire import Request, Response, Via

__all__ = ["TransactionLayer", "sent_by", "sent_by_in", "server_key"]

# RFC 3261 8.1.1.7: the mark of a branch that is unique across space and time.
MAGIC_COOKIE: Final = "z9hG4bK"


def server_key(request: Request) -> str:
    """Return what identifies the server transaction of ``request`` (RFC 3261 17.2.3).

    The key leaves out the method, so an ACK and a CANCEL have the key of their INVITE.
    """
    via = request.via
    branch = via.branch
    if branch is not None and branch.startswith(MAGIC_COOKIE) and len(branch) > 7:
        return f"{branch} {sent_by(via)}"
    # RFC 3261 17.2.3: the matching of RFC 2543. The To tag is left out, for an
    # ACK carries one that its INVITE did not have yet.
    number = request.cseq.number
    key = f"\n{request.uri_text}\n{request.from_tag}\n{request.call_id}\n{number}\n{branch}\n"
    return key + sent_by(via)


def sent_by(via: Via) -> str:
    """Return the sent-by of ``via`` that matches transactions: addresses are numbers (RFC 5118 4.8)."""
    return via.sent_by if ":" not in via.host else host_text(plain_host(via.host), via.port)


def sent_by_in(key: str) -> str:
    """Return the sent-by of the request whose server transaction has ``key``."""
    tail = key.rpartition("\n")[2] if key.startswith("\n") else key.partition(" ")[2]
    return tail.partition(" ")[0]


class TransactionLayer(Transactions):
    """All transactions of one stack: those that are found, and those that are made."""

    __slots__ = ()

    # --- received messages

    def find_server(self, key: str, method: str) -> Any:
        """Return the transaction that a request with this key and method belongs to, or its stand-in."""
        found = self.servers.get(key)
        if found is not None and (found.method == method or (method == "ACK" and found.method == "INVITE")):
            return found
        # A CANCEL has the branch of the request that it cancels, and is a transaction of its own.
        return self.servers.get(f"{key} {method}")

    def server_at(self, key: str) -> ServerTransaction | None:
        """Return the server transaction with this key."""
        found = self.servers.get(key)
        if found is not None and not isinstance(found, ServerTransaction):
            found.unfold()
            found = self.servers[key]
        return found

    def find_client(self, response: Response) -> ClientTransaction | None:
        """Return the transaction that ``response`` answers (RFC 3261 17.1.3)."""
        branch = response.via.branch
        if branch is None:
            return None
        key = f"{branch} {response.cseq.method}"
        found = self.clients.get(key)
        if found is not None and not isinstance(found, ClientTransaction):
            found.unfold()
            found = self.clients[key]
        return found

    def response_received(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Feed ``response`` to ``transaction``."""
        status = response.status
        transaction.feed("1xx" if status < 200 else "2xx" if status < 300 else "failure", response, now)

    # --- new transactions

    def open_server(self, key: str, method: str, flow: Flow, user: ServerUser | None) -> ServerTransaction:
        """Make the server transaction of a new request; responses go to ``flow``."""
        if method == "CANCEL" or key in self.servers:
            key = f"{key} {method}"
        # Each class by its name: so the compiled build calls it without looking it up.
        transaction: ServerTransaction
        if method == "INVITE":
            transaction = InviteServerTransaction(self, key, method, flow, user)
        else:
            transaction = NonInviteServerTransaction(self, key, method, flow, user)
        self.servers[key] = transaction
        return transaction

    def open_client(
        self, branch: str, request: Request, data: bytes, flow: Flow, user: ClientUser
    ) -> ClientTransaction:
        """Make a client transaction for ``request``; ``start(now)`` sends it.

        ``data`` is the request as octets and ``branch`` that of its top Via.
        """
        transaction = self.begin_client(branch, request.method, data, flow, user)
        transaction.hold(request)
        return transaction

    def begin_client(
        self, branch: str, method: str, data: bytes, flow: Flow, user: ClientUser
    ) -> ClientTransaction:
        """As ``open_client``, for a request that exists as octets alone."""
        key = f"{branch} {method}"
        make = InviteClientTransaction if method == "INVITE" else NonInviteClientTransaction
        transaction = self.clients[key] = make(self, key, method, data, flow, user)
        return transaction

    # --- those that something has stood for (``Folded``)

    def revive_server(
        self, number: int, key: str, method: str, flow: Flow, user: ServerUser | None, state: str, last: bytes
    ) -> ServerTransaction:
        """Make the server transaction ``number`` in ``state``, which has sent ``last``; no timer runs."""
        latest, self.latest = self.latest, number - 1
        make = InviteServerTransaction if method == "INVITE" else NonInviteServerTransaction
        transaction = self.servers[key] = make(self, key, method, flow, user)
        self.latest = latest
        transaction.state = state
        transaction.rows = transaction.machine[state]
        transaction.last = last
        return transaction

    def revive_client(
        self, number: int, key: str, method: str, data: bytes, flow: Flow, user: ClientUser, state: str
    ) -> ClientTransaction:
        """Make the client transaction ``number`` in ``state``, which has sent ``data``; no timer runs."""
        latest, self.latest = self.latest, number - 1
        make = InviteClientTransaction if method == "INVITE" else NonInviteClientTransaction
        transaction = self.clients[key] = make(self, key, method, data, flow, user)
        self.latest = latest
        transaction.state = state
        transaction.rows = transaction.machine[state]
        return transaction
