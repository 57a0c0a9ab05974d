"""The steps for each request before a route decides: take Route off, screen claims, make checks.

Theory of operation: the stack calls ``take_route`` and ``screen`` for every new request, and the route calls
``validate`` (RFC 3261 16.3). The handle keeps their results: the values of the received request that decide
its routing, and the flow tokens and the dialog's mark in our own Route values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.proxy import (
    Refusal,
    check_request,
    is_looped,
    loop_hash,
    preprocess,
)
from sansip.proxy.assertions import drop_assertions
from sansip.proxy.dialog_mark import PARAMETER
from sansip.proxy.loop import DECIDING, Arrived
from sansip.proxy.secure import check_arrival
from sansip.proxy.sides import side_of
from sansip.routing.flows import settle, take_token
from sansip.routing.lookup import asked_for
from sansip.routing.within import read_mark
from sansip.transport.flow_token import MARK
from sansip.transport.transports import MEANT
from sansip.transport.via import read_noted

if TYPE_CHECKING:
    from sansip.routing.incoming import Incoming
    from sansip.transport import Flow
    from sansip.wire import Request, SipUri

__all__ = ["read_arrived", "routing_hash", "screen", "take_route", "validate"]


def take_route(request: Incoming) -> None:
    """Take our own values off Route (RFC 3261 16.4)."""
    message = request.message
    keys = message.keys
    if request.method != "ACK":
        fields: tuple[str, ...] = ()
        if not DECIDING.isdisjoint(keys):
            fields = tuple([line for key, line in zip(keys, message.lines, strict=True) if key in DECIDING])
        request.arrived = Arrived(message.uri, message.uri_text, message.identity(), fields)
        request.returned = request.core.listeners.may_have_written(message)
    if "route" not in keys and "maddr" not in message.uri_text:
        return
    listeners = request.core.listeners
    config = request.core.proxy.config
    tokens = config.dialog_tokens
    mark: str | None = None
    if (recorded := listeners.take_recorded(message)) is not None:
        request.leaves, mark = recorded
        request.from_dialog = not tokens or config.unmarked_dialogs
        if "route" not in keys and "maddr" not in message.uri_text:
            if tokens:
                request.side = side_of(mark)
                read_mark(request, mark)
            return

    named: list[str] = []

    def is_own(uri: SipUri) -> bool:
        nonlocal mark
        transport = uri.transport or MEANT[uri.scheme]
        if not listeners.has_recorded(uri.host, uri.port, transport):
            return False
        second = request.leaves is not None
        request.leaves = listeners.named(uri.host, uri.port, transport)
        request.marked = uri.params.get("c", request.marked)
        last, mark = mark, uri.params.get(PARAMETER, mark)
        if mark != last:
            # It was here twice: the far side's name counts.
            named.clear()
        if not tokens or config.unmarked_dialogs:
            request.from_dialog = True
        if uri.user is not None and uri.user.startswith(MARK):
            request.flows = take_token(request, uri, request.flows, second=second)
            named.append(uri.user)
        elif request.flows is not None:
            request.flows.pass_plain()
        return True

    listener = listeners[request.flow.listener]
    preprocess(message, is_own, (listener.transport, listener.port))
    if request.flows is not None:
        settle(request, request.flows)
    if tokens and mark is not None:
        request.side = side_of(mark, named)
        read_mark(request, mark)
    if request.flows is not None and request.flows.bound and not (request.from_dialog or request.reading):
        # The mark that the token came with says whose it is, and until when.
        request.flows = None


def read_arrived(data: bytes, flow: Flow, force_rport: str, proven: bool = False) -> Request:
    """Return the request in ``data``, which a quick way read in brief, as the long way would have made it.

    ``proven``: its credentials were for this server (RFC 3261 22.3).
    """
    request = read_noted(data, flow, force_rport)
    if "route" in request.keys:
        request.drop_line("route")
    if proven:
        request.remove("proxy-authorization")
    return request


def routing_hash(request: Incoming) -> str:
    """Return the hash of ``request`` as it was received (``loop_hash``), and note what it ``asked`` for."""
    if not request.hashed and (arrived := request.arrived) is not None:
        core = request.core
        if arrived.identity[2] is None:
            # Within a dialog the route set and the very URI decide.
            request.asked = asked_for(core, arrived.uri)
        request.hashed = loop_hash(arrived, core.proxy.loop_secret, request.asked)
    return request.hashed


def screen(request: Incoming) -> None:
    """Remove the fields that the sender may not send, unless it is trusted (RFC 3325 5)."""
    trust = request.core.proxy.trust
    if trust.exists and not (request.from_node or trust.trusts(request.flow)):
        # RFC 3261 22.1: a CANCEL cannot be asked whose it is.
        stranger = request.method == "CANCEL" or not request.is_from_us
        drop_assertions(request.message, stranger=stranger)


def validate(request: Incoming) -> bool:
    """Check what a proxy must check (RFC 3261 16.3); answer and return False on a fault.

    Scheme (and that a sips URI came over TLS), Max-Forwards, loops (RFC 5393) and Proxy-Require.
    """
    message = request.message
    refusal = check_request(message, request.core.proxy.config.extensions)
    if refusal is None and message.uri.scheme == "sips":
        refusal = _check_sips(request)
    if (
        refusal is None
        and request.returned
        and is_looped(message, routing_hash(request), request.core.listeners)
    ):
        # RFC 3261 16.3 step 4
        refusal = Refusal(482, "Loop Detected")
    if refusal is None:
        return True
    request.reply(refusal.status, refusal.reason, refusal.headers)
    return False


def _check_sips(request: Incoming) -> Refusal | None:
    if request.core.proxy.config.plain_sips or request.trusted is not None:
        # TLS ends in front of us.
        return None
    return check_arrival(request.flow.transport)
