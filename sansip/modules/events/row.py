"""A subscription as a row, so that a restart serves it on.

Theory of operation: the row is written when a subscription begins, is refreshed, or changes its state, before
the watcher gets its 200. A NOTIFY does not write it: ``cseq`` is a number that none of the subscription's
NOTIFYs has reached, and it is raised long before they do. A restart goes on from there, so both the sequence
numbers (RFC 3261 12.2.1.1) and the versions of documents only ever rise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sansip.dialog import CONFIRMED, Dialog, DialogId
from sansip.rows import Table
from sansip.transport import Flow
from sansip.transport.transports import UDP
from sansip.wire import NameAddr, parse_name_addr, parse_uri

if TYPE_CHECKING:
    from sansip.modules.events.subscription import Subscription
    from sansip.transport import Listeners
    from sansip.wire import Uri

__all__ = ["BLOCK", "SUBSCRIPTIONS", "SubscriptionRow", "dialog_of", "flow_of", "row_of"]

# Sequence numbers that one row allows.
BLOCK: Final = 1_000


@dataclass(slots=True)
class SubscriptionRow:
    """One subscription. ``expires``, ``began``: in seconds since 1970. Lists are joined by line feeds."""

    package: str
    id: str
    owner: str
    resource: str
    watcher: str
    event: str
    state: str
    verdict: str
    expires: float
    began: float
    call_id: str
    local: str
    remote: str
    routes: str
    target: str
    contact: str
    secure: bool
    cseq: int
    remote_cseq: int
    accept: str
    filter_type: str
    filter_body: bytes
    flow: str
    proven: bool


SUBSCRIPTIONS = Table("events_subscriptions", SubscriptionRow, key=("package", "id"))


def row_of(
    one: Subscription, owner: str, expires: float, *, remote_cseq: int | None = None
) -> SubscriptionRow:
    """Return the row of a subscription that ends at ``expires``; it reserves the next numbers."""
    usage = one.usage
    dialog = usage.dialog
    one.reserved = (dialog.local_cseq or 0) + BLOCK
    flow = one.flow
    seen = dialog.remote_cseq or 0
    return SubscriptionRow(
        package=one.package.event,
        id=one.id,
        owner=owner,
        resource=one.resource,
        watcher=one.watcher,
        event=usage.event,
        state=usage.state,
        verdict=one.verdict.value,
        expires=expires,
        began=one.began,
        call_id=dialog.id.call_id,
        local=str(dialog.local),
        remote=str(dialog.remote),
        routes="\n".join(map(str, dialog.route_set)),
        target=str(dialog.remote_target),
        contact=str(dialog.local_target),
        secure=dialog.secure,
        cseq=one.reserved,
        remote_cseq=seen if remote_cseq is None else remote_cseq,
        accept="\n".join(one.accept),
        filter_type=one.filter_type,
        filter_body=one.filter_body,
        flow="" if flow is None else f"{flow.transport} {flow.address[0]} {flow.address[1]}",
        proven=one.proven,
    )


def dialog_of(row: SubscriptionRow) -> Dialog:
    """Return the dialog of a row. Raises ``RemoteProtocolError`` for a row that somebody changed by hand."""
    dialog = Dialog()
    dialog.local, dialog.remote = _address(row.local), _address(row.remote)
    dialog.id = DialogId(row.call_id, row.id, dialog.remote.tag or "")
    dialog.local_cseq, dialog.remote_cseq = row.cseq, row.remote_cseq
    dialog.route_set = tuple(_address(one) for one in row.routes.split("\n") if one)
    dialog.remote_target = parse_uri(row.target)
    dialog.local_target = _contact(row.contact)
    dialog.secure = row.secure
    dialog.state = CONFIRMED
    dialog.is_caller = False
    return dialog


@lru_cache(maxsize=64)
def _contact(text: str) -> Uri:
    # Our Contact: there is one for each listener, and a restart reads it from each row.
    return parse_uri(text)


def _address(text: str) -> NameAddr:
    return parse_name_addr(text, "From", "RFC 3261 20.20")


def flow_of(row: SubscriptionRow, listeners: Listeners) -> Flow | None:
    """Return the flow of a row: of datagrams alone, for connections end with their process."""
    words = row.flow.split(" ")
    if len(words) != 3 or words[0] != UDP or not words[2].isdecimal():
        return None
    listener = listeners.reach(UDP, words[1])
    return None if listener is None else Flow(UDP, listener.id, (words[1], int(words[2])))
