"""The module ``accounting``: a record of each call, on the disk before the phones know that it is over.

Theory of operation: the module ``calls`` says what became of a call; that becomes a ``Record`` in the
``Outbox``. A record is written at once where none was just before; else it waits for those that come within
``gather`` seconds, and one write takes them all. The 200 to a BYE waits until the record is written, as a 200
to a REGISTER waits for its binding; where its place does not take it, the spool on the local disk does, which
has room reserved. Where that fails, too, the 200 leaves after ``limits.hook_time``, the record waits in
memory, and `sansip ctl health` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sansip.module import Module, function
from sansip.modules.accounting.outbox import Outbox
from sansip.modules.accounting.record import (
    Record,
    attempt_of,
    kind_of,
    line_of,
    record_from,
    record_of,
)
from sansip.modules.accounting.settings import AccountingSettings
from sansip.modules.calls import Call, CallAnswered, CallFinished, Calls, CallTried
from sansip.rows import Table, Write

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.later import Later
    from sansip.module import Core
    from sansip.module.base import Waits
    from sansip.proxy.branch import Branch
    from sansip.routing import IncomingRequest
    from sansip.wire import Response

__all__ = ["RECORDS", "Accounting", "Append", "Spool", "Spooled", "Unspool"]


def _from_first(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"gateway": "", "price": None, "currency": ""}


RECORDS = Table("accounting_records", Record, key=("name",), version=2, migrations={1: _from_first})
# Seconds until a write that failed is tried again, at first and at last.
_AGAIN, _LATEST = 1.0, 30.0
# Seconds that a write may take until the spool takes its records: less than ``limits.hook_time``.
_PATIENCE: Final = 2.0
# Interim records that are made at once, and the seconds until the next ones.
_SLICE, _PAUSE = 200, 0.02
# Characters of a header field or variable in a record.
_LONGEST: Final = 500
# Where header fields stand among a call's variables, and the number of its attempts.
_FIELD: Final = "accounting "
_TRIES: Final = "accounting tries"
# Records in one question.
_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class Append:
    """The question to the outside: write these lines, by name, to the end of the file or stream, durably."""

    lines: dict[str, str]


@dataclass(frozen=True, slots=True)
class Spool:
    """Keep these lines on the local disk, for they cannot be written to their place."""

    lines: dict[str, str]


@dataclass(frozen=True, slots=True)
class Spooled:
    """Which lines did the process before keep? Answer: a sequence of them."""


@dataclass(frozen=True, slots=True)
class Unspool:
    """These records are in their place: the spool need not keep them."""

    names: tuple[str, ...]


class Accounting(Module):
    """Records calls: the caller, the times of ringing, answer and end, and who ended it and why."""

    name = "accounting"
    # The parent of the workers writes for all; each has the records of its own calls.
    over_workers = True
    methods = frozenset(("BYE",))
    Settings = AccountingSettings
    tables = (RECORDS,)
    requires = (Calls,)
    events = (CallTried, CallAnswered, CallFinished)
    settings: AccountingSettings

    def __init__(self, settings: AccountingSettings) -> None:
        super().__init__(settings)
        self._outbox = Outbox(settings.most)
        # Calls that have ended in this input, with what waits for their record.
        self._ended: dict[str, Later[None]] = {}
        self._next: Timer | None = None
        # Writes that failed since the last that went well.
        self._failures = 0
        # When the last write began, and while more records are gathered for the next one, until when.
        self._wrote = float("-inf")
        self._gathers: Timer | None = None
        self._stopped = False
        # Whether the spool is being asked.
        self._saving = False
        # Calls that the running round of interim records has before it.
        self._going_on: list[Call] = []

    def start(self, core: Core, now: float) -> None:
        self._calls = core.module(Calls)
        self._rows = core.rows(RECORDS)
        self._written = core.counter("written", "Records that are on the disk", ("kind",))
        self._plan_interim(now)
        core.run(self._recover(), now)

    async def _recover(self) -> None:
        """Take the records that the process before could not write to their place."""
        try:
            lines = await self.core.ask(Spooled())
        except Exception as error:
            # Without the spool records are kept as before; what is in it waits for the next start.
            self._outbox.trouble = f"the spool cannot be read: {error}"
            return
        now = self.core.ua.now
        kept = [record_from(line) for line in lines]
        mine = [one for one in kept if self.core.mine(one.name.partition(".")[0])]
        for record in mine:
            self._outbox.keep(record, now)
        if mine:
            self._begin(now)

    def configure(self, settings: AccountingSettings, now: float) -> None:
        """Take other settings; records that wait go where the new ones say."""
        had = self.settings.interim
        super().configure(settings, now)
        self._outbox.most = settings.most
        if had != settings.interim:
            self._plan_interim(now)

    def stop(self, now: float) -> None:
        """Write what was gathered, and each later record at once: the server ends."""
        self._stopped = True
        if self._gathers is not None:
            self._gathers.cancel()
            self.timer_fired("again", now)

    def rides(self) -> bool:
        """Whether the events of ``calls`` are enough: attempts are seen by a hook."""
        return not self.settings.attempts

    def figures(self) -> dict[str, Any]:
        """Return how many records wait, and were lost."""
        return {"waiting": len(self._outbox), "lost": self._outbox.lost}

    def health(self) -> str:
        """Return what keeps records from the disk."""
        outbox = self._outbox
        if not outbox.trouble:
            return ""
        lost = f", {outbox.lost} lost (accounting.most)" if outbox.lost else ""
        return f"{len(outbox)} records wait{lost}: {outbox.trouble}"

    # --- what becomes a record

    @function
    def note(self, request: IncomingRequest, name: str, value: str) -> None:
        """Have the record of this call say ``value`` under ``name``."""
        call = self._calls.of(request)
        if call is not None:
            call.variables[_FIELD + name] = value[:_LONGEST]

    def event_received(self, event: Any, now: float) -> None:
        """Make records of the events of the module ``calls``."""
        call: Call = event.call
        settings = self.settings
        if isinstance(event, CallTried):
            if settings.headers and call.request is not None:
                message = call.request.message
                for name in settings.headers:
                    value = message.get(name)
                    if value is not None:
                        call.variables[_FIELD + name] = value[:_LONGEST]
        elif isinstance(event, CallAnswered):
            if settings.starts:
                self._put(record_of(call, "start", 0, self.core.unix, now, self._fields(call)), now)
        else:
            kind = kind_of(call)
            if kind == "call" or getattr(settings, kind):
                record = record_of(call, kind, 0, self.core.unix, now, self._fields(call))
                call.recorded = self._put(record, now)
                self._ended = {call.id: call.recorded}

    def _fields(self, call: Call) -> dict[str, str]:
        found = {}
        for name, value in call.variables.items():
            if name.startswith(_FIELD):
                found[name.removeprefix(_FIELD)] = str(value)
            elif name in self.settings.variables:
                found[name] = str(value)[:_LONGEST]
        return found

    def response_leaving(self, request: IncomingRequest, response: Response) -> Waits:
        """Hold the answer to a BYE until the record of its call is written."""
        if request.method != "BYE" or response.status < 200:
            return None
        call = self._calls.of(request)
        written = None if call is None else self._ended.pop(call.id, None)
        return None if written is None else _until(written)

    # --- writing

    def branch_ended(self, request: IncomingRequest, branch: Branch, status: int) -> None:
        """Record one target of an INVITE, where the settings want that."""
        if not self.settings.attempts or request.method != "INVITE" or request.in_dialog:
            return
        call = self._calls.of(request)
        if call is not None and call.tried:
            number = call.variables[_TRIES] = call.variables.get(_TRIES, 0) + 1
            uri = branch.target.uri
            target = call.asked if uri is None else str(uri)
            self._put(attempt_of(call, number, target, status, self.core.unix, request.now), request.now)

    def _put(self, record: Record, now: float) -> Later[None]:
        written = self._outbox.put(record)
        self._begin(now)
        if self._failures:
            self._save(now)
        return written

    def _save(self, now: float) -> None:
        if not self._saving:
            self._saving = True
            self.core.run(self._keep_safe(), now)

    def _begin(self, now: float) -> None:
        if self._outbox.busy:
            return
        self._outbox.busy = True
        gather = self.settings.gather
        if now - self._wrote < gather and not self._stopped:
            # One write costs about as much for twenty records as for one.
            self._gathers = self.core.timers.start(now, gather, self, "again")
        else:
            self.core.run(self._write(), now)

    async def _write(self) -> None:
        """Write what waits, until nothing does or a write fails."""
        outbox, gather = self._outbox, self.settings.gather
        try:
            while batch := outbox.batch():
                self._wrote = self.core.ua.now
                if self.settings.to == "rows":
                    await self.core.ask(Write((self._rows.change(*batch),)), _PATIENCE)
                else:
                    await self.core.ask(Append(_lines(batch)), _PATIENCE)
                outbox.trouble, self._failures = "", 0
                settled = outbox.settled(batch)
                outbox.written(batch, self.core.ua.now)
                for record in batch:
                    self._written.add(record.kind)
                if settled:
                    await self.core.ask(Unspool(settled))
                if gather and not self._stopped and 0 < len(outbox) < _MOST:
                    # They came during the write; more will.
                    self._gathers = self.core.timers.start(self.core.ua.now, gather, self, "again")
                    return
        except Exception as error:
            # Whatever the fault was: another try does no harm.
            outbox.trouble = f"{type(error).__name__}: {error}"
            self._save(self.core.ua.now)
            pause = min(_AGAIN * 2**self._failures, _LATEST)
            self._failures = min(self._failures + 1, 10)
            self.core.timers.start(self.core.ua.now, pause, self, "again")
            return
        outbox.busy = False

    async def _keep_safe(self) -> None:
        """Have the spool take what no disk has."""
        outbox = self._outbox
        try:
            while batch := outbox.unsafe(_MOST):
                await self.core.ask(Spool(_lines(batch)), _PATIENCE)
                if late := outbox.spooled(batch, self.core.ua.now):
                    await self.core.ask(Unspool(late))
        except Exception as error:
            outbox.trouble = f"{outbox.trouble.partition('; ')[0]}; {error}"
        finally:
            self._saving = False

    def timer_fired(self, name: object, now: float) -> None:
        if name == "again":
            self._gathers = None
            self.core.run(self._write(), now)
            return
        interim = self.settings.interim
        if not interim:
            return
        if name == "interim":
            self._plan_interim(now)
            self._going_on = [call for call in self._calls if call.answered is not None]
        # A few at a time: other inputs have their turn between.
        slice_, self._going_on = self._going_on[:_SLICE], self._going_on[_SLICE:]
        for call in slice_:
            lasted = 0.0 if call.answered is None or call.over else now - call.answered
            # Records of ends are worth more than these: they keep half of the room.
            if lasted >= interim and len(self._outbox) < self.settings.most // 2:
                number = int(lasted / interim)
                self._put(record_of(call, "interim", number, self.core.unix, now, self._fields(call)), now)
        if self._going_on:
            self.core.timers.start(now, _PAUSE, self, "slice")

    def _plan_interim(self, now: float) -> None:
        if self._next is not None:
            self._next.cancel()
        interim = self.settings.interim
        self._next = self.core.timers.start(now, interim, self, "interim") if interim else None


def _lines(records: Sequence[Record]) -> dict[str, str]:
    return {one.name: line_of(one) for one in records}


async def _until(written: Later[None]) -> None:
    await written
