"""Answered calls as rows: a restart knows them, with their limits, timers and what a BYE to them needs.

Theory of operation: a row is put before the caller gets the 2xx, put again when the session is refreshed,
and deleted once the call is over and accounted for. One write is under way at a time and takes all that
wait. A row holds no connection: after a restart a phone on TCP is reached only where its Contact or Route
leads, and a caller who proved nothing not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from sansip.later import Later
from sansip.modules.calls.call import Call, Side, Talk
from sansip.modules.calls.states import ANSWERED
from sansip.modules.calls.tariff import Tariff
from sansip.rows import Table
from sansip.transport import Flow

if TYPE_CHECKING:
    from sansip.module import Core

__all__ = ["KEPT", "Keeping", "Kept"]

# Sequence numbers that a side may have used since its row was written. RFC 3261 12.2.2: the other side takes
# any higher one.
_AHEAD: Final = 1_000
# Rows in one write.
_BATCH: Final = 500
# Seconds until a write that failed is tried again.
_AGAIN: Final = 1.0
_PLAIN: Final = (str, int, float, bool)


@dataclass(slots=True)
class Kept:
    """A row: one answered call. ``data`` is JSON; times are Unix times."""

    node: str
    id: str
    caller: str
    callee: str
    answered: float
    data: str


KEPT = Table("calls_kept", Kept, key=("node", "id"))


class Keeping:
    """The rows of this node's calls."""

    def __init__(self, core: Core, node: str) -> None:
        self._core = core
        self._node = node
        self._rows = core.rows(KEPT)
        # By the ids of calls: what waits to be written, and the rows that there are.
        self.puts: dict[str, tuple[Call, Later[None]]] = {}
        self._gone: set[str] = set()
        self.written: set[str] = set()
        self._busy = False
        self.loaded = False
        self.trouble = ""

    # --- writing

    def put(self, call: Call, now: float) -> Later[None]:
        """Keep ``call`` as it is; the ``Later`` ends when the row is durable."""
        known = self.puts.get(call.id)
        if known is not None:
            return known[1]
        later: Later[None] = Later()
        self.puts[call.id] = (call, later)
        self._begin(now)
        return later

    def drop(self, call: Call, now: float) -> None:
        """``call`` is over; its row goes once its record is written."""
        if call.id not in self.puts and call.id not in self.written:
            return

        def gone(_value: Any, now: float) -> None:
            waiting = self.puts.pop(call.id, None)
            if waiting is not None:
                waiting[1].set(None, now)
            if call.id in self.written:
                self._gone.add(call.id)
                self._begin(now)

        if call.recorded is None:
            gone(None, now)
        else:
            call.recorded.then(gone, now)

    def _begin(self, now: float) -> None:
        if not self._busy:
            self._busy = True
            self._core.run(self._write(), now)

    async def _write(self) -> None:
        try:
            while self.puts or self._gone:
                puts = dict(list(self.puts.items())[:_BATCH])
                gone = list(self._gone)[:_BATCH]
                for name in puts:
                    del self.puts[name]
                self.written.update(puts)
                now = self._core.ua.now
                rows = [self._row(call, now) for call, _ in puts.values() if not call.over]
                try:
                    await self._rows.put(*rows, delete=[(self._node, name) for name in gone])
                except Exception:
                    for name, entry in puts.items():
                        self.puts.setdefault(name, entry)
                    raise
                self.trouble = ""
                self._gone.difference_update(gone)
                self.written.difference_update(gone)
                for _, later in puts.values():
                    later.set(None, self._core.ua.now)
            self._busy = False
        except Exception as error:
            self.trouble = f"calls are not kept: {error}"
            self._core.timers.start(self._core.ua.now, _AGAIN, self, "again")

    def timer_fired(self, _name: object, now: float) -> None:
        self._core.run(self._write(), now)

    def _row(self, call: Call, now: float) -> Kept:
        unix = self._core.unix

        def at(time: float | None) -> float | None:
            return None if time is None else unix(time)

        answered = unix(now if call.answered is None else call.answered)
        data = {
            "call_id": call.call_id,
            "caller_tag": call.caller_tag,
            "asked": call.asked,
            "source": call.source,
            "began": at(call.began),
            "rang": at(call.rang),
            "status": call.status,
            "target": call.target,
            "gateway": call.gateway,
            "tariff": None if call.tariff is None else asdict(call.tariff),
            "keys": sorted(call.keys),
            "variables": {k: v for k, v in call.variables.items() if isinstance(v, _PLAIN)},
            "talks": {
                tag: [_side(talk.caller), _side(talk.callee), None if talk.alone else at(talk.expires)]
                for tag, talk in call.talks.items()
            },
        }
        return Kept(self._node, call.id, call.caller, call.callee, answered, json.dumps(data))

    # --- reading

    async def restore(self, prefix: tuple[str, ...], mine: Callable[[str], bool]) -> list[Call]:
        """Return the calls of the process before, as they were; ``mine`` says which, by their ids."""
        rows = [row for row in await self._rows.all(*prefix) if mine(row.id)]
        now = self._core.ua.now
        found = []
        for row in rows:
            self.written.add(row.id)
            found.append(self._call(row, now))
            if row.node != self._node:
                # The server listens elsewhere now.
                self.written.discard(row.id)
                await self._rows.put(self._row(found[-1], now), delete=[(row.node, row.id)])
                self.written.add(row.id)
        self.loaded = True
        return found

    def _call(self, row: Kept, now: float) -> Call:
        data = json.loads(row.data)
        ago = self._core.unix(now) - now

        def at(unix: float | None) -> float | None:
            return None if unix is None else unix - ago

        call = Call(
            row.id,
            data["call_id"],
            data["caller_tag"],
            row.caller,
            row.callee,
            data["asked"],
            data["source"],
            data["began"] - ago,
        )
        call.rang = at(data["rang"])
        call.answered = row.answered - ago
        call.state = ANSWERED
        call.status = data["status"]
        call.target = data["target"]
        call.gateway = data["gateway"]
        call.tariff = None if data["tariff"] is None else Tariff(**data["tariff"])
        call.variables = data["variables"]
        call.keys = set(data["keys"])
        call.tried = True
        for tag, (caller, callee, expires) in data["talks"].items():
            call.talks[tag] = Talk(self._side(caller), self._side(callee), None, at(expires))
        return call

    def _side(self, given: list[Any]) -> Side:
        name, target, routes, flow, cseq, proven = given
        way = None
        if flow is not None and any(one.id == flow[1] for one in self._core.listeners):
            way = Flow(flow[0], flow[1], tuple(flow[2]))
        return Side(name, target, tuple(routes), way, cseq + _AHEAD, proven)


def _side(side: Side) -> list[Any]:
    flow = side.flow
    way = None if flow is None or flow.conn else [flow.transport, flow.listener, list(flow.address)]
    return [side.name, side.target, list(side.routes), way, side.cseq, side.proven]
