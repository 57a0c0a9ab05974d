"""Times as people read them."""

from __future__ import annotations

__all__ = ["moment"]


def moment(unix: float) -> str:
    """Return a Unix time as people of this machine write it, with the offset of its zone."""
    from datetime import datetime

    return datetime.fromtimestamp(unix).astimezone().isoformat(" ", "seconds")
