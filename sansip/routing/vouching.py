"""Proof from one node of ours to another that it admitted the request that it sends on.

Theory of operation: the node that a caller speaks with asks for passwords and judges identities; the node
that has the phone's connection must not ask again, because the caller made its credentials for the first
node. So the first node puts a proof beside the flow token in the Route value that leads to the second. Only a
holder of the nodes' key (``secret_file``) can make one, and it is good for this request alone: its token,
Call-ID, From tag, CSeq and method. An attacker that copies the Route value from the wire, or the token from
the shared location, cannot use it for another request.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.location import Nodes
    from sansip.wire import Request, SipUri

__all__ = ["PARAMETER", "is_vouched", "proof"]

# The URI parameter that carries the proof.
PARAMETER = "n"


def proof(nodes: Nodes, message: Request, token: str) -> str:
    """Return the value of ``PARAMETER`` for ``message`` on its way to the flow of ``token``."""
    cseq = message.cseq
    return nodes.prove(
        f"vouch\n{token}\n{message.call_id}\n{message.from_tag}\n{cseq.number} {message.method}"
    )


def is_vouched(nodes: Nodes | None, message: Request, uri: SipUri) -> bool:
    """Whether ``uri``, a Route value of ours in ``message``, has the proof of another node."""
    given = uri.params.get(PARAMETER)
    if nodes is None or given is None or uri.user is None:
        return False
    expected = proof(nodes, message, uri.user)
    return compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape"))
