"""Live values and counts of modules (``sansip.module.sharing``) in a Redis that nodes share.

Theory of operation: a value is a string with an expiry of its own; a script compares and puts it, so no
node's change is lost. A count is the time at which its bucket would be full again (GCRA), by Redis' clock,
so nodes need not agree on the time. All questions that wait are one batch. The log says once that Redis
fails, and once more that it works again; each node counts by itself meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sansip.module.sharing import Count, Get, Swap
from sansip.rows import Key, Table, Values
from sansip_server.config.redis import RedisPlace, RedisSettings
from sansip_server.rows.codec import Codec
from sansip_server.rows.redis import decode, encode, ordered, read_values, written
from sansip_server.stores.redis_client import RedisClient, password_of
from sansip_sockets import handler

__all__ = ["SharedValues"]

logger = logging.getLogger("sansip.shared")

_Question = TypeVar("_Question", Get, Swap, Count)
_Command = Sequence[bytes | str | int]

# KEYS: the value. ARGV: the old value, the new one ("" deletes), milliseconds, 1 to compare.
_SWAP = """
if ARGV[4] == '1' and (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
if ARGV[2] == '' then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
"""
# KEYS: when the bucket is full again. ARGV: how many, in how many seconds.
_COUNT = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local count, per = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + per / count
if full - now > per + 0.000001 then return 0 end
redis.call('SET', KEYS[1], string.format('%.6f', full), 'PX', math.ceil((full - now) * 1000))
return 1
"""


class SharedValues:
    """Answers ``Get``, ``Swap`` and ``Count`` from the Redis at ``place``. Raises ``OperatorError``."""

    def __init__(self, place: RedisPlace, settings: RedisSettings) -> None:
        password = password_of(place, settings)
        # A client for each kind of question, because each kind has a thread of its own.
        self._clients = {kind: RedisClient(place, settings, password) for kind in (Get, Swap, Count)}
        self._clients[Get].check()
        self._prefix = settings.prefix.encode()
        self._name = str(place)
        self._codecs: dict[str, Codec] = {}
        self._failing: dict[type, tuple[float, str]] = {}

    @property
    def handlers(self) -> dict[type, Callable[..., Any]]:
        """The function that the adapter calls for each kind of question."""
        return {Get: self._get, Swap: self._swap, Count: self._count}

    def health(self) -> dict[str, Any]:
        """Return its state for `sansip ctl health`."""
        since, error = min(self._failing.copy().values(), default=(None, None))
        return {"ok": since is None, "name": self._name, "failing_since": since, "error": error}

    def close(self) -> None:
        """Close the connections; the worker threads have ended before."""
        for client in self._clients.values():
            client.close()

    # --- in worker threads

    @handler(batched=True)
    def _get(self, questions: Sequence[Get]) -> list[Any]:
        def taken(question: Get, answer: bytes | None) -> Values | None:
            table = question.table
            return None if answer is None else read_values(self._codec(table), table.columns, answer)

        return self._run(questions, lambda one: ("GET", self._place(one.table, one.key)), taken)

    @handler(batched=True)
    def _swap(self, questions: Sequence[Swap]) -> list[Any]:
        def asked(one: Swap) -> _Command:
            before, after = self._text(one.table, one.before), self._text(one.table, one.after)
            rest = (before, after, max(1, int(one.ttl * 1000)), int(one.check))
            return ("EVAL", _SWAP, 1, self._place(one.table, one.key), *rest)

        return self._run(questions, asked, lambda one, answer: bool(answer))

    @handler(batched=True)
    def _count(self, questions: Sequence[Count]) -> list[Any]:
        def asked(one: Count) -> _Command:
            # Another rate has another bucket: a reload may change the rate.
            key = (
                self._prefix
                + f":count:{one.count:g}:{one.per:g}:".encode()
                + one.key.encode("utf-8", "surrogateescape")
            )
            return ("EVAL", _COUNT, 1, key, repr(float(one.count)), repr(float(one.per)))

        return self._run(questions, asked, lambda one, answer: bool(answer))

    def _place(self, table: Table[Any], key: Key) -> bytes:
        # The key has the version in it: a node of an older program has values of its own.
        return self._prefix + f":shared:{table.name}:{table.version}:".encode() + ordered(key)

    def _codec(self, table: Table[Any]) -> Codec:
        name = f"{table.name} {table.version}"
        found = self._codecs.get(name)
        if found is None:
            found = self._codecs[name] = Codec(table.columns, table.key, encode, decode)
        return found

    def _text(self, table: Table[Any], values: Values | None) -> str:
        return "" if values is None else written(self._codec(table), table.columns, values)

    def _run(
        self,
        questions: Sequence[_Question],
        asked: Callable[[_Question], _Command],
        taken: Callable[[_Question, Any], Any],
    ) -> list[Any]:
        """Return the answers; an exception for each question without one."""
        kind = type(questions[0])
        try:
            answers = self._clients[kind].run([asked(one) for one in questions])
        except Exception as error:
            failure = OSError(f"{self._name}: {error}")
            self._failed(kind, failure)
            return [failure] * len(questions)
        failed = next((one for one in answers if isinstance(one, Exception)), None)
        if failed is None:
            self._works(kind)
        else:
            self._failed(kind, failed)
        return [
            OSError(f"{self._name}: {answer}") if isinstance(answer, Exception) else taken(one, answer)
            for one, answer in zip(questions, answers, strict=True)
        ]

    def _failed(self, kind: type, error: Exception) -> None:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        if not self._failing:
            logger.error("%s; live values of modules fail, and each node counts for itself", text)
        self._failing.setdefault(kind, (time.time(), text))

    def _works(self, kind: type) -> None:
        if self._failing.pop(kind, None) is not None and not self._failing:
            logger.warning("%s works again: live values and counts are those of all nodes", self._name)
