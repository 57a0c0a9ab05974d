"""Requests of ours out of dialogs, and where any request of ours may be sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from sansip.client import Asker
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.later import Later
from sansip.transport import Flow, next_hop
from sansip.transport.transports import UDP
from sansip.ua.contact import contact_of
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sansip.client import Sending
    from sansip.location import Binding
    from sansip.transport import Listener, Listeners
    from sansip.ua.owner import Owner
    from sansip.wire import OtherUri, Request, Response, TelUri, Uri

__all__ = ["Asking", "Destination", "Located", "aimed", "hidden_way", "numeric_way"]

# Requests that tell where their sender can be reached (RFC 3261 table 2, RFC 3515, RFC 6665).
_WITH_CONTACT = frozenset(("SUBSCRIBE", "NOTIFY", "REFER", "REGISTER"))


class Located(Protocol):
    """A registered phone: the targets that ``locate`` returns have these attributes."""

    @property
    def uri(self) -> SipUri | TelUri | OtherUri | None: ...
    @property
    def path(self) -> Sequence[str]: ...
    @property
    def flow(self) -> Flow | None: ...


Destination: TypeAlias = "str | SipUri | TelUri | OtherUri | Located"


def aimed(destination: Any) -> tuple[Any, Sequence[str], Any]:
    """Return Request-URI, Route values and flow for ``destination``.

    Raises ``LocalProtocolError`` for text that is no URI.
    """
    try:
        if isinstance(destination, str):
            return parse_uri(destination), (), None
        if hasattr(destination, "flow"):
            uri = destination.uri
            if isinstance(uri, str):
                uri = parse_uri(uri)
            if uri is None:
                raise LocalProtocolError("the target names no URI")
            if isinstance(uri, SipUri) and uri.headers:
                # RFC 3261 19.1.1, table 1: none in a Request-URI; a Contact may have them.
                uri = uri.replace(headers=())
            return uri, destination.path, None if destination.path else destination.flow
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"{destination}: {error.reason}") from None
    return destination, (), None


def hidden_way(destination: Any, listeners: Listeners) -> Flow | None:
    """Return the way by datagrams to a registered phone behind a NAT, None where its URI leads there.

    ``destination``: a target that ``locate`` returned. The NAT lets in what comes from the listener at which
    the phone registered.
    """
    binding: Binding | None = getattr(destination, "binding", None)
    if binding is None or binding.received is None:
        return None
    received = binding.received
    if not received.by_datagram or binding.path or binding.contact.startswith("sips:"):
        return None
    listener = listeners.reach(UDP, received.host, destination.listener)
    return None if listener is None else Flow(UDP, listener.id, received.address)


def numeric_way(uri: Uri, listeners: Listeners) -> Flow | None:
    """Return the way by UDP to the numeric address that ``uri`` names, None where it leads elsewhere."""
    try:
        hop = next_hop(uri)
    except RemoteProtocolError:
        return None
    if hop.transport != UDP or not hop.numeric:
        return None
    listener = listeners.reach(UDP, hop.host)
    return None if listener is None else Flow(UDP, listener.id, (hop.host, hop.port))


class Asking(Asker):
    """One request on its way."""

    __slots__ = ("_agent", "answered")

    def __init__(self, agent: Owner) -> None:
        self._agent = agent
        self.answered: Later[Response] = Later()

    def leaving(self, sending: Sending, request: Request, listener: Listener, now: float) -> None:
        if request.method in _WITH_CONTACT and not request.has("contact"):
            secure = request.uri.scheme == "sips"
            request.set("Contact", f"<{contact_of(listener, self._agent.config.user, secure=secure)}>")

    def final(self, sending: Sending, response: Response, now: float) -> None:
        self._agent.now = now
        self.answered.set(response, now)
