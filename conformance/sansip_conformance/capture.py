"""Whatever can be replayed or drawn: a trace, a journal, a capture of the wire."""

from __future__ import annotations

from pathlib import Path

from sansip_conformance.ladder import Ladder, ladder_of
from sansip_conformance.syntax import read_file
from sansip_conformance.trace import Trace

__all__ = ["ladders_of", "read_any"]


def read_any(path: Path) -> list[Trace]:
    """Return the traces in ``path``. Raises ValueError, which TraceSyntaxError is one of."""
    return read_file(path)


def ladders_of(path: Path, name: str | None = None) -> list[Ladder]:
    """Return a ladder for each trace in ``path``, or for the one called ``name``."""
    traces = read_any(path)
    if name is not None:
        traces = [one for one in traces if one.name == name]
        if not traces:
            raise ValueError(f"{path} holds no trace called {name}")
    return [ladder_of(one) for one in traces]
