"""Questions to the shared location, asked from the loop: all of one turn as one batch.

Theory of operation: the hub gives each question as it performs the stack's actions. At the end of the turn
those of one kind leave together over one connection, and their answers enter the stack together. Expiry
counts by Redis's clock: if its last reading is old, the questions wait for one more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sansip.actions import Ask
from sansip_server.config.redis import RedisSettings
from sansip_server.stores.redis_client import lacking, waiting
from sansip_server.stores.redis_clock import RedisClock
from sansip_server.stores.redis_link import Link
from sansip_server.stores.redis_location import TIME, WRITE, Commands, unix_of
from sansip_server.stores.resp import Command
from sansip_sockets.hub import Hub

__all__ = ["LocationTurns"]

# Takes a kind of question, their number, and the answers or the exception that they met.
Judge = Callable[[str, int, "Sequence[Any] | Exception"], "Sequence[Any]"]


class LocationTurns:
    """Asks ``SharedRead`` (``reads``) or ``SharedWrite`` over ``link``.

    ``judge`` notes how the location does, and returns an answer for each question. ``closed``
    returns an exception while it is too early to try the location again.
    """

    def __init__(
        self,
        hub: Hub,
        link: Link,
        judge: Judge,
        closed: Callable[[], Exception | None],
        clock: RedisClock,
        settings: RedisSettings,
        reads: bool,
    ) -> None:
        self._hub = hub
        self._link = link
        self._judge = judge
        self._closed = closed
        self._time = clock
        self._kind = "reads" if reads else "writes"
        self._begin = self._read if reads else self._write
        self._commands = Commands(settings.prefix)
        self._settings = settings
        self._asks: list[Ask] = []
        # Whether writes wait for the replicas: one batch at a time does, and later ones are the next.
        self._busy = False

    def ask(self, action: Ask) -> None:
        """Take a question; called while the hub performs actions."""
        if not self._asks and not self._busy:
            self._hub.at_end(self._leave)
        self._asks.append(action)

    def _leave(self) -> None:
        """Send the questions of this turn."""
        asks, self._asks = self._asks, []
        closed = self._closed()
        if closed is not None:
            # In a later turn: the stack has not returned from the input that asked.
            self._hub.inbox.post(self._hub.answer_all, [(ask.id, closed) for ask in asks])
            return
        offset = self._time.known
        if offset is not None:
            self._begin(asks, offset)
            return
        sent = self._hub.clock()
        self._script(TIME, [(self._commands.nodes,)], lambda answers: self._timed(asks, sent, answers))

    def _timed(self, asks: list[Ask], sent: float, answers: list[Any] | Exception) -> None:
        try:
            if isinstance(answers, Exception):
                raise answers
            self._time.took(sent, unix_of(answers[0]))
            offset = self._time.known
            if offset is None:
                raise TimeoutError("the clock of this machine was set meanwhile")
        except Exception as error:
            self._answer(asks, error)
            return
        self._begin(asks, offset)

    def _read(self, asks: list[Ask], offset: float) -> None:
        reads = [ask.question for ask in asks]

        def done(answers: list[Any] | Exception) -> None:
            self._answer(asks, _read(answers, lambda some: self._commands.records(reads, some, offset)))

        self._link.run(self._commands.reads(reads), done)

    def _write(self, asks: list[Ask], offset: float) -> None:
        writes = [ask.question for ask in asks]

        def done(answers: list[Any] | Exception) -> None:
            self._answer(asks, _read(answers, lambda some: self._commands.written(writes, some, offset)))

        durable = self._busy = bool(self._settings.wait_replicas)
        calls = self._commands.writes(writes, self._hub.clock(), offset)
        self._script(WRITE, calls, done, durable=durable)

    def _script(
        self,
        script: Any,
        calls: Sequence[Command],
        done: Callable[[list[Any] | Exception], None],
        *,
        durable: bool = False,
    ) -> None:
        """Run ``script`` for each of ``calls``; with ``durable`` the replicas are to have it (WAIT)."""

        def answered(answers: list[Any] | Exception) -> None:
            if isinstance(answers, Exception):
                done(answers)
                return
            again = script.again(calls, answers)
            if not again:
                done(answers)
                return
            self._run(
                again,
                durable,
                lambda late: done(late if isinstance(late, Exception) else script.merged(answers, late)),
            )

        self._run(script.commands(calls), durable, answered)

    def _run(
        self, commands: list[Command], durable: bool, done: Callable[[list[Any] | Exception], None]
    ) -> None:
        if not durable:
            self._link.run(commands, done)
            return

        def waited(answers: list[Any] | Exception) -> None:
            if isinstance(answers, Exception):
                done(answers)
                return
            done(lacking(answers.pop(), self._settings) or answers)

        self._link.run(waiting(commands, self._settings), waited)

    def _answer(self, asks: list[Ask], answers: Sequence[Any] | Exception) -> None:
        late, self._busy = self._busy, False
        judged = self._judge(self._kind, len(asks), answers)
        self._hub.answer_all([(ask.id, one) for ask, one in zip(asks, judged, strict=True)])
        if late and self._asks:
            self._leave()


def _read(
    answers: list[Any] | Exception, make: Callable[[list[Any]], Sequence[Any]]
) -> Sequence[Any] | Exception:
    """Return what ``make`` reads from ``answers``; its exception, where they are of another kind."""
    if isinstance(answers, Exception):
        return answers
    try:
        return make(answers)
    except Exception as error:
        return error
