"""A session description: the session's section, then one for each medium (RFC 8866 5).

Theory of operation: ``parse`` looks for the places where ``m=`` begins a line, and for nothing else. Each
question reads what it needs, so a description that is passed on costs one scan. A fault raises where it is
read: a port of letters is no obstacle for a codec filter. Lines end in CRLF, and an LF alone is accepted
(RFC 8866 5). At most ``most_media`` media are read, for each costs memory, and no session has as many.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.sdp.codecs import Codec, codecs_of, drop_formats, fits, kept, ordered
from sansip.sdp.section import Section, encoded, malformed
from sansip.sdp.security import DTLS, ICE, Crypto, Dtls, Ice, crypto_of, dtls_of, ice_of
from sansip.sdp.values import Connection, Origin, parse_connection, parse_origin

__all__ = ["MOST_LINES", "MOST_MEDIA", "WAYS", "Description", "Media", "is_sdp", "parse"]

# Media of one description; the largest conferences of browsers have some fifty.
MOST_MEDIA: Final = 64
# Lines before the first medium, which each medium may look through; real sessions have some ten. → not read
MOST_LINES: Final = 1_000
# RFC 8866 6.7: the attributes that say which way media goes.
WAYS: Final = ("sendrecv", "sendonly", "recvonly", "inactive")
_WAY_LINES: Final = {f"a={way}".encode(): way for way in WAYS}


def is_sdp(content_type: str | None) -> bool:
    """Whether a Content-Type is that of SDP; RFC 3261 7.4.1 compares it without case."""
    return (content_type or "").partition(";")[0].strip().lower() == "application/sdp"


def parse(data: bytes, *, most_media: int = MOST_MEDIA) -> Description:
    """Return the description in ``data``.

    Raises RemoteProtocolError (status 488) where it does not begin as one, has more than ``most_media``
    media, or more than ``MOST_LINES`` lines before the first one.
    """
    # RFC 8866 5.1: the first line is v=0.
    if not data.startswith((b"v=0\r\n", b"v=0\n")):
        raise malformed(data[:60].decode("utf-8", "replace"), "RFC 8866 5.1")
    places: list[int] = []
    at = data.find(b"\nm=")
    while at >= 0:
        if len(places) == most_media:
            raise RemoteProtocolError(
                f"more than {most_media} media in SDP (limits.sdp_media)", status=488, section="RFC 8866 5.14"
            )
        places.append(at + 1)
        at = data.find(b"\nm=", at + 1)
    begin = places[0] if places else len(data)
    if data.count(b"\n", 0, begin) > MOST_LINES:
        raise RemoteProtocolError(
            f"more than {MOST_LINES} lines before the first medium in SDP", status=488, section="RFC 8866 5"
        )
    ends = b"\r\n" if data.startswith(b"v=0\r\n") else b"\n"
    session = Section(data[:begin], ends)
    places.append(len(data))
    return Description(session, [Media(data[at:end], ends, session) for at, end in pairwise(places)])


def _direction(section: Section) -> str | None:
    for line in section.raw_lines:
        found = _WAY_LINES.get(line.rstrip(b"\r\n"))
        if found is not None:
            return found
    return None


class Description:
    """A session description.

    Attributes:
        session: its lines before the first medium.
        media: its media, in order.
    """

    __slots__ = ("media", "session")

    def __init__(self, session: Section, media: list[Media]) -> None:
        self.session = session
        self.media = media

    def to_bytes(self) -> bytes:
        """Return its octets."""
        return b"".join([self.session.to_bytes(), *(one.to_bytes() for one in self.media)])

    @property
    def origin(self) -> Origin:
        """The ``o=`` line. Raises RemoteProtocolError where it is missing or malformed."""
        return parse_origin(self.session.first("o") or "")

    def next_version(self) -> None:
        """Raise the version of ``o=`` by one: for a description that differs from the last (RFC 3264 8)."""
        origin = self.origin
        self.session.set(
            "o",
            str(Origin(origin.username, origin.session, origin.version + 1, origin.family, origin.address)),
        )

    @property
    def connection(self) -> Connection | None:
        """The session's ``c=``, which is for media without one of their own."""
        text = self.session.first("c")
        return None if text is None else parse_connection(text)

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """The ``a=group`` lines (RFC 5888), such as ``("BUNDLE", "0", "1")``."""
        return [tuple(value.split()) for value in self.session.attributes("group")]

    def keep_codecs(self, names: Iterable[str], kind: str | None = None) -> None:
        """``Media.keep_codecs`` for all media, or for those of ``kind`` ("audio")."""
        wanted = list(names)
        for one in self.media:
            if kind is None or one.kind == kind:
                one.keep_codecs(wanted)

    def strip_codecs(self, names: Iterable[str], kind: str | None = None) -> None:
        """``Media.strip_codecs`` for all media, or for those of ``kind``."""
        wanted = list(names)
        for one in self.media:
            if kind is None or one.kind == kind:
                one.strip_codecs(wanted)

    def order_codecs(self, names: Iterable[str], kind: str | None = None) -> None:
        """``Media.order_codecs`` for all media, or for those of ``kind``."""
        wanted = list(names)
        for one in self.media:
            if kind is None or one.kind == kind:
                one.order_codecs(wanted)

    def remove_ice(self) -> None:
        """Remove all that ICE has in here (RFC 8839 5)."""
        for one in (self.session, *self.media):
            one.remove_attributes(ICE)

    def remove_dtls(self) -> None:
        """Remove all that DTLS has in here (RFC 8842 5)."""
        for one in (self.session, *self.media):
            one.remove_attributes(DTLS)


class Media(Section):
    """A medium: an ``m=`` line and those behind it. What it lacks the session may have."""

    ORDER = "micbka"

    __slots__ = ("_session",)

    def __init__(self, data: bytes, ends: bytes, session: Section) -> None:
        super().__init__(data, ends)
        self._session = session

    # --- the m= line (RFC 8866 5.14)

    def _fields(self) -> list[str]:
        text = self.first("m") or ""
        # The kind, the port, the protocol, and the formats as one.
        fields = text.split(" ", 3)
        # RFC 8866 9: no byte-string has these; a line with one could not be written again.
        if len(fields) < 4 or not all(fields) or "\r" in text or "\0" in text:
            raise malformed(f"m={text}", "RFC 8866 5.14")
        return fields

    def _put(self, **changed: str) -> None:
        fields = dict(zip(("kind", "port", "protocol", "formats"), self._fields(), strict=True))
        self.set("m", " ".join((fields | changed).values()))

    @property
    def kind(self) -> str:
        """``audio``, ``video``, ``image``, ``application``, ``message``, ``text``."""
        return self._fields()[0]

    @property
    def port(self) -> int:
        """The port; 0 means that the medium is refused, or over (RFC 3264 6, 8.2)."""
        text = self._fields()[1].partition("/")[0]
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535):
            raise malformed(f"m={self.first('m')}", "RFC 8866 5.14")
        return int(text)

    @port.setter
    def port(self, value: int) -> None:
        if not 0 <= value <= 65_535:
            raise LocalProtocolError(f"{value} is no port")
        self._put(port=str(value))

    @property
    def protocol(self) -> str:
        """Such as ``RTP/AVP`` or ``UDP/TLS/RTP/SAVPF``."""
        return self._fields()[2]

    @protocol.setter
    def protocol(self, value: str) -> None:
        self._put(protocol=encoded(value).decode("utf-8", "surrogateescape"))

    @property
    def is_rtp(self) -> bool:
        """Whether its formats are payload types of RTP."""
        return "RTP/" in self.protocol

    @property
    def formats(self) -> list[str]:
        """The formats: payload types, for RTP."""
        return self._fields()[3].split()

    @property
    def refused(self) -> bool:
        """Whether the port is 0, and the medium not only part of a bundle (RFC 8843 6)."""
        return self.port == 0 and self.attribute("bundle-only") is None

    def refuse(self) -> None:
        """Refuse the medium: port 0, and nothing else (RFC 3264 6)."""
        self.port = 0

    # --- where, and which way

    @property
    def connection(self) -> Connection | None:
        """Its own ``c=``, or the session's. Raises RemoteProtocolError where it is malformed."""
        text = self.first("c")
        if text is None:
            text = self._session.first("c")
        return None if text is None else parse_connection(text)

    @property
    def direction(self) -> str:
        """``sendrecv``, ``sendonly``, ``recvonly`` or ``inactive``: its own, or the session's."""
        # RFC 8866 6.7.2: without any it is sendrecv.
        return _direction(self) or _direction(self._session) or "sendrecv"

    @direction.setter
    def direction(self, value: str) -> None:
        if value not in WAYS:
            raise LocalProtocolError(f"{value!r} is not a direction (RFC 8866 6.7)")
        self.remove_attributes(WAYS)
        self.add_attribute(value)

    @property
    def mid(self) -> str | None:
        """Its name in groups (RFC 5888 4)."""
        return self.attribute("mid")

    # --- codecs

    @property
    def codecs(self) -> list[Codec]:
        """Its formats, with names and parameters where it is RTP."""
        formats = self.formats
        return codecs_of(self, formats) if self.is_rtp else [Codec(one, "") for one in formats]

    def keep_codecs(self, names: Iterable[str]) -> None:
        """Remove the codecs that ``names`` (``"PCMA"``, ``"opus/48000/2"``) do not mean.

        A medium that is left without any is refused. Formats that are no payload types stay.
        """
        if self.is_rtp:
            wanted = list(names)
            self._keep({one.format for one in self.codecs if fits(one, wanted)})

    def strip_codecs(self, names: Iterable[str]) -> None:
        """Remove the codecs that ``names`` mean, in the same way."""
        if self.is_rtp:
            unwanted = list(names)
            self._keep({one.format for one in self.codecs if not fits(one, unwanted)})

    def order_codecs(self, names: Iterable[str]) -> None:
        """Put the codecs that ``names`` mean before all others, the first one is the best (RFC 3264 5.1)."""
        if self.is_rtp:
            self._set_formats(ordered(self.codecs, list(names)))

    def _keep(self, wanted: set[str]) -> None:
        had = self.formats
        formats = kept(self.codecs, wanted)
        if not formats:
            self.refuse()
            return
        if formats != had:
            self._set_formats(formats)
            drop_formats(self, set(had) - set(formats))

    def _set_formats(self, formats: list[str]) -> None:
        if formats != self.formats:
            self._put(formats=" ".join(formats))

    # --- security

    @property
    def ice(self) -> Ice | None:
        """Its ICE, or None (RFC 8839)."""
        return ice_of(self, self._session)

    @property
    def dtls(self) -> Dtls | None:
        """Its DTLS fingerprints and role, or None (RFC 5763 5)."""
        return dtls_of(self, self._session)

    @property
    def crypto(self) -> list[Crypto]:
        """Its SDES keys (RFC 4568)."""
        return crypto_of(self)

    @property
    def is_secure(self) -> bool:
        """Whether its protocol encrypts: SRTP, or DTLS (RFC 4568, 5764, 8841)."""
        protocol = self.protocol
        return "SAVP" in protocol or "TLS/" in protocol
