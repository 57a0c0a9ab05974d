"""Profiles: which calls need a relay, and what it does between the two sides.

Theory of operation: a description tells what its side is, a browser (DTLS, RFC 8827) or a classic phone, and
of which address family. For a side that has described nothing yet the way to it tells: browsers are reached
over WebSocket (RFC 7118). ``toward`` makes the relay's options for a description that goes from one side to
the other; it is the same for offers and answers, so a call that a browser takes is the mirror of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sansip.errors import RemoteProtocolError
from sansip.modules.media.names import Options
from sansip.modules.media.octets import family
from sansip.sdp import parse
from sansip.sdp.description import MOST_LINES
from sansip.transport.transports import ONE_WAY

if TYPE_CHECKING:
    from sansip.modules.media.settings import MediaSettings, Profile
    from sansip.sdp import Description

__all__ = [
    "FOUR",
    "NOTHING",
    "NO_WISH",
    "SIX",
    "Side",
    "Ways",
    "Wish",
    "classic",
    "needed",
    "side_at",
    "side_in",
    "side_of",
    "toward",
]


class Side(NamedTuple):
    """What is known of one side. ``family``: ``IP4``, ``IP6`` or ""; ``keys``: whether it uses SDES."""

    browser: bool = False
    family: str = ""
    keys: bool = False


class Wish(NamedTuple):
    """What a route wants for a call.

    Attributes:
        skip: no relay, whatever the profiles say.
        profile: a relay for this reason, whatever the profiles say; None leaves it to them.
        set: which relays; "" for the settings'.
        record: whether to record; None for the settings'.
        flags, keys: more for rtpengine, as its ng protocol has them.
    """

    skip: bool = False
    profile: Profile | None = None
    set: str = ""
    record: bool | None = None
    flags: tuple[str, ...] = ()
    keys: tuple[tuple[str, Any], ...] = ()


NO_WISH = Wish()
# Of a side that has said nothing.
NOTHING = Side()
# Of classic phones with IPv4 and with IPv6.
FOUR: Final = Side(family="IP4")
SIX: Final = Side(family="IP6")
# Options that are kept; more than any server has, but peers may write what they like.
_MOST_WAYS: Final = 256


def side_in(description: Description) -> Side:
    """Return what the side that wrote ``description`` is; a malformed medium tells nothing."""
    for medium in description.media:
        try:
            if not medium.port:
                continue
            connection = medium.connection
            family = "" if connection is None else connection.family
            return Side(medium.dtls is not None, family, medium.attribute("crypto") is not None)
        except RemoteProtocolError:
            continue
    return Side()


def side_of(sdp: bytes, most_media: int) -> Side:
    """Return ``side_in`` of a description; one audio medium of a classic phone is not taken apart for that.

    Raises RemoteProtocolError as ``sansip.sdp.parse`` does.
    """
    known: int = family(sdp, MOST_LINES)
    return classic(known) if known else side_in(parse(sdp, most_media=most_media))


def classic(family: int) -> Side:
    """Return the side of a classic phone with one medium, by its version of IP."""
    return SIX if family == 6 else FOUR


def side_at(transport: str, host: str) -> Side:
    """Return what the side is that is reached by ``transport`` at ``host``."""
    if transport in ONE_WAY:
        return Side(True, "IP6" if ":" in host else "IP4")
    return SIX if ":" in host else FOUR


def needed(profiles: Collection[Profile], source: Side, target: Side, nat: bool) -> bool:
    """Whether a call between these sides needs a relay."""
    if "always" in profiles or ("nat" in profiles and nat):
        return True
    if "webrtc" in profiles and source.browser != target.browser:
        return True
    return _families("ipv4-ipv6" in profiles, source, target)


def _families(wanted: bool, source: Side, target: Side) -> bool:
    return wanted and bool(source.family) and bool(target.family) and source.family != target.family


def toward(settings: MediaSettings, wish: Wish, source: Side, target: Side, *, offer: bool) -> Options:
    """Return what the relay does with a description of ``source`` that ``target`` will read."""
    profiles = settings.profiles if wish.profile is None else [*settings.profiles, wish.profile]
    keys: dict[str, Any] = {}
    flags: list[str] = []
    if settings.strict_source:
        # After the first packet of each side nobody else is heard (RTP bleed and inject).
        flags.append("strict-source")
        keys["endpoint-learning"] = "immediate"
    if settings.recrypt and source.keys:
        flags.append("recrypt")
    if "webrtc" in profiles:
        if source.browser and not target.browser:
            keys |= {"ICE": "remove", "transport-protocol": "RTP/AVP", "rtcp-mux": ["demux"]}
        elif target.browser and not source.browser:
            # RFC 8827 6.5: a browser takes DTLS-SRTP alone; RFC 8834 4.5: and RTP with RTCP on one port.
            keys |= {
                "ICE": "force",
                "transport-protocol": "UDP/TLS/RTP/SAVPF",
                "rtcp-mux": ["offer"] if offer else ["accept"],
                "SDES": ["off"],
            }
            if offer:
                flags.append("generate-mid")
    record = settings.record if wish.record is None else wish.record
    if record:
        keys["record-call"] = "on"
    keys |= dict(wish.keys)
    family = target.family if _families("ipv4-ipv6" in profiles, source, target) else ""
    return Options(keys, (*flags, *wish.flags), family)


class Ways:
    """``toward``, made once for each pair of sides."""

    __slots__ = ("_made", "_plain", "_settings")

    def __init__(self, settings: MediaSettings) -> None:
        self._settings = settings
        self._made: dict[Any, Options] = {}
        # Between classic phones, for which no route wants anything: IPv4 or IPv6 each, answers and offers.
        self._plain: list[Options | None] = [None] * 8

    def __len__(self) -> int:
        return len(self._made)

    def plain(self, source: Side, target: Side, offer: bool) -> Options:
        """Return ``toward`` where no route wants anything."""
        if not ((source is FOUR or source is SIX) and (target is FOUR or target is SIX)):
            return self.toward(NO_WISH, source, target, offer=offer)
        place = (4 if source is SIX else 0) + (2 if target is SIX else 0) + (1 if offer else 0)
        found = self._plain[place]
        if found is None:
            found = self._plain[place] = self.toward(NO_WISH, source, target, offer=offer)
        return found

    def toward(self, wish: Wish, source: Side, target: Side, *, offer: bool) -> Options:
        """Return what the relay does with a description of ``source`` that ``target`` will read."""
        key = (wish, source, target, offer)
        try:
            found = self._made.get(key)
        except TypeError:
            # The route gave keys with lists.
            return toward(self._settings, wish, source, target, offer=offer)
        if found is None:
            if len(self._made) >= _MOST_WAYS:
                self._made.clear()
            found = self._made[key] = toward(self._settings, wish, source, target, offer=offer)
        return found
