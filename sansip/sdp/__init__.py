"""SDP: descriptions, read lazily and edited octet for octet (RFC 8866); offers and answers (RFC 3264).

A library of its own: it needs nothing else of sansip than its errors. See ``docs/sdp.md``.
"""

from sansip.sdp.answering import Stream, answer_to, match
from sansip.sdp.codecs import Codec
from sansip.sdp.description import Description, Media, is_sdp, parse
from sansip.sdp.hold import DIRECTIONS, direction_of, with_direction
from sansip.sdp.section import Section
from sansip.sdp.security import Candidate, Crypto, Dtls, Ice
from sansip.sdp.values import Connection, Origin

__all__ = [
    "DIRECTIONS",
    "Candidate",
    "Codec",
    "Connection",
    "Crypto",
    "Description",
    "Dtls",
    "Ice",
    "Media",
    "Origin",
    "Section",
    "Stream",
    "answer_to",
    "direction_of",
    "is_sdp",
    "match",
    "parse",
    "with_direction",
]
