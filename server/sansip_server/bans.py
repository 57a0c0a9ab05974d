"""Bans as an operator sees them: ``sansip ctl bans`` lists them and lifts them.

Theory of operation: the list is the stack's (``sansip.bans``), for every part that bans a source
or a user; times are shown as Unix time. Lifting is an input of the stack.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sansip.sources import source_of

if TYPE_CHECKING:
    from sansip.bans import Ban
    from sansip.stack import Stack

__all__ = ["lifted", "standing"]


def standing(stack: Stack, now: float, source: str | None, user: str | None) -> Iterator[dict[str, Any]]:
    """Yield the bans in force, of ``source`` and ``user`` if they are given, and their number.

    Raises ``ValueError`` for a source that is no address.
    """
    wanted = None if source is None else source_of(_address(source))
    found = [
        ban for ban in stack.bans.standing(now) if wanted in (None, ban.source) and user in (None, ban.user)
    ]
    yield from ({"item": _shown(ban, stack)} for ban in found)
    yield {"ok": True, "result": {"bans": len(found)}}


def lifted(stack: Stack, now: float, source: str, user: str | None) -> Iterator[dict[str, Any]]:
    """Lift the bans of ``source``; yield them, and their number. Raises like ``standing``."""
    found = stack.lift(_address(source), user, now)
    yield from ({"item": _shown(ban, stack)} for ban in found)
    yield {"ok": True, "result": {"lifted": len(found)}}


def _address(text: str) -> str:
    """Return the address in ``text``, which may be that of a network as bans name it."""
    address = text.strip("[]").partition("/")[0]
    try:
        ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        raise ValueError(f"{text} is no IP address") from None
    return address


def _shown(ban: Ban, stack: Stack) -> dict[str, Any]:
    return {
        "source": ban.source,
        "user": ban.user or None,
        "until": round(stack.wall.unix(ban.until), 3),
        "reason": ban.reason,
        "keeper": ban.keeper,
    }
