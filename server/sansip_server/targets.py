"""The name of a store: a file, or the URL of a database server."""

from __future__ import annotations

import re

__all__ = ["is_url", "shown"]

_PASSWORD = re.compile(r"(://[^:/@]*):[^@]*@")


def is_url(target: str) -> bool:
    """Whether ``target`` is the URL of a database server, not a file."""
    return "://" in target


def shown(target: str) -> str:
    """Return ``target`` for a log: without a password."""
    return _PASSWORD.sub(r"\1:***@", target)
