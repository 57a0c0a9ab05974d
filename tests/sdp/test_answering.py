"""Offers and answers are matched medium by medium (RFC 3264 6)."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import RemoteProtocolError
from sansip.sdp import Codec, answer_to, match, parse
from sansip.sdp.answering import _common
from tests.sdp.texts import BROWSER, PHONE, lines

OFFER = lines(
    "v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "t=0 0", "m=audio 4 RTP/AVP 0 97", "a=rtpmap:97 opus/48000/2",
    "m=video 6 RTP/AVP 31", "a=sendonly", "m=image 0 udptl t38",
)  # fmt: skip
ANSWER = lines(
    "v=0", "o=- 2 1 IN IP4 192.0.2.2", "s=-", "t=0 0", "m=audio 8 RTP/AVP 111 8", "a=rtpmap:111 OPUS/48000/2",
    "m=video 10 RTP/AVP 31", "a=recvonly", "m=image 0 udptl t38",
)  # fmt: skip


def test_match() -> None:
    """Codecs under other payload types, directions as the offerer sees them, a medium refused by both."""
    audio, video, image = match(parse(OFFER), parse(ANSWER))
    assert audio.accepted
    assert [one.format for one in audio.codecs] == ["111"]
    assert (audio.direction, video.direction, image.direction) == ("sendrecv", "sendonly", "inactive")
    assert not image.accepted


def test_refused() -> None:
    """RFC 3264 6: port 0 refuses one medium."""
    audio, video, _ = match(parse(OFFER), parse(ANSWER.replace(b"m=video 10", b"m=video 0")))
    assert (audio.accepted, video.accepted) == (True, False)


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (b"m=image 0 udptl t38\r\n", b"", "2 media answer 3"),
        (b"m=audio 8", b"m=text 8", "text answers audio"),
        (b"m=audio 8 RTP/AVP", b"m=audio 8 RTP/SAVP", "RTP/SAVP answers"),
        (b"a=recvonly", b"a=sendrecv", "sendrecv answers sendonly"),
        (b"OPUS", b"speex", "no format"),
        (b"m=image 0", b"m=image 7", "port 0 was accepted"),
    ],
)
def test_no_answer(before: bytes, after: bytes, why: str) -> None:
    """RFC 3264 6, 6.1: an answer that does not fit the offer is refused, with the reason."""
    with pytest.raises(RemoteProtocolError, match=why):
        match(parse(OFFER), parse(ANSWER.replace(before, after)))


@pytest.mark.parametrize(
    ("setup", "good"), [("active", True), ("passive", True), ("actpass", False), ("holdconn", False)]
)
def test_roles(setup: str, good: bool) -> None:
    """RFC 5763 5: an answer to actpass chooses."""
    offer = parse(BROWSER)
    answer = parse(BROWSER.replace(b"setup:actpass", f"setup:{setup}".encode()))
    if good:
        assert match(offer, answer)[0].accepted
    else:
        with pytest.raises(RemoteProtocolError, match="setup"):
            match(offer, answer)


def test_answer_to() -> None:
    """Our description answers the media that it can, by mirrored directions; port 0 refuses the rest."""
    answered = answer_to(OFFER, PHONE)
    audio, video, image = match(parse(OFFER), parse(answered))
    assert (audio.accepted, video.accepted, image.accepted) == (True, True, False)
    assert video.direction == "sendonly"
    assert parse(answered).origin.version == 8
    assert answered.endswith(b"m=image 0 udptl t38\r\n")


def test_we_have_nothing() -> None:
    """An empty description refuses every medium, in a description that is one."""
    answered = answer_to(OFFER, b"")
    assert not any(one.accepted for one in match(parse(OFFER), parse(answered)))
    with pytest.raises(RemoteProtocolError):
        answer_to(b"", PHONE)


def test_a_malformed_medium_is_refused() -> None:
    """RFC 3264 6: one medium that cannot be read is refused; the others are answered."""
    offer = lines("v=0", "m=audio x RTP/AVP 0", "m=", "m=audio 4 RTP/AVP 0")
    answered = parse(answer_to(offer, PHONE.replace(b"m=video", b"m=audio")))
    assert [one.port for one in answered.media] == [0, 0, 0]


def test_many_formats() -> None:
    """Codecs are compared by table: 6,000 formats against 6,000 others took seconds one by one."""
    looks = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal looks
        looks += event == "call" and "sdp" in frame.f_code.co_filename

    head = b"v=0\r\nm=audio 4 RTP/AVP "
    offer = parse(head + b" ".join(b"%d" % number for number in range(96, 1_096)))
    answer = parse(head + b" ".join(b"x%d" % number for number in range(1_000)) + b" 100")
    sys.setprofile(count)
    try:
        (stream,) = match(offer, answer)
    finally:
        sys.setprofile(None)
    assert [one.format for one in stream.codecs] == ["100"]
    assert looks < 20_000


@given(st.lists(st.tuples(st.sampled_from("089"), st.sampled_from(["", "A", "a", "B"])), max_size=5))
def test_common_codecs(pairs: list[tuple[str, str]]) -> None:
    """The tables find what ``Codec.same`` says of each pair."""
    codecs = [Codec(format_, name, 8_000 if name else 0) for format_, name in pairs]
    for cut in range(len(codecs) + 1):
        ours, theirs = codecs[:cut], codecs[cut:]
        assert _common(ours, theirs) == tuple(one for one in theirs if any(one.same(other) for other in ours))
