"""Values and counts of modules that are alike on all nodes: calls of each user, keys that are taken.

Theory of operation: a value is the row of a table that lives for some seconds, and is not durable: a node
that dies leaves no values behind. If nodes share a Redis (``rows``), this node asks the outside, by the
questions in here. A server alone holds the values itself, and the answer comes at once. To change a value,
the code reads it, changes it, and puts it on condition that no other writer changed it meanwhile; else it
tries once more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from sansip.errors import LocalProtocolError
from sansip.inside import Callback, Inside
from sansip.module.limiting import Rates
from sansip.routing.awaitables import Question
from sansip.rows import Key, Table, Values

if TYPE_CHECKING:
    from sansip.limits import Limits
    from sansip.routing.core import Core

__all__ = ["Count", "Get", "Limited", "MemoryValues", "Shared", "Swap"]

Row = TypeVar("Row")
# Seconds that a count of all nodes may take; after it this node counts for itself.
_WITHIN = 1.0


@dataclass(slots=True)
class Get:
    """The value of ``key``. Answer: its values, or None."""

    table: Table[Any]
    key: Key


@dataclass(slots=True)
class Swap:
    """Put ``after`` (None deletes) in the place of ``before`` (None: there is none), for ``ttl`` seconds.

    Where ``check`` is False, whatever is there. Answer: whether that was done.
    """

    table: Table[Any]
    key: Key
    before: Values | None
    after: Values | None
    ttl: float
    check: bool = True


@dataclass(slots=True)
class Count:
    """Count one more of ``key``. Answer: whether there are at most ``count`` in ``per`` seconds."""

    key: str
    count: float
    per: float


Sharing: TypeAlias = Get | Swap | Count


class MemoryValues:
    """The values and counts of one process; at most ``limits.shared_values`` of each."""

    __slots__ = ("_limits", "_rates", "_values")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        # (table, key) -> values, and when they end; those that end first are near the front.
        self._values: OrderedDict[tuple[str, Key], tuple[Values, float]] = OrderedDict()
        self._rates = Rates(limits.shared_values)

    def __len__(self) -> int:
        return len(self._values)

    def answer(self, question: Sharing, now: float) -> Any:
        """Answer ``question``, or return the exception in its place."""
        match question:
            case Get():
                return self._standing((question.table.name, question.key), now)
            case Swap():
                return self._swap(question, now)
            case Count():
                return self._rates.allow(question.key, question.count, question.per, now)

    def _standing(self, place: tuple[str, Key], now: float) -> Values | None:
        found = self._values.get(place)
        if found is None:
            return None
        if found[1] <= now:
            del self._values[place]
            return None
        return found[0]

    def _swap(self, question: Swap, now: float) -> bool | Exception:
        place = (question.table.name, question.key)
        if question.check and self._standing(place, now) != question.before:
            return False
        self._values.pop(place, None)
        if question.after is None:
            return True
        if len(self._values) >= self._limits.shared_values:
            self._sweep(now)
            if len(self._values) >= self._limits.shared_values:
                return OSError("too many shared values (limits.shared_values)")
        self._values[place] = (question.after, now + question.ttl)
        return True

    def _sweep(self, now: float) -> None:
        """Forget the values that have ended."""
        over = [place for place, (_, end) in self._values.items() if end <= now]
        for place in over:
            del self._values[place]


class _At(Inside):
    """A question to the values of this process."""

    __slots__ = ("_question", "_values")

    def __init__(self, values: MemoryValues, question: Sharing) -> None:
        self._values = values
        self._question = question

    def put(self, callback: Callback, now: float) -> None:
        callback(self._values.answer(self._question, now), now)


class Shared(Generic[Row]):
    """The live values of ``table``, for coroutines; alike on all nodes that share a Redis.

    Each method raises ``OSError`` where that cannot be reached, and ``TimeoutError`` where it does not
    answer.
    """

    __slots__ = ("_attempts", "_values", "table")

    def __init__(self, table: Table[Row], values: MemoryValues | None, attempts: int) -> None:
        self.table = table
        # None: the outside has them.
        self._values = values
        self._attempts = attempts

    def _ask(self, question: Sharing) -> Question:
        return Question(question if self._values is None else _At(self._values, question))

    async def get(self, *key: Any) -> Row | None:
        """Return the row of ``key``, or None."""
        values = await self._ask(Get(self.table, key))
        return None if values is None else self.table.row_of(values)

    async def put(self, row: Row, *, ttl: float) -> None:
        """Put a row, whatever is there. It is gone after ``ttl`` seconds, unless it is put again."""
        values = self.table.values_of(row)
        await self._ask(Swap(self.table, self.table.key_of(values), None, values, _checked(ttl), False))

    async def delete(self, *key: Any) -> None:
        """Delete a row."""
        await self._ask(Swap(self.table, key, None, None, 0.0, False))

    async def change(
        self, key: Key, function: Callable[[Row | None], Row | None], *, ttl: float
    ) -> Row | None:
        """Put what ``function`` makes of the row of ``key``; None stands for none on both sides.

        No change is lost: if another writer changed it meanwhile, ``function`` is called again. Returns the
        value that was put. Raises ``OSError`` after ``limits.change_attempts``.
        """
        table = self.table
        _checked(ttl)
        for _ in range(self._attempts):
            before = await self._ask(Get(table, key))
            row = function(None if before is None else table.row_of(before))
            after = None if row is None else table.values_of(row)
            if after is not None and table.key_of(after) != key:
                raise LocalProtocolError(
                    f"table {table.name}: the row of {key} cannot become that of another"
                )
            if await self._ask(Swap(table, key, before, after, ttl)):
                return row
        raise OSError(f"{key} changes all the time (limits.change_attempts)")


def _checked(ttl: float) -> float:
    if not 0 < ttl < 1e9:
        raise LocalProtocolError(f"a value lives for more than 0 seconds, not {ttl:g}")
    return ttl


class Limited(Inside):
    """An awaitable for whether one more is allowed: by all nodes, or by ``rates`` where they are silent."""

    __slots__ = ("_core", "_question", "_rates")

    def __init__(self, rates: Rates, question: Count, core: Core | None) -> None:
        self._rates = rates
        self._question = question
        # Whose outside counts for all nodes; None: this process counts.
        self._core = core

    def __await__(self) -> Generator[Any, Any, bool]:
        allowed: bool = yield from Question(self).__await__()
        return allowed

    def put(self, callback: Callback, now: float) -> None:
        if self._core is None:
            callback(self._alone(now), now)
            return

        def counted(answer: Any, now: float) -> None:
            callback(answer if isinstance(answer, bool) else self._alone(now), now)

        self._core.ask(self._question, counted, now, _WITHIN)

    def _alone(self, now: float) -> bool:
        question = self._question
        return self._rates.allow(question.key, question.count, question.per, now)
