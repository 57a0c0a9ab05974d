"""The result of a request, as its caller wants it: a value, or an exception that is raised."""

from __future__ import annotations

from typing import Any

__all__ = ["outcome"]


def outcome(result: Any) -> Any:
    """Return ``result``, or raise it if it is an exception."""
    if isinstance(result, BaseException):
        raise result
    return result
