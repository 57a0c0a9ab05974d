"""The setting ``workers``: a number, or as many as this process may use processors."""

from __future__ import annotations

import os
from typing import Protocol

from sansip.seat import MOST

__all__ = ["AUTO", "check_workers", "workers_of"]

AUTO = "auto"


class Settings(Protocol):
    """The part of the settings that this needs."""

    @property
    def workers(self) -> int | str: ...


def check_workers(value: int | str) -> None:
    """Raise ``ValueError`` for a number of workers that there cannot be."""
    if value != AUTO and not (isinstance(value, int) and 1 <= value <= MOST):
        raise ValueError(f'expected 1 to {MOST}, or "auto"; found {value}')


def workers_of(settings: Settings) -> int:
    """Return how many workers ``settings`` ask for."""
    if isinstance(settings.workers, int):
        return settings.workers
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # no Linux
        usable = os.cpu_count() or 1
    return min(usable, MOST)
