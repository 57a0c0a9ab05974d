"""Outbound at a registrar (RFC 5626 6): which contacts of a REGISTER name a flow.

Theory of operation: a contact with an instance and a reg-id stands for one flow of
one device. Its binding is under those two and not under its URI, so that a phone
which comes back from elsewhere replaces its old flow. That works only if the
first hop can find the flow again: we can where we are the first hop, and an
edge proxy can that put ``ob`` into its Path. Otherwise the reg-id means nothing,
and a phone that counts on it is told so with 439.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.wire import Request

    from .contact import ContactChange

__all__ = ["instance_key", "is_direct", "supports", "take_flows"]


def supports(request: Request, tag: str) -> bool:
    """Whether Supported has the option ``tag`` (lower case)."""
    return "supported" in request.keys and any(one.lower() == tag for one in request.supported)


def is_direct(request: Request) -> bool:
    """Whether we are the first hop: no proxy added a Via (RFC 5626 6)."""
    return request.keys.count("via") == 1 and len(request.values("via")) == 1


def instance_key(instance: str) -> str:
    """Return a key that is equal for equal instances (RFC 5626 4.1, RFC 2141 5, RFC 4122 3)."""
    folded = instance.lower()
    if folded.startswith("urn:uuid:"):
        return folded
    # The namespace is case-insensitive; the rest may not be.
    head, colon, rest = instance.partition(":")
    space, between, name = rest.partition(":")
    return f"{head.lower()}{colon}{space.lower()}{between}{name}"


def take_flows(request: Request, changes: Sequence[tuple[ContactChange, int]], wanted: bool) -> bool:
    """Keep each reg-id that names a flow, forget the others; return whether any is kept.

    ``wanted``: the operator allows it; else none does.
    Raises RemoteProtocolError: 439 where the first hop cannot do its part, 400 for
    several contacts of which one is a flow.
    """
    for change, _ in changes:
        if change.reg_id is not None:
            break
    else:
        # Nearly every REGISTER.
        return False
    if not wanted or (not is_direct(request) and not _first_hop_helps(request)):
        if wanted and supports(request, "outbound"):
            raise RemoteProtocolError(
                "First Hop Lacks Outbound Support", status=439, section="RFC 5626 6", field="Path"
            )
        for change, _ in changes:
            change.reg_id = None
        return False
    kept = False
    for change, _ in changes:
        if change.instance is None:
            # RFC 5626 6: without an instance the reg-id is ignored.
            change.reg_id = None
        kept = kept or change.reg_id is not None
    # RFC 5626 6: one REGISTER, one flow; it may remove others.
    bound = [change for change, granted in changes if granted]
    if len(bound) > 1 and any(change.reg_id is not None for change in bound):
        raise RemoteProtocolError(
            "A Flow Is Registered Alone", status=400, section="RFC 5626 6", field="Contact"
        )
    return kept


def _first_hop_helps(request: Request) -> bool:
    """Whether the Path value of the first hop has ``ob``."""
    # Each proxy adds its own value in front, so that of the first hop is the last.
    if "path" not in request.keys:
        return False
    paths = request.paths
    uri = paths[-1].uri if paths else None
    return isinstance(uri, SipUri) and "ob" in uri.params
