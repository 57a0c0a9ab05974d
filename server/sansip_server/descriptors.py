"""How many files the process may have open: each connection is one, and each DNS query under way.

Theory of operation: shells and supervisors start a program with a soft limit of 1,024, for
the sake of old programs that use select(2), and with a hard limit that it may
raise the soft one to. None of the runtimes uses select, so the server raises its soft limit first
of all. If that is not enough, connections and queries share the descriptors, and a reserve stays
for other files: if idle clients held every descriptor, the store could not be opened, and the
server would refuse each registration.
"""

from __future__ import annotations

import contextlib
import logging

from sansip.limits import Limits

__all__ = ["RESERVE", "fit", "raise_limit"]

# Files that are neither connections nor queries: listeners, stores with their journals for each
# worker, logs, the control socket and its sessions, and sockets that are being closed.
RESERVE = 200

logger = logging.getLogger("sansip.server")


def raise_limit() -> int | None:
    """Raise this process's limit of open files; return the new limit, None for no limit."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS calls its hard limit infinite and refuses it; the soft one stays then.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return None if soft == resource.RLIM_INFINITY else soft


def fit(limits: Limits, allowed: int | None, *, tell: bool = True) -> None:
    """Lower ``limits.connections`` and ``limits.dns_queries`` to fit into ``allowed`` files.

    The share of one source goes down with them: a quarter at the most, so that no source has all. With
    ``tell`` the log says so, and what to change; a server that only its own machine can reach does not
    set it.
    """
    wanted = limits.connections
    if allowed is None or allowed >= wanted + limits.dns_queries + RESERVE:
        return
    # A small limit is divided in the same way as a large one.
    rest = allowed - min(RESERVE, allowed // 4)
    limits.dns_queries = min(limits.dns_queries, max(rest // 5, 1))
    limits.connections = min(wanted, max(rest - limits.dns_queries, 1))
    limits.connections_per_source = min(limits.connections_per_source, max(limits.connections // 4, 1))
    if tell:
        logger.warning(
            "this process may open %d files: at most %d connections at once, not limits.connections = %d, "
            "%d of them from one source; raise LimitNOFILE= (systemd) or ulimit -Hn, or lower that limit",
            *(allowed, limits.connections, wanted, limits.connections_per_source),
        )
