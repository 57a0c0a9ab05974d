"""A recording, written as the text of a trace."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sansip_conformance import read_text
from sansip_conformance.octets import raw_octets
from sansip_conformance.writer import TraceWriter


@given(st.binary(min_size=1, max_size=300))
def test_any_octets_survive(data: bytes) -> None:
    """A raw step sends exactly the octets that were received."""
    lines: list[str] = []
    writer = TraceWriter(lines.append)
    writer.head("x", [("udp", "192.0.2.1", 5060)], ["x.test"])
    writer.received(0.0, ("udp", "192.0.2.9", 5060), data)
    (trace,) = read_text("".join(lines), "x.trace")
    step: Any = trace.steps[0]
    assert raw_octets(step.block.raw) == data
