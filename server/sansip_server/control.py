"""Where the control socket is."""

from __future__ import annotations

from sansip_server.targets import is_url

__all__ = ["control_path"]


def control_path(control: str | None, store: str | None) -> str | None:
    """Return the path of the control socket: as set, or beside the store's file; None for no socket."""
    if control is not None:
        return control or None
    return None if store is None or is_url(store) else f"{store}.ctl"
