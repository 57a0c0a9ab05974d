"""Whether another node lives, asked over SIP: where the shared location does not say.

Theory of operation: the question is an OPTIONS whose Request-URI has a proof in its user part, and the answer
a 200 with a proof as its To tag. Both are made with the nodes' key of the node's name and life and of the
Call-ID. So a node gives this answer to other nodes only. Another process that has its address by now cannot
give it, and neither can the node's own next life: connections do not outlive a process. Any other answer, a
refusal and silence mean that the node is gone. The route sees none of it.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from sansip.client import Asker
from sansip.errors import RemoteProtocolError
from sansip.wire import Request, SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.client import Client, Sending
    from sansip.location import Nodes, NodeState
    from sansip.location.nodes import Answered
    from sansip.wire import Response

__all__ = ["Probe", "alive_tag"]

# The prefix of the user part of the question's Request-URI.
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


class Probe(Asker):
    """One question to one node. ``answered`` is called once, ``seconds`` later at the latest."""

    __slots__ = ("_answered", "_expected")

    def __init__(
        self, client: Client, nodes: Nodes, node: NodeState, answered: Answered, seconds: float, now: float
    ) -> None:
        self._answered = answered
        call_id = client.entropy.token()
        user = _MARK + _proof(nodes, "asked", node, call_id)
        self._expected = _proof(nodes, "alive", node, call_id)
        try:
            uri = parse_uri(f"sip:{user}@{node.address}")
        except RemoteProtocolError:
            answered(False, now)
            return
        headers = [
            ("Max-Forwards", "1"),
            ("From", f"<sip:{nodes.me.address.partition(';')[0]}>;tag={call_id}"),
            ("To", f"<sip:{node.address.partition(';')[0]}>"),
            ("Call-ID", call_id),
            ("CSeq", "1 OPTIONS"),
        ]
        client.send(Request.build("OPTIONS", str(uri), headers), self, now, within=seconds)

    def final(self, sending: Sending, response: Response, now: float) -> None:
        """The answer, or a made one: silence and errors are none."""
        given = (response.to_tag or "").encode("utf-8", "surrogateescape")
        proves = compare_digest(self._expected.encode(), given)
        self._answered(response.status == 200 and proves, now)
