"""Text that should be a trace (conformance/README.md)."""

from __future__ import annotations

import re

from sansip_conformance.syntax import TraceSyntaxError, read_text

__all__ = ["trace"]


def trace(data: bytes) -> None:
    """A list of traces, or one error that names file and line."""
    text = data.decode("utf-8", "replace")
    problem: TraceSyntaxError | None = None
    try:
        traces = read_text(text, "fuzz.trace")
    except TraceSyntaxError as error:
        traces, problem = [], error
    assert bool(traces) == (problem is None)
    if problem is not None:
        assert re.match(r"fuzz\.trace:\d+: .+", str(problem), re.DOTALL)
        assert 0 < problem.line <= text.count("\n") + 2
    for one in traces:
        assert one.steps
        assert one.duration >= 0.0
