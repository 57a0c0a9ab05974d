"""One worker, outside of the core: its link to the parent, and its way to the other workers.

Theory of operation: a worker is the server that one process would be, on sockets that it was given. Before it
reads them, it gets from the parent everything that the other workers know. From then on it asks the parent
for each change of a binding, tells it facts for the others, and does the commands of operators that come
from there.
"""

from __future__ import annotations

import logging
import marshal
import os
import signal
import socket
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sansip.actions import Ask, Tell
from sansip.location import SharedRead, SharedRecord, SharedWrite
from sansip.module import WebRequest, WebResponse
from sansip.module.sharing import Count, Get, Swap
from sansip.module.tally import Admit
from sansip.seat import Seat
from sansip_server.workers.directory import SharedDirectory
from sansip_server.workers.first import gathered, heard, keep_shared
from sansip_server.workers.mounts import response_values
from sansip_server.workers.outside import Carrier
from sansip_server.workers.records import packed, unpacked, until
from sansip_sockets import BoundListener
from sansip_sockets.http import Handing
from sansip_sockets.link import Link
from sansip_sockets.mesh import Mesh
from sansip_sockets.pending import Pending

if TYPE_CHECKING:
    from sansip_server.config.schema import Settings
    from sansip_server.followers import Follower, Followers
    from sansip_server.management import Management
    from sansip_server.reload import Outcome, Reload
    from sansip_sockets import Hub

__all__ = ["Common", "Worker"]

logger = logging.getLogger("sansip.workers")

# Seconds that the parent may take to tell a new worker everything.
_PATIENCE = 60.0
# Octets of a reply that are sent at once.
_PIECE = 262_144


@dataclass(slots=True)
class Common:
    """What all workers of a server have from their parent.

    Attributes:
        listeners: the sockets of each place.
        inboxes: for each place the end to read, and the end to write to (``sansip_sockets.mesh``).
        secret: the key of marks, tokens and nonces.
        life: see ``Seat``.
        directory: see ``Seat``.
        http: where a port of WebSocket is one of HTTP as well, the end that the parent reads and the one that
            workers write to (``sansip_sockets.http.handing``).
    """

    listeners: list[list[BoundListener]]
    inboxes: list[tuple[socket.socket, socket.socket]]
    secret: bytes
    life: int
    directory: SharedDirectory = field(default_factory=SharedDirectory)
    http: tuple[socket.socket, socket.socket] | None = None


class _Answer:
    """A command under way, and the part of its reply that was not sent yet."""

    def __init__(self, work: Generator[Any, None, None]) -> None:
        self.work = work
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> int:
        """Add to the reply; return how many octets wait."""
        self._parts.append(part)
        self._size += len(part)
        return self._size

    def take(self) -> bytes:
        """Return what waits."""
        data = b"".join(self._parts)
        self._parts, self._size = [], 0
        return data


class Worker:
    """Process ``incarnation`` in place ``number``; ``link`` leads to the parent."""

    def __init__(self, common: Common, number: int, incarnation: int, link: socket.socket) -> None:
        common.directory.number = number
        self.number = number
        self.listeners: Sequence[BoundListener] = common.listeners[number]
        self.secret = common.secret
        self.seat = Seat(number, len(common.listeners), common.life, incarnation, common.directory)
        self._inbox = common.inboxes[number][0]
        self._writers = [writer for _, writer in common.inboxes]
        self._http = None if common.http is None else common.http[1]
        self._sock = link
        self._link: Link | None = None
        self._mesh: Mesh | None = None
        # Whether the parent was told that nothing runs here, and whether it said that nothing runs anywhere.
        self._idle = self._go = False
        # Facts of the input that is being performed.
        self._facts: list[tuple[Any, ...]] = []
        self.carrier = Carrier()
        # What modules asked the parent as they started.
        self._unsent: list[tuple[Any, ...]] = []
        # Actions of the time before this worker serves.
        self._untold: list[Any] = []
        # What the parent sent between the things that it tells a new worker.
        self._early: list[Any] = []
        # The last change that the parent has told.
        self._had = 0
        self._server: Any = None
        self._management: Management | None = None
        self._reload: Reload | None = None
        self._asked: dict[int, tuple[type, Any]] = {}
        # Question -> the key of which the parent was asked to count one more.
        self._admits: dict[int, str] = {}
        self._answers: dict[int, _Answer] = {}
        # ``Seat.gathers`` and ``heard`` by the settings that were read last.
        self._read_last: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
        # The modules that the first worker alone has, where this is another one.
        self.lacks: list[str] = []
        self._followers: Followers | None = None
        # The parent, where its operators follow the events.
        self._follower: Follower | None = None

    def share(self, settings: Settings) -> None:
        """Leave out of ``settings`` the modules that the first worker alone has, if this is another one."""
        self._read_last = gathered(settings), heard(settings)
        if self._server is None:
            self.seat.gathers, self.seat.heard = self._read_last
        if self.number:
            self.lacks = keep_shared(settings)

    def may_end(self) -> bool:
        """Tell the parent that nothing runs here any more; return whether that is so at all workers."""
        if self._stack_drains and not self._idle:
            self._idle = True
            self._send(("idle",))
        return self._go

    @property
    def drained(self) -> bool:
        """Whether all workers end, for nothing runs at any."""
        return self._go

    @property
    def _stack_drains(self) -> bool:
        return self._link is not None and bool(self._server.stack.draining)

    @property
    def dropped(self) -> int:
        """Messages to other workers that did not fit."""
        return 0 if self._mesh is None else self._mesh.dropped

    def fail(self, lines: Sequence[str]) -> None:
        """Tell the parent why this worker does not start."""
        data = marshal.dumps(("failed", list(lines)))
        self._sock.setblocking(True)
        try:
            self._sock.sendall(len(data).to_bytes(4, "big") + data)
        except OSError:
            pass  # it is gone, and so is this process in a moment

    def restore(self, server: Any, *, values: bool) -> None:
        """Take everything that the other workers know, before the first socket is read.

        From now on the parent answers what nobody answers here. ``values``: it has modules' values, too.
        """
        self._server = server
        hub: Hub = server.hub
        hub.answering.otherwise = self._ask_outside
        hub.answering.ask_by(Admit, self._ask_value)
        if values:
            for kind in (Get, Swap, Count):
                hub.answering.ask_by(kind, self._ask_value)
        hub.perform_by({Tell: self._tell})
        stack: Any = server.stack
        sock = self._sock
        sock.setblocking(True)
        sock.settimeout(_PATIENCE)
        while True:
            size = int.from_bytes(self._exactly(4), "big")
            kind, *given = marshal.loads(self._exactly(size))
            if kind == "begin":
                break
            if kind != "facts":
                self._early.append((kind, *given))
                continue
            now = hub.clock()
            # Nobody waits for anything yet: these actions are only events, such as the nodes that live.
            self._untold += stack.told([self._read(fact) for fact in given[1]], now)
            if given[0]:
                self._has(given[0])
        (zero,) = given
        if zero is not None and stack.registrar.gruus is not None:
            stack.registrar.gruus.date_from(zero)
        sock.settimeout(None)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._sock.recv(size - len(data))
            if not more:
                raise ConnectionError("the parent of the workers is gone")
            data += more
        return data

    def attach(
        self,
        management: Management,
        reload: Reload,
        followers: Followers,
        told: Sequence[str],
        *,
        reads: bool = False,
    ) -> None:
        """Serve from now on. ``told``: lines for the operator; ``reads``: from what nodes share."""
        hub: Hub = self._server.hub
        self._followers = followers
        self._management, self._reload = management, reload
        self._mesh = Mesh(hub, self.seat, self._inbox, self._writers)
        self._link = Link(hub, self._sock, self._received, self._orphaned)
        if self._http is not None:
            hub.on_foreign = Handing(hub, self._http)
        for kind in (SharedWrite,) if reads else (SharedRead, SharedWrite):
            hub.answering.ask_by(kind, self._ask)
        self._send(("ready", os.getpid(), list(told)))
        untold, self._untold = self._untold, []
        now = hub.clock()
        hub.perform(hub.driver.outgoing(untold, now), now)
        unsent, self._unsent = self._unsent, []
        for message in unsent:
            self._send(message)
        early, self._early = self._early, []
        self._received(early)

    # --- to the parent

    def _tell(self, action: Tell) -> None:
        if not self._facts:
            # All facts of one turn are one message; but nothing that follows may overtake them.
            self._server.hub.inbox.post(self._tell_all)
        self._facts.append(action.fact)

    def _tell_all(self) -> None:
        if self._facts and self._link is not None:
            facts, self._facts = self._facts, []
            self._link.send(("tell", facts))

    def _send(self, message: tuple[Any, ...]) -> None:
        if self._link is None:
            self._unsent.append(message)
            return
        self._tell_all()
        self._link.send(message)

    def _ask(self, action: Ask) -> None:
        question = action.question
        self._asked[action.id] = (type(question), question.aor)
        if isinstance(question, SharedWrite):
            record = question.bindings
            self._send(
                (
                    *("write", action.id, question.aor, question.expected, question.version),
                    *(until(record), packed(record)),
                )
            )
        else:
            self._send(("read", action.id, question.aor))

    def _ask_value(self, action: Ask) -> None:
        match action.question:
            case Get(table, key):
                self._send(("value", action.id, "get", table.name, key))
            case Swap(table, key, before, after, ttl, check):
                self._send(("value", action.id, "swap", table.name, key, before, after, ttl, check))
            case Count(key, count, per):
                self._send(("value", action.id, "count", key, count, per))
            case Admit(key, most):
                self._admits[action.id] = key
                self._send(("admit", action.id, key, most))

    def _ask_outside(self, action: Ask) -> None:
        """Have the parent answer what nobody answers here: rows, and outer halves of modules."""
        self._send(("outside", action.id, self.carrier.packed(action.question)))

    # --- from the parent

    def _received(self, messages: list[Any]) -> None:
        hub: Hub = self._server.hub
        had = self._had
        for kind, *values in messages:
            try:
                getattr(self, f"_on_{kind}")(*values)
            except Exception as error:
                hub.report(f"{kind} of the parent", error)
        if self._had != had:
            # One word for all changes that came at once.
            self._send(("has", self._had))

    def _read(self, fact: tuple[Any, ...]) -> tuple[Any, ...]:
        if fact[0] != "record":
            return fact
        _, aor, version, bindings = fact
        return ("record", aor, SharedRecord(version, unpacked(aor, bindings)))

    def _has(self, change: int) -> None:
        data = marshal.dumps(("has", change))
        self._sock.sendall(len(data).to_bytes(4, "big") + data)

    def _on_facts(self, change: int, facts: list[tuple[Any, ...]]) -> None:
        hub: Hub = self._server.hub
        if facts:
            now = hub.clock()
            actions = self._server.stack.told([self._read(fact) for fact in facts], now)
            hub.perform(hub.driver.outgoing(actions, now), now)
        if change:
            self._had = change

    def _on_written(self, question: int) -> None:
        self._answer(question, None)

    def _on_stands(self, question: int, version: str, bindings: bytes) -> None:
        asked = self._asked.get(question)
        if asked is not None:
            self._answer(question, SharedRecord(version, unpacked(asked[1], bindings)))

    def _on_failed(self, question: int, text: str) -> None:
        self._answer(question, OSError(text))

    def _answer(self, question: int, result: Any) -> None:
        self._asked.pop(question, None)
        self._server.hub.answer(question, result)

    def _on_value(self, question: int, result: Any, error: str | None) -> None:
        key = self._admits.pop(question, None)
        if key is not None and result and not self._server.stack.questions.waits(question):
            # It came too late (``limits.answer_time``): the call was refused, and must not count for ever.
            self._tell(Tell(("held", key, -1)))
        self._server.hub.answer(question, result if error is None else OSError(error))

    def _on_outside(self, question: int, answer: bytes) -> None:
        self._server.hub.answer(question, self.carrier.unpacked(answer))

    def _on_end(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def _on_go(self) -> None:
        self._go = True

    def _on_reload(self, question: int) -> None:
        assert self._reload is not None

        def done(outcome: Outcome) -> None:
            if not outcome.failed:
                self.seat.gathers, self.seat.heard = self._read_last
            self._send(("reloaded", question, outcome.done, outcome.failed))

        self._reload(done)

    def _on_follow(self, follows: bool) -> None:
        followers = self._followers
        assert followers is not None
        if follows and self._follower is None:
            self._follower = followers.add(self._show, 1)
        elif not follows and self._follower is not None:
            followers.remove(self._follower)
            self._follower = None

    def _show(self) -> None:
        """An event was told: the parent keeps it for its followers."""
        if self._follower is not None and (event := self._follower.next()) is not None:
            self._send(("event", event))

    def _on_command(self, question: int, line: bytes) -> None:
        assert self._management is not None
        self._answers[question] = _Answer(self._management.answer(line))
        self._on_more(question)

    def _on_more(self, question: int) -> None:
        """Go on with a command until it waits for a result, has enough for now, or is done."""
        answer = self._answers.get(question)
        if answer is None:
            return
        hub: Hub = self._server.hub
        for part in answer.work:
            if isinstance(part, Pending):
                part.tell(lambda: hub.inbox.post(self._on_more, question))
                return
            if part is not None and answer.add(part) > _PIECE:
                # The parent asks for more once its operator has read this.
                self._send(("piece", question, answer.take()))
                return
        del self._answers[question]
        self._send(("reply", question, answer.take()))

    def _on_web(self, number: int, fields: tuple[Any, ...]) -> None:
        """A client of the parent's HTTP asks for a path of a module."""
        hub: Hub = self._server.hub

        def answered(response: WebResponse, now: float) -> None:
            self._send(("web", number, response_values(response)))

        now = hub.clock()
        hub.perform(self._server.stack.web_received(number, WebRequest(*fields), now, answered), now)

    def _on_web_closed(self, number: int) -> None:
        hub: Hub = self._server.hub
        now = hub.clock()
        hub.perform(self._server.stack.web_closed(number, now), now)

    def _on_stop(self, question: int) -> None:
        """The operator does not read any more."""
        self._answers.pop(question, None)

    def _orphaned(self) -> None:
        """The parent is gone: nobody could start this worker again, or keep its bindings."""
        if not self._server.stack.draining:
            logger.error("the parent of the workers is gone; this worker ends")
        self._server.stop()
