"""Conditional requests by entity-tags (RFC 9110 13; RFC 4825 7.11, 8.2.6).

Theory of operation: all parts of a document share its tag. ``If-Match`` compares strongly, ``If-None-Match``
weakly. For an element or attribute ``If-None-Match: *`` always fails, also where there is none yet.
"""

from __future__ import annotations

import re
from typing import Final

from sansip.module import WebRequest
from sansip.modules.xcap.faults import Fault

__all__ = ["Condition", "judge"]

# RFC 9110 5.6.1.2: an element of a list may be empty.
_TAG: Final = re.compile(r'\s*(?:(?P<weak>W/)?"(?P<tag>[\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)|,)')
_MOST: Final = 100


class Condition(Fault):
    """RFC 9110 13.2.2: what the client asked for does not hold: 412, or 304 for GET and HEAD."""


def judge(request: WebRequest, etag: str | None) -> None:
    """Raise ``Condition`` where a condition of ``request`` fails; ``etag``: None where there is nothing."""
    wanted = request.header("if-match")
    if wanted is not None and not _holds(wanted, etag, strong=True):
        raise Condition(412, "the document is another one by now (If-Match)")
    unwanted = request.header("if-none-match")
    if unwanted is not None and _holds(unwanted, etag, strong=False):
        if request.method in ("GET", "HEAD"):
            raise Condition(304, "")
        raise Condition(412, "there is such a document already (If-None-Match)")


def _holds(field: str, etag: str | None, *, strong: bool) -> bool:
    if field.strip() == "*":
        return etag is not None
    at = count = 0
    found = False
    while field[at:].strip():
        match = _TAG.match(field, at)
        count += 1
        if match is None or count > _MOST:
            raise Fault(400, "expected entity-tags in quotes (RFC 9110 8.8.3)")
        if match["tag"] is not None and match["tag"] == etag and not (strong and match["weak"]):
            found = True
        at = match.end()
    return found
