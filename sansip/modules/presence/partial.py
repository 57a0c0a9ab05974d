"""Partial notification of presence (RFC 5262, RFC 5263): what changed, as operations on the last document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sansip.module.xml import attribute
from sansip.modules.presence.pidf import DM, PIDF

if TYPE_CHECKING:
    from sansip.modules.presence.pidf import Part

__all__ = ["TYPE", "State", "difference", "state_of", "whole"]

TYPE: Final = "application/pidf-diff+xml"
_DIFF: Final = "urn:ietf:params:xml:ns:pidf-diff"
# Names of elements in selectors.
_NAMES: Final = {"tuple": "tuple", "person": "dm:person", "device": "dm:device"}

# What a watcher has: (kind, id) -> octets, in order. Notes have no id: their place is it.
State = dict[tuple[str, str], bytes]


def state_of(parts: Sequence[Part]) -> State:
    """Return what a watcher has that was shown ``parts``."""
    found: State = {}
    for number, part in enumerate(parts):
        found[part.kind, part.id or str(number)] = part.written
    return found


def _open(name: str, entity: str, version: int) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<p:{name} xmlns="{PIDF}" xmlns:p="{_DIFF}" '
        f'xmlns:dm="{DM}" entity={attribute(entity)} version="{version}">'
    )


def whole(entity: str, parts: Sequence[Part], version: int) -> bytes:
    """Return the whole state (RFC 5262 3.1)."""
    head = _open("pidf-full", entity, version)
    return head.encode() + b"".join(part.written for part in parts) + b"</p:pidf-full>\n"


def difference(entity: str, before: State, after: State, version: int) -> bytes | None:
    """Return what makes ``after`` of ``before`` (RFC 5262 3.2); None where only the whole can say it."""
    if [key for key in before if key[0] == "note"] != [key for key in after if key[0] == "note"] or any(
        before[key] != after[key] for key in before if key[0] == "note"
    ):
        return None
    found = [_open("pidf-diff", entity, version).encode()]
    found += [f'<p:remove sel="{_selector(key)}"/>'.encode() for key in before if key not in after]
    for key, octets in after.items():
        if key not in before:
            # RFC 3863 4.1.1: tuples come before everything else.
            place = ' pos="prepend"' if key[0] == "tuple" else ""
            found += [f'<p:add sel="*"{place}>'.encode(), octets, b"</p:add>"]
        elif before[key] != octets:
            found += [f'<p:replace sel="{_selector(key)}">'.encode(), octets, b"</p:replace>"]
    found.append(b"</p:pidf-diff>\n")
    return b"".join(found)


def _selector(key: tuple[str, str]) -> str:
    # Ids are plain (``pidf.compose``), so they need no quoting.
    return f"*/{_NAMES[key[0]]}[@id='{key[1]}']"
