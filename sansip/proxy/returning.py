"""A response on its way back: the proxy removes what it added on the way there, and private fields.

Theory of operation: RFC 3261 16.7 steps 3 and 8. Each response of a branch passes here, the repetitions of a
2xx and the 2xx of further forks as well, so that they leave as the first did. The trust in the peer that a
response came from decides which fields it may have (RFC 3325 5), whichever target is tried by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sansip.proxy.assertions import drop_assertions, keep_private
from sansip.proxy.callee import show_callee
from sansip.proxy.credentials import drop_challenges

if TYPE_CHECKING:
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.recording import Recording
    from sansip.transport.flow import Flow
    from sansip.wire import Response

__all__ = ["is_trusted", "take_back"]


class Sent(Protocol):
    """What has to be known of a request for its responses: see ``Forwarding``."""

    @property
    def cseq(self) -> str: ...
    @property
    def caller(self) -> Flow: ...
    @property
    def recording(self) -> Recording | None: ...


def take_back(proxy: Proxy, forwarding: Sent, response: Response, flow: Flow, *, stranger: bool) -> None:
    """Turn ``response``, which came by ``flow``, into the one that goes back to the caller.

    ``stranger``: the callee is none of our users.
    """
    if forwarding.cseq:
        response.set_line("cseq", forwarding.cseq)
    trust = proxy.trust
    if trust.exists:
        # RFC 3325 5: fields that the next hop may not send or ask for, unless it is trusted.
        if not is_trusted(proxy, flow):
            drop_assertions(response, stranger=stranger)
            drop_challenges(response, trust)
        elif not trust.trusts(forwarding.caller):
            keep_private(response)
    recording = forwarding.recording
    if recording is not None:
        if response.status < 300:
            show_callee(proxy, recording, flow, response)
        guarded = proxy.client.guarded
        recording.answered(
            response, guarded=guarded.active and guarded.bars(flow.host, flow.port) is not None
        )
    # RFC 3261 16.7 step 3
    if not response.drop_line("via"):
        response.pop_first_value("via")


def is_trusted(proxy: Proxy, flow: Flow) -> bool:
    """Whether the peer of ``flow`` is trusted: by the certificate shown on its connection, or by address."""
    trust = proxy.trust
    if flow.conn:
        connection = proxy.sender.connections.get(flow.conn)
        if (
            connection is not None
            and connection.flow.peer is not None
            and connection.flow is not flow
            and trust.trusts(connection.flow)
        ):
            return True
    return trust.trusts(flow)
