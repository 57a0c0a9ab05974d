"""Which versions of rtpengine have the fix of 2025 (CVE-2025-53399, RTP bleed and inject).

Theory of operation: the ng protocol has no word for the version. rtpengine's HTTP listener tells it to who
speaks its other protocol there, so a relay over WebSocket is asked; for others the operator writes it into
the configuration. Upstream has the fix since mr13.4.1.1; Debian put it into an older one, whose package
version shows that.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from sansip.transport.transports import TLS

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.media.settings import RelaySettings

__all__ = ["asked", "doubt", "is_fixed", "version_in"]

_FIXED: Final = (13, 4, 1, 1)
# Package versions with the fix, as far as the "u" and its number.
_DEBIAN: Final = (("10.5.3.5-1+deb12u", 1),)
_ASK: Final = b'{"janus":"info","transaction":"version"}'
# Characters of a version that are kept.
_SHOWN: Final = 40
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


async def asked(core: Core, relay: RelaySettings, within: float, now: float) -> str:
    """Return what a relay over WebSocket says of its version, "" where it says nothing."""
    filters = (TLS,) if relay.kind == "ng+wss" else ()
    remote = (relay.host, relay.port)
    peer = core.websocket(
        remote, filters, path="/", protocol="janus-protocol", key=lambda _data: "version", name=relay.name
    )
    try:
        return version_in(await peer.ask(_ASK, within, 1, "version"))
    except OSError:
        return ""
    finally:
        peer.close(now)


def version_in(data: bytes) -> str:
    """Return the version that the answer ``data`` names, "" where it is none."""
    try:
        answer: Any = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    version = answer.get("version_string") if isinstance(answer, dict) else None
    if not isinstance(version, str):
        return ""
    return "".join(c if c.isprintable() else "?" for c in version[:_SHOWN])


def doubt(relay: RelaySettings, told: str = "") -> str:
    """Return what an operator should know of ``relay``, "" if there is nothing.

    ``told``: the version that it told itself.
    """
    if relay.kind == "rtpproxy":
        return ""
    version = told or relay.version
    hint = "before mr13.4.1.1 strangers can have the media of calls sent to them (CVE-2025-53399)"
    if not version:
        if relay.kind != "ng":
            # The server asks it.
            return ""
        return f"{relay.uri} has no version; write what `rtpengine --version` says, for {hint}"
    fixed = is_fixed(version)
    if fixed is None:
        return f"{relay.uri}: {version!r} does not look like a version of rtpengine"
    return "" if fixed else f"{relay.uri} is rtpengine {version}: update it, for {hint}"
