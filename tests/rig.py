"""A stack on the bench: octets in, messages out, and a clock that only the test moves.

Theory of operation: ``Rig`` feeds the inputs of ``Stack`` and hands back what it
did as ``Out`` values, each with its time. ``wait`` jumps from deadline to
deadline, so a test sees when each retransmission left and never sleeps. The
messages a peer sends are written out as text here, not built by the code under
test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sansip import ListenerConfig, Stack, StackConfig
from sansip.actions import Ask, Connect, Notify, SendData, SendDatagram
from sansip.errors import RemoteProtocolError
from sansip.events import RelayedCallEnded
from sansip.limits import Limits
from sansip.wire import Message, Request, Response, parse_message

UDP, TCP, UDP6, TCP6 = 0, 1, 2, 3
HOST, HOST6 = "192.0.2.10", "2001:db8::10"
LISTENERS = (
    ListenerConfig(UDP, "udp", HOST, 5060),
    ListenerConfig(TCP, "tcp", HOST, 5060),
    ListenerConfig(UDP6, "udp", HOST6, 5060),
    ListenerConfig(TCP6, "tcp", HOST6, 5060),
)
ALICE, BOB, CAROL, DAVE = ("192.0.2.1", 5060), ("192.0.2.2", 5060), ("192.0.2.3", 5060), ("192.0.2.4", 5060)
BOB_URI, CAROL_URI, DAVE_URI = "sip:bob@192.0.2.2", "sip:carol@192.0.2.3", "sip:dave@192.0.2.4"


@dataclass(slots=True)
class Flow:
    """The report of an adapter about a connection."""

    listener: int
    transport: str
    remote: Any
    incoming: bool
    local: Any = None


@dataclass(slots=True)
class Out:
    """One action other than ``Ask`` and ``Notify``, with its time."""

    time: float
    action: Any
    message: Any

    @property
    def what(self) -> str:
        """Method, status, or the name of an action without a message."""
        if isinstance(self.message, Request):
            return self.message.method
        if isinstance(self.message, Response):
            return str(self.message.status)
        return type(self.action).__name__ if not hasattr(self.action, "data") else repr(self.action.data)

    @property
    def to(self) -> Any:
        """(host, port) of a datagram or a connect, the number of a connection."""
        if isinstance(self.action, SendDatagram | Connect):
            return self.action.address[:2]
        return self.action.conn

    @property
    def data(self) -> bytes:
        return self.action.data


class Rig:
    """One stack, its time, and its actions."""

    def __init__(
        self,
        route: Callable[..., Any] | None = None,
        *,
        listeners: Sequence[ListenerConfig] = LISTENERS,
        limits: dict[str, Any] | None = None,
        now: float = 100.0,
        seed: bytes = b"seed for the rig",
        **options: Any,
    ) -> None:
        if route is not None:
            options["route"] = route
        options.setdefault("domains", ["biloxi.test"])
        options.setdefault("server_name", "")
        self.stack = Stack(
            StackConfig([replace(one) for one in listeners], limits=Limits(**(limits or {})), **options), seed
        )
        self.now = now
        self.start = now
        self.asks: list[Ask] = []
        self.events: list[Any] = []
        self.ended: list[RelayedCallEnded] = []
        self.log: list[Out] = []

    # --- inputs

    def udp(self, data: bytes, source: Any = ALICE, listener: int = UDP) -> list[Out]:
        """One datagram."""
        return self.take(self.stack.datagram_received(listener, data, source, self.now))

    def accept(self, source: Any = ("192.0.2.1", 40001), listener: int = TCP, transport: str = "tcp") -> int:
        """A connection from ``source``; returns its number."""
        conn = self.stack.new_connection()
        self.take(self.stack.connection_opened(conn, Flow(listener, transport, source, True), self.now))
        return conn

    def opened(self, connect: Out) -> list[Out]:
        """The connection that ``connect`` asked for is established."""
        action = connect.action
        assert isinstance(action, Connect)
        flow = Flow(action.listener, action.transport, action.address, False)
        return self.take(self.stack.connection_opened(action.conn, flow, self.now))

    def closed(self, conn: int | Out, reason: str = "connection reset") -> list[Out]:
        """A connection is gone, or was refused."""
        number = conn.action.conn if isinstance(conn, Out) else conn
        return self.take(self.stack.connection_closed(number, reason, self.now))

    def tcp(self, conn: int, data: bytes, *, boundary: bool = False) -> list[Out]:
        """Octets on a connection."""
        return self.take(self.stack.data_received(conn, data, self.now, boundary=boundary))

    def failed(self, out: Out, reason: str = "port unreachable") -> list[Out]:
        """The send of ``out`` failed."""
        return self.take(self.stack.send_failed(out.action.owner, reason, self.now))

    def answer(self, result: Any, ask: Ask | None = None) -> list[Out]:
        """The answer to ``ask``, or to the oldest open question."""
        ask = ask or self.asks.pop(0)
        return self.take(self.stack.answer(ask.id, result, self.now))

    def wait(self, seconds: float) -> list[Out]:
        """Let ``seconds`` pass; returns what left meanwhile."""
        end = self.now + seconds
        outs: list[Out] = []
        while True:
            deadline = self.stack.next_deadline()
            if deadline is None or deadline > end:
                break
            self.now = max(self.now, deadline)
            outs += self.take(self.stack.time_passed(self.now))
        self.now = end
        return outs

    def run_out(self, most: float = 100_000.0) -> list[Out]:
        """Let time pass until nothing waits for it any more."""
        end = self.now + most
        outs: list[Out] = []
        while (deadline := self.stack.next_deadline()) is not None:
            assert deadline <= end, f"a deadline that keeps moving: {self.stack.snapshot()}"
            self.now = max(self.now, deadline)
            outs += self.take(self.stack.time_passed(self.now))
        return outs

    # --- outputs

    def take(self, actions: list[Any]) -> list[Out]:
        outs: list[Out] = []
        for action in actions:
            if isinstance(action, Ask):
                self.asks.append(action)
            elif isinstance(action, Notify):
                # Each relayed call has one: those of ``tests/proxy/test_relayed.py`` are looked at.
                ended = isinstance(action.event, RelayedCallEnded)
                (self.ended if ended else self.events).append(action.event)
            else:
                message = None
                # Keepalives and STUN begin with control characters.
                if isinstance(action, SendDatagram | SendData) and action.data > b" ":
                    message = self.read(action.data, isinstance(action, SendDatagram))
                outs.append(Out(self.now, action, message))
        self.log += outs
        return outs

    def route(self) -> str:
        """The Route of the caller: from the last answer with a route set (RFC 3261 12.1.2)."""
        values: list[str] = []
        for out in self.log:
            if isinstance(out.message, Response):
                values = out.message.values("record-route") or values
        return ", ".join(reversed(values))

    def callees_route(self) -> str:
        """The Route of the callee: from the last request with a route set (RFC 3261 12.1.1)."""
        values: list[str] = []
        for out in self.log:
            if isinstance(out.message, Request):
                values = out.message.values("record-route") or values
        return ", ".join(values)

    def read(self, data: bytes, datagram: bool) -> Message:
        """Read a message of the stack as a strict reader does.

        But for the fields that a 4xx repeats, and others' Via values, which are passed on.
        """
        try:
            return parse_message(data, datagram=datagram)
        except RemoteProtocolError as error:
            if error.message is None or not (
                error.field == "Via" or getattr(error.message, "status", 0) >= 400
            ):
                raise
            return error.message

    @property
    def empty(self) -> bool:
        """Whether nothing is held for anybody (bindings and connections aside)."""
        held = self.stack.snapshot()
        return not any(
            held[name] for name in ("server_transactions", "client_transactions", "questions", "timers")
        )

    def register(self, uri: str, source: Any = BOB, aor: str = "sip:bob@biloxi.test", **options: Any) -> None:
        """Bind ``uri`` to ``aor`` for an hour."""
        headers = [("Contact", f"<{uri}>{options.pop('params', '')}"), ("Expires", "3600")]
        headers += options.pop("headers", [])
        token = f"r{len(self.log)}"
        data = request(
            "REGISTER",
            "sip:biloxi.test",
            source=source,
            branch=f"z9hG4bK{token}",
            to=f"<{aor}>",
            sender=f"<{aor}>",
            call_id=f"{token}@{source[0]}",
            headers=headers,
            **options,
        )
        # A module may tell others at once.
        assert "200" in what(self.udp(data, source))


def what(outs: Iterable[Out]) -> list[str]:
    """Methods and statuses, in order."""
    return [out.what for out in outs]


def sent(outs: Iterable[Out]) -> list[tuple[str, Any]]:
    """(method or status, where to), in order."""
    return [(out.what, out.to) for out in outs]


def times(outs: Iterable[Out], since: float, name: str | None = None) -> list[float]:
    """When each (of those called ``name``) left, in seconds after ``since``."""
    return [round(out.time - since, 6) for out in outs if name is None or out.what == name]


def only(outs: Iterable[Out], name: str) -> Out:
    """Return the message called ``name``."""
    found = [out for out in outs if out.what == name]
    assert len(found) == 1, [out.what for out in outs]
    return found[0]


def host(address: tuple[Any, ...]) -> str:
    text = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"{text}:{address[1]}"


def request(
    method: str = "INVITE",
    uri: str = "sip:bob@biloxi.test",
    *,
    source: tuple[Any, ...] = ALICE,
    transport: str = "UDP",
    branch: str | None = "z9hG4bKa1",
    via: str | None = None,
    hops: int | None = 70,
    sender: str = "<sip:alice@biloxi.test>",
    from_tag: str | None = "alice",
    to: str = "<sip:bob@biloxi.test>",
    to_tag: str | None = None,
    call_id: str = "call@192.0.2.1",
    cseq: int = 1,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    length: bool = True,
) -> bytes:
    """A request as a peer writes it. ``via`` replaces the Via that ``source`` and ``branch`` give."""
    if via is None:
        via = f"SIP/2.0/{transport} {host(source)}" + (f";branch={branch}" if branch is not None else "")
    lines = [f"{method} {uri} SIP/2.0", f"Via: {via}"]
    if hops is not None:
        lines.append(f"Max-Forwards: {hops}")
    lines += [
        f"From: {sender}" + (f";tag={from_tag}" if from_tag else ""),
        f"To: {to}" + (f";tag={to_tag}" if to_tag else ""),
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} {method}",
    ]
    lines += [f"{name}: {value}" for name, value in headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def reply(
    to: Out | Message,
    status: int,
    *,
    tag: str | None = "bob",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    reason: str = "Because",
    length: bool = True,
) -> bytes:
    """The response that a peer writes to a request it received."""
    message = to.message if isinstance(to, Out) else to
    assert isinstance(message, Request)
    shown = message.get("to") or ""
    if tag and status != 100 and "tag=" not in shown:
        shown = f"{shown};tag={tag}"
    lines = [f"SIP/2.0 {status} {reason}"]
    lines += [f"Via: {value}" for value in message.get_all("via")]
    headers = list(headers)
    if message.method == "INVITE" and 100 < status < 300:
        recorded = message.get_all("record-route")
        lines += [f"Record-Route: {value}" for value in recorded]
        if recorded and not any(name == "Contact" for name, _ in headers):
            # RFC 3261 12.1.1: with the route set comes the remote target.
            headers.append(("Contact", f"<{message.uri_text}>"))
    lines += [f"From: {message.get('from')}", f"To: {shown}", f"Call-ID: {message.get('call-id')}"]
    lines.append(f"CSeq: {message.get('cseq')}")
    lines += [f"{name}: {value}" for name, value in headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def within(invite: bytes, method: str, **changes: Any) -> bytes:
    """An ACK (of a failure) or a CANCEL for ``invite``, which has its branch (17.1.1.3, 9.1)."""
    message = parse_message(invite)
    assert isinstance(message, Request)
    to, _, to_tag = (changes.pop("to", None) or message.get("to") or "").partition(";tag=")
    values: dict[str, Any] = {
        "via": message.get("via"),
        "call_id": message.call_id,
        "cseq": message.cseq.number,
        "to": to,
        "to_tag": to_tag or None,
        "sender": (message.get("from") or "").partition(";tag=")[0],
        "from_tag": message.from_tag,
    }
    values.update(changes)
    return request(method, message.uri_text, **values)


def ack(invite: bytes, response: Out) -> bytes:
    """The ACK of a failure."""
    return within(invite, "ACK", to=response.message.get("to"))


def relay_to(*uris: Any) -> Callable[..., Any]:
    """A route that forwards everything to ``uris`` at once."""

    def route(request: Any) -> Any:
        if request.validate():
            request.relay(list(uris))

    return route
