"""The consequences for a target when the flow of its phone is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.location import NodeFlow

if TYPE_CHECKING:
    from sansip.proxy.target import Target

__all__ = ["gone_status", "node_flow"]


def gone_status(target: Target) -> int:
    """Return the status that says that the connection of a phone is gone, 0 where it had none.

    RFC 5626 5.3.1: a 430 where it was that of the only flow.
    """
    if target.only or target.bound:
        return 430
    # RFC 3261 21.4.18: it is the phone that is not there, and no server; where its
    # connection is gone, it was looked for at its Contact.
    had = target.flow or getattr(target.binding, "flow", None)
    return 480 if getattr(had, "conn", 0) else 0


def node_flow(target: Target) -> NodeFlow | None:
    """Return the flow of another node that ``target`` leads to, or None."""
    flow = getattr(target.binding, "flow", None)
    return flow if isinstance(flow, NodeFlow) and target.path else None
