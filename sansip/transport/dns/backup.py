"""Where a response goes when the way back is gone (RFC 3263 5).

Theory of operation: a response first goes where RFC 3261 18.2.2 says: the connection of the request, or its
source. Where that fails, the sent-by of the top Via names the client, or a whole cluster of which one member
has died: an address, a host with a port, or a domain with SRV records. Its places are tried one by one. A
sender that is not trusted and proves no name by a certificate could put a third party's address there, so its
response goes to its source only. The transaction's flow carries the places that are left to try, so there is
nothing to clean up when the transaction ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from sansip.transport.flow import Backup, Flow, Place
from sansip.transport.next_hop import Resolve
from sansip.transport.transports import DEFAULT_PORTS, ONE_WAY, TLS
from sansip.wire.host import is_address, same_host, split_host_port

if TYPE_CHECKING:
    from sansip.transport.listeners import Listeners

__all__ = ["Backups"]


# Puts a question and calls back with its answer.
Asking = Callable[[Any, Callable[[Any, float], None], float], None]


class Answering(Protocol):
    """The attributes that are needed of a server transaction."""

    flow: Flow
    last: bytes
    layer: Any

    def feed(self, given: str, argument: Any, now: float) -> None: ...


class Backups:
    """Finds other ways for responses to peers that ``trusts`` says yes to."""

    __slots__ = ("_ask", "_listeners", "_trusts")

    def __init__(self, listeners: Listeners, ask: Asking, trusts: Callable[[Flow], bool]) -> None:
        self._listeners = listeners
        self._ask = ask
        self._trusts = trusts

    def retry(self, transaction: Answering, sent_by: str, data: bytes, reason: str, now: float) -> bool:
        """Send what ``transaction`` could not send another way; False where there is none.

        ``sent_by`` is that of its request; ``data`` are the octets, b"" where they are not at hand.
        """
        flow = transaction.flow
        backup = flow.backup
        if backup is not None:
            if backup.left is None:
                backup.data = data or backup.data
                return True
            return self._use(transaction, backup.left, data, now)
        named = split_host_port(sent_by)
        transport = flow.transport
        default = DEFAULT_PORTS.get(transport)
        # RFC 7118 5.2: a server cannot connect to a browser.
        if named is None or default is None or transport in ONE_WAY:
            return False
        host, port = named
        if host not in flow.identities and not same_host(host, flow.host) and not self._trusts(flow):
            # RFC 3261 26.1.5: a stranger must not direct a response to a third party.
            return False
        failed = (flow.transport, flow.host, flow.port)
        if is_address(host):
            places = [place for place in [(transport, host, port or default)] if place != failed]
            return self._use(transaction, places, data, now)
        # RFC 3263 5: with a port the addresses of the name, else its SRV records.
        question = Resolve(host, port or default, transport, port is not None, True, transport == TLS)
        # The flow may be shared: it is where the request came from.
        flow = transaction.flow = Flow(transport, flow.listener, flow.address, flow.conn, host)
        waiting = flow.backup = Backup(None, data)

        def found(result: Any, now: float) -> None:
            if transaction.flow is not flow:
                return
            places = []
            if not isinstance(result, Exception):
                every = [one if len(one) == 3 else (transport, *one) for one in result or ()]
                places = [one for one in every if one != failed]
            if not self._use(transaction, places, waiting.data, now):
                waiting.left = []
                transaction.feed("transport error", reason, now)

        self._ask(question, found, now)
        return True

    def _use(self, transaction: Answering, places: list[Place], data: bytes, now: float) -> bool:
        flow = transaction.flow
        # An INVITE's 2xx is not kept; the callee repeats it, and then it takes
        # the new way.
        data = data or transaction.last
        while places:
            transport, ip, port = places.pop(0)
            listener = self._listeners.reach(transport, ip, flow.listener)
            if listener is not None:
                transaction.flow = Flow(transport, listener.id, (ip, port), 0, flow.name)
                transaction.flow.backup = Backup(places)
                if data:
                    transaction.layer.send_response(transaction, data, now)
                return True
        return False
