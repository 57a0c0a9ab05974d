"""A phone on the virtual network: its agent writes the messages that it sends.

Theory of operation: an endpoint keeps what it received, in order, until a test
takes it with ``receive`` or ``expect``, which let virtual time run. ``on_request``
makes it answer by itself instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from sansip.actions import Address
from sansip.entropy import Entropy
from sansip.errors import RemoteProtocolError
from sansip.testing.agent import Agent
from sansip.testing.draft import Draft
from sansip.transport.framing import PING, StreamFramer
from sansip.transport.transports import DATAGRAMS, ONE_WAY, UDP
from sansip.wire import Request, Response, parse_message

__all__ = ["Endpoint", "Received", "TrafficError"]


class TrafficError(AssertionError):
    """The expected message did not come; the text says which one came instead."""


@dataclass(slots=True)
class Received:
    """One message as it came, with its time and way.

    ``message`` is None if it is not SIP; ``fault`` says what is wrong with it.
    """

    time: float
    transport: str
    data: bytes
    message: Request | Response | None
    pipe: Any = None
    fault: str = ""

    @property
    def what(self) -> str:
        """Method or status, for reports."""
        if isinstance(self.message, Request):
            return self.message.method
        if isinstance(self.message, Response):
            return f"{self.message.status}"
        return "close" if not self.data else f"{len(self.data)} octets"


class Wires(Protocol):
    """The carrier of the packets (``sansip.testing.network.Network``)."""

    now: float
    entropy: Entropy

    def set_links(self, **values: float) -> None: ...
    def send_datagram(self, source: tuple[str, int], destination: Address, data: bytes) -> None: ...
    def connect(self, endpoint: Endpoint, server: Any, transport: str) -> Any: ...
    def run(self, seconds: float | None = None, *, until: Callable[[], bool] | None = None) -> bool: ...


class Reached(Protocol):
    """The server that a phone sends to (``sansip.testing.server.Server``)."""

    def address(self, transport: str, host: str) -> tuple[str, int]: ...


class Endpoint:
    """One phone. Its fields of interest: ``agent``, ``inbox`` (messages not taken yet), ``host``, ``port``.

    Attributes:
        on_request: called with each request received; may call ``reply``.
        accepts: whether connections to it are accepted.
        is_unreachable: datagrams to it come back as unreachable.
    """

    def __init__(
        self,
        network: Wires,
        name: str,
        host: str,
        port: int,
        server: Reached,
        transport: str,
        domain: str,
        aor: str,
    ) -> None:
        self.network = network
        self.name = name
        self.host = host
        self.port = port
        self.server = server
        self.transport = transport
        shown = f"[{host}]" if ":" in host else host
        # RFC 7118 5: a phone that can accept no connections has no address to tell.
        address = f"{name}.invalid" if transport in ONE_WAY else f"{shown}:{port}"
        self.agent = Agent(name, aor, address, network.entropy.token, domain)
        self.inbox: list[Received] = []
        self.history: list[Received] = []
        self.on_request: Callable[[Request], object] | None = None
        self.accepts = True
        self.is_unreachable = False
        # The port that connections from here come from; None for any.
        self.source_port: int | None = None
        self._pipe: Any = None
        self._framers: dict[int, tuple[Any, StreamFramer]] = {}

    # --- sending

    def send(self, data: bytes | Draft, *, transport: str | None = None, pipe: Any = None) -> None:
        """Send octets to the server, over ``transport`` or on the connection ``pipe``."""
        octets = data.to_bytes() if isinstance(data, Draft) else data
        transport = transport or self.transport
        if pipe is None and transport in DATAGRAMS:
            self.network.send_datagram((self.host, self.port), self.server.address(UDP, self.host), octets)
            return
        if pipe is None or not pipe.is_open:
            pipe = self.connect(transport)
        pipe.send(self, octets)

    def connect(self, transport: str) -> Any:
        """Return the connection to the server, opened where there is none."""
        if self._pipe is None or not self._pipe.is_open:
            self.connected(self.network.connect(self, self.server, transport), incoming=False)
        return self._pipe

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        if self._pipe is not None:
            self._pipe.close(self, "closed by the peer")
            self._pipe = None

    def request(
        self, method: str, uri: str | None = None, headers: Iterable[tuple[str, str]] = (), **options: Any
    ) -> Draft:
        """Send a request with the missing fields filled in (``Agent.request``), and return it."""
        draft = self.agent.request(method, uri, headers, transport=self.transport, **options)
        self.send(draft)
        return draft

    def reply(
        self,
        request: Request | Response,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        **options: Any,
    ) -> Draft:
        """Answer ``request`` the way it came (``Agent.reply``), and return the response.

        ``message`` may have any type that ``expect`` returns; for a response, this raises ``TrafficError``.
        """
        if not isinstance(request, Request):
            raise TrafficError(
                f"{self.name}: only a request can be answered, and this is the {request.status}"
            )
        draft = self.agent.reply(request, status, reason, headers, transport=self.transport, **options)
        came = next((one for one in reversed(self.history) if one.message is request), None)
        self.send(draft, transport=came.transport if came else None, pipe=came.pipe if came else None)
        return draft

    def register(self, expires: int = 3600, **options: Any) -> Response:
        """Register this endpoint's contact and return the 200."""
        self.request("REGISTER", None, [("Expires", str(expires))], **options)
        response = self.expect("200")
        assert isinstance(response, Response)
        return response

    # --- receiving

    def expect(self, what: str, within: float = 1.0) -> Request | Response:
        """Return the next request with method ``what``, or response with status ``what``.

        ``what`` may be ``"4xx"`` or ``"400|481"``. Time runs for at most ``within``
        seconds. Raises TrafficError when it does not come; other messages stay
        in ``inbox``.
        """
        found: list[Received] = []

        def came() -> bool:
            for one in self.inbox:
                if fits(one.message, what):
                    found.append(one)
                    return True
            return False

        if not self.network.run(within, until=came):
            seen = ", ".join(one.what for one in self.inbox) or "nothing"
            raise TrafficError(f"{self.name} expected {what} within {within:g} s, and has {seen}")
        self.inbox.remove(found[0])
        message = found[0].message
        assert message is not None
        return message

    def expect_nothing(self, seconds: float) -> None:
        """Let ``seconds`` pass; raises TrafficError when anything comes."""
        self.network.run(seconds, until=lambda: bool(self.inbox))
        if self.inbox:
            one = self.inbox[0]
            raise TrafficError(f"{self.name} expected nothing, and got {one.what} at {one.time:g} s")

    # --- called by the network

    def connected(self, pipe: Any, *, incoming: bool) -> None:
        self._framers[id(pipe)] = (pipe, StreamFramer())
        if not incoming or self._pipe is None or not self._pipe.is_open:
            self._pipe = pipe

    def datagram(self, data: bytes, source: tuple[str, int]) -> None:
        self._take(data, UDP, None)

    def data(self, pipe: Any, data: bytes) -> None:
        _, framer = self._framers[id(pipe)]
        if data == b"\r\n":
            # RFC 5626 4.4.1: the answer to a ping, which is no message.
            self.history.append(Received(self.network.now, pipe.transport, data, None, pipe))
            self.inbox.append(self.history[-1])
            return
        if pipe.transport in ONE_WAY:
            self._take(data, pipe.transport, pipe)
            return
        for framed in framer.feed(data):
            if isinstance(framed, bytes) and framed is not PING:
                self._take(framed, pipe.transport, pipe)

    def closed(self, pipe: Any, reason: str) -> None:
        one = Received(self.network.now, pipe.transport, b"", None, pipe)
        self.history.append(one)
        self.inbox.append(one)
        if self._pipe is pipe:
            self._pipe = None

    def _take(self, data: bytes, transport: str, pipe: Any) -> None:
        message, fault = understood(data)
        one = Received(self.network.now, transport, data, message, pipe, fault)
        self.history.append(one)
        self.inbox.append(one)
        if message is not None and not fault:
            self.agent.received(message)
        if isinstance(message, Request) and self.on_request is not None:
            self.on_request(message)


def understood(data: bytes) -> tuple[Request | Response | None, str]:
    """Return the message in ``data`` as far as it can be read, and what is wrong with it."""
    try:
        return parse_message(data), ""
    except RemoteProtocolError as error:
        message = error.message
        return (message if isinstance(message, (Request, Response)) else None), error.reason


def fits(message: Request | Response | None, what: str) -> bool:
    """Whether ``message`` is what ``what`` names: ``INVITE``, ``180``, ``4xx``, ``400|481``."""
    for one in what.split("|"):
        if isinstance(message, Response):
            status = str(message.status)
            if one == status or (len(one) == 3 and one[1:] == "xx" and one[0] == status[0]):
                return True
        elif isinstance(message, Request) and one == message.method:
            return True
    return False
