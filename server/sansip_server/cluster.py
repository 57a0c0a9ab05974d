"""The shared location at work: it answers the stack's questions from Redis, and tells its health.

Theory of operation: reads and writes have a connection in the loop itself (``location_turns``);
signs of life, and all questions to a cluster, have a handler in a worker thread. All questions that wait
are one batch: one round trip. When Redis cannot be asked, the log says so once, with the consequences.
Until the next try is due every question fails at once, so no phone waits for a Redis that is known to be
gone. The signs of life, every few seconds, try on their own, and so notice when Redis is back. A Redis that
answers and refuses (full, read-only, without its replicas) has not failed: the commands that it accepts go
on.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from sansip.location import Heartbeat, Nodes, NodeState, SharedRead, SharedRecord, SharedWrite
from sansip_server.config.redis import RedisPlace, RedisSettings
from sansip_server.location_turns import LocationTurns
from sansip_server.stores.redis_client import RedisClient, Replicas, is_refused, password_of
from sansip_server.stores.redis_clock import RedisClock
from sansip_server.stores.redis_codec import NewerRecord
from sansip_server.stores.redis_link import Link
from sansip_server.stores.redis_location import RedisLocation
from sansip_server.stores.tracked import Tracked
from sansip_sockets import handler
from sansip_sockets.hub import Hub

__all__ = ["SharedStorage", "Unavailable"]

logger = logging.getLogger("sansip.location")

# Seconds until the server tries a failed location again: the first time, and at most.
FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0
# Seconds between two lines of the log on records of a newer version.
_NEWER_PAUSE = 60.0
# The consequence of a refusal.
_EFFECTS = {
    "reads": "memory is asked instead",
    "writes": "registrations get 503",
    "signs of life": "the nodes ask each other over SIP",
}


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
        self._settings = settings
        self._clock = clock
        self._password = password = password_of(place, settings)
        # Connections in the loop.
        self._links: list[Link] = []
        clients = [RedisClient(place, settings, password) for _ in range(3)]
        clients[0].check()
        self._reader, self._writer, self._pulse = (
            RedisLocation(client, settings.prefix) for client in clients
        )
        # When the location began to fail (Unix time), or None while it works.
        self.failing_since: float | None = None
        # When it began to refuse "reads" or "writes", although it answers.
        self.refusing_since: dict[str, float] = {}
        # Redis's clock, by which all nodes count.
        self._time = RedisClock()
        self._was_off = False
        # The policy by which Redis throws registrations away when it is full, "" for none.
        self._evicts = ""
        # When the log last said that records are of a newer version.
        self._newer_said = -math.inf
        self._newer = 0
        self._wait = FIRST_WAIT
        self._again = float("-inf")
        # The last failure or refusal, in words.
        self._error = ""
        self._node: NodeState | None = None
        # All nodes that lived at the last beat.
        self._nodes: list[NodeState] = []

    def health(self, nodes: Nodes | None = None) -> dict[str, Any]:
        """Return what ``sansip ctl health`` shows of the location, and of ``nodes``."""
        since = min((self.failing_since or math.inf, *self.refusing_since.copy().values()))
        fails = since < math.inf
        skew = self._time.skew
        return {
            "ok": not fails,
            "name": str(self._place),
            "failing_since": since if fails else None,
            "error": self._error if fails else None,
            "nodes": [f"{node.name} (drains)" if node.draining else node.name for node in self._nodes],
            "clock_skew": None if skew is None else round(skew, 3),
            "warnings": [*self._warnings(), *([] if nodes is None else _node_warnings(nodes))],
        }

    def _warnings(self) -> list[str]:
        warnings = []
        if self._time.is_off and self._time.skew is not None:
            warnings.append(f"this machine's clock is {_off(self._time.skew)} that of the location: run NTP")
        if self._evicts:
            warnings.append(f"it throws registrations away when it is full (maxmemory-policy {self._evicts})")
        if self._newer:
            warnings.append(f"{self._newer} times a record of a newer version of sansip: upgrade this node")
        return warnings

    @property
    def handlers(self) -> dict[type, Callable[..., Any]]:
        """The function that the adapter calls for each kind of question."""
        return {SharedRead: self._read, SharedWrite: self._write, Heartbeat: self._beat}

    def look(self) -> list[NodeState]:
        """Return which nodes live, none if the location does not answer; tell the log."""
        try:
            # A beat without a node: this node claims nothing before its sockets are open.
            others = self._pulse.beat(Heartbeat(NodeState("", "", ""), 0.0))
            self._compare_clocks()
            self._look_for_eviction()
        except Exception as error:
            self._failed(error)
            return []
        names = sorted(state.name for state in others)
        logger.info("registrations are shared at %s with %s", self._place, ", ".join(names) or "nobody yet")
        return others

    def leave(self, *, tells: bool = True) -> None:
        """Tell the others that this node is gone (if it ``tells``), and close every connection."""
        try:
            if tells and self._node is not None and self.failing_since is None:
                self._pulse.beat(Heartbeat(self._node, 0.0))
        except Exception as error:
            logger.info("could not tell the other nodes of the end: %s", error)
        for link in self._links:
            link.close()
        for location in (self._reader, self._writer, self._pulse):
            location.close()

    def attach(self, hub: Hub, aors: int) -> None:
        """Answer reads and writes from the loop of ``hub``, without a thread between; not of a cluster.

        ``aors``: records that the mirror holds at the most.
        """
        if self._place.kind == "cluster":
            # Its servers are several, and may send a question on; redis-py knows how.
            return
        tracked = Tracked(self._settings.prefix, aors)
        writer = reader = Link(hub, self._place, self._settings, self._password, tracked)
        if self._settings.wait_replicas:
            # A connection waits for its replicas, and look-ups must not wait with it.
            reader = Link(hub, self._place, self._settings, self._password)
            self._links.append(reader)
        self._links.append(writer)
        for kind, link, reads in ((SharedRead, reader, True), (SharedWrite, writer, False)):
            asking = LocationTurns(
                *(hub, link, self._judged, self.closed, self._time, self._settings, reads, tracked, writer)
            )
            hub.answering.ask_by(kind, asking.ask)

    # --- in worker threads

    @handler(batched=True)
    def _read(self, reads: Sequence[SharedRead]) -> Sequence[SharedRecord | Exception | None]:
        def ask() -> Sequence[Any]:
            return self._reader.read(reads, self._time.offset(self._reader.time))

        return self._guarded("reads", len(reads), ask)

    @handler(batched=True)
    def _write(self, writes: Sequence[SharedWrite]) -> Sequence[SharedRecord | Exception | None]:
        def ask() -> Sequence[Any]:
            offset = self._time.offset(self._writer.time)
            return self._writer.write(writes, time.monotonic(), offset)

        return self._guarded("writes", len(writes), ask)

    @handler()
    def _beat(self, heartbeat: Heartbeat) -> list[NodeState]:
        if heartbeat.seconds <= 0:
            # This ends a former life of this node.
            return self._pulse.beat(heartbeat)
        try:
            states = self._pulse.beat(heartbeat)
            self._compare_clocks()
        except Exception as error:
            if not is_refused(error):
                raise self._failed(error) from None
            self._works()
            self._refuses("signs of life", error)
            raise
        self._refuses("signs of life", None)
        self._node = heartbeat.node
        self._nodes = sorted(states, key=lambda state: state.name)
        self._works()
        return states

    def closed(self) -> Exception | None:
        """Return an exception where the location failed a moment ago, and is not tried yet."""
        if self.failing_since is not None and self._clock() < self._again:
            return Unavailable("the shared location failed a moment ago")
        return None

    def _guarded(self, kind: str, count: int, ask: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        closed = self.closed()
        if closed is not None:
            return [closed] * count
        try:
            answers: Sequence[Any] | Exception = ask()
        except Exception as error:
            answers = error
        return self._judged(kind, count, answers)

    def _judged(self, kind: str, count: int, answers: Sequence[Any] | Exception) -> Sequence[Any]:
        """Note what the answers to ``count`` questions say of the location; return an answer for each."""
        refused: Exception | None = None
        if isinstance(answers, Exception):
            if not (isinstance(answers, Replicas) or is_refused(answers)):
                return [self._failed(answers)] * count
            refused = answers
            answers = [answers] * count
        if self.failing_since is not None:
            self._works()
        for answer in answers:
            if isinstance(answer, NewerRecord):
                self._say_newer(answer)
            elif isinstance(answer, Exception):
                refused = answer
        if refused is not None or self.refusing_since:
            self._refuses(kind, refused)
        return answers

    def _failed(self, error: Exception) -> Exception:
        """Note that Redis could not be asked at all."""
        self._error = str(error) or type(error).__name__
        if self.failing_since is None:
            self.failing_since = time.time()
            self._wait = FIRST_WAIT
            logger.error(
                "the shared location %s fails: %s; registrations get 503, and users that it knows are"
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
        """Note whether Redis answered and refused: full, read-only, without its replicas."""
        if error is not None:
            self._error = f"refuses {kind}: {error}"
            if kind not in self.refusing_since:
                self.refusing_since[kind] = time.time()
                text = "the shared location %s refuses %s: %s; %s, until it takes them again"
                logger.error(text, self._place, kind, error, _EFFECTS[kind])
        elif (since := self.refusing_since.pop(kind, None)) is not None:
            logger.warning(
                "the shared location %s takes %s again after %.0f s", self._place, kind, time.time() - since
            )

    def _say_newer(self, error: NewerRecord) -> None:
        self._newer += 1
        now = self._clock()
        if now - self._newer_said > _NEWER_PAUSE:
            self._newer_said = now
            logger.error(
                "%s, and is left alone: its registrations get 503 here; upgrade this node (%d until now)",
                *(error, self._newer),
            )

    def _compare_clocks(self) -> None:
        """Ask Redis for the time; tell the log if it differs from this machine's, or no longer differs."""
        clock = self._time
        clock.ask(self._pulse.time)
        if clock.stepped:
            logger.warning(
                "the clock of the shared location went %s by %.1f s at once: bindings end that much %s",
                *("forward" if clock.stepped > 0 else "back", abs(clock.stepped)),
                "earlier" if clock.stepped > 0 else "later",
            )
        skew = clock.skew
        if clock.is_off is not self._was_off and skew is not None:
            self._was_off = clock.is_off
            if clock.is_off:
                logger.warning(
                    "this machine's clock is %s that of the shared location: bindings end by the location's,"
                    " nonces and certificates by this one; run NTP on both",
                    _off(skew),
                )
            else:
                logger.info("this machine's clock is that of the shared location again")

    def _look_for_eviction(self) -> None:
        self._evicts = self._pulse.evicts()
        if self._evicts:
            logger.warning(
                "the shared location %s throws registrations away when it is full: set maxmemory-policy"
                " noeviction (it is %s)",
                *(self._place, self._evicts),
            )


def _off(skew: float) -> str:
    return f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'}"


def _node_warnings(nodes: Nodes) -> list[str]:
    warnings = [
        f"node {node.name} at {node.address} lives and has lost the location" for node in nodes.cut_off
    ]
    warnings += [
        f"node {node.name} at {node.address} lives and does not answer here"
        for node in nodes.unreachable.values()
    ]
    warnings += [
        f"another node is named {node.name}, too, at {node.address}" for node in nodes.twins.values()
    ]
    warnings += [
        f"node {node.name} at {node.address} has another key (secret_file)"
        for node in nodes.strangers.values()
    ]
    return warnings
