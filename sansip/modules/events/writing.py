"""NOTIFYs as octets: what stands in each of a subscription is written once.

Theory of operation: a NOTIFY that goes to one numeric address by UDP is its ``Head``, which stays as long as
the dialog and the way do, the number, the state, and the content. Each other one is made as any request is
(``Notifier.notify``), and has the same lines in the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.client import new_branch
from sansip.dialog import aim
from sansip.modules.events.content import line
from sansip.modules.events.sending import way_of
from sansip.transport import Flow
from sansip.ua.request import numeric_way
from sansip.wire import SipUri
from sansip.wire.fields import encode, header_line

if TYPE_CHECKING:
    from sansip.client import Client
    from sansip.dialog import Dialog, Notifier, SendNotify
    from sansip.modules.events.subscription import Subscription
    from sansip.transport import Listener

__all__ = ["Head", "granted", "same_way", "send_octets"]


class Head:
    """What each NOTIFY of a subscription begins with, and where it goes.

    Attributes:
        flow: the way there, None where the NOTIFYs have to be made one by one.
        listener: the one that ``flow`` leaves by.
        target, contact: the remote target, and the line Contact of the peer that names it.
        begin, middle, end: the parts around branch, number and state.
        call_id: the Call-ID of which our tag was made, "" while nobody has asked.
    """

    __slots__ = (
        "_came",
        "_target",
        "begin",
        "call_id",
        "contact",
        "end",
        "flow",
        "listener",
        "middle",
        "target",
    )

    def __init__(self, one: Subscription, client: Client) -> None:
        dialog = one.usage.dialog
        self._target, self._came = dialog.remote_target, one.flow
        self.target = str(dialog.remote_target)
        self.contact = f"Contact: <{self.target}>"
        self.call_id = ""
        self.listener: Listener | None = None
        self.flow = _flow(one, client)
        if self.flow is not None:
            self.listener = client.listeners[self.flow.listener]
            self.begin, self.middle, self.end = _parts(one, dialog, self.listener)

    def fits(self, one: Subscription, client: Client) -> bool:
        """Whether it is what the next NOTIFY begins with."""
        target = one.usage.dialog.remote_target
        if self._target is not target:
            # A refresh has the same target nearly always.
            if str(target) != self.target:
                return False
            self._target = target
        came = one.flow
        if self._came is not came:
            if self._came is None or came is None or came.conn or not same_way(self._came, came):
                return False
            self._came = came
        flow = self.flow
        if flow is None:
            return True
        return client.listeners.find(flow.listener) is self.listener


def same_way(one: Flow, other: Flow) -> bool:
    """Whether two flows of datagrams are the same way."""
    return (
        one.address == other.address
        and one.listener == other.listener
        and one.conn == other.conn
        and one.transport == other.transport
    )


def granted(usage: Notifier, seconds: int) -> str:
    """Return the lines that a 2xx to a SUBSCRIBE has of its own."""
    fields = "".join([f"{header_line(name, value)}\r\n" for name, value in usage.headers])
    return f"Contact: <{usage.dialog.local_target}>\r\n{fields}Expires: {seconds}\r\n"


def _flow(one: Subscription, client: Client) -> Flow | None:
    """Return the flow to a numeric address by UDP, None where the way is another one."""
    way = way_of(one, client)
    if isinstance(way, Flow):
        flow: Flow | None = None if way.reliable or way.listener not in client.listeners else way
    elif way is not None:
        return None
    else:
        dialog = one.usage.dialog
        first = dialog.route_set[0].uri if dialog.route_set else dialog.remote_target
        target = dialog.remote_target
        if not isinstance(first, SipUri) or "sips" in (first.scheme, target.scheme):
            return None
        flow = numeric_way(first, client.listeners)
    if flow is not None and client.auth.answers(flow.host) is not None:
        # It may need credentials.
        return None
    return flow


def _parts(one: Subscription, dialog: Dialog, listener: Listener) -> tuple[str, str, str]:
    uri, routes = aim(dialog.remote_target, dialog.route_set)
    usage = one.usage
    # RFC 3261 12.2.1.1
    middle = [
        *(header_line("Route", route) for route in routes),
        "Max-Forwards: 70",
        header_line("From", dialog.local),
        header_line("To", dialog.remote),
        header_line("Call-ID", dialog.id.call_id),
        "CSeq: ",
    ]
    end = [
        " NOTIFY",
        f"Contact: <{dialog.local_target}>",
        header_line("Event", usage.event),
        *(header_line(name, value) for name, value in usage.headers),
        "Subscription-State: ",
    ]
    return f"NOTIFY {uri} SIP/2.0\r\n{listener.via};branch=", "\r\n" + "\r\n".join(middle), "\r\n".join(end)


def send_octets(one: Subscription, made: SendNotify, client: Client, now: float) -> bool:
    """Send the NOTIFY that ``made`` says, if it can leave as octets; return whether it did."""
    head: Head | None = one.head
    if head is None or not head.fits(one, client):
        head = one.head = Head(one, client)
    flow = head.flow
    if flow is None:
        return False
    branch = new_branch(client.entropy)
    lines = "".join([f"{line(name, value)}\r\n" for name, value in made.fields])
    text = (
        f"{head.begin}{branch}{head.middle}{made.number}{head.end}{made.state}\r\n{lines}"
        f"Content-Length: {len(made.body)}\r\n\r\n"
    )
    data = encode(text) + made.body
    if client.tcp_above and len(data) > client.tcp_above:
        # RFC 3261 18.1.1: it may have to go over TCP.
        return False
    client.send_octets("NOTIFY", branch, data, flow, one, now, number=made.number, contact=head.contact)
    return True
