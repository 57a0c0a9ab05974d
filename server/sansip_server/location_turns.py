"""Questions to the shared location, asked from the loop: all of one turn as one batch.

Theory of operation: the hub gives each question as it performs the stack's actions. At the end of the turn
those of one kind leave together over one connection, and their answers enter the stack together. A look-up of
a record that the mirror has as Redis has it (``tracked``) is answered at the end of the turn itself. Expiry
counts by Redis's clock: if its last reading is old, the questions wait for one more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sansip.actions import Ask
from sansip.location import SharedRead, SharedRecord, SharedWrite
from sansip_server.config.redis import RedisSettings
from sansip_server.stores.redis_client import lacking, waiting
from sansip_server.stores.redis_clock import RedisClock
from sansip_server.stores.redis_link import Link
from sansip_server.stores.redis_location import TIME, WRITE, Commands, unix_of
from sansip_server.stores.resp import Command
from sansip_server.stores.tracked import Tracked
from sansip_sockets.hub import Hub

__all__ = ["LocationTurns"]

# Takes a kind of question, their number, and the answers or the exception that they met.
Judge = Callable[[str, int, "Sequence[Any] | Exception"], "Sequence[Any]"]


class LocationTurns:
    """Asks ``SharedRead`` (``reads``) or ``SharedWrite`` over ``link``.

    ``judge`` notes how the location does, and returns an answer for each question. ``closed``
    returns an exception while it is too early to try the location again. ``tracked``: what ``writer``, the
    link that writes, has been told of; ``link`` may be the same.
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
        tracked: Tracked | None = None,
        writer: Link | None = None,
    ) -> None:
        self._hub = hub
        self._link = link
        self._judge = judge
        self._closed = closed
        self._time = clock
        self._reads = reads
        self._kind = "reads" if reads else "writes"
        self._tracked = tracked
        self._writer = writer
        self._commands = Commands(settings.prefix)
        self._settings = settings
        self._asks: list[Ask] = []
        # Whether writes wait for the replicas: one batch at a time does, and later ones are the next.
        self._busy = False
        # Whether the questions of this turn are leaving.
        self._leaving = False

    def ask(self, action: Ask) -> None:
        """Take a question; called while the hub performs actions."""
        if not self._asks and not self._busy and not self._leaving:
            self._hub.at_end(self._leave)
        self._asks.append(action)

    def _leave(self) -> None:
        """Answer the questions of this turn from what is at hand; send the others."""
        self._leaving = True
        try:
            while self._asks and not self._busy:
                asks, self._asks = self._asks, []
                if self._reads and self._tracked is not None:
                    asks = self._elsewhere(asks, self._tracked)
                if asks:
                    self._send(asks)
        finally:
            self._leaving = False

    def _elsewhere(self, asks: list[Ask], tracked: Tracked) -> list[Ask]:
        """Answer those whose record is present here; return the others."""
        versions = tracked.versions
        for ask in asks:
            if ask.question.known and versions.get(ask.question.aor) == ask.question.known:
                break
        else:
            return asks
        if self._writer is None or not self._writer.is_current():
            return asks
        present: list[tuple[int, Any]] = []
        others: list[Ask] = []
        for ask in asks:
            # It may have been told of a change just now.
            if ask.question.known and versions.get(ask.question.aor) == ask.question.known:
                present.append((ask.id, None))
            else:
                others.append(ask)
        if present:
            self._hub.answer_all(present)
        return others

    def _begin(self, asks: list[Ask], offset: float) -> None:
        if self._reads:
            self._read(asks, offset)
        else:
            self._write(asks, offset)

    def _send(self, asks: list[Ask]) -> None:
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
        reads: list[SharedRead] = [ask.question for ask in asks]
        # Callers of one number come in bursts, and it is read once. Redis need not remember what is asked for
        # the first time: any caller may ask for any number.
        tracks = self._tracked is not None and self._link is self._writer and self._link.tracks
        known: dict[str, None] = {}
        strange: dict[str, None] = {}
        for read in reads:
            if read.known or not tracks:
                known[read.aor] = None
                strange.pop(read.aor, None)
            elif read.aor not in known:
                strange[read.aor] = None
        commands = self._commands.reads(known)
        if strange:
            commands += self._commands.reads(strange, untracked=True)

        def done(answers: list[Any] | Exception) -> None:
            if isinstance(answers, Exception):
                self._answer(asks, answers)
                return
            found = dict(zip(known, answers, strict=False))
            found.update(zip(strange, answers[len(known) + 1 :: 2], strict=True))
            try:
                records = self._commands.records(reads, found, offset)
            except Exception as error:
                self._answer(asks, error)
                return
            if tracks and self._tracked is not None and self._link.certain:
                for read, record in zip(reads, records, strict=True):
                    if read.aor not in known:
                        continue
                    if record is None:
                        self._tracked.note(read.aor, read.known)
                    elif isinstance(record, SharedRecord) and record.bindings:
                        self._tracked.note(read.aor, record.version)
            self._answer(asks, records)

        self._link.run(commands, done)

    def _write(self, asks: list[Ask], offset: float) -> None:
        writes: list[SharedWrite] = [ask.question for ask in asks]

        def done(answers: list[Any] | Exception) -> None:
            results: Sequence[Any] | Exception
            if isinstance(answers, Exception):
                results = answers
            else:
                try:
                    results = self._commands.written(writes, answers, offset)
                except Exception as error:
                    results = error
            if self._tracked is not None:
                self._note(self._tracked, writes, results)
            self._answer(asks, results)

        durable = self._busy = bool(self._settings.wait_replicas)
        calls = self._commands.writes(writes, self._hub.clock(), offset)
        self._script(WRITE, calls, done, durable=durable)

    def _note(self, tracked: Tracked, writes: list[SharedWrite], results: Sequence[Any] | Exception) -> None:
        """Note which of ``writes`` are present now; one that was not made leaves what Redis has unknown."""
        for number, write in enumerate(writes):
            if (
                not isinstance(results, Exception)
                and results[number] is None
                and write.bindings
                and self._link.certain
            ):
                tracked.note(write.aor, write.version)
            else:
                tracked.forget(write.aor)

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

            def repeated(late: list[Any] | Exception) -> None:
                # The answers are of two times.
                self._link.certain = False
                done(late if isinstance(late, Exception) else script.merged(answers, late))

            self._run(again, durable, repeated)

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
