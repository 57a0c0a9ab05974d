"""The parent of the workers: it holds the sockets, the control socket and the store, and serves no SIP.

Theory of operation: the parent opens every socket once for each worker, has the workers forked
(``nursery``), and from then on looks after them. A worker that dies is started again at once; if it dies
again and again, once a second. The sockets of its place stay open meanwhile, so what comes waits in the
kernel. The parent owns the bindings (``keeper``) and has the one writer of the store. An operator asks the
parent, which asks all workers and gives one answer (``merging``). SIGTERM and SIGHUP reach all workers
through it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sansip.location import LocationUpdate
from sansip.module.sharing import Count, Get, MemoryValues, Swap
from sansip.transport.transports import UDP
from sansip_server import logs
from sansip_server.addresses import has_ipv6_loopback
from sansip_server.config import build
from sansip_server.config.protocols import protocol_listeners
from sansip_server.config.schema import Settings
from sansip_server.config.workers import workers_of
from sansip_server.control import open_control
from sansip_server.descriptors import fit, raise_limit
from sansip_server.faults import OperatorError
from sansip_server.http.opening import open_http, start_http
from sansip_server.modules import uses
from sansip_server.secret import read_secret
from sansip_server.storage import open_storage
from sansip_server.supervisor import Supervisor
from sansip_server.workers.keeper import Keeper
from sansip_server.workers.management import AllWorkers, WorkersFollowers
from sansip_server.workers.nursery import Nursery
from sansip_server.workers.parent_stack import ParentStack
from sansip_server.workers.refusals import refusals
from sansip_server.workers.worker import Common, Worker
from sansip_sockets import READ, BindError, TlsError
from sansip_sockets.bind import bind_group
from sansip_sockets.link import Link
from sansip_sockets.mesh import inboxes
from sansip_sockets.steering import steer
from sansip_sockets.waits import Pump

if TYPE_CHECKING:
    from sansip_server.storage import Storage
    from sansip_sockets import ControlSocket, Hub

__all__ = ["run_workers"]

logger = logging.getLogger("sansip.workers")

# Seconds until a worker is started again that died within ``_YOUNG`` seconds.
_PAUSE = 1.0
_YOUNG = 5.0
# Seconds that the workers have to end after they have drained.
_GRACE = 3.0

# Octets of the replies of all workers to one command, and the reply in the place of a longer one.
_LONGEST = 64 * 1024 * 1024
_TOO_LONG = b'{"ok": false, "error": "the reply is too long; ask for less"}\n'

# Runs one worker as a server does: settings, whether they are to be read again, the worker. See ``serving``.
Serve = Callable[[Settings, bool, Worker], int]


@dataclass(slots=True)
class _Child:
    """A worker that was started: what the parent knows of it."""

    number: int
    incarnation: int
    began: float
    # The reload whose settings it has.
    reloads: int
    link: Link | None = None
    pid: int = 0
    ready: bool = False
    # It drains, and nothing runs there any more.
    idle: bool = False


@dataclass(slots=True)
class _Named:
    """A table, as far as the values of modules need it."""

    name: str


class _Parent:
    """The parent at work. ``common`` is what its workers have, ``nursery`` makes them."""

    def __init__(
        self,
        settings: Settings,
        common: Common,
        nursery: Nursery,
        control: ControlSocket | None,
        storage: Storage | None,
        supervisor: Supervisor,
    ) -> None:
        self._settings = settings
        self._common = common
        self._count = len(common.listeners)
        self._nursery = nursery
        self._control = control
        self._supervisor = supervisor
        self._children: dict[int, _Child] = {}
        self._incarnations = [0] * self._count
        self._reloads = 0
        self._question = 0
        # What workers were asked by operators: question -> the function that gets a worker's reply.
        self._replies: dict[int, Callable[[int, Any], None]] = {}
        self._pieces: dict[int, Callable[[int, bytes], None]] = {}
        self._values = MemoryValues(settings.limits)
        save = None if storage is None else self._save
        self.keeper = Keeper(self._send, settings.limits, save)
        self.stack = ParentStack(self.keeper, settings.limits, lambda: bool(self._children), self._end)
        self.followers = WorkersFollowers(self._follow)
        self.management: AllWorkers | None = None
        self.failed: list[str] = []
        # Further lines for the operator, said before ``ready``.
        self.also: list[str] = []
        # Reads the certificates of the HTTP listeners again.
        self.renewed: Callable[[], None] = lambda: None
        self._said = False
        self._ending = False
        self._reloading = False
        self._server: Any = None
        if storage is not None:
            storage.restore(self.keeper)  # type: ignore[arg-type]  # it needs no more of a stack

    # --- its life

    def begin(self, server: Any) -> None:
        """Start the workers; the line ``ready`` follows when all of them serve."""
        self._server = server
        hub: Hub = server.hub
        hub.spawn(self._watch())
        for number in range(self._count):
            self._start(number)
        self.management = AllWorkers(
            self.stack,
            hub,
            self._count,
            self,
            [use.kind for use in uses(self._settings.modules)],
            self.reload,
            lambda: os.kill(os.getpid(), signal.SIGTERM),
        )
        if self._control is not None:
            self._control.start(hub, self.management.answer)

    @property
    def _hub(self) -> Hub:
        hub: Hub = self._server.hub
        return hub

    def _start(self, number: int) -> None:
        if self._ending or number in self._children:
            return
        incarnation = self._incarnations[number]
        self._incarnations[number] += 1
        ours, theirs = socket.socketpair()
        child = self._children[number] = _Child(number, incarnation, self._hub.clock(), self._reloads)
        try:
            self._nursery.start(number, incarnation, self._reloads, theirs)
        except OSError as error:
            self._give_up([f"workers cannot be started any more: {error}"])
            return
        child.link = Link(self._hub, ours, partial(self._received, child), partial(self._lost, child))
        child.link.feed(self.keeper.state(number))

    def _give_up(self, lines: Sequence[str]) -> None:
        self.failed += lines
        self._ending = True
        self._server.stop()

    def _end(self) -> None:
        """Have all workers drain and end."""
        if not self._ending:
            self._ending = True
            self._supervisor.stopping()
            logger.info("draining: %d workers end when nothing runs", len(self._children))
            for child in self._children.values():
                if child.link is not None:
                    child.link.send(("end",))

    def timer_fired(self, number: int, now: float) -> None:
        """A worker that died young is started again."""
        self._start(number)

    # --- workers that end

    def _watch(self) -> Pump:
        """The pump of the nursery, which tells how workers ended."""
        while True:
            yield (READ, self._nursery.sock, None)
            ended = self._nursery.ended()
            for number, incarnation, status in ended or ():
                self._ended(number, incarnation, status)
            if ended is None:
                if not self._ending:
                    self._give_up(["the process that starts workers is gone; start the server again"])
                return

    def _ended(self, number: int, incarnation: int, status: int) -> None:
        child = self._children.get(number)
        if child is None or child.incarnation != incarnation:
            return
        del self._children[number]
        if child.link is not None:
            child.link.close()
        self.keeper.gone(number)
        for reply in list(self._replies.values()):
            reply(number, None)
        if self._ending:
            # The others waited for it.
            self._let_go()
            return
        how = (
            f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {os.WEXITSTATUS(status)}"
        )
        if not self._said:
            self._give_up(self.failed or [f"worker {number} ended before it was ready ({how})"])
            return
        now = self._hub.clock()
        logger.error("worker %d (process %d) ended with %s; it is started again", number, child.pid, how)
        if now - child.began < _YOUNG:
            self._hub.driver.timers.start(now, _PAUSE, self, number)
            self._hub.settle(now)
        else:
            self._start(number)

    def _lost(self, child: _Child) -> None:
        """The link of ``child`` is lost: it died, or does not read any more, and has to."""
        if self._children.get(child.number) is child and not self._ending:
            self._nursery.kill(child.number, child.incarnation)

    # --- messages of workers

    def _send(self, number: int, message: tuple[Any, ...]) -> None:
        child = self._children.get(number)
        if child is not None and child.link is not None:
            child.link.send(message)

    def _received(self, child: _Child, messages: list[Any]) -> None:
        if self._children.get(child.number) is not child:
            return
        now = self._hub.clock()
        for message in messages:
            if not self.keeper.received(child.number, message, now):
                getattr(self, f"_on_{message[0]}")(child, *message[1:])

    def _on_ready(self, child: _Child, pid: int, lines: list[str]) -> None:
        child.pid, child.ready = pid, True
        if child.reloads != self._reloads:
            # It read its settings before the others had the new ones.
            self._follow_reload([child.number], lambda failed: None)
        if self.followers.follows:
            self._send(child.number, ("follow", True))
        if self._said:
            logger.info("worker %d serves again (process %d)", child.number, pid)
        elif all(one.ready for one in self._children.values()) and len(self._children) == self._count:
            self._said = True
            click.echo(f"workers {self._count}: {', '.join(str(one.pid) for one in self._children.values())}")
            for line in lines:
                click.echo(line)
            for line in self.also:
                click.echo(line)
            click.echo("ready")
            self._supervisor.ready(self._hub)

    def _on_idle(self, child: _Child) -> None:
        child.idle = True
        self._let_go()

    def _let_go(self) -> None:
        """Let the workers end once nothing runs at any: until then each serves its sockets."""
        if self._ending and all(child.idle for child in self._children.values()):
            for number in self._children:
                self._send(number, ("go",))

    def _on_failed(self, child: _Child, lines: list[str]) -> None:
        if self._said:
            for line in lines:
                logger.error("worker %d does not start: %s", child.number, line)
        else:
            self.failed = list(lines)

    def _on_value(self, child: _Child, question: int, kind: str, *given: Any) -> None:
        asked: Get | Swap | Count
        if kind == "count":
            asked = Count(*given)
        elif kind == "get":
            asked = Get(_Named(given[0]), given[1])  # type: ignore[arg-type]  # the name is all that is asked
        else:
            asked = Swap(_Named(given[0]), *given[1:])  # type: ignore[arg-type]  # the same
        result = self._values.answer(asked, self._hub.clock())
        error = str(result) if isinstance(result, Exception) else None
        self._send(child.number, ("value", question, None if error else result, error))

    def _on_event(self, child: _Child, event: dict[str, Any]) -> None:
        self.followers.pass_on(event)

    def _follow(self, follows: bool) -> None:
        """Have all workers tell their events, or keep them."""
        for number in self._children:
            self._send(number, ("follow", follows))

    def _on_reply(self, child: _Child, question: int, reply: bytes) -> None:
        if (taken := self._replies.get(question)) is not None:
            taken(child.number, reply)

    def _on_piece(self, child: _Child, question: int, piece: bytes) -> None:
        taken = self._pieces.get(question)
        if taken is None:
            self._send(child.number, ("stop", question))
        else:
            taken(child.number, piece)

    def _on_reloaded(self, child: _Child, question: int, done: list[str], failed: list[str]) -> None:
        if (taken := self._replies.get(question)) is not None:
            taken(child.number, (done, failed))

    # --- the store

    def _save(self, update: LocationUpdate, done: Callable[[Any], None]) -> None:
        hub = self._hub
        hub.perform([self.stack.question(update, done)], hub.clock())

    # --- operators

    @property
    def serving(self) -> list[int]:
        """The workers that serve."""
        return [number for number, child in sorted(self._children.items()) if child.ready]

    def ask_workers(self, line: bytes, one: bool, done: Callable[[dict[int, bytes]], None]) -> None:
        """Give a command to all workers that serve, or to one of them; ``done`` gets their replies."""
        asked = self.serving
        if one:
            del asked[1:]
        question = self._question + 1
        pieces: dict[int, bytes] = {}

        def taken(number: int, piece: bytes) -> None:
            pieces[number] = pieces.get(number, b"") + piece
            if sum(map(len, pieces.values())) <= _LONGEST:
                self.more(number, question)
            else:
                self._send(number, ("stop", question))
                self._replies[question](number, _TOO_LONG)

        def replied(found: dict[int, bytes]) -> None:
            self._pieces.pop(question, None)
            done({number: pieces.get(number, b"") + reply for number, reply in found.items()})

        self._pieces[question] = taken
        self._ask(asked, ("command", line), replied)

    def stream(self, number: int, line: bytes, taken: Callable[[bytes, bool], None]) -> int:
        """Give a command to one worker; return the number of the question.

        ``taken`` gets a piece of the reply, and whether it is the last; ask for another by ``more``.
        """
        question = self._question + 1

        def replied(found: dict[int, bytes]) -> None:
            self._pieces.pop(question, None)
            taken(found.get(number, b""), True)

        self._pieces[question] = lambda _, piece: taken(piece, False)
        self._ask([number], ("command", line), replied)
        return question

    def more(self, number: int, question: int) -> None:
        """Ask for another piece of a reply."""
        self._send(number, ("more", question))

    def stop(self, number: int, question: int) -> None:
        """Give a reply up."""
        if self._replies.pop(question, None) is not None:
            self._pieces.pop(question, None)
            self._send(number, ("stop", question))

    def _ask(
        self, numbers: Sequence[int], message: tuple[Any, ...], done: Callable[[dict[int, Any]], None]
    ) -> None:
        """Ask workers; ``done`` gets the replies of those that did not die meanwhile."""
        self._question += 1
        question = self._question
        left = set(numbers)
        found: dict[int, Any] = {}

        def replied(number: int, reply: Any) -> None:
            if number in left:
                left.discard(number)
                if reply is not None:
                    found[number] = reply
                if not left:
                    del self._replies[question]
                    done(dict(sorted(found.items())))

        if not numbers:
            done({})
            return
        self._replies[question] = replied
        for number in numbers:
            self._send(number, (message[0], question, *message[1:]))

    def on_reload(self) -> None:
        """SIGHUP came."""
        self.reload(lambda done, failed: None)

    def reload(self, told: Callable[[list[str], list[str]], None]) -> None:
        """Have all workers read everything again, the first one alone first: it judges for all.

        ``told`` gets what was read again, and the faults.
        """
        if self._reloading:
            told([], ["a reload runs already; try again when it has ended"])
            return
        self._reloading = True
        self._supervisor.reloading()
        numbers = [number for number, child in sorted(self._children.items()) if child.ready]
        outcome: list[list[str]] = [[], []]

        def ended() -> None:
            self._reloading = False
            self._supervisor.reloaded()
            told(outcome[0], outcome[1])

        def followed(failed: list[str]) -> None:
            outcome[1].extend(failed)
            ended()

        def judged(found: dict[int, Any]) -> None:
            for done, failed in found.values():
                outcome[0], outcome[1] = done, failed
            if outcome[1] or not found:
                ended()
                return
            # From here on a worker that is started again reads them as well.
            self._reloads += 1
            try:
                self.renewed()
            except TlsError as error:
                outcome[1].append(f"tls of http.listen: {error}")
            for number in found:
                if (child := self._children.get(number)) is not None:
                    child.reloads = self._reloads
            # Those too that began to serve meanwhile.
            behind = [one for one in self.serving if self._children[one].reloads != self._reloads]
            self._follow_reload(behind, followed)

        self._ask(numbers[:1], ("reload",), judged)

    def _follow_reload(self, numbers: Sequence[int], told: Callable[[list[str]], None]) -> None:
        """Have workers take the settings that the first one has taken; ``told`` gets the faults."""

        def replied(found: dict[int, Any]) -> None:
            faults = [f"worker {number}: {line}" for number, (_, failed) in found.items() for line in failed]
            for line in faults:
                logger.error("reload: %s", line)
            told(faults)

        for number in numbers:
            self._children[number].reloads = self._reloads
        self._ask(numbers, ("reload",), replied)


def run_workers(
    settings: Settings,
    serve: Serve,
    *,
    journal: Path | None = None,
    may_lack_ipv6: bool = False,
) -> int:
    """Run ``workers`` of ``settings`` until a signal says stop; return the exit status.

    ``serve`` runs one worker. Raises OperatorError for mistakes that the operator has to correct.
    """
    from sansip_blocking import run

    if may_lack_ipv6 and not has_ipv6_loopback():
        settings.listen = [text for text in settings.listen if "[::1]" not in text]
    build.settle(settings)
    addresses = build.listen_addresses(settings)
    faults = list(refusals(settings, addresses, journal))
    wanted = protocol_listeners(settings, build.listener_configs(addresses))
    if any(one.transport not in {name for address in addresses for name in address.transports} and one.accepts
           for one in wanted):  # fmt: skip
        faults.append("workers: protocols of modules (listen in their tables) have no workers yet")
    if faults:
        raise OperatorError(*faults)
    count = workers_of(settings)
    secret = os.urandom(32) if settings.secret_file is None else read_secret(Path(settings.secret_file))
    raise_limit()
    logs.configure(settings.log.level, settings.log.format)
    try:
        groups = bind_group(wanted, count)
    except BindError as error:
        raise OperatorError(str(error)) from None
    for listener in groups[0]:
        if listener.transport == UDP and listener.pumped and not steer(listener.sock):
            logger.warning("%s: the kernel does not steer responses; workers pass them on", listener)
    common = Common(groups, inboxes(count), secret, int.from_bytes(os.urandom(4), "big"))

    def work(number: int, incarnation: int, reloads: int, link: socket.socket) -> int:
        worker = Worker(common, number, incarnation, link)
        try:
            return serve(replace_lists(settings), bool(reloads), worker)
        except OperatorError as error:
            worker.fail(error.lines)
            return 1

    nursery = Nursery(work)
    try:
        return _serve(settings, addresses, common, nursery, run)
    finally:
        nursery.close()


def replace_lists(settings: Settings) -> Settings:
    """Return a copy of ``settings`` that one worker may settle for itself."""
    file, modules = settings.file, settings.modules
    copy = replace(settings, limits=replace(settings.limits), listen=list(settings.listen))
    copy.file, copy.modules = file, modules
    return copy


def _serve(settings: Settings, addresses: Any, common: Common, nursery: Nursery, run: Any) -> int:
    from sansip_sockets import TlsContexts

    try:
        control, uncontrolled = open_control(settings.control, settings.store)
    except BindError as error:
        raise OperatorError(str(error)) from None
    storage = http = None
    try:
        storage = open_storage(settings, build.served_domains(settings, addresses))
        try:
            tls = TlsContexts(settings.tls)
            http = open_http(settings, tls, [])
        except (BindError, TlsError) as error:
            raise OperatorError(str(error)) from None
        supervisor = Supervisor()
        fit(settings.limits, raise_limit(), tell=False)
        parent = _Parent(settings, common, nursery, control, storage, supervisor)

        def on_ready(server: Any) -> None:
            if storage is not None:
                storage.watch(server.hub.inbox.post)
            parent.begin(server)
            if http is not None:
                assert parent.management is not None
                start_http(
                    http,
                    server.hub,
                    settings,
                    build.served_domains(settings, addresses),
                    parent.management,
                    parent.followers,
                    told=parent.also.append,
                )
            parent.renewed = lambda: tls.reload(settings.tls)
            if uncontrolled is not None:
                logger.info("no control socket for `sansip ctl` (%s); set control", uncontrolled)

        status: int = run(
            lambda listeners: parent.stack,
            [],
            on_ready=on_ready,
            on_reload=parent.on_reload,
            handlers={} if storage is None else {LocationUpdate: storage.handlers[LocationUpdate]},
            drain_time=settings.drain_time + settings.node.linger + _GRACE,
        )
        if parent.failed:
            raise OperatorError(*parent.failed)
        logger.info("stopped")
        return status
    finally:
        if control is not None:
            control.close()
        if http is not None:
            http.close()
        if storage is not None:
            storage.close()
