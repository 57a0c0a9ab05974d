"""What the core notifies of, as records of the log.

Theory of operation: events carry facts (``sansip.events``); here they get words
and a level. What a stranger can cause at will is at most ``info``, so that a flood
of garbage does not fill a log of warnings; what an operator should look at is a
``warning``, and a route that failed is an ``error`` with its traceback.
"""

from __future__ import annotations

import logging
from typing import Any

from sansip.events import BindingsChanged, ConnectionRefused, LimitReached, MessageRefused, RouteFailed

__all__ = ["log_event"]

logger = logging.getLogger("sansip.events")


def log_event(event: Any) -> None:
    """Write ``event`` to the log; events of unknown kinds are written as they are."""
    match event:
        case BindingsChanged(aor, count, reason):
            logger.info("%s %s: %d binding%s", aor, reason, count, "" if count == 1 else "s")
        case MessageRefused(source, status, reason, section):
            outcome = f"answered {status}" if status else "not answered"
            logger.info("refused a message from %s, %s: %s (%s)", source, outcome, reason, section)
        case LimitReached(name, source):
            logger.warning("limits.%s reached by %s", name, source)
        case ConnectionRefused(source, reason):
            logger.warning("refused a connection from %s: %s", source, reason)
        case RouteFailed(method, uri, error):
            trace = (type(error), error, error.__traceback__)
            logger.error("the route failed for %s %s", method, uri, exc_info=trace)
        case _:
            logger.info("%r", event)
