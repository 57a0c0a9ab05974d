"""The modules that the first worker alone has (``Module.over_workers`` is ``FIRST``).

Theory of operation: subscriptions, publications, kept messages and documents are of all users, and each of
them watches others; so one process holds them. The other workers do not have these modules, and give the
first one the requests that they serve. If that worker dies, the next process in its place reads its rows, as
a server does after a restart; meanwhile requests wait in the socket between the workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sansip.module.base import FIRST
from sansip_server.modules import uses

if TYPE_CHECKING:
    from sansip.module import Module
    from sansip_server.config.schema import Settings

__all__ = ["gathered", "heard", "keep_shared", "protocols_of_first"]


def _of_first(settings: Settings) -> Iterator[type[Module]]:
    return (use.kind for use in uses(settings.modules) if use.kind.over_workers == FIRST)


def gathered(settings: Settings) -> frozenset[str]:
    """Return the methods of requests that go to the first worker."""
    return frozenset(method for use in uses(settings.modules) for method in use.kind.gathers)


def heard(settings: Settings) -> frozenset[str]:
    """Return the names of the events that modules of the first worker hear."""
    return frozenset(event.__name__ for kind in _of_first(settings) for event in kind.events)


def keep_shared(settings: Settings) -> list[str]:
    """Leave in ``settings`` the modules that each worker has; return the names of the others."""
    names = [kind.name for kind in _of_first(settings)]
    for name in names:
        settings.modules.pop(name, None)
    return names


def protocols_of_first(settings: Settings) -> frozenset[str]:
    """Return the transports of listeners that the first worker alone has."""
    return frozenset(
        text for kind in _of_first(settings) for one in kind.protocols for text in (one, f"{one}s")
    )
