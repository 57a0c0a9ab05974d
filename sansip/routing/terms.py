"""The terms of one REGISTER: who sent it, and which contacts do not count any more.

Theory of operation: the registrar judges Contacts and Path by where a request came
from (``sansip.registrar.Terms``), and knows neither listeners nor connections. Those
are looked up here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.events import RegistrationRefused
from sansip.location import NodeFlow
from sansip.registrar import Terms
from sansip.transport import Flow
from sansip.transport.transports import ONE_WAY
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.location import Binding
    from sansip.registrar import OnFull, Reply
    from sansip.routing.core import Core
    from sansip.routing.incoming import Incoming

__all__ = ["is_dead", "is_local", "tell_refusal", "terms_of"]


def terms_of(request: Incoming, max_contacts: int | None, on_full: OnFull | None) -> Terms:
    """Return the terms of ``request``, a REGISTER."""
    core = request.core
    local = is_local(request.flow)
    trusted = local or request.trusted is not None
    return Terms(core.listeners.names_us, local, trusted, max_contacts, on_full, partial(is_dead, core))


def is_local(flow: Flow) -> bool:
    """Whether what came by ``flow`` came from this machine (RFC 1122 3.2.1.3, RFC 4291 2.5.3)."""
    host = flow.host
    return host.startswith("127.") or host in ("::1", "::ffff:127.0.0.1")


def tell_refusal(request: Incoming, aor: str, answer: Reply) -> None:
    """Tell the operator of a REGISTER that a setting, or a rule on Contacts, refused."""
    if answer.decided_by or answer.status == 403:
        event = RegistrationRefused(aor, request.flow.host, answer.reason, answer.decided_by)
        request.core.notify(event)


def is_dead(core: Core, binding: Binding) -> bool:
    """Whether the connection that ``binding`` was made over is gone."""
    flow = binding.flow
    if isinstance(flow, Flow):
        return core.proxy.sender.connections.get(flow.conn) is None
    if isinstance(flow, NodeFlow):
        if core.nodes is None or not flow.conn:
            return False
        node = core.nodes.get(flow.node, flow.life)
        return node is None or node.life != flow.life
    if flow is not None or binding.path:
        # Datagrams need no connection; that of an edge proxy is its own.
        return False
    # It is of a former life of this process, or of a phone behind another proxy.
    if binding.received is not None:
        return not binding.received.by_datagram
    try:
        uri = binding.uri
    except RemoteProtocolError:
        return False
    return isinstance(uri, SipUri) and (uri.transport in ONE_WAY or uri.host.endswith(".invalid"))
