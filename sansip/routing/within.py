"""Requests within a dialog: which dialog, which sender, and whether it may go to its Request-URI.

Theory of operation: our Route value has a mark (``proxy.dialog_mark``), which is read before the route runs.
If all of it fits, the request is of that dialog (``request.from_dialog``) and goes on. If only the dialog
fits, the Request-URI is not the remote target that was sealed, or the sender is not the one that was sealed
or has another address. ``admits_within`` then looks for another proof:

    the sender      a password, where it calls itself a user of ours
    the target      a binding of the user that the dialog is with

If neither is found, this node sends nothing, so that no sender can choose where we send (RFC 3261 12.2.1.1
has one place for a request of a dialog: the remote target).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.proxy.dialog_mark import Reading, address_of
from sansip.routing.identity import authenticate, speaks_for
from sansip.routing.lookup import locate, meant, names_gruu

if TYPE_CHECKING:
    from sansip.routing.incoming import Incoming

__all__ = ["admits_within", "read_mark"]

# RFC 3261 22.1: these cannot be asked for a password.
_MUTE = ("ACK", "CANCEL")
# They begin nothing anywhere, so they may lack the tag that RFC 2543 peers do not have.
_TAGLESS = ("ACK", "BYE")


def read_mark(request: Incoming, mark: str) -> None:
    """Note in ``request`` what ``mark``, of our last Route value, proves of it."""
    core = request.core
    message = request.message
    _, from_tag, to_tag, _ = message.identity()
    if (to_tag is None or from_tag is None) and request.method not in _TAGLESS:
        # RFC 3261 12.2.1.1: both tags are in every request of a dialog.
        return
    marks = core.proxy.marks
    who = _sender(request)
    reading = request.reading = marks.read(mark, message, who, core.wall.unix(request.now))
    if reading:
        request.to_guarded = marks.leads_to_gateway(mark, message)
    if reading is Reading.WHOLE:
        request.from_dialog = True
    elif reading and (request.over_flow or marks.noted(message)):
        # The dialog leads to this place; the sender may be any user but one of ours.
        request.from_dialog = (reading is Reading.DIALOG and not who) or _is_believed(request)


def _is_believed(request: Incoming) -> bool:
    """Whether the sender's identity is believed without a password."""
    return (
        request.trusted is not None
        or request.from_node
        or _is_from_its_phone(request)
        or request.core.proxy.marks.is_sender(request.message, _sender(request))
    )


def _sender(request: Incoming) -> str:
    trust = request.core.proxy.trust
    # If this node asks no user for a password, a name proves nothing.
    return trust.sender(request.message.from_.uri, request.flow.host) if trust.authenticates else ""


def _is_from_its_phone(request: Incoming) -> bool:
    """Whether it came over the registered flow of the user of ours that it says it is from.

    The phone registered there with a password, and may have come from another address
    since the dialog began.
    """
    flows = request.flows
    if flows is None or not flows.own:
        return False
    return flows.own == request.core.addresses.of(request.message.from_.uri)


async def admits_within(request: Incoming) -> bool:
    """Whether a request with a To tag is of a dialog that leads where it asks to; or answered.

    If you write a route, call this before you relay a request that is ``request.in_dialog``. If it returns
    False, drop an ACK, and answer a request that is not ``decided`` with 481 (RFC 3261 12.2.2).
    """
    flows = request.flows
    if request.from_dialog or (flows is not None and flows.target is not None and not flows.bound):
        # We believe a token that belongs to no dialog only from a peer or node that we trust.
        return True
    if request.reading is Reading.NONE:
        return False
    core = request.core
    message = request.message
    peer = request.trusted
    if peer is not None and peer.relay:
        return True
    trust = core.proxy.trust
    own = _is_from_its_phone(request)
    ours = request.reading is Reading.OURS or trust.user(message.from_.uri)
    if ours and (own or not _is_believed(request)):
        if not own:
            if request.method in _MUTE:
                return False
            user = await authenticate(request)
            if user is None:
                return False
            if not speaks_for(request, user):
                request.reply(403, "Not Your Address")
                return False
        # The sender has proved itself, so its ACK may follow, which cannot be asked for a password.
        core.proxy.marks.note_sender(message, _sender(request))
        return True
    if await _leads_home(request):
        return True
    if request.method not in _MUTE and not request.decided:
        request.refuse(403, "Not The Remote Target Of This Dialog")
    return False


async def _leads_home(request: Incoming) -> bool:
    """Whether the Request-URI leads to the user of ours at the other end: a Contact of it, or a GRUU."""
    message = request.message
    if not request.serves(message.to.uri):
        return False
    if names_gruu(request.core, message.uri):
        # RFC 5627 6.1: it leads to where its device is now.
        return meant(request.core, message.uri)[0] == request.core.addresses.of(message.to.uri)
    asked = address_of(message.uri_text)
    try:
        targets = await locate(request, message.to.uri)
    except RemoteProtocolError:
        return False
    for target in targets:
        if target.uri is not None and address_of(str(target.uri)) == asked:
            if message.has("route"):
                target.path = ()
            request.lead_to(target)
            return True
    return False
