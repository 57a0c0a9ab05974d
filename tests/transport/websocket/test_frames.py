"""Frames: whole, cut anywhere, and broken in every way that RFC 6455 names."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.transport.websocket.frames import (
    BINARY,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    FrameError,
    MessageReader,
    close_payload,
    frame,
    read_close,
)

MOST = 70_000


def masked(opcode: int, payload: bytes, *, fin: bool = True, key: bytes = b"\x12\x34\x56\x78") -> bytes:
    """A client's frame (RFC 6455 5.2, 5.3), written octet by octet."""
    size = len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 65_536:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    mixed = bytes(octet ^ key[index % 4] for index, octet in enumerate(payload))
    return bytes(((0x80 if fin else 0) | opcode,)) + length + key + mixed


def fed(*pieces: bytes, most: int = MOST) -> list[tuple[int, bytes]]:
    reader = MessageReader(most)
    return [message for piece in pieces for message in reader.feed(piece)]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_each_form_of_the_length(size: int) -> None:
    """RFC 6455 5.2: seven bits, sixteen, or sixty-four."""
    payload = bytes(index % 251 for index in range(size))
    assert fed(masked(BINARY, payload)) == [(BINARY, payload)]


def test_the_example_of_the_rfc() -> None:
    """RFC 6455 5.7: a masked text message that contains "Hello", whole and in fragments."""
    assert fed(bytes.fromhex("818537fa213d7f9f4d5158")) == [(TEXT, b"Hello")]
    assert frame(TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")


@given(st.lists(st.tuples(st.sampled_from([TEXT, BINARY, PING, PONG]), st.binary(max_size=125))), st.data())
def test_cut_anywhere(messages: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """The messages do not depend on how the network cut them."""
    stream = b"".join(masked(opcode, payload) for opcode, payload in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert fed(*pieces) == messages
    assert fed(*(stream[i : i + 1] for i in range(len(stream)))) == messages


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(data: bytes) -> None:
    """Nothing but FrameError comes out."""
    with contextlib.suppress(FrameError):
        fed(data)


def test_fragments_are_put_together_around_control_frames() -> None:
    """RFC 6455 5.4: a ping may come between the fragments of a message."""
    reader = MessageReader(MOST)
    assert list(reader.feed(masked(TEXT, b"one ", fin=False))) == []
    assert reader.pending
    assert list(reader.feed(masked(PING, b"?"))) == [(PING, b"?")]
    assert list(reader.feed(masked(CONTINUATION, b"two ", fin=False))) == []
    assert list(reader.feed(masked(CONTINUATION, b"three"))) == [(TEXT, b"one two three")]
    assert not reader.pending


@pytest.mark.parametrize(
    ("octets", "code", "says"),
    [
        (bytes.fromhex("8105") + b"Hello", 1002, "masked"),
        (bytes.fromhex("c185") + b"keysHello", 1002, "reserved bit"),
        (bytes.fromhex("8385") + b"keysHello", 1002, "opcode 3"),
        (bytes.fromhex("8b80") + b"keys", 1002, "opcode 11"),
        (masked(PING, b"", fin=False), 1002, "must not be fragmented"),
        (masked(PING, b"x" * 126), 1002, "at most 125"),
        (masked(CONTINUATION, b"x"), 1002, "continuation of nothing"),
        (masked(TEXT, b"x", fin=False) + masked(TEXT, b"y"), 1002, "new message before"),
        (masked(TEXT, b"x" * 101), 1009, "more than 100 octets (limits.message_size)"),
        (masked(TEXT, b"x" * 60, fin=False) + masked(CONTINUATION, b"x" * 60), 1009, "more than 100"),
    ],
)
def test_faults(octets: bytes, code: int, says: str) -> None:
    """RFC 6455 5.1, 5.2, 5.4, 5.5 and 7.4.1: each fault has its close code."""
    with pytest.raises(FrameError) as caught:
        fed(octets, most=100)
    assert caught.value.code == code
    assert says in caught.value.reason


def test_a_huge_length_is_refused_before_its_payload() -> None:
    """The header is enough: nothing is stored for a peer that announces 2**63 octets."""
    with pytest.raises(FrameError) as caught:
        fed(bytes.fromhex("82ff") + (2**63).to_bytes(8, "big") + b"keys")
    assert caught.value.code == 1009


def test_a_fault_shows_in_the_first_two_octets() -> None:
    """An unmasked frame with a long length is refused before the length is there."""
    for header in ("817e", "817f"):
        with pytest.raises(FrameError):
            fed(bytes.fromhex(header))


@pytest.mark.parametrize(
    ("payload", "expected"),
    [(b"", (1005, "")), (b"\x03\xe8bye", (1000, "bye")), (b"\x0f\xa0", (4000, ""))],
)
def test_close_frames_read(payload: bytes, expected: tuple[int, str]) -> None:
    """RFC 6455 5.5.1: empty, or a code and a reason."""
    assert read_close(payload) == expected


@pytest.mark.parametrize(
    ("payload", "code"),
    [(b"\x03", 1002), (b"\x03\xed", 1002), (b"\x00\x00", 1002), (b"\xff\xff", 1002), (b"\x03\xe8\xff", 1007)],
)
def test_close_frames_refused(payload: bytes, code: int) -> None:
    """RFC 6455 7.4: half a code, codes that are never sent, and text that is not UTF-8."""
    with pytest.raises(FrameError) as caught:
        read_close(payload)
    assert caught.value.code == code


def test_a_long_reason_is_cut_between_characters() -> None:
    """RFC 6455 5.5: a control frame holds 125 octets, and its reason is UTF-8."""
    written = close_payload(1001, "é" * 100)
    assert (len(written), written[:2]) == (124, b"\x03\xe9")
    assert written[2:].decode() == "é" * 61


def test_what_comes_before_a_fault_is_not_lost() -> None:
    """RFC 6455 7.1.7: whole messages of the same octets have been received (found by fuzzing)."""
    reader = MessageReader(MOST)
    messages = reader.feed(masked(TEXT, b"whole") + b"\x88\x00")
    assert next(messages) == (TEXT, b"whole")
    with pytest.raises(FrameError):
        next(messages)


@pytest.mark.parametrize("cut", [2, 3, 4, 16])
def test_a_long_form_of_a_small_length(cut: int) -> None:
    """RFC 6455 5.5: refused in a control frame, wherever the header is cut (found by fuzzing)."""
    frame = b"\x89\xfe\x00\x0c" + bytes(16)
    reader = MessageReader(MOST)
    with pytest.raises(FrameError, match="at most 125"):
        assert [*reader.feed(frame[:cut]), *reader.feed(frame[cut:])] == []
