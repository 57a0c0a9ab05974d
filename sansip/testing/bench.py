"""A module on the bench: a stack with nothing else in it, virtual time, a dictionary for a store.

Theory of operation: ``ModuleBench`` performs the stack's actions in the simplest way: rows are read and
written in a ``MemoryRows``, datagrams are kept as messages, events as they come. ``check_module`` is the
contract that every module passes: it survives a restart, a reload of the same settings, a drain, and the
failure of its store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from sansip.actions import Action, Ask, Connect, Disconnect, Notify, SendData, SendDatagram
from sansip.config import ListenerConfig, StackConfig
from sansip.events import ModuleFailed
from sansip.limits import Limits
from sansip.module import Counter, Histogram, Module, Use, WebRequest, WebResponse
from sansip.module.base import HOOKS
from sansip.module.sharing import Count, Get, MemoryValues, Swap
from sansip.routing import Route
from sansip.rows import MemoryRows, Read, Scan, Write
from sansip.stack import Stack
from sansip.transport.filter import OpenConnection
from sansip.transport.transports import DEFAULT_PORT, UDP
from sansip.wire import Request, Response, parse_message

__all__ = ["ModuleBench", "check_module"]

ModuleType = TypeVar("ModuleType", bound=Module)
# The answers of a peer of a module's sockets to the octets that it was sent.
Answers = Callable[[bytes], Iterable[bytes]]

_HERE, _CALLER = ("192.0.2.10", DEFAULT_PORT), ("192.0.2.1", DEFAULT_PORT)
_SEED = b"a seed that every bench has, so that runs are alike"


class ModuleBench(Generic[ModuleType]):
    """A stack for ``example.com`` with the module ``kind``.

    Args:
        settings: of the module; its defaults without.
        unix: the Unix time at which the bench begins.
        others: modules that it needs, or should be tried with.
        store: rows that are there already.
        values: live values and counts that it shares with another bench (``beside``).
        route: in place of the default route.
        host: the address at which it listens.
        answers: the functions that answer questions of the module, by their type: the handlers of its outer
            half, or others.
        more: other attributes of its ``StackConfig``, such as ``auth``.
    """

    def __init__(
        self,
        kind: type[ModuleType],
        settings: Any = None,
        *,
        unix: float = 1_700_000_000.0,
        others: Sequence[Use] = (),
        store: MemoryRows | None = None,
        answers: Mapping[type, Callable[[Any], Any]] = MappingProxyType({}),
        values: MemoryValues | None = None,
        route: Route | None = None,
        host: str = _HERE[0],
        shares_rows: bool = True,
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.now = 1_000.0
        self.store = MemoryRows() if store is None else store
        self._answers = answers
        self.values = MemoryValues(Limits()) if values is None else values
        # While True, every question to the store fails.
        self.broken = False
        self.events: list[Any] = []
        self.sent: list[Request | Response] = []
        self._again = (kind, settings, unix, others, route)
        self._shares_rows = shares_rows
        self._host = host
        self._calls = 0
        # Address -> the answers of the peer there.
        self._datagram_peers: dict[Any, Answers] = {}
        self._stream_peers: dict[Any, Answers] = {}
        # Connection number -> the peer at its other end.
        self._conns: dict[int, Answers] = {}
        # Clients of the module's protocols, by connection.
        self.links: dict[int, BenchLink] = {}
        # Octets that modules sent over sockets of their own, and where to.
        self.wrote: list[tuple[Any, bytes]] = []
        uses = [Use(kind, settings), *others]
        config = StackConfig(
            [ListenerConfig(0, UDP, host, _HERE[1])],
            ["example.com"],
            modules=uses,
            wall_offset=unix - self.now,
            shares_values=True,
            shares_rows=shares_rows,
            **more,
        )
        if route is not None:
            config.route = route
        seed = _SEED
        if host != _HERE[0]:
            # Another node has another seed, and the same secret.
            seed, config.secret = _SEED + host.encode(), _SEED
        self.stack = Stack(config, seed)
        self.module: ModuleType = self.stack.modules.get(kind)
        self.perform(self.stack.time_passed(self.now))

    def beside(self) -> ModuleBench[ModuleType]:
        """Return a bench with the rows, live values and counts of this one, like a second node."""
        kind, settings, unix, others, route = self._again
        network, _, number = self._host.rpartition(".")
        return ModuleBench(
            kind,
            settings,
            unix=unix,
            others=others,
            store=self.store,
            answers=self._answers,
            values=self.values,
            route=route,
            host=f"{network}.{int(number) + 1}",
        )

    def restarted(self) -> ModuleBench[ModuleType]:
        """Return a bench of the same kind with the rows of this one, like a new process."""
        kind, settings, unix, others, route = self._again
        return ModuleBench(
            kind,
            settings,
            unix=unix,
            others=others,
            store=self.store,
            answers=self._answers,
            route=route,
            host=self._host,
            shares_rows=self._shares_rows,
        )

    def perform(self, actions: Sequence[Action]) -> None:
        """Perform the stack's actions."""
        for action in actions:
            if isinstance(action, Ask):
                self.perform(self.stack.answer(action.id, self._answer(action.question), self.now))
            elif isinstance(action, SendDatagram) and action.listener < 0:
                self._to_peer(action)
            elif isinstance(action, Connect):
                self._connect(action)
            elif isinstance(action, SendData):
                self._write(action)
            elif isinstance(action, Disconnect):
                self._conns.pop(action.conn, None)
                if (link := self.links.get(action.conn)) is not None:
                    link.ended = action.reason
                self.perform(self.stack.connection_closed(action.conn, action.reason, self.now))
            elif isinstance(action, SendDatagram):
                self.sent.append(parse_message(action.data, self.stack.limits))
            elif isinstance(action, Notify):
                self.events.append(action.event)

    # --- peers that a module has sockets to

    def datagram_peer(self, address: tuple[str, int], answers: Answers) -> None:
        """Have ``address`` answer with ``answers(data)``, a list of datagrams; other addresses are silent.

        Where it raises ``OSError`` the network says that nothing listens there.
        """
        self._datagram_peers[address] = answers

    def stream_peer(self, address: tuple[str, int], answers: Answers) -> None:
        """The same for connections, which are refused elsewhere; where it raises ``OSError`` it hangs up."""
        self._stream_peers[address] = answers

    def _to_peer(self, action: SendDatagram) -> None:
        self.wrote.append((action.address, action.data))
        try:
            answers = self._datagram_peers.get(action.address, _silent)(action.data)
        except OSError as error:
            self.perform(self.stack.send_failed(action.owner, str(error), self.now))
            return
        for data in answers:
            self.perform(self.stack.datagram_received(action.listener, data, action.address, self.now))

    def _connect(self, action: Connect) -> None:
        peer = self._stream_peers.get(action.address)
        if peer is None:
            self.perform(self.stack.connection_closed(action.conn, "Connection refused", self.now))
            return
        self._conns[action.conn] = peer
        opened = OpenConnection(action.listener, action.transport, (), action.address, False, action.name)
        self.perform(self.stack.connection_opened(action.conn, opened, self.now))

    def _write(self, action: SendData) -> None:
        if (link := self.links.get(action.conn)) is not None:
            link.received.append(action.data)
            return
        peer = self._conns.get(action.conn)
        if peer is None:
            return
        self.wrote.append((action.conn, action.data))
        try:
            answers = peer(action.data)
        except OSError as error:
            del self._conns[action.conn]
            self.perform(self.stack.connection_closed(action.conn, str(error), self.now))
            return
        for data in answers:
            self.perform(self.stack.data_received(action.conn, data, self.now))

    def _answer(self, question: Any) -> Any:
        if self.broken:
            return OSError("the store is broken")
        if isinstance(question, Get | Swap | Count):
            return self.values.answer(question, self.now)
        if isinstance(question, Read | Scan | Write):
            return self.store.answer(question)
        if (answers := self._answers.get(type(question))) is not None:
            try:
                return answers(question)
            except Exception as error:
                return error
        return LookupError(f"nobody answers {question!r} here")

    def wait(self, seconds: float) -> None:
        """Let time pass, from deadline to deadline."""
        end = self.now + seconds
        while (deadline := self.stack.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.perform(self.stack.time_passed(self.now))
        self.now = end

    def receive(self, data: bytes, source: tuple[str, int] = _CALLER) -> None:
        """Have a datagram arrive."""
        self.perform(self.stack.datagram_received(0, data, source, self.now))

    def request(self, method: str, uri: str, headers: Sequence[str] = (), body: str = "") -> list[str]:
        """Have a stranger send a request; return the answers to it, but for 100, as ``"404 Not Found"``."""
        self._calls += 1
        number = self._calls
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {_CALLER[0]}:{_CALLER[1]};branch=z9hG4bKbench{number}",
            "Max-Forwards: 70",
            f"From: <sip:caller@elsewhere.example>;tag=c{number}",
            f"To: <{uri}>",
            f"Call-ID: bench-{number}",
            f"CSeq: 1 {method}",
            f"Contact: <sip:caller@{_CALLER[0]}>",
            *headers,
            f"Content-Length: {len(body.encode())}",
        ]
        before = len(self.sent)
        self.receive(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        return [
            f"{one.status} {one.reason}"
            for one in self.sent[before:]
            if isinstance(one, Response) and one.status != 100 and one.call_id == f"bench-{number}"
        ]

    def call(self, user: str) -> list[str]:
        """Have a stranger call ``user``; see ``request``."""
        return self.request("INVITE", f"sip:{user}@example.com")

    def command(self, name: str, **given: Any) -> Any:
        """Do a command; return its result as JSON holds it, or the exception."""
        results: list[Any] = []
        self.perform(self.stack.command(name, given, self.now, lambda result, now: results.append(result)))
        return results[0] if results else None

    def web(
        self,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        user: str | None = None,
        role: str = "",
    ) -> WebResponse | None:
        """Have an HTTP client ask; return the answer, or None while there is none.

        ``user`` and ``role`` are the proved ones. HTTP decides which clients may ask at all; this bench does
        not.
        """
        self._calls += 1
        answers: list[WebResponse] = []
        path, _, query = path.partition("?")
        request = WebRequest(method, path, query, tuple(headers), body, _CALLER[0], False, user, role)
        self.perform(
            self.stack.web_received(
                self._calls, request, self.now, lambda response, now: answers.append(response)
            )
        )
        return answers[0] if answers else None

    def link(
        self,
        kind: str,
        remote: tuple[str, int] = _CALLER,
        *,
        whole: bool = False,
        identities: tuple[str, ...] = (),
    ) -> BenchLink:
        """Return a client that has connected to a listener of ``kind``; ``whole``: over WebSocket."""
        return BenchLink(self, kind, remote, whole, identities)

    def figure(self, name: str) -> Any:
        """Return the values of one of the module's counters, or the buckets of a histogram."""
        for one in self.module.core.counted:
            if one.name == f"{self.module.name}_{name}":
                return one.values if isinstance(one, Counter) else one.buckets
        raise LookupError(f"{self.module.name} counts no {name}")

    @property
    def failures(self) -> list[ModuleFailed]:
        """The exceptions that modules raised."""
        return [event for event in self.events if isinstance(event, ModuleFailed)]


class BenchLink:
    """A client of a module's protocol: ``received`` has its messages, ``ended`` the reason of its end."""

    def __init__(
        self,
        bench: ModuleBench[Any],
        kind: str,
        remote: tuple[str, int],
        whole: bool,
        identities: tuple[str, ...] = (),
    ) -> None:
        self._bench = bench
        self._whole = whole
        self.received: list[bytes] = []
        self.ended = ""
        self.conn = bench.stack.new_connection()
        bench.links[self.conn] = self
        opened = OpenConnection(0, kind, _HERE, remote, True, "", identities)
        bench.perform(bench.stack.connection_opened(self.conn, opened, bench.now))

    def send(self, data: bytes) -> list[bytes]:
        """Send octets, or one whole message; return the answer."""
        before = len(self.received)
        bench = self._bench
        bench.perform(bench.stack.data_received(self.conn, data, bench.now, boundary=self._whole))
        return self.received[before:]

    def close(self) -> None:
        """Hang up."""
        bench = self._bench
        bench.perform(bench.stack.connection_closed(self.conn, "closed by the peer", bench.now))


def _silent(data: bytes) -> Iterable[bytes]:
    return ()


def check_module(kind: type[Module], settings: Any = None, others: Sequence[Use] = ()) -> None:
    """Raise ``AssertionError`` where a module does not keep what every module promises."""
    bench: ModuleBench[Any] = ModuleBench(kind, settings, others=others)
    bench.call("nobody")
    bench.wait(120)
    assert not bench.failures, f"it fails when nothing is wrong: {bench.failures[0].error!r}"
    again = bench.restarted()
    assert not again.failures, f"it fails on its own rows: {again.failures[0].error!r}"
    # Two nodes, one set of rows: neither fails because of rows that the other writes.
    other = again.beside()
    for one in (again, other):
        one.call("nobody")
        one.wait(120)
        assert not one.failures, f"it fails beside a second node: {one.failures[0].error!r}"
    _fail_hooks(again)
    # The same settings once more change nothing and fail at nothing.
    module = again.module
    before = module.settings
    module.check(before)
    module.configure(before, again.now)
    assert module.settings == before, "configure did not take the settings"
    # A store that is gone is its store's failure, and other calls go on.
    again.broken = True
    again.wait(120)
    assert again.call("nobody"), "a call was not answered while the store was broken"
    again.broken = False
    again.perform(again.stack.drain(again.now))
    again.wait(120)
    assert all(not isinstance(one.error, AttributeError | TypeError) for one in again.failures), (
        f"a slip: {again.failures[0].error!r}"
    )
    assert not any(isinstance(figure, Histogram) and not figure.help for figure in module.core.counted)


def _fail_hooks(bench: ModuleBench[Any]) -> None:
    """Have each hook of the module raise: it is named, and a call is answered all the same."""
    modules = bench.stack.modules
    raising = ""

    def wrap(module: Module, hook: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any) -> Any:
            if hook == raising and module is bench.module:
                raise RuntimeError(f"{hook} was made to fail")
            return method(*given)

        return wrapped

    modules.wrap_hooks(wrap)
    for raising in HOOKS:
        assert bench.call("nobody"), f"a call was not answered while {raising} failed"
        bench.wait(1)
    raising = ""
    bench.events[:] = [one for one in bench.events if not isinstance(one, ModuleFailed)]
