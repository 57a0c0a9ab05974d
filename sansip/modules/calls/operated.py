"""What operators see of calls, and do to them: the commands."""

from __future__ import annotations

from sansip.module import CommandError, Gathered, command
from sansip.modules.calls.call import Call
from sansip.modules.calls.records import Records
from sansip.modules.calls.row import Row, row_of

__all__ = ["Operated"]


class Operated(Records):
    """The records of calls with the commands on them."""

    name = "calls"

    @command("calls.list", everywhere=Gathered(key=("id",), order="number"))
    def list_calls(
        self, now: float, after: int = 0, limit: int = 100, key: str = "", user: str = ""
    ) -> list[Row]:
        """Return calls that go on, the oldest first; ``after``: the last number of the page before.

        ``key``: only those that count for it; ``user``: only those whose caller's or callee's URI has it.
        """
        rows: list[Row] = []
        for call in self._calls.values():
            if call.number <= after:
                continue
            if (key and key not in call.keys) or (user and user not in f"{call.caller} {call.callee}"):
                continue
            rows.append(row_of(call, self.core.unix, now))
            if len(rows) >= max(1, min(limit, 1_000)):
                break
        return rows

    @command("calls.show", everywhere=Gathered(any=True))
    def show(self, id: str, now: float) -> Row:
        """Return one call, by its id or its Call-ID."""
        return row_of(self._found("calls.show", id), self.core.unix, now)

    @command("calls.hangup", everywhere=Gathered(any=True))
    def hangup(self, id: str, now: float, reason: str = "hung up by the operator") -> Row:
        """Hang up a call, by its id or its Call-ID: a BYE to both sides, or an end of its ringing."""
        call = self._found("calls.hangup", id)
        row = row_of(call, self.core.unix, now)
        # It goes into a quoted string (RFC 3326).
        self._supervision.hang_up(
            call, "".join(c for c in reason if c.isprintable() and c not in '"\\')[:80], now
        )
        return row

    @command("calls.total", role="read")
    async def total(self, key: str) -> int:
        """Return how many calls count for ``key``, on all nodes that share a Redis."""
        return self._counts.of(key) if self._together is None else await self._together.total(key)

    @command("calls.count")
    def counts(self) -> dict[str, int]:
        """Return how many calls count for each key."""
        return dict(sorted(self._counts.all().items()))

    def _found(self, command: str, name: str) -> Call:
        call = self._calls.get(name) or next(
            (one for one in self._calls.values() if one.call_id == name), None
        )
        if call is None:
            raise CommandError(f"{command}: there is no call {name:.80}; `sansip ctl calls.list` shows them")
        return call
