"""The default route, which the server runs unless you give it another one.

Copy this file, change it, and give it to ``sansip serve --route FILE.py``. It is
a registrar and proxy for its own domains, and never relays for strangers.
"""

from __future__ import annotations

from sansip.routing.request import IncomingRequest
from sansip.routing.within import admits_within

__all__ = ["admits", "route"]


async def route(request: IncomingRequest) -> None:
    """Decide on one request that no running transaction took."""
    # RFC 3261 16.3: first refuse a request that no proxy may forward.
    if not request.validate():
        return

    stages = request.modules.stages_of(request.method)
    if stages["screen"] and await request.stage("screen"):
        return

    # A CANCEL that matches a transaction never comes here (RFC 3261 9.2).
    if request.method == "CANCEL":
        await cancel(request)
        return

    # Within a dialog: only where it was set up through this server, and to its other side;
    # or by a flow token of ours, over the phone's own connection (RFC 5626 5.3.1).
    # RFC 2543: an ACK or BYE may lack the tag.
    in_dialog = request.in_dialog
    within = in_dialog or request.method in ("ACK", "BYE")
    if (request.over_flow and not within) or (within and await admits_within(request)):
        request.record_route()
        targets = await request.locate() if request.names_gruu else None
        if targets == []:
            request.answer_absent()
        else:
            request.relay(targets)
        return
    if request.decided:
        return
    if in_dialog:
        if request.method == "ACK":
            request.drop()
        else:
            # RFC 3261 12.2.2: no such dialog here.
            request.reply(481)
        return

    if request.method == "ACK":
        request.drop()
        return

    if stages["identify"] and await request.stage("identify"):
        return
    if not await admits(request):
        return

    # Requests for others' domains are relayed for our own users, and for peers that may.
    if not request.serves():
        peer = request.trusted
        allowed = (request.authenticates and request.is_from_us) if peer is None else peer.relay
        if not allowed or request.method == "REGISTER":
            request.reply(403, "Relaying Denied")
        else:
            request.message.remove("Route")
            request.record_route()
            request.relay()
        return

    if request.method == "REGISTER":
        if not (stages["register"] and await request.stage("register")):
            await request.register()
        return

    # Addressed to the server itself, not to a user of it.
    if getattr(request.uri, "user", None) is None:
        request.answer_as_server()
        return

    # A pre-loaded Route must not lead a request past the location service.
    request.message.remove("Route")

    # Event state that a module would keep: without one the phone would get its own request back.
    if request.wants_event_state:
        request.reply(404)
        return

    if stages["translate"] and await request.stage("translate"):
        return
    targets = await request.locate()
    if not targets:
        # Not one of our users: a module may know where such requests go.
        if not (stages["select"] and await request.stage("select")):
            request.answer_absent()
        return
    request.record_route()
    if stages["prepare"] and await request.stage("prepare"):
        return
    if not (stages["relay"] and await request.stage("relay")):
        request.relay(targets)


async def admits(request: IncomingRequest) -> bool:
    """Whether the sender has proved its identity; answered if it may not send, or must prove it first.

    For a request that begins something. If you write a route that registers or relays, call this first;
    otherwise this node asks no sender for a password.
    """
    # A peer that we know by address: another server of ours, or a carrier ([[trusted]]).
    peer = request.trusted
    # A sender that claims to be one of our users has to prove it (RFC 3261 22). A trusted peer has checked
    # the users that it sends for, but it may not register any user.
    if request.authenticates and (request.method == "REGISTER" or (request.is_from_us and peer is None)):
        user = await request.authenticate()
        if user is None:
            return False
        if not request.speaks_for(user):
            request.reply(403, "Not Your Address")
            return False
        if request.borrows_gruu:
            request.reply(403, "Not Your GRUU")
            return False
    return True


async def cancel(request: IncomingRequest) -> None:
    """Decide on a CANCEL whose INVITE is not known here.

    RFC 3261 16.10: it is forwarded without state, for its INVITE may have been; but
    only where that could have gone.
    """
    if request.from_dialog:
        request.relay(stateless=True)
        return
    targets = []
    if not request.in_dialog and request.serves() and getattr(request.uri, "user", None) is not None:
        request.message.remove("Route")
        targets = await request.locate()
    if targets:
        request.relay(targets, stateless=True)
    else:
        # RFC 3261 9.2
        request.reply(481)
