"""A callee behind a NAT that is not registered here: its answer is the first that shows it.

Theory of operation: our Record-Route value left with the INVITE, before the callee's flow was known. A proxy
may rewrite its own value in the response (RFC 3261 16.7 step 8), so the caller gets one with the token of the
flow that the answer came by (``transport.flow_token``). The callee has the other spelling; it leads here as
well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.proxy.dialog_mark import PARAMETER
from sansip.transport.nat import is_private
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.proxy.proxy import Proxy
    from sansip.proxy.recording import Recording
    from sansip.transport import Flow
    from sansip.wire import Response

__all__ = ["show_callee"]


def show_callee(proxy: Proxy, recording: Recording, flow: Flow, response: Response) -> None:
    """Put the token of ``flow`` into our Record-Route value of ``response``, where the Contact is no use.

    Only for datagrams, and where a public address answers with a private Contact: within one private network
    such a Contact names another host on purpose.
    """
    line = response.first_line("contact")
    if flow.reliable or line is None or flow.named_in(line) or is_private(flow.host):
        return
    try:
        contacts = response.contacts
    except RemoteProtocolError:
        return
    uri = contacts[0].uri if isinstance(contacts, list) and contacts else None
    if not isinstance(uri, SipUri) or not is_private(uri.host):
        return
    ours = proxy.listeners[flow.listener].record_route.partition(": ")[2]
    mark = recording.found(response)
    ours += f";{PARAMETER}={mark}>" if mark else ">"
    recorded = response.values("record-route")
    if not recorded or recorded[0] != ours:
        # Another proxy comes after us: that proxy handles its phone.
        return
    token = proxy.tokens.for_dialog(flow, response.call_id, response.from_tag, only=False)
    response.replace_first_value("record-route", ours.replace("<sip:", f"<sip:{token}@", 1))
