"""Whether another node lives, asked over SIP: where the shared location does not say.

Theory of operation: the question is an OPTIONS whose Request-URI has a proof in its user
part, and the answer a 200 with a proof as its To tag. Both are made with the nodes' key
of the node's name and life and of the Call-ID. So a node answers nobody else so, no
other process that has its address by now can answer for it, and neither can its own
next life: connections do not outlive a process. Any other answer, a refusal and
silence say that it is gone. The route sees none of it.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from sansip.client.via import new_branch, seal
from sansip.errors import RemoteProtocolError
from sansip.transport import Flow
from sansip.transport.next_hop import next_hop
from sansip.wire import Request, SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.location import Nodes, NodeState
    from sansip.location.nodes import Answered
    from sansip.proxy import Proxy
    from sansip.transaction import ClientTransaction
    from sansip.transport.next_hop import NextHop
    from sansip.wire import Response

__all__ = ["Probe", "alive_tag"]

# What begins the user part of the question's Request-URI.
_MARK = "n-"


def alive_tag(nodes: Nodes, request: Request) -> str:
    """Return the To tag of the answer to ``request``, an OPTIONS; "" unless a node asks for this one."""
    if f":{_MARK}" not in request.uri_text:
        return ""
    uri = request.uri
    if not isinstance(uri, SipUri) or uri.user is None:
        return ""
    expected = _MARK + _proof(nodes, "asked", nodes.me, request.call_id)
    if not compare_digest(expected.encode(), uri.user.encode("utf-8", "surrogateescape")):
        return ""
    return _proof(nodes, "alive", nodes.me, request.call_id)


def _proof(nodes: Nodes, what: str, node: NodeState, call_id: str) -> str:
    return nodes.prove(f"{what}\n{node.name}\n{node.life}\n{call_id}")


class Probe:
    """One question to one node. ``answered`` is called once, ``seconds`` later at the latest."""

    __slots__ = ("_answered", "_hop", "_node", "_nodes", "_proxy", "_request", "_timer", "_transaction")

    def __init__(
        self, proxy: Proxy, nodes: Nodes, node: NodeState, answered: Answered, seconds: float, now: float
    ) -> None:
        self._proxy = proxy
        self._nodes = nodes
        self._node = node
        self._answered = answered
        self._hop: NextHop | None = None
        self._request: Request | None = None
        self._transaction: ClientTransaction | None = None
        self._timer: Timer | None = proxy.timers.start(now, seconds, self, "probe")
        call_id = proxy.entropy.token()
        user = _MARK + _proof(nodes, "asked", node, call_id)
        try:
            uri = parse_uri(f"sip:{user}@{node.address}")
            hop = self._hop = next_hop(uri)
        except RemoteProtocolError:
            self._end(False, now)
            return
        headers = [
            ("Max-Forwards", "1"),
            ("From", f"<sip:{nodes.me.address.partition(';')[0]}>;tag={call_id}"),
            ("To", f"<sip:{node.address.partition(';')[0]}>"),
            ("Call-ID", call_id),
            ("CSeq", "1 OPTIONS"),
        ]
        self._request = Request.build("OPTIONS", str(uri), headers)
        if hop.numeric:
            self._send([(hop.transport, hop.host, hop.port)], now)
        else:
            proxy.client.places.resolve(hop.question(), self._send, now)

    def _send(self, found: Any, now: float) -> None:
        proxy, hop = self._proxy, self._hop
        assert hop is not None
        assert self._request is not None
        if self._timer is None:
            return
        for transport, ip, port in proxy.client.places.take(found, hop, now)[:1]:
            listener = proxy.listeners.reach(transport, ip)
            if listener is not None:
                branch = new_branch(proxy.entropy)
                data = seal(self._request, listener, branch)
                flow = Flow(transport, listener.id, (ip, port), name=hop.proves(transport))
                self._transaction = proxy.transactions.open_client(branch, self._request, data, flow, self)
                self._transaction.start(now)
                return
        self._end(False, now)

    def _end(self, lives: bool, now: float) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            self._answered(lives, now)

    def timer_fired(self, _name: str, now: float) -> None:
        if self._transaction is not None:
            self._transaction.terminate(None, now)
        self._end(False, now)

    # --- the user of the transaction

    def response_received(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        if response.status >= 200:
            assert self._request is not None
            expected = _proof(self._nodes, "alive", self._node, self._request.call_id)
            given = (response.to_tag or "").encode("utf-8", "surrogateescape")
            self._end(response.status == 200 and compare_digest(expected.encode(), given), now)

    def client_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        self._end(False, now)
