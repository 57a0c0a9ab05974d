"""The shared location at work: the stack's questions answered from Redis, its health told.

Theory of operation: each kind of question has a handler in a worker thread, with a
connection of its own, and takes all that wait as one batch: one round trip. When
Redis cannot be asked, that is said once in the log, with what it means; until the
next try is due every question fails at once, so that nobody waits for what is
known to be gone. The signs of life, each few seconds, try on their own, and so
find out when it is back.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from sansip.location import Heartbeat, NodeState, SharedRead, SharedRecord, SharedWrite
from sansip_server.config.redis import RedisPlace, RedisSettings
from sansip_server.stores.redis_client import RedisClient, Replicas, password_of
from sansip_server.stores.redis_location import RedisLocation
from sansip_sockets import handler

__all__ = ["SharedStorage", "Unavailable"]

logger = logging.getLogger("sansip.location")

# Seconds until a location that failed is tried again: the first time, and at most.
FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0


class Unavailable(Exception):
    """The location failed a moment ago, and is not tried yet."""


class SharedStorage:
    """Answers ``SharedRead``, ``SharedWrite`` and ``Heartbeat`` from the Redis at ``place``.

    Raises ``OperatorError`` where redis-py is missing or the password file unreadable;
    a Redis that does not answer is no reason not to start.
    """

    def __init__(
        self, place: RedisPlace, settings: RedisSettings, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._place = place
        self._clock = clock
        password = password_of(place, settings)
        clients = [RedisClient(place, settings, password) for _ in range(3)]
        clients[0].check()
        self._reader, self._writer, self._pulse = (
            RedisLocation(client, settings.prefix) for client in clients
        )
        # When the location began to fail (Unix time), or None while it works.
        self.failing_since: float | None = None
        # When it began to refuse "reads" or "writes" that it could be asked for.
        self.refusing_since: dict[str, float] = {}
        self._wait = FIRST_WAIT
        self._again = float("-inf")
        # The last failure or refusal, in words.
        self._error = ""
        self._node: NodeState | None = None
        # All that lived at the last beat.
        self._nodes: list[NodeState] = []

    def health(self) -> dict[str, Any]:
        """Return what ``sansip ctl health`` shows of the location."""
        since = min((self.failing_since or math.inf, *self.refusing_since.copy().values()))
        fails = since < math.inf
        return {
            "ok": not fails,
            "name": str(self._place),
            "failing_since": since if fails else None,
            "error": self._error if fails else None,
            "nodes": [f"{node.name} (drains)" if node.draining else node.name for node in self._nodes],
        }

    @property
    def handlers(self) -> dict[type, Callable[..., Any]]:
        """What the adapter calls for each kind of question."""
        return {SharedRead: self._read, SharedWrite: self._write, Heartbeat: self._beat}

    def look(self, node: str) -> list[NodeState]:
        """Return which nodes live, none where the location does not answer; tell the log."""
        try:
            # Nobody's beat: nothing is claimed before the sockets are open.
            others = self._pulse.beat(Heartbeat(NodeState("", "", ""), 0.0))
        except Exception as error:
            self._failed(error)
            return []
        names = sorted(state.name for state in others)
        logger.info("registrations are shared at %s with %s", self._place, ", ".join(names) or "nobody yet")
        if node in names:
            logger.warning(
                "a node named %r lives there already: unless that was this one before a restart,"
                " give each its own node.name",
                node,
            )
        return others

    def leave(self) -> None:
        """Tell the others that this node is gone, and close every connection."""
        try:
            if self._node is not None and self.failing_since is None:
                self._pulse.beat(Heartbeat(self._node, 0.0))
        except Exception as error:
            logger.info("could not tell the other nodes of the end: %s", error)
        for location in (self._reader, self._writer, self._pulse):
            location.close()

    # --- in worker threads

    @handler(batched=True)
    def _read(self, reads: Sequence[SharedRead]) -> Sequence[SharedRecord | Exception]:
        return self._guarded("reads", len(reads), lambda: self._reader.read(reads, _offset()))

    @handler(batched=True)
    def _write(self, writes: Sequence[SharedWrite]) -> Sequence[SharedRecord | Exception | None]:
        return self._guarded(
            "writes", len(writes), lambda: self._writer.write(writes, time.monotonic(), _offset())
        )

    @handler()
    def _beat(self, heartbeat: Heartbeat) -> list[NodeState]:
        try:
            states = self._pulse.beat(heartbeat)
        except Exception as error:
            raise self._failed(error) from None
        self._node = heartbeat.node
        self._nodes = sorted(states, key=lambda state: state.name)
        self._works()
        return states

    def _guarded(self, kind: str, count: int, ask: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        if self.failing_since is not None and self._clock() < self._again:
            return [Unavailable("the shared location failed a moment ago")] * count
        refused: Exception | None = None
        try:
            answers = ask()
        except Replicas as error:
            refused = error
            answers = [error] * count
        except Exception as error:
            return [self._failed(error)] * count
        self._works()
        for answer in answers:
            if isinstance(answer, Exception):
                refused = answer
        self._refuses(kind, refused)
        return answers

    def _failed(self, error: Exception) -> Exception:
        """Note that nothing could be asked at all."""
        self._error = str(error) or type(error).__name__
        if self.failing_since is None:
            self.failing_since = time.time()
            self._wait = FIRST_WAIT
            logger.error(
                "the shared location %s fails: %s; registrations get 503, and whom this node knows is"
                " served from memory, until it works again",
                self._place,
                self._error,
            )
        self._again = self._clock() + self._wait
        self._wait = min(2 * self._wait, LONGEST_WAIT)
        return error

    def _works(self) -> None:
        if self.failing_since is not None:
            seconds = time.time() - self.failing_since
            logger.warning("the shared location %s works again after %.0f s", self._place, seconds)
            self.failing_since = None

    def _refuses(self, kind: str, error: Exception | None) -> None:
        """Note whether what could be asked was refused: full, read-only, without its replicas."""
        if error is not None:
            self._error = f"refuses {kind}: {error}"
            if kind not in self.refusing_since:
                self.refusing_since[kind] = time.time()
                text = "the shared location %s refuses %s: %s; %s, until it takes them again"
                effect = "registrations get 503" if kind == "writes" else "memory is asked instead"
                logger.error(text, self._place, kind, error, effect)
        elif (since := self.refusing_since.pop(kind, None)) is not None:
            logger.warning(
                "the shared location %s takes %s again after %.0f s", self._place, kind, time.time() - since
            )


def _offset() -> float:
    """Return Unix time minus the stack's clock, as it is now: a clock may be set while we run."""
    return time.time() - time.monotonic()
