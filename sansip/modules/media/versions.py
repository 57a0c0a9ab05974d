"""Which versions of rtpengine have the fix of 2025 (CVE-2025-53399, RTP bleed and inject).

Theory of operation: the relay tells no version over its control protocol, so the operator writes it into the
configuration. Upstream has the fix since mr13.4.1.1; Debian put it into an older one, whose package version
shows that.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sansip.modules.media.settings import RelaySettings

__all__ = ["doubt", "is_fixed"]

_FIXED: Final = (13, 4, 1, 1)
# Package versions with the fix, as far as the "u" and its number.
_DEBIAN: Final = (("10.5.3.5-1+deb12u", 1),)
_NUMBERS = re.compile(r"(?:mr)?([0-9]{1,4}(?:\.[0-9]{1,4}){1,3})")


def is_fixed(version: str) -> bool | None:
    """Whether ``version`` has the fix; None if it is not a version of rtpengine."""
    # As the program says it.
    text = version.strip().removeprefix("Version: ")
    for begin, least in _DEBIAN:
        number = text.removeprefix(begin)
        if number != text and number.isascii() and number.isdigit():
            return int(number) >= least
    match = _NUMBERS.match(text)
    if match is None:
        return None
    parts = tuple(int(one) for one in match[1].split("."))
    return parts + (0,) * (4 - len(parts)) >= _FIXED


def doubt(relay: RelaySettings) -> str:
    """Return what an operator should know of ``relay``, "" if there is nothing."""
    if relay.kind == "rtpproxy":
        return ""
    hint = "before mr13.4.1.1 strangers can have the media of calls sent to them (CVE-2025-53399)"
    if not relay.version:
        return f"{relay.uri} has no version; write what `rtpengine --version` says, for {hint}"
    fixed = is_fixed(relay.version)
    if fixed is None:
        return f"{relay.uri}: {relay.version!r} is no version of rtpengine"
    return "" if fixed else f"{relay.uri} is rtpengine {relay.version}: update it, for {hint}"
