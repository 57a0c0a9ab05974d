"""A reload of all workers: the first one reads everything again, and judges for all.

Theory of operation: where the first worker finds a fault the others are not asked. Else they follow it, and
so does each worker that is started from then on. One that was started before, and serves only now, has read
the old settings: it follows as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sansip_server.supervisor import Supervisor
from sansip_server.workers.questions import Questions
from sansip_sockets import TlsError

__all__ = ["Reloading"]

logger = logging.getLogger("sansip.workers")


class Outside(Protocol):
    """What the parent has for its workers (``sansip_server.workers.provisioning``)."""

    def prepare(self, done: Callable[[list[str]], None]) -> None: ...
    def take(self) -> None: ...
    def drop(self) -> None: ...


class Reloading:
    """Reloads the workers that ``questions`` reaches. ``count``: how many reloads there were."""

    def __init__(self, questions: Questions, supervisor: Supervisor) -> None:
        self._questions = questions
        self._supervisor = supervisor
        self.count = 0
        # Worker -> the reload whose settings it has.
        self._has: dict[int, int] = {}
        self._runs = False
        # Reads the certificates of the HTTP listeners again.
        self.renewed: Callable[[], None] = lambda: None
        # What the parent has for all workers; None where it has nothing.
        self.outside: Outside | None = None

    def started(self, number: int) -> int:
        """A worker is about to be started; return how many reloads there were."""
        self._has[number] = self.count
        return self.count

    def serves(self, number: int) -> None:
        """A worker serves from now on."""
        if self._has[number] != self.count:
            # It read its settings before the others had the new ones.
            self._follow([number], lambda failed: None)

    def reload(self, told: Callable[[list[str], list[str]], None]) -> None:
        """Have all workers read everything again, the first one alone first: it judges for all.

        ``told`` gets what was read again, and the faults.
        """
        if self._runs:
            told([], ["a reload runs already; try again when it has ended"])
            return
        self._runs = True
        self._supervisor.reloading()
        numbers = self._questions.serving
        outcome: list[list[str]] = [[], []]

        def ended() -> None:
            self._runs = False
            self._supervisor.reloaded()
            told(outcome[0], outcome[1])

        def followed(failed: list[str]) -> None:
            outcome[1].extend(failed)
            ended()

        def judged(found: dict[int, Any]) -> None:
            for done, failed in found.values():
                outcome[0], outcome[1] = done, failed
            if outcome[1] or not found:
                if self.outside is not None:
                    self.outside.drop()
                ended()
                return
            if self.outside is not None:
                self.outside.take()
            # From here on a worker that is started again reads them as well.
            self.count += 1
            try:
                self.renewed()
            except TlsError as error:
                outcome[1].append(f"tls of http.listen: {error}")
            for number in found:
                self._has[number] = self.count
            # Those too that began to serve meanwhile.
            behind = [one for one in self._questions.serving if self._has[one] != self.count]
            self._follow(behind, followed)

        def prepared(faults: list[str]) -> None:
            if faults:
                for line in faults:
                    logger.error("%s", line)
                outcome[1].extend(faults)
                ended()
            else:
                self._questions.ask(numbers[:1], ("reload",), judged)

        if self.outside is None:
            prepared([])
        else:
            self.outside.prepare(prepared)

    def _follow(self, numbers: Sequence[int], told: Callable[[list[str]], None]) -> None:
        """Have workers take the settings that the first one has taken; ``told`` gets the faults."""

        def replied(found: dict[int, Any]) -> None:
            faults = [f"worker {number}: {line}" for number, (_, failed) in found.items() for line in failed]
            for line in faults:
                logger.error("reload: %s", line)
            told(faults)

        for number in numbers:
            self._has[number] = self.count
        self._questions.ask(numbers, ("reload",), replied)
