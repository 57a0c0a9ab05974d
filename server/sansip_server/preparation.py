"""Prepares modules for a reload in a thread, and gives that up when it takes too long.

Theory of operation: a migration or a database that hangs must not stop the server, so the thread does the
work (``Provision.prepare``) and posts the result to the stack's thread. A timer bounds the wait.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sansip_server.faults import OperatorError
from sansip_server.provision import Prepared, Provision

if TYPE_CHECKING:
    from sansip.module import Module
    from sansip_sockets import Hub

__all__ = ["Preparation"]

logger = logging.getLogger("sansip.server")


class Preparation:
    """Runs ``provision.prepare`` for ``modules`` in a thread; ``done`` gets the result in the stack's.

    A preparation that is not ready in ``limits.prepare_time`` is given up; its later result is closed
    again. A timer of the hub.
    """

    def __init__(
        self,
        provision: Provision,
        hub: Hub,
        modules: Mapping[type[Module], Any],
        done: Callable[[Prepared | OperatorError], None],
    ) -> None:
        self._provision = provision
        self._hub = hub
        self._modules = modules
        self._done: Callable[[Prepared | OperatorError], None] | None = done
        now = hub.clock()
        self._timer = hub.driver.timers.start(now, hub.driver.limits.prepare_time, self, None)
        hub.settle(now)
        threading.Thread(target=self._prepare, name="sansip-prepare", daemon=True).start()

    def _prepare(self) -> None:
        found: Prepared | OperatorError
        try:
            found = self._provision.prepare(self._modules)
        except OperatorError as error:
            found = error
        except Exception as error:
            logger.exception("reload")
            found = OperatorError(f"internal error: {error!r}")
        self._hub.inbox.post(self._prepared, found)

    def _prepared(self, found: Prepared | OperatorError) -> None:
        self._timer.cancel()
        done, self._done = self._done, None
        if done is not None:
            done(found)
        elif isinstance(found, Prepared):
            found.drop()

    def timer_fired(self, name: None, now: float) -> None:
        done, self._done = self._done, None
        if done is not None:
            names = ", ".join(kind.name for kind in self._modules)
            most = self._hub.driver.limits.prepare_time
            said = f"tables and outer halves of {names} were not ready in {most:g} s (limits.prepare_time)"
            # In a turn of its own: a reload must not run inside a timer.
            self._hub.inbox.post(done, OperatorError(said))
