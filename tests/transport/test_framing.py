"""RFC 3261 18.3 and 7.5, RFC 5626 4.4.1: messages out of a stream, however it is cut."""

from __future__ import annotations

import shutil
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import RemoteProtocolError
from sansip.limits import Limits
from sansip.transport import PING, StreamFramer
from sansip.transport.framing import framed_plainly
from sansip.wire import head
from tests.missing import missing
from tests.rig import request
from tests.wire.scanners import build

FIRST = request("MESSAGE", branch="z9hG4bK1", body=b"one\r\n\r\ntwo")
SECOND = request("OPTIONS", branch="z9hG4bK2")
THIRD = request("INVITE", branch="z9hG4bK3", body=b"\x00\xff" * 300)


def feed(*pieces: bytes, limits: Limits | None = None) -> list[Any]:
    framer = StreamFramer(limits or Limits())
    return [one for piece in pieces for one in framer.feed(piece)]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


def test_whole() -> None:
    assert feed(FIRST) == [FIRST]


def test_byte_by_byte() -> None:
    """Pieces have no meaning on a stream."""
    data = FIRST + PING + SECOND + THIRD
    assert feed(*(data[at : at + 1] for at in range(len(data)))) == [FIRST, PING, SECOND, THIRD]


def test_pipelined() -> None:
    """Several messages in one read, the last one incomplete."""
    framer = StreamFramer()
    assert framer.feed(FIRST + SECOND + THIRD[:100]) == [FIRST, SECOND]
    assert framer.pending
    assert framer.tail == THIRD[:100]
    assert framer.feed(THIRD[100:]) == [THIRD]
    assert not framer.pending


@given(
    st.lists(st.sampled_from([FIRST, SECOND, THIRD, PING, b"\r\n"]), max_size=6),
    st.lists(st.integers(0), max_size=9),
)
def test_any_cut(parts: list[bytes], places: list[int]) -> None:
    """Cut anywhere, the messages are the same."""
    data = b"".join(parts)
    messages = [one for one in feed(data) if one is not PING]
    assert messages == [part for part in parts if len(part) > 4]
    assert feed(*cut(data, places)) == feed(data)


@pytest.mark.parametrize("name", [b"Content-Length", b"l", b"L", b"content-LENGTH", b"CONTENT-LENGTH"])
@pytest.mark.parametrize("gap", [b": ", b":", b" : ", b":\t", b": \r\n ", b"\t:\r\n\t"])
def test_spellings_of_content_length(name: bytes, gap: bytes) -> None:
    """7.3.1, 7.3.3: the compact form, any case, white space and folds."""
    data = SECOND.replace(b"Content-Length: 0", name + gap + b"3") + b"abc"
    assert feed(data, SECOND) == [data, SECOND]


def test_a_length_in_a_body_or_in_another_field_counts_for_nothing() -> None:
    """Only a header field of that name does."""
    data = request(
        "MESSAGE",
        headers=[("X-Content-Length", "9"), ("Subject", "Content-Length: 9")],
        body=b"Content-Length: 9\r\n",
    )
    assert feed(data, SECOND) == [data, SECOND]


# --- 7.5 and keepalives


def test_line_ends_before_a_message() -> None:
    """7.5: a CRLF before the start line is ignored."""
    assert feed(b"\r\n" + FIRST, b"\r\n", SECOND) == [FIRST, SECOND]


def test_ping() -> None:
    """RFC 5626 3.5.1: a double CRLF between messages."""
    assert feed(PING) == [PING]
    assert feed(b"\r\n", b"\r\n") == [PING]
    assert feed(FIRST + PING + PING + SECOND) == [FIRST, PING, PING, SECOND]
    assert feed(*(b"\r", b"\n", b"\r", b"\n")) == [PING]


@pytest.mark.parametrize("line_ends", [b"\r", b"\r\n", b"\r\n\r", b"\n", b"\r\r\n", b"\n\n\n"])
def test_line_ends_begin_no_message(line_ends: bytes) -> None:
    """7.5: a phone that keeps its connection open with a single CRLF must not lose it.

    What is held may be the first half of a ping; the time a message may take does not run.
    """
    framer = StreamFramer()
    assert framer.feed(line_ends) == []
    # RFC 3261 7.5
    assert not framer.pending
    assert len(framer.tail) < 4
    assert framer.feed(FIRST) == [FIRST]


def test_line_ends_within_a_message_are_part_of_it() -> None:
    """Once a start line has begun, the message is pending whatever comes next."""
    framer = StreamFramer()
    framer.feed(b"\r\nO")
    assert framer.pending
    assert framer.feed(SECOND[1:]) == [SECOND]


# --- framing lost


def lost(*pieces: bytes, limits: Limits | None = None) -> RemoteProtocolError:
    out = feed(*pieces, limits=limits)
    assert isinstance(out[-1], RemoteProtocolError)
    return out[-1]


def test_no_content_length() -> None:
    """18.3: it MUST be used with stream oriented transports."""
    error = lost(request("OPTIONS", length=False))
    assert (error.status, error.section) == (400, "RFC 3261 18.3")
    # Enough was understood to answer it.
    assert error.message is not None


@pytest.mark.parametrize("value", [b"-1", b"x", b"", b"1 2", b"1,1", b"99999999999", b"+5", b"0x5"])
def test_unreadable_lengths(value: bytes) -> None:
    """RFC 4475 3.1.2.3: where the next message begins cannot be known."""
    data = SECOND.replace(b"Content-Length: 0", b"Content-Length: " + value)
    assert lost(data).status == 400


def test_two_lengths() -> None:
    """RFC 4475 3.3.9: two that differ cannot both be right; two that agree can."""
    differing = SECOND.replace(b"Content-Length: 0", b"Content-Length: 0\r\nl: 5")
    assert lost(differing).status == 400
    equal = SECOND.replace(b"Content-Length: 0", b"Content-Length: 0\r\nl: 0")
    assert feed(equal) == [equal]


def test_nothing_more_after_the_error() -> None:
    """Framing cannot be found again: whatever follows is not looked at."""
    framer = StreamFramer()
    framer.feed(request("OPTIONS", length=False))
    assert framer.feed(SECOND) == []
    assert not framer.pending


def test_messages_before_the_error_are_good() -> None:
    """In order: first the whole messages, then the error."""
    out = feed(FIRST + SECOND + request("OPTIONS", length=False) + THIRD)
    assert out[:2] == [FIRST, SECOND]
    assert isinstance(out[2], RemoteProtocolError)
    assert len(out) == 3


def test_a_head_without_an_end() -> None:
    """limits.message_size: 513, in time and not after gigabytes; the framing is lost."""
    limits = Limits(head_size=800, message_size=1000)
    framer = StreamFramer(limits)
    held = 0
    out: list[Any] = []
    while not out:
        out = framer.feed(b"X-Filler: x\r\n" * 5)
        held = max(held, len(framer.tail))
    assert isinstance(out[0], RemoteProtocolError)
    assert out[0].status == 513
    assert held <= 1000 + 65
    assert framer.failed


def test_a_head_that_is_too_large_in_one_piece() -> None:
    """limits.head_size: 513; its end has come, so what follows it is read."""
    data = request("OPTIONS", headers=[("X", "x" * 2000)], body=b"x" * 50)
    for pieces in ([data + SECOND], [data, SECOND], cut(data + SECOND, list(range(0, 4_000, 7)))):
        out = feed(*pieces, limits=Limits(head_size=1000))
        assert isinstance(out[0], RemoteProtocolError)
        assert (out[0].status, out[1:]) == (513, [SECOND])
        assert out[0].message is not None


def test_a_body_that_is_too_large() -> None:
    """limits.message_size: refused when it is announced, not when it has come."""
    head = SECOND.replace(b"Content-Length: 0", b"Content-Length: 70000")
    error = lost(head)
    assert (error.status, error.section) == (413, "RFC 3261 21.4.11")
    assert error.message is not None


@pytest.mark.parametrize("step", [1, 999, 4_096, 200_000])
def test_what_follows_a_message_that_is_too_large(step: int) -> None:
    """A carrier's connection has many people's calls: one message too large must not end them all."""
    data = SECOND.replace(b"Content-Length: 0", b"Content-Length: 70000") + b"x" * 70_000 + THIRD
    framer = StreamFramer()
    out: list[Any] = []
    held = 0
    for at in range(0, len(data), step):
        out += framer.feed(data[at : at + step])
        held = max(held, len(framer.tail))
    assert isinstance(out[0], RemoteProtocolError)
    assert out[1:] == [THIRD]
    assert held <= len(THIRD)
    assert not framer.failed
    assert not framer.pending


def test_skipped_size() -> None:
    """A still larger message is not worth the wait: the framing is given up."""
    limits = Limits(skipped_size=100_000)
    for size, lives in ((90_000, True), (100_000, False), (4_000_000_000, False)):
        framer = StreamFramer(limits)
        framer.feed(SECOND.replace(b"Content-Length: 0", b"Content-Length: %d" % size))
        assert framer.failed is not lives
        # It is incomplete: limits.message_time holds.
        assert framer.pending is lives


@given(st.binary(max_size=300), st.lists(st.integers(0), max_size=5))
def test_any_octets(data: bytes, places: list[int]) -> None:
    """Messages, PING or errors, the same wherever it is cut; never an exception."""
    out = feed(data)
    again = feed(*cut(data, places))
    assert [str(one) for one in again] == [str(one) for one in out]


@pytest.fixture(scope="module")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The C module: the installed one, else compiled for these tests."""
    if not head.HAS_SCANNER and shutil.which("cc") is None:
        missing("no C compiler")
    return build(tmp_path_factory.mktemp("head"))


LIMITS = Limits()
HEAD, MESSAGE = LIMITS.head_size, LIMITS.message_size
# What may stand in a message, in any order, so that names, numbers, folds and ends meet.
PARTS = st.sampled_from(
    [b"OPTIONS sip:a SIP/2.0", b"\r\n", b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"Content-Length",
     b"content-LENGTH", b"l", b"L", b"Content\rLength", b":", b": ", b" ", b"\t", b"\x0b", b"0", b"4", b"12",
     b"0000000004", b"99999999999", b"-1", b"x: y", b"c: z", b"Content-Length: 4\r\n", b"l:0\r\n", b"body"]
)  # fmt: skip


@given(st.lists(PARTS, max_size=14).map(b"".join), st.integers(0, 9), st.integers(0, 90), st.integers(0, 120))
def test_the_c_module_says_no_more_than_the_pattern(
    scanner: Any, data: bytes, begin: int, most_head: int, most: int
) -> None:
    """RFC 3261 18.3: where it finds an end, the pattern finds the same; else the pattern has the word."""
    for sizes in ((HEAD, MESSAGE), (most_head, most)):
        found = scanner.framed(data, begin, *sizes)
        assert found in (-1, framed_plainly(data, begin, *sizes))


@pytest.mark.parametrize("name", [b"Content-Length: ", b"CONTENT-LENGTH:\t ", b"l:", b"L :  "])
def test_what_the_c_module_finds(scanner: Any, name: bytes) -> None:
    """Without this it might find nothing at all; phones pad the number, and write after it."""
    message = b"MESSAGE sip:b SIP/2.0\r\nVia: x\r\n" + name + b"4 \r\nLast: x\r\n\r\nbody"
    size = len(message)
    for data, begin in (
        (message, 0),
        (message + message, 0),
        (message + message, size),
        (message + b"\r", 0),
    ):
        assert scanner.framed(data, begin, HEAD, MESSAGE) == begin + size
        assert framed_plainly(data, begin, HEAD, MESSAGE) == begin + size
    for cut in range(size):
        assert scanner.framed(message[:cut], 0, HEAD, MESSAGE) == -1
    assert scanner.framed(message, 0, HEAD, size - 1) == -1
    most = message.index(PING)
    assert scanner.framed(message, 0, most, MESSAGE) == size
    assert scanner.framed(message, 0, most - 1, MESSAGE) == -1
    for begin in (-1, size, size + 1):
        assert scanner.framed(message, begin, HEAD, MESSAGE) == -1


def test_what_the_c_module_refuses_to_be_given(scanner: Any) -> None:
    for given_ in ((), (b"x",), ("x", 0, 1, 1), (b"x", "0", 1, 1), (b"x", 0, 1, 1 << 70)):
        with pytest.raises((TypeError, OverflowError)):
            scanner.framed(*given_)


def test_what_follows_a_cut_message_costs_no_copy_for_each_octet() -> None:
    """The rest of a message and whole ones behind it come together, as from a peer that sends much."""
    for at in range(1, len(FIRST)):
        framer = StreamFramer()
        assert framer.feed(FIRST[:at]) == []
        assert framer.feed(FIRST[at:] + SECOND + THIRD + FIRST[:at]) == [FIRST, SECOND, THIRD]
        assert framer.tail == FIRST[:at]
        assert framer.feed(FIRST[at:]) == [FIRST]
        assert not framer.pending
