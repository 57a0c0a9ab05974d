"""rtpproxy's protocol: ``cookie COMMAND arguments``, a line for each medium (kamailio.md 10.4).

Theory of operation: rtpproxy knows ports and no descriptions: each medium is announced with the address and
port of a side (``U`` for an offer, ``L`` for its answer), and the reply is the port for the other side to
send to, which this file writes into the description. It has no branches: each branch of a fork is a call of
its own there. It carries RTP as it is: no ICE, no DTLS, no other family.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.modules.media.asking import RelayFailed
from sansip.sdp import parse
from sansip.sdp.values import ZERO

if TYPE_CHECKING:
    from sansip.modules.media.asking import Asked
    from sansip.modules.media.names import Names, Options
    from sansip.sdp import Media

__all__ = ["RtpProxy"]

_SHOWN: Final = 80
# The protocol of this date has payload types in ``U`` and ``L``.
_CODECS: Final = "20081102"


class RtpProxy:
    """Commands of one rtpproxy."""

    __slots__ = ("_takes_codecs",)

    def __init__(self) -> None:
        # Whether it takes the payload types of a medium; None before it was asked.
        self._takes_codecs: bool | None = None

    async def ping(self, relay: Asked, now: float) -> float:
        """Return when it told its version. Raises ``RelayFailed``."""
        reply, now = await self._line(relay, "V", now, is_ping=True)
        if not reply.isdigit():
            raise relay.broke(f"its version is {reply[:_SHOWN]!r}", now)
        if self._takes_codecs is None:
            reply, now = await self._line(relay, f"VF {_CODECS}", now, is_ping=True)
            self._takes_codecs = reply == "1"
        return now

    async def offer(
        self, relay: Asked, names: Names, sdp: bytes, options: Options, now: float
    ) -> tuple[bytes, float]:
        """Return the description that goes on, and when. Raises ``RelayFailed``."""
        return await self._describe(relay, "U", names, sdp, now)

    async def answer(
        self, relay: Asked, names: Names, sdp: bytes, options: Options, now: float
    ) -> tuple[bytes, float]:
        """The same for an answer."""
        return await self._describe(relay, "L", names, sdp, now)

    def is_answer(self, data: bytes) -> bool:
        """Whether ``data``, which has a cookie of ours, is what a relay says that lives."""
        return data.partition(b" ")[2][:1].isalnum()

    def deletion(self, names: Names) -> bytes:
        """Return the command to forget the call."""
        tags = f"{_word(names.offerer)} {_word(names.answerer)}".rstrip()
        return f"D {_call(names)} {tags}".encode("utf-8", "surrogateescape")

    async def _describe(
        self, relay: Asked, command: str, names: Names, sdp: bytes, now: float
    ) -> tuple[bytes, float]:
        # Its media were counted before (``limits.sdp_media``).
        description = parse(sdp, most_media=len(sdp))
        places = [_place_of(medium, relay, now) for medium in description.media]
        for number, (medium, host) in enumerate(zip(description.media, places, strict=True), 1):
            if not host:
                continue
            six = "6" if ":" in host else ""
            tags = " ".join(f"{_word(tag)};{number}" for tag in (names.offerer, names.answerer) if tag)
            codecs = _codecs(medium) if self._takes_codecs else ""
            line = f"{command}{six}{codecs} {_call(names)} {_word(host)} {medium.port} {tags}"
            reply, now = await self._line(relay, line, now)
            port, address = _place(reply, relay.settings.host)
            if not port:
                raise relay.odd(f"its answer is no port: {reply[:_SHOWN]!r}", now)
            medium.port = port
            if medium.attribute("rtcp") is not None:
                # RFC 3605: the port behind that of RTP.
                medium.set_attribute("rtcp", str(port + 1))
            if host not in ZERO:
                # RFC 3264 8.4: a call that is held by the address 0.0.0.0 stays so.
                medium.set("c", f"IN {'IP6' if ':' in address else 'IP4'} {address}")
        relay.worked()
        return description.to_bytes(), now

    async def command(self, relay: Asked, asked: dict[str, Any], now: float) -> tuple[dict[str, Any], float]:
        """rtpproxy has none of these."""
        raise RelayFailed(f"{relay.uri}: rtpproxy cannot {asked['command']}", now)

    async def _line(self, relay: Asked, line: str, now: float, *, is_ping: bool = False) -> tuple[str, float]:
        data, now = await relay.ask(line.encode("utf-8", "surrogateescape"), is_ping)
        reply = data.partition(b" ")[2].decode("utf-8", "replace").strip()
        if reply.startswith("E"):
            raise RelayFailed(f"{relay.uri} refused {line[:1]}: {reply[:_SHOWN]}", now)
        return reply, now


def _place_of(medium: Media, relay: Asked, now: float) -> str:
    """Return where the side is for ``medium``, "" where it has none. Raises ``RelayFailed``."""
    try:
        connection = medium.connection
        return connection.host if medium.port and connection is not None else ""
    except RemoteProtocolError as error:
        # No relay can do anything with it, and this one is well.
        raise RelayFailed(f"{relay.uri}: {error.reason}", now) from None


def _codecs(medium: Media) -> str:
    """Return the payload types of ``medium``, as ``U`` and ``L`` take them."""
    found = [one for one in medium.formats if one.isascii() and one.isdigit() and len(one) <= 3]
    return f"c{','.join(found)}" if found and len(found) == len(medium.formats) else ""


def _call(names: Names) -> str:
    return _word(f"{names.call}-{names.label}" if names.label else names.call)


def _word(text: str) -> str:
    """Return ``text`` as one word: a peer's tag cannot add arguments, or media, to a command."""
    return "".join(c if c.isprintable() and c not in " ;" else "_" for c in text) or "-"


def _place(reply: str, own: str) -> tuple[int, str]:
    """Return port and address of a reply: ``35000``, ``35000 203.0.113.5``; port 0 for anything else."""
    port, _, rest = reply.partition(" ")
    address = rest.split(" ")[0] or own
    try:
        ip_address(address)
    except ValueError:
        return 0, own
    good = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65_535
    return (int(port), address) if good else (0, own)
