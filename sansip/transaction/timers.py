"""The durations of RFC 3261 table 4, in seconds.

Theory of operation: everything follows from T1, T2 and T4; a deployment that
changes T1 changes the rest with it. Values are computed once, so that equal
durations are the same number (``sansip.clock`` keeps one queue for each).
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["TimerValues"]


@dataclass(slots=True)
class TimerValues:
    """T1, T2 and T4 of RFC 3261 17.1.1.1 and 17.1.2.2, and the values that follow from them."""

    # Round-trip estimate; retransmissions start with it.
    t1: float = 0.5
    # The longest interval between retransmissions of non-INVITE requests and
    # of final responses to INVITE.
    t2: float = 4.0
    # How long a message may stay in the network.
    t4: float = 5.0
    # Timer C: how long a proxied INVITE may ring. RFC 3261 16.6 step 11: it
    # MUST be larger than three minutes.
    c: float = 181.0
    # Timer D: how long a client absorbs repeated failures over UDP. RFC 3261
    # 17.1.1.2: at least 32 seconds.
    d: float = 32.0
    # 64*T1: Timers B, F, H, J, L and M.
    t1x64: float = field(init=False)

    def __post_init__(self) -> None:
        for name in ("t1", "t2", "t4", "c", "d"):
            if not getattr(self, name) > 0:
                raise ValueError(f"timer {name} must be a positive number of seconds")
        self.t1x64 = 64 * self.t1
