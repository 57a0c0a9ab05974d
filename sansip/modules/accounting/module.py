"""The module ``accounting``: a record of each call, on the disk before the phones know that it is over.

Theory of operation: the module ``calls`` says what became of a call; that becomes a ``Record`` in the
``Outbox``. The 200 to a BYE waits until the record is written, as a 200 to a REGISTER waits for its binding;
where the disk does not take it, the 200 leaves after ``limits.hook_time``, the record waits in memory, and
`sansip ctl health` says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sansip.module import Module, function
from sansip.modules.accounting.outbox import Outbox
from sansip.modules.accounting.record import Record, kind_of, line_of, record_of
from sansip.modules.accounting.settings import AccountingSettings
from sansip.modules.calls import Call, CallAnswered, CallFinished, Calls, CallTried
from sansip.rows import Table

if TYPE_CHECKING:
    from sansip.clock import Timer
    from sansip.later import Later
    from sansip.module import Core
    from sansip.module.base import Waits
    from sansip.routing import IncomingRequest
    from sansip.wire import Response

__all__ = ["RECORDS", "Accounting", "Append"]

RECORDS = Table("accounting_records", Record, key=("name",))
# Seconds until a write that failed is tried again.
_AGAIN: Final = 1.0
# Seconds that a write may take.
_PATIENCE: Final = 30.0
# Interim records that are made at once, and the seconds until the next ones.
_SLICE, _PAUSE = 200, 0.02
# Characters of a header field or variable in a record.
_LONGEST: Final = 500
# Where header fields stand among a call's variables.
_FIELD: Final = "accounting "


@dataclass(frozen=True, slots=True)
class Append:
    """The question to the outside: write these lines at the end of the file, and to the disk."""

    lines: tuple[str, ...]


class Accounting(Module):
    """Records calls: the caller, the times of ringing, answer and end, who ended it, and its purpose."""

    name = "accounting"
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
        # Calls that the running round of interim records has before it.
        self._going_on: list[Call] = []

    def start(self, core: Core, now: float) -> None:
        self._calls = core.module(Calls)
        self._rows = core.rows(RECORDS)
        self._written = core.counter("written", "Records that are on the disk", ("kind",))
        self._plan_interim(now)

    def configure(self, settings: AccountingSettings, now: float) -> None:
        """Take other settings; records that wait go where the new ones say."""
        had = self.settings.interim
        super().configure(settings, now)
        self._outbox.most = settings.most
        if had != settings.interim:
            self._plan_interim(now)

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
                self._ended = {call.id: self._put(record, now)}

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

    def _put(self, record: Record, now: float) -> Later[None]:
        written = self._outbox.put(record)
        if not self._outbox.busy:
            self._outbox.busy = True
            self.core.run(self._write(), now)
        return written

    async def _write(self) -> None:
        """Write what waits, until nothing does or a write fails."""
        outbox = self._outbox
        try:
            while batch := outbox.batch():
                if self.settings.to == "rows":
                    await self._rows.put(*batch)
                else:
                    await self.core.ask(Append(tuple(map(line_of, batch))), _PATIENCE)
                outbox.trouble = ""
                outbox.written(batch, self.core.ua.now)
                for record in batch:
                    self._written.add(record.kind)
        except Exception as error:
            # Whatever the fault was: another try does no harm.
            outbox.trouble = f"{type(error).__name__}: {error}"
            self.core.timers.start(self.core.ua.now, _AGAIN, self, "again")
            return
        outbox.busy = False

    def timer_fired(self, name: object, now: float) -> None:
        if name == "again":
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


async def _until(written: Later[None]) -> None:
    await written
