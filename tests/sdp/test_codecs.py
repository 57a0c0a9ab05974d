"""Codecs are filtered and ordered by name, with all that belongs to them (RFC 8866, RFC 3551, RFC 4588)."""

from __future__ import annotations

import pytest

from sansip.sdp import Codec, parse
from tests.sdp.texts import BROWSER, PHONE, lines


def test_names() -> None:
    """By rtpmap, or by RFC 3551 for static types; an unknown dynamic type has no name."""
    audio, video = parse(PHONE).media
    assert [str(one) for one in audio.codecs] == [
        "PCMU/8000",
        "PCMA/8000",
        "iLBC/8000",
        "telephone-event/8000",
    ]
    assert [one.fmtp for one in audio.codecs] == ["", "", "mode=30", "0-16"]
    assert [str(one) for one in video.codecs] == ["H261/90000", "H264/90000", "rtx/90000"]
    (nameless,) = parse(lines("v=0", "m=audio 1 RTP/AVP 99")).media
    assert [str(one) for one in nameless.codecs] == ["99"]
    assert str(parse(BROWSER).media[0].codecs[0]) == "opus/48000/2"


def test_same() -> None:
    """RFC 3264 6.1: payload types may differ; RFC 4855 3: names have no case."""
    assert Codec("96", "opus", 48000, 2).same(Codec("111", "OPUS", 48000, 2))
    assert not Codec("96", "L16", 44100, 2).same(Codec("97", "L16", 44100))
    assert Codec("t38", "").same(Codec("t38", ""))


def test_strip() -> None:
    """The format goes, its rtpmap, fmtp and feedback go, its retransmission goes; no other octet changes."""
    description = parse(PHONE)
    description.strip_codecs(["ilbc", "h264"])
    expected = (
        PHONE.replace(b" 8 97 101", b" 8 101")
        .replace(b"a=rtpmap:97 iLBC/8000\r\na=fmtp:97 mode=30\r\n", b"")
        .replace(b" 31 96 98", b" 31")
    )
    expected = b"".join(
        line
        for line in expected.splitlines(keepends=True)
        if not line.startswith((b"a=rtpmap:96", b"a=fmtp:96", b"a=rtcp-fb:96", b"a=rtpmap:98", b"a=fmtp:98"))
    )
    assert description.to_bytes() == expected


def test_keep() -> None:
    """Only these; rate and channels may be named; a kind of media may be left alone."""
    description = parse(PHONE)
    description.keep_codecs(["PCMA/8000", "telephone-event"], "audio")
    audio, video = description.media
    assert audio.formats == ["8", "101"]
    assert video.formats == ["31", "96", "98"]
    description.keep_codecs(["H264"], "video")
    assert video.formats == ["96", "98"]


def test_none_is_left() -> None:
    """RFC 3264 6: a medium without a format is refused, and keeps its formats for the grammar."""
    audio, _ = parse(PHONE).media
    audio.keep_codecs(["opus"])
    assert (audio.port, audio.formats) == (0, ["0", "8", "97", "101"])
    assert audio.refused


def test_order() -> None:
    """RFC 3264 5.1: the first is preferred. Only the m= line changes."""
    description = parse(PHONE)
    description.order_codecs(["opus", "telephone-event", "PCMA", "pcma"])
    assert description.to_bytes() == PHONE.replace(b" 0 8 97 101", b" 101 8 0 97")
    same = parse(PHONE)
    same.order_codecs(["PCMU"], "audio")
    assert same.to_bytes() == PHONE


def test_formats_of_others() -> None:
    """A fax, a data channel and MSRP have no payload types: filters leave them."""
    fax = lines("v=0", "m=image 1 udptl t38", "m=message 2 TCP/MSRP *", "m=application 3 UDP/DTLS/SCTP x")
    description = parse(fax)
    description.keep_codecs(["PCMU"])
    description.strip_codecs(["t38"])
    description.order_codecs(["x"])
    assert description.to_bytes() == fax
    assert [str(one) for one in description.media[0].codecs] == ["t38"]


@pytest.mark.parametrize(
    "line",
    ["a=rtpmap:", "a=rtpmap:96", "a=rtpmap:96 ", "a=rtpmap:96 x/y/z", "a=fmtp:", "a=rtpmap:96 a/" + "9" * 30],
)
def test_nonsense(line: str) -> None:
    """A malformed rtpmap makes a nameless or rateless codec, never an exception."""
    (media,) = parse(lines("v=0", "m=audio 1 RTP/AVP 96", line)).media
    (codec,) = media.codecs
    assert codec.format == "96"
    assert codec.rate == 0
    media.strip_codecs(["nothing"])


def test_retransmission_of_nothing() -> None:
    """RFC 4588 8.6: rtx without its apt belongs to no codec and goes with a filter."""
    (media,) = parse(lines("v=0", "m=video 1 RTP/AVP 31 97", "a=rtpmap:97 rtx/90000")).media
    media.keep_codecs(["H261"])
    assert media.formats == ["31"]
