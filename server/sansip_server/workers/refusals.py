"""The choices that do not work with workers: refused at the start, with the way out.

Theory of operation: a server that would be wrong in silence is worse than one that does not start. So
everything that one process must hold by itself, and that is not shared between workers yet, stands here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sansip.module.base import FIRST, marked
from sansip.transport.transports import SCTP
from sansip_server.config.listen import ListenAddress
from sansip_server.config.schema import Settings
from sansip_server.modules import uses

__all__ = ["refusals"]

_ALONE = "leave it out, or run one process (workers = 1)"


def refusals(settings: Settings, addresses: list[ListenAddress], journal: Path | None) -> Iterator[str]:
    """Yield a line for each setting that several workers cannot serve."""
    if sys.platform != "linux":
        yield "workers: several processes on one port need Linux; run one process (workers = 1)"
    if journal is not None:
        yield f"workers: a journal holds the inputs of one process: --journal: {_ALONE}"
    for use in uses(settings.modules) if settings.http.listen else ():
        for name, method in marked(use.kind, "sansip_mount"):
            if use.kind.over_workers != FIRST or method.sansip_mount[1] == "user":
                yield (
                    f"workers: the HTTP path of the module {use.kind.name} ({name}) has no workers: it must"
                    f" be the first worker's (over_workers = FIRST), and prove its users itself: {_ALONE}"
                )
    if any(SCTP in address.transports for address in addresses):
        yield f"workers: SCTP sockets cannot be shared: {_ALONE}"
    for use in uses(settings.modules):
        kind = use.kind
        if not kind.over_workers:
            yield (
                f"workers: the module {kind.name} does not say that it works in several processes"
                f" (Module.over_workers): {_ALONE}"
            )
