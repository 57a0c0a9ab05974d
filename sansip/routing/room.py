"""Room for known users: the senders that are not counted by source.

Theory of operation: a trusted peer may be a carrier with hundreds of calls a second, a sender on this very
machine may be a proxy that hides its clients. So the counts by source do not apply to them. This node checks
for such senders only once a limit is reached (``admission``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.routing.core import Core
    from sansip.transport import Flow

__all__ = ["is_exempt"]


def is_exempt(core: Core, flow: Flow) -> bool:
    """Whether the limits by source do not hold for the sender at ``flow``."""
    host = flow.host
    if host.startswith("127.") or host == "::1":
        if not core.limits.limit_loopback:
            return True
    elif core.listeners.is_bound(host):
        # A spiral: it was counted where it came from first.
        return True
    if core.nodes is not None and core.nodes.is_at(host):
        # Another node counts its callers itself.
        return True
    return core.trusted.of(flow) is not None
