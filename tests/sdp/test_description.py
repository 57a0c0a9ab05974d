"""A description is read lazily and edited octet for octet; hostile ones are bounded (RFC 8866)."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.limits import DEFAULT
from sansip.sdp import Description, direction_of, is_sdp, match, parse, with_direction
from sansip.sdp.description import MOST_LINES, MOST_MEDIA
from tests.sdp.texts import BROWSER, PHONE, lines


def test_reading() -> None:
    """A phone's description, line by line."""
    description = parse(PHONE)
    audio, video = description.media
    assert (audio.kind, audio.port, audio.protocol) == ("audio", 49170, "RTP/AVP")
    assert audio.connection == description.connection
    assert str(video.connection) == "IN IP4 192.0.2.7/127"
    assert (audio.direction, video.direction) == ("sendrecv", "sendonly")
    assert description.origin.version == 7
    assert not audio.is_secure
    assert parse(BROWSER).groups == [("BUNDLE", "0", "1")]
    assert parse(BROWSER).media[0].mid == "0"


@pytest.mark.parametrize(
    "text", [PHONE, BROWSER, PHONE.replace(b"\r\n", b"\n"), b"v=0\r\n", PHONE[:-2], b"v=0\n\nm="]
)
def test_untouched(text: bytes) -> None:
    """Reading changes no octet, with CRLF or LF (RFC 8866 5)."""
    description = parse(text)
    for one in (description.session, *description.media):
        one.attribute("x")
    assert description.to_bytes() == text


def test_an_edit_changes_its_line_alone() -> None:
    """A port, a direction, a version, an address, a protocol: each is one line."""
    description = parse(PHONE)
    audio, video = description.media
    audio.port = 5004
    audio.set("c", "IN IP6 2001:db8::1")
    audio.protocol = "RTP/SAVP"
    description.next_version()
    video.direction = "inactive"
    assert description.to_bytes() == (
        PHONE.replace(b"audio 49170 RTP/AVP 0", b"audio 5004 RTP/SAVP 0")
        .replace(b"b=AS", b"c=IN IP6 2001:db8::1\r\nb=AS")
        .replace(b"4526 7 IN", b"4526 8 IN")
        .replace(b"a=sendonly", b"a=inactive")
    )


def test_direction_of_the_session() -> None:
    """RFC 8866 6.7: a medium without one has the session's."""
    description = parse(
        lines("v=0", "a=recvonly", "m=audio 1 RTP/AVP 0", "m=audio 1 RTP/AVP 0", "a=inactive")
    )
    assert [one.direction for one in description.media] == ["recvonly", "inactive"]


def test_refused() -> None:
    """RFC 3264 6: port 0; RFC 8843 6: but not where the medium is only part of a bundle."""
    audio, data = parse(BROWSER).media
    assert not audio.refused
    assert not data.refused
    audio.refuse()
    assert parse(audio.to_bytes().join((b"v=0\r\n", b""))).media[0].refused
    assert b"m=audio 0 UDP/TLS/RTP/SAVPF 111 0 126\r\n" in audio.to_bytes()


@pytest.mark.parametrize(
    "data", [b"", b"v=1\r\n", b"\r\nv=0\r\n", b"v=0", b"o=x\r\nv=0\r\n", b"\xff" * 100, b"v=0\0\r\n"]
)
def test_no_description(data: bytes) -> None:
    """RFC 8866 5.1: it begins with v=0. The status for a request that carries it is 488."""
    with pytest.raises(RemoteProtocolError) as caught:
        parse(data)
    assert caught.value.status == 488
    assert caught.value.section == "RFC 8866 5.1"


@pytest.mark.parametrize(
    "line",
    [
        "m=",
        "m=audio",
        "m=audio 1 RTP/AVP",
        "m=audio 70000 RTP/AVP 0",
        "m=audio -1 RTP/AVP 0",
        "m=audio x RTP/AVP 0",
        "m=audio 1e3 RTP/AVP 0",
        "m=audio  RTP/AVP 0",
        "m=audio ١ RTP/AVP 0",
        "m=audio 00000000000001 RTP/AVP 0",
        "m=audio 4 RTP/AVP 0\r8",
        "m=audio 4 RTP/AVP 0\0",
    ],
)
def test_a_lying_medium(line: str) -> None:
    """A fault raises where it is read, and names the line; the other media are not affected."""
    broken, whole = parse(lines("v=0", line, "m=audio 4 RTP/AVP 0")).media
    with pytest.raises(RemoteProtocolError, match="m="):
        _ = broken.port
    assert whole.port == 4


def test_a_port_of_ours() -> None:
    """A mistake of the program is another error."""
    with pytest.raises(LocalProtocolError):
        parse(PHONE).media[0].port = 70_000
    with pytest.raises(LocalProtocolError):
        parse(PHONE).media[0].direction = "both"


def test_no_medium() -> None:
    """RFC 3264 5: an offer may have none."""
    description = parse(lines("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "t=0 0"))
    assert len(description.media) == 0
    assert description.origin.version == 1
    with pytest.raises(RemoteProtocolError, match="o="):
        _ = parse(b"v=0\r\n").origin


def test_too_many_media() -> None:
    """limits.sdp_media: the description is not read, and the error says which limit that was."""
    assert DEFAULT.sdp_media == MOST_MEDIA
    medium = b"m=audio 1 RTP/AVP 0\r\n"
    assert len(parse(b"v=0\r\n" + medium * MOST_MEDIA).media) == MOST_MEDIA
    with pytest.raises(RemoteProtocolError, match="sdp_media"):
        parse(b"v=0\r\n" + medium * 500)
    assert len(parse(b"v=0\r\n" + medium * 500, most_media=500).media) == 500


def test_too_many_lines() -> None:
    """Each medium may ask the session: 64 media that look through 18,000 lines of it took 0.4 s."""
    head, medium = b"v=0\r\n", b"m=audio 1 RTP/AVP 0\r\n"
    assert len(parse(head + b"a=x\n" * (MOST_LINES - 1) + medium).media) == 1
    for text in (head + b"a=x\n" * MOST_LINES + medium, head + b"\n" * 18_000):
        with pytest.raises(RemoteProtocolError, match="lines before the first medium"):
            parse(text)


def test_content_type() -> None:
    """RFC 3261 7.4.1: without case, with parameters."""
    assert is_sdp("application/SDP; charset=utf-8")
    assert not is_sdp("application/sdpx")
    assert not is_sdp(None)


GROWING = {
    "attributes": lambda size: b"m=audio 1 RTP/AVP 96\r\n" + b"a=rtpmap:96 x/1\r\n" * (size // 17),
    "formats": lambda size: b"m=audio 1 RTP/AVP" + b" 96" * (size // 3) + b"\r\n",
    "distinct": lambda size: (
        b"m=audio 1 RTP/AVP " + b" ".join(b"%d" % one for one in range(size // 6)) + b"\r\n"
    ),
    "one line": lambda size: b"m=audio 1 RTP/AVP 0\r\na=fmtp:0 " + b";x" * (size // 2) + b"\r\n",
    "empty lines": lambda size: b"m=audio 1 RTP/AVP 0\r\n" + b"\n" * size,
    "candidates": lambda size: (
        b"m=audio 1 RTP/AVP 0\r\na=ice-ufrag:a\r\na=ice-pwd:b\r\n" + b"a=candidate:1\r\n" * (size // 15)
    ),
    "carriage returns": lambda size: b"m=audio 1 RTP/AVP 0\r\na=x" + b"\r" * size,
}


def _calls(work: object) -> int:
    count = 0

    def count_one(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(count_one)
    try:
        work()  # type: ignore[operator]  # a function of no arguments
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", GROWING)
def test_linear(name: str) -> None:
    """Eight times the octets are at the most nine times the calls, for every reader and edit."""

    def work(size: int) -> int:
        description = parse(b"v=0\r\no=- 1 1 IN IP4 x\r\n" + GROWING[name](size))

        def run() -> None:
            description.strip_codecs(["nothing", "PCMA"])
            description.order_codecs(["PCMU", "opus"])
            description.remove_ice()
            description.remove_dtls()
            for one in description.media:
                _ = (one.codecs, one.direction, one.ice, one.dtls, one.crypto)
            description.to_bytes()

        return _calls(run)

    assert work(64_000) <= 9 * work(8_000) + 500


# Any text, of the letters that mean something here.
NOISE = st.lists(
    st.sampled_from(
        [
            b"v=0",
            b"\r\n",
            b"\n",
            b"m=",
            b"audio",
            b" ",
            b"1",
            b"RTP/AVP",
            b"0",
            b"96",
            b"a=",
            b"rtpmap:",
            b"fmtp:96 apt=",
            b"o=",
            b"c=IN IP4 ",
            b"sendonly",
            b"opus/48000",
            b"\xff",
            b"\0",
            b"candidate:",
            b"setup:",
            b"fingerprint:",
            b"rtx/1",
        ]
    ),
    max_size=60,
).map(b"".join)


@given(NOISE)
def test_any_octets(noise: bytes) -> None:
    """Any octets give a description or RemoteProtocolError; unedited lines leave as they came."""
    data = b"v=0\r\n" + noise
    try:
        description = parse(data)
    except RemoteProtocolError:
        return
    _read_all(description)
    assert description.to_bytes() == data
    assert direction_of(data) in ("sendrecv", "sendonly", "recvonly", "inactive")
    for edit in (
        lambda: description.strip_codecs(["opus"]),
        lambda: description.keep_codecs(["PCMU"]),
        lambda: description.order_codecs(["PCMU"]),
        description.next_version,
        description.remove_ice,
        description.remove_dtls,
        lambda: match(description, description),
    ):
        try:
            edit()
        except RemoteProtocolError:
            pass
    # Edited lines can be read again.
    again = parse(description.to_bytes())
    assert len(again.media) == len(description.media)
    parse(with_direction(data, "inactive"))


def _read_all(description: Description) -> None:
    for read in (lambda: description.origin, lambda: description.connection, lambda: description.groups):
        try:
            read()
        except RemoteProtocolError:
            pass
    for one in description.media:
        for name in (
            "kind",
            "port",
            "protocol",
            "formats",
            "codecs",
            "connection",
            "direction",
            "ice",
            "dtls",
            "crypto",
            "mid",
            "refused",
            "is_secure",
        ):
            try:
                getattr(one, name)
            except RemoteProtocolError:
                pass


@given(
    st.lists(
        st.sampled_from(PHONE.splitlines(keepends=True) + BROWSER.splitlines(keepends=True)), max_size=40
    )
)
def test_shuffled_lines(shuffled: list[bytes]) -> None:
    """Real lines in any order: an edit of one attribute leaves every other line where it was."""
    data = b"v=0\r\n" + b"".join(line for line in shuffled if not line.startswith(b"v="))
    description = parse(data)
    for one in (description.session, *description.media):
        one.remove_attributes(["rtpmap"])
    kept = [line for line in data.splitlines(keepends=True) if not line.startswith(b"a=rtpmap:")]
    assert description.to_bytes() == b"".join(kept)
