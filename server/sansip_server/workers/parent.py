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
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from sansip.location import LocationUpdate, SharedWrite
from sansip.module.sharing import Count, Get, MemoryValues, Swap
from sansip.rows import Write
from sansip_server.config.schema import Settings
from sansip_server.modules import uses
from sansip_server.supervisor import Supervisor
from sansip_server.workers.keeper import Keeper
from sansip_server.workers.management import AllWorkers, WorkersFollowers
from sansip_server.workers.mounts import FirstMounts
from sansip_server.workers.nursery import NOT_STARTED, Nursery
from sansip_server.workers.outside import Carrier, held_tables, tables_of
from sansip_server.workers.parent_stack import ParentStack
from sansip_server.workers.questions import Questions
from sansip_server.workers.reloading import Reloading
from sansip_server.workers.worker import Common
from sansip_sockets import READ
from sansip_sockets.link import Link
from sansip_sockets.waits import Pump

if TYPE_CHECKING:
    from sansip.module import Module
    from sansip_server.cluster import SharedStorage
    from sansip_server.provision import Provision
    from sansip_server.storage import Storage
    from sansip_sockets import ControlSocket, Hub

__all__ = ["Parent"]

logger = logging.getLogger("sansip.workers")

# Seconds until a worker is started again that died within ``_YOUNG`` seconds.
_PAUSE = 1.0
_YOUNG = 5.0


@dataclass(slots=True)
class _Child:
    """A worker that was started: what the parent knows of it."""

    number: int
    incarnation: int
    began: float
    link: Link | None = None
    pid: int = 0
    ready: bool = False
    # It drains, and nothing runs there any more.
    idle: bool = False


@dataclass(slots=True)
class _Named:
    """A table, as far as the values of modules need it."""

    name: str


class Parent:
    """The parent at work. ``common`` is what its workers have, ``nursery`` makes them."""

    def __init__(
        self,
        settings: Settings,
        common: Common,
        nursery: Nursery,
        control: ControlSocket | None,
        storage: Storage | None,
        supervisor: Supervisor,
        provision: Provision | None = None,
        shared: SharedStorage | None = None,
    ) -> None:
        self._settings = settings
        kinds = [use.kind for use in uses(settings.modules)]
        self._carrier = Carrier(tables_of(kinds))
        # Tables whose modules hold in memory what is in them.
        self._held_tables = held_tables(kinds)
        self._common = common
        self._count = len(common.listeners)
        self._nursery = nursery
        self._control = control
        self._supervisor = supervisor
        self._children: dict[int, _Child] = {}
        self._incarnations = [0] * self._count
        self._questions = Questions(self._send, self._serving)
        self.reloading = Reloading(self._questions, supervisor)
        self._provision = provision
        self._values = MemoryValues(settings.limits)
        self._shared = shared
        save = None if storage is None or shared is not None else self._ask
        self.keeper = Keeper(self._send, settings.limits, save, None if shared is None else self._ask)
        self.mounts = FirstMounts(self._send_first, settings.limits)
        self.mounts.take({use.kind: use.settings for use in uses(settings.modules)})
        self.stack = ParentStack(
            self.keeper, settings.limits, lambda: bool(self._children), self._end, self.mounts
        )
        self.followers = WorkersFollowers(self._follow)
        self.management: AllWorkers | None = None
        self.failed: list[str] = []
        # Further lines for the operator, said before ``ready``.
        self.also: list[str] = []
        self._said = False
        self._ending = False
        self._server: Any = None
        if storage is not None and shared is None:
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
            self._questions,
            [use.kind for use in uses(self._settings.modules)],
            self.reloading.reload,
            lambda: os.kill(os.getpid(), signal.SIGTERM),
            self._provision,
            {} if self._shared is None else {"location": self._shared.health},
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
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            # Too many open files: those who serve go on, and this one comes when there is a descriptor.
            logger.error("worker %d cannot be started yet: %s", number, error)
            self._start_later(number)
            return
        child = self._children[number] = _Child(number, incarnation, self._hub.clock())
        try:
            self._nursery.start(number, incarnation, self.reloading.started(number), theirs)
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
        self._questions.gone(number)
        if number == 0:
            self.mounts.gone(self._hub.clock())
        if self._ending:
            # The others waited for it.
            self._let_go()
            return
        how = _how(status)
        if not self._said:
            self._give_up(self.failed or [f"worker {number} ended before it was ready ({how})"])
            return
        now = self._hub.clock()
        logger.error("worker %d (process %d) ended with %s; it is started again", number, child.pid, how)
        if now - child.began < _YOUNG:
            self._start_later(number)
        else:
            self._start(number)

    def _start_later(self, number: int) -> None:
        now = self._hub.clock()
        self._hub.driver.timers.start(now, _PAUSE, self, number)
        self._hub.settle(now)

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
        self.reloading.serves(child.number)
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

    def _on_admit(self, child: _Child, question: int, key: str, most: int) -> None:
        self._send(child.number, ("value", question, self.keeper.admit(child.number, key, most), None))

    def _on_outside(self, child: _Child, question: int, data: bytes) -> None:
        """Answer a question about rows, or one to an outer half of a module."""
        hub, carrier = self._hub, self._carrier
        asked = carrier.unpacked(data)

        def answered(result: Any) -> None:
            if self._children.get(child.number) is child:
                self._send(child.number, ("outside", question, carrier.packed(result)))

        def done(result: Any) -> None:
            changes = asked.changes if isinstance(asked, Write) and not isinstance(result, Exception) else ()
            held = [one for one in changes if one.table.name in self._held_tables]
            if not held:
                answered(result)
            for change in held:
                fact = ("rows", change.table.name, change.rows, change.deleted)
                last = change is held[-1]
                self.keeper.tell_all(child.number, fact, partial(answered, result) if last else _nothing)

        hub.perform([self.stack.question(asked, done)], hub.clock())

    def _on_event(self, child: _Child, event: dict[str, Any]) -> None:
        self.followers.pass_on(event)

    def _follow(self, follows: bool) -> None:
        """Have all workers tell their events, or keep them."""
        for number in self._children:
            self._send(number, ("follow", follows))

    def _send_first(self, message: tuple[Any, ...]) -> bool:
        """Send ``message`` to the first worker, if it serves."""
        serves = 0 in self._children and self._children[0].ready
        if serves:
            self._send(0, message)
        return serves

    def _on_web(self, child: _Child, number: int, answer: tuple[Any, ...]) -> None:
        self.mounts.answered(number, answer, self._hub.clock())

    def _on_reply(self, child: _Child, question: int, reply: bytes) -> None:
        self._questions.replied(child.number, question, reply)

    def _on_piece(self, child: _Child, question: int, piece: bytes) -> None:
        self._questions.piece(child.number, question, piece)

    def _on_reloaded(self, child: _Child, question: int, done: list[str], failed: list[str]) -> None:
        self._questions.replied(child.number, question, (done, failed))

    # --- the store

    def learn(self, kinds: Sequence[type[Module]]) -> None:
        """Know the tables of further modules."""
        self._carrier.learn(tables_of(kinds))
        self._held_tables |= held_tables(kinds)
        if self.management is not None:
            self.management.learn(kinds)

    def _ask(self, change: LocationUpdate | SharedWrite, done: Callable[[Any], None]) -> None:
        """Have the store, or the location that nodes share, take ``change``."""
        hub = self._hub
        hub.perform([self.stack.question(change, done)], hub.clock())

    # --- operators

    def _serving(self) -> list[int]:
        """The workers that serve."""
        return [number for number, child in sorted(self._children.items()) if child.ready]

    def on_reload(self) -> None:
        """SIGHUP came."""
        self.reloading.reload(lambda done, failed: None)


def _how(status: int) -> str:
    """Return how a worker ended, in words."""
    if status == NOT_STARTED:
        return "no descriptor or no process left to start it with"
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {os.WEXITSTATUS(status)}"


def _nothing() -> None:
    """Take an answer that no process waits for."""
