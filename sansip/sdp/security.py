"""ICE, DTLS-SRTP and SDES as attributes (RFC 8839, RFC 5763, RFC 8122, RFC 4568)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sansip.sdp.section import malformed

if TYPE_CHECKING:
    from sansip.sdp.section import Section

__all__ = ["DTLS", "ICE", "Candidate", "Crypto", "Dtls", "Ice", "crypto_of", "dtls_of", "ice_of"]

# The attributes of each.
ICE: Final = (
    "candidate",
    "remote-candidates",
    "end-of-candidates",
    "ice-ufrag",
    "ice-pwd",
    "ice-options",
    "ice-lite",
    "ice-mismatch",
    "ice-pacing",
)
DTLS: Final = ("fingerprint", "setup", "tls-id", "connection")


@dataclass(frozen=True, slots=True)
class Candidate:
    """An ICE candidate (RFC 8839 5.1). ``extensions`` is the rest of its line."""

    foundation: str
    component: int
    transport: str
    priority: int
    address: str
    port: int
    type: str
    extensions: str = ""

    def __str__(self) -> str:
        text = (
            f"{self.foundation} {self.component} {self.transport} {self.priority} {self.address} {self.port} "
            f"typ {self.type}"
        )
        return f"{text} {self.extensions}" if self.extensions else text


@dataclass(frozen=True, slots=True)
class Ice:
    """A medium's ICE. ``candidates`` are parsed when asked for: ``Ice.parsed``."""

    ufrag: str
    pwd: str
    options: tuple[str, ...] = ()
    lite: bool = False
    candidates: tuple[str, ...] = ()

    def parsed(self) -> list[Candidate]:
        """Return the candidates. Raises RemoteProtocolError for a malformed one."""
        return [_candidate(text) for text in self.candidates]


@dataclass(frozen=True, slots=True)
class Dtls:
    """A medium's DTLS: pairs of hash function and fingerprint, and its role (RFC 4145 4)."""

    fingerprints: tuple[tuple[str, str], ...]
    setup: str = ""


@dataclass(frozen=True, slots=True)
class Crypto:
    """A key for SRTP that the description carries (RFC 4568 4)."""

    tag: str
    suite: str
    keys: str
    parameters: tuple[str, ...] = field(default=())


def _both(media: Section, session: Section, name: str) -> str | None:
    found = media.attribute(name)
    return session.attribute(name) if found is None else found


def ice_of(media: Section, session: Section) -> Ice | None:
    """Return the ICE of ``media``; credentials may be those of the session (RFC 8839 5.4)."""
    ufrag, pwd = _both(media, session, "ice-ufrag"), _both(media, session, "ice-pwd")
    if ufrag is None or pwd is None:
        return None
    options = tuple((_both(media, session, "ice-options") or "").split())
    return Ice(
        ufrag,
        pwd,
        options,
        session.attribute("ice-lite") is not None,
        tuple(media.attributes("candidate")),
    )


def _candidate(text: str) -> Candidate:
    fields = text.split(" ", 8)
    line = f"a=candidate:{text}"
    if len(fields) < 8 or fields[6] != "typ":
        raise malformed(line, "RFC 8839 5.1")
    numbers = (fields[1], fields[3], fields[5])
    if not all(one.isascii() and one.isdigit() and len(one) <= 10 for one in numbers):
        raise malformed(line, "RFC 8839 5.1")
    component, priority, port = map(int, numbers)
    if port > 65_535 or not 1 <= component <= 256:
        raise malformed(line, "RFC 8839 5.1")
    extensions = fields[8] if len(fields) > 8 else ""
    return Candidate(fields[0], component, fields[2], priority, fields[4], port, fields[7], extensions)


def dtls_of(media: Section, session: Section) -> Dtls | None:
    """Return the DTLS of ``media``; a fingerprint of the session is for all media (RFC 8122 5)."""
    texts = media.attributes("fingerprint") or session.attributes("fingerprint")
    if not texts:
        return None
    pairs = []
    for text in texts:
        function, _, value = text.partition(" ")
        if not value:
            raise malformed(f"a=fingerprint:{text}", "RFC 8122 5")
        # RFC 8122 5: the name of the hash function has no case.
        pairs.append((function.lower(), value.strip()))
    return Dtls(tuple(pairs), _both(media, session, "setup") or "")


def crypto_of(media: Section) -> list[Crypto]:
    """Return the SDES keys of ``media``. Raises RemoteProtocolError for a malformed one."""
    found = []
    for text in media.attributes("crypto"):
        fields = text.split()
        if len(fields) < 3:
            raise malformed(f"a=crypto:{text}", "RFC 4568 4")
        found.append(Crypto(fields[0], fields[1], fields[2], tuple(fields[3:])))
    return found
