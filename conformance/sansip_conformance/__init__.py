"""The conformance suite: traces, replayed on a virtual clock or against a live server.

Theory of operation: the names below are loaded when they are used, so that the pytest plugin,
which every pytest run on this machine loads, costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sansip_conformance.run import Verdict, load_suites, play_on_core, run_on_core, select
    from sansip_conformance.syntax import TraceSyntaxError, read_file, read_text
    from sansip_conformance.trace import Trace

__all__ = [
    "Trace",
    "TraceSyntaxError",
    "Verdict",
    "load_suites",
    "play_on_core",
    "read_file",
    "read_text",
    "run_on_core",
    "select",
]

_HOMES = {"Trace": "trace", "TraceSyntaxError": "syntax", "read_file": "syntax", "read_text": "syntax"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"sansip_conformance.{_HOMES.get(name, 'run')}"), name)
