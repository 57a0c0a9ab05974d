"""Codecs of a medium: the formats of ``m=``, their ``rtpmap`` and ``fmtp`` (RFC 8866 6.6, 6.15, RFC 3551).

Theory of operation: for RTP a format is a payload type, and ``a=rtpmap`` gives it a name, or RFC 3551 does.
A filter takes names, finds the payload types, and changes the list of formats in ``m=``. With a format go the
attributes that are about it alone, and the retransmission format that points to it (RFC 4588 8.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sansip.sdp.section import Section

__all__ = ["STATIC", "Codec", "codecs_of", "drop_formats", "fits", "kept", "ordered"]

# RFC 3551 6: the static payload types.
STATIC: Final = {
    "0": "PCMU/8000",
    "3": "GSM/8000",
    "4": "G723/8000",
    "5": "DVI4/8000",
    "6": "DVI4/16000",
    "7": "LPC/8000",
    "8": "PCMA/8000",
    "9": "G722/8000",
    "10": "L16/44100/2",
    "11": "L16/44100",
    "12": "QCELP/8000",
    "13": "CN/8000",
    "14": "MPA/90000",
    "15": "G728/8000",
    "16": "DVI4/11025",
    "17": "DVI4/22050",
    "18": "G729/8000",
    "25": "CelB/90000",
    "26": "JPEG/90000",
    "28": "nv/90000",
    "31": "H261/90000",
    "32": "MPV/90000",
    "33": "MP2T/90000",
    "34": "H263/90000",
}
# Attributes whose value begins with the format that they are about.
_ABOUT: Final = (b"a=rtpmap:", b"a=fmtp:", b"a=rtcp-fb:", b"a=imageattr:")


@dataclass(frozen=True, slots=True)
class Codec:
    """A format of a medium.

    Attributes:
        format: as in ``m=``: for RTP the payload type.
        name, rate, channels: of its ``rtpmap``, or of RFC 3551; "" and 0 where neither knows it.
        fmtp: its parameters, or "".
    """

    format: str
    name: str
    rate: int = 0
    channels: int = 1
    fmtp: str = ""

    def __str__(self) -> str:
        if not self.name:
            return self.format
        channels = f"/{self.channels}" if self.channels > 1 else ""
        return f"{self.name}/{self.rate}{channels}"

    def same(self, other: Codec) -> bool:
        """Whether it is the same encoding, under any payload type (RFC 3264 6.1: types may differ)."""
        if not self.name or not other.name:
            return self.format == other.format
        # RFC 4855 3: names have no case.
        return self.name.lower() == other.name.lower() and (self.rate, self.channels) == (
            other.rate,
            other.channels,
        )


def codecs_of(section: Section, formats: Iterable[str]) -> list[Codec]:
    """Return the codecs of ``formats``, in that order."""
    maps: dict[str, str] = {}
    parameters: dict[str, str] = {}
    for value in section.attributes("rtpmap"):
        format_, _, encoding = value.partition(" ")
        maps.setdefault(format_, encoding.strip())
    for value in section.attributes("fmtp"):
        format_, _, text = value.partition(" ")
        parameters.setdefault(format_, text.strip())
    return [
        _codec(format_, maps.get(format_) or STATIC.get(format_, ""), parameters.get(format_, ""))
        for format_ in formats
    ]


def _codec(format_: str, encoding: str, fmtp: str) -> Codec:
    name, _, rest = encoding.partition("/")
    rate, _, channels = rest.partition("/")
    return Codec(format_, name, _number(rate), _number(channels) or 1, fmtp)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def fits(codec: Codec, names: Iterable[str]) -> bool:
    """Whether one of ``names`` means ``codec``: ``opus``, ``opus/48000/2``, or a format (``t38``)."""
    wanted = {name.lower() for name in names}
    return not wanted.isdisjoint((codec.name.lower(), str(codec).lower(), codec.format.lower()))


def kept(codecs: Sequence[Codec], keep: set[str]) -> list[str]:
    """Return the formats of ``keep`` in order; a retransmission format stays and goes with its other."""
    found = []
    for codec in codecs:
        about = _apt(codec)
        if (codec.format if about is None else about) in keep:
            found.append(codec.format)
    return found


def _apt(codec: Codec) -> str | None:
    """Return the payload type that ``codec`` retransmits (RFC 4588 8.1), None for any other codec."""
    if codec.name.lower() != "rtx":
        return None
    for parameter in codec.fmtp.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "apt":
            return value
    return ""


def ordered(codecs: Sequence[Codec], names: Sequence[str]) -> list[str]:
    """Return all formats, those that ``names`` mean first, in the order of ``names``."""
    ranks = {name.lower(): rank for rank, name in reversed(list(enumerate(names)))}
    last = len(ranks)

    def rank(codec: Codec) -> int:
        texts = (codec.name.lower(), str(codec).lower(), codec.format.lower())
        return min(ranks.get(text, last) for text in texts)

    return [codec.format for codec in sorted(codecs, key=rank)]


def drop_formats(section: Section, gone: set[str]) -> None:
    """Remove the attributes that are about one of the formats ``gone``."""
    unwanted = {format_.encode() for format_ in gone}

    def about(line: bytes) -> bool:
        for begin in _ABOUT:
            if line.startswith(begin):
                format_ = line[len(begin) :].split(None, 1)
                return bool(format_) and format_[0] in unwanted
        return False

    section.drop(about)
