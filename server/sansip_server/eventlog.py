"""The events of the core, as records of the log.

Theory of operation: events carry facts (``sansip.events``); here they get words and a level. An event that a
stranger can cause at will is at most ``info``. An event that an operator should look at is a ``warning``, and
a route that failed is an ``error`` with its traceback. Each kind may fill a few lines a second; the log only
counts the others: the log must not take the machine's time in a flood of garbage, or at a thousand
registrations a second.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from sansip.errors import without_frames
from sansip.events import (
    AuthenticationFailed,
    BindingsChanged,
    ConnectionRefused,
    CredentialsRefused,
    DestinationRefused,
    KeepaliveAnswered,
    KeepaliveUnanswered,
    LimitReached,
    MessageRefused,
    ModuleFailed,
    NodeChanged,
    NonceRefused,
    RegistrationRefused,
    RelayedCallEnded,
    RouteFailed,
    SourceBarred,
    UpstreamChanged,
)
from sansip_server.moments import moment

__all__ = ["EventLog"]

logger = logging.getLogger("sansip.events")

# Records of one kind in one second: as many as a person can still read.
PER_SECOND = 20

KINDS = {
    BindingsChanged: "changes of bindings",
    ConnectionRefused: "refused connections",
    KeepaliveAnswered: "answers to keepalives",
    KeepaliveUnanswered: "unanswered keepalives",
    UpstreamChanged: "registrations elsewhere",
    AuthenticationFailed: "failed authentications",
    CredentialsRefused: "refusals of our credentials",
    DestinationRefused: "requests that were not sent to gateways",
    LimitReached: "limits reached",
    MessageRefused: "refused messages",
    NodeChanged: "changes of nodes",
    RegistrationRefused: "refused registrations",
    RelayedCallEnded: "ends of calls",
    NonceRefused: "refused nonces",
    RouteFailed: "failures of the route",
    SourceBarred: "bans",
    ModuleFailed: "failures of modules",
}


class EventLog:
    """Writes events to the log when called with them. ``clock`` gives seconds."""

    def __init__(self, per_second: int = PER_SECOND, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        # kind -> [the second that is counted, events in it]
        self._counts: dict[type, list[int]] = {}

    def __call__(self, event: Any) -> None:
        """Write ``event``, or count it; events of unknown kinds are written as they are."""
        kind = type(event)
        if kind is NonceRefused and event.everyday and not logger.isEnabledFor(logging.DEBUG):
            # Phones answer again by themselves: with old nonces this happens every few minutes.
            return
        second = int(self._clock())
        count = self._counts.get(kind)
        if count is None:
            count = self._counts[kind] = [second, 0]
        if count[0] != second:
            unwritten = count[1] - self._per_second
            if unwritten > 0:
                logger.info("%d more %s not written", unwritten, KINDS.get(kind, kind.__name__))
            count[:] = (second, 0)
        count[1] += 1
        if count[1] <= self._per_second:
            _write(event)
        if kind is RouteFailed or kind is ModuleFailed:
            # Its traceback is not needed any more, and would keep the request and itself alive.
            without_frames(event.error)


def _write(event: Any) -> None:
    match event:
        case BindingsChanged(aor, count, reason):
            logger.info("%s %s: %d binding%s", aor, reason, count, "" if count == 1 else "s")
        case KeepaliveAnswered(aor, contact, rtt, 0):
            logger.info("%s at %s answers keepalives, in %.1f ms", aor, contact, 1000 * rtt)
        case KeepaliveAnswered(aor, contact, rtt, failures):
            logger.info("%s at %s answers again after %d keepalives", aor, contact, failures)
        case KeepaliveUnanswered(aor, contact, failures, removed):
            outcome = "unregistered" if removed else "left registered (keepalive.remove)"
            logger.info("%s at %s left %d keepalives unanswered: %s", aor, contact, failures, outcome)
        case MessageRefused(source, status, reason, section):
            outcome = f"answered {status}" if status else "not answered"
            logger.info("refused a message from %s, %s: %s (%s)", source, outcome, reason, section)
        case LimitReached(name, source):
            logger.warning("limits.%s reached by %s", name, source)
        case RegistrationRefused(aor, source, reason, key):
            by = f" ({key})" if key else ""
            logger.info("refused to register %s from %s: %s%s", aor, source, reason, by)
        case AuthenticationFailed(source, username, realm, reason, until):
            end = "" if until is None else f"; barred until {moment(until)}"
            logger.info("refused %r in realm %r from %s: %s%s", username, realm, source, reason, end)
        case SourceBarred(source, username, until, reason):
            barred = repr(username) if username else "everybody"
            logger.info("%s is barred for %s until %s: %s", source, barred, moment(until), reason)
        case NonceRefused(source, username, realm, reason, everyday):
            level = logging.DEBUG if everyday else logging.INFO
            logger.log(level, "challenged %r in realm %r from %s anew: %s", username, realm, source, reason)
        case UpstreamChanged(aor, True, reason):
            logger.info("registered as %s %s", aor, reason)
        case UpstreamChanged(aor, _, reason):
            logger.warning("not registered as %s: %s", aor, reason)
        case CredentialsRefused(host, realm, reason):
            logger.warning("%s does not take our credentials in realm %r: %s", host, realm, reason)
        case DestinationRefused(source, method, place, what, setting):
            logger.warning(
                "a request of %s (%s) was not sent to %s, %s: its sender named that place, and no module"
                " chose it (%s = true would allow it)",
                *(source, method, place, what, setting),
            )
        case ConnectionRefused(source, reason):
            logger.warning("refused a connection from %s: %s", source, reason)
        case NodeChanged(name, "gone"):
            logger.warning("node %s is gone: nobody waits for its connections any more", name)
        case NodeChanged(name, "cut off", address):
            logger.warning(
                "node %s at %s lives and has lost the shared location: its phones are called, and cannot"
                " register there",
                *(name, address),
            )
        case NodeChanged(name, "unreachable", address):
            logger.warning(
                "node %s at %s does not answer here, and the shared location knows that it lives: what is"
                " between the two of us? Its connections are passed over until it answers",
                *(name, address),
            )
        case NodeChanged(name, "twin", address):
            logger.error(
                "another node is named %r, too, at %s: give each its own node.name, or phones of the one"
                " are looked for at the other after a restart",
                *(name, address),
            )
        case NodeChanged(name, "stranger", address):
            logger.error(
                "node %s at %s has another key: give all nodes the same secret_file; until then its phones"
                " are not called through here",
                *(name, address),
            )
        case NodeChanged(name, state):
            logger.info("node %s %s", name, state)
        case RouteFailed(method, uri, error):
            trace = (type(error), error, error.__traceback__)
            logger.error("the route failed for %s %s", method, uri, exc_info=trace)
        case ModuleFailed(name, where, error):
            trace = (type(error), error, error.__traceback__)
            logger.error("the module %s failed in %s", name, where, exc_info=trace)
        case _:
            # An event of a module: it has its own text (``__str__``).
            logger.info("%s", event)
