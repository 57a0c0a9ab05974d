"""The conformance suite: traces, replayed on a virtual clock or against a live server."""

from __future__ import annotations

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
