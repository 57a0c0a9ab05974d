"""The name of a side of a dialog: what our Record-Route values call it.

Theory of operation: an address is no name. A phone moves, and a Contact says what its sender likes. But a
route set never changes (RFC 3261 12.2), so each request of a side brings the values that it got, with their
mark (``dialog_mark``) and, where a phone is reached over its flow, the tokens of flows (``transport
.flow_token``). A call of somebody else with the same Call-ID and tags has another mark or token, unless it is
between the same places. So the texts are compared as they are; whether a mark proves its sender is another
question (``routing.within``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from sansip.proxy.dialog_mark import PARAMETER
from sansip.transport.flow_token import MARK

__all__ = ["MARKED", "is_named", "marked_in", "side_in", "side_of", "sides_in"]

_VALUE: Final = re.compile(r"<sips?:([^<>]++)>", re.IGNORECASE)
# Before a mark.
MARKED: Final = f";{PARAMETER}="


def side_of(mark: str, tokens: Iterable[str] = ()) -> str:
    """Return the name of the side whose values have ``mark`` and ``tokens``."""
    return " ".join((mark.lower(), *sorted(tokens)))


def sides_in(text: str) -> list[str]:
    """Return the names of all sides in ``text``, of Record-Route or Route."""
    found: dict[str, list[str]] = {}
    for value in _VALUE.findall(text):
        before, marked, after = value.partition(MARKED)
        if not marked:
            continue
        tokens = found.setdefault(after.partition(";")[0].lower(), [])
        user, at, _ = before.partition("@")
        if at and user.startswith(MARK):
            tokens.append(user)
    return [side_of(mark, tokens) for mark, tokens in found.items()]


def side_in(route: str, mark: str) -> str:
    """Return the name of the side that sends ``route``, whose last value of ours has ``mark``."""
    if "@" not in route:
        return mark.lower()
    mark = mark.lower()
    return next((one for one in sides_in(route) if one.partition(" ")[0] == mark), mark)


def is_named(side: str, text: str) -> bool:
    """Whether ``side`` is that of a side in ``text``, of Record-Route."""
    if not side:
        return False
    # As nearly always: the whole of one mark, as we wrote it, and no tokens.
    if "@" not in text and (f"{MARKED}{side}>" in text or f"{MARKED}{side};" in text):
        return True
    return side in sides_in(text)


def marked_in(text: str, most: int) -> str:
    """Return ``text``, of Record-Route, to be kept; "" without a mark in it.

    Of one longer than ``most`` characters the values with marks remain, or nothing: others write the rest.
    """
    if MARKED not in text:
        return ""
    if len(text) > most:
        text = ", ".join(f"<sip:{value}>" for value in _VALUE.findall(text) if MARKED in value)
    return text if len(text) <= most else ""
