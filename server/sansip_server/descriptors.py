"""How many files the process may have open: each connection is one.

Theory of operation: shells and supervisors start a program with a soft limit of 1,024, for
the sake of old programs that use select(2), and with a hard limit that it may
raise the soft one to. None of the runtimes uses select, so that is done first of all.
"""

from __future__ import annotations

import contextlib
import logging

__all__ = ["RESERVE", "raise_limit"]

# Files that are no connections: listeners, DNS queries (limits.dns_queries), stores, logs.
RESERVE = 1_500

logger = logging.getLogger("sansip.server")


def raise_limit(connections: int, *, tell: bool = True) -> int:
    """Allow this process as many open files as it may; return how many that is, 0 where unknown.

    Where that is fewer than ``connections`` (limits.connections) need, the log says so,
    and what to change; not without ``tell``, for a server that only its own machine can reach.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # macOS calls its hard limit infinite and refuses it; the soft one stays then.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    allowed = connections + RESERVE if soft == resource.RLIM_INFINITY else soft
    if tell and allowed < connections + RESERVE:
        logger.warning(
            "this process may open %d files, too few for limits.connections = %d: raise LimitNOFILE= "
            "(systemd) or ulimit -Hn, or lower limits.connections; till then connections beyond have to wait",
            allowed,
            connections,
        )
    return allowed
