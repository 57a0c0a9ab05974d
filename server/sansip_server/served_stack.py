"""The stack of a server: it tells the log when it begins to drain, and which module did not start."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sansip.actions import Action
from sansip.journal import JournaledStack
from sansip.module import ModuleFault
from sansip.stack import Stack

__all__ = ["JournaledServedStack", "ServedStack"]

logger = logging.getLogger("sansip.server")


class ServedStack(Stack):
    """A stack that tells the log, and ``on_drain``, when it begins to drain.

    ``unfit`` is the fault of a module that did not start. ``may_end`` tells whether other workers have
    finished, too: what comes to the sockets of a worker that has ended has no answer.
    """

    on_drain: Callable[[], None] | None = None
    unfit: ModuleFault | None = None
    may_end: Callable[[], bool] | None = None

    @property
    def idle(self) -> bool:
        """Whether no request waits for its final response, here and at the other workers."""
        return super().idle and (self.may_end is None or self.may_end())

    def start(self, now: float) -> None:
        """Start the modules; see ``unfit``.

        Nothing is raised: any pump may have the first input, and none is to log a traceback of this.
        """
        try:
            super().start(now)
        except ModuleFault as error:
            self.unfit = error

    def drain(self, now: float) -> list[Action]:
        """Refuse new dialogs from here on (see ``Stack.drain``)."""
        logger.info("draining: new calls get 503, running transactions finish")
        if self.on_drain is not None:
            self.on_drain()
        return super().drain(now)


class JournaledServedStack(ServedStack, JournaledStack):
    """Both: it logs the draining, and records inputs and actions."""
