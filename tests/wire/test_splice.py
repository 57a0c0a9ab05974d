"""What leaves is what came with the edits in it, whether C or Python joins it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.proxy.loop import plain_text_hash
from sansip.wire.splice import joined_pieces, noted_plainly, spliced

CAME = b"INVITE sip:b@b.test SIP/2.0\r\nVia: v\r\nMax-Forwards: 70\r\n\r\nbody"

PUT_IN = st.text(max_size=5) | st.integers(0, 2**64 - 1)


@pytest.fixture(params=["C", "Python"])
def splice(request: pytest.FixtureRequest, scanner: Any) -> Any:
    return scanner.spliced if request.param == "C" else joined_pieces


def test_in_the_order_of_the_octets(splice: Any) -> None:
    """RFC 3261 7.3.1: fields stand in any order, and edits are given in one."""
    hops, via, body = CAME.index(b"70"), CAME.index(b"Via"), CAME.index(b"body")
    edits = hops, hops + 2, "69", via, via, "Via: ours\r\n", body - 2, body - 2, "Max-Breadth: 60\r\n"
    assert splice(CAME, *edits) == (
        b"INVITE sip:b@b.test SIP/2.0\r\nVia: ours\r\nVia: v\r\nMax-Forwards: 69\r\n"
        b"Max-Breadth: 60\r\n\r\nbody"
    )


def test_what_takes_nothing_away(splice: Any) -> None:
    """A line that is not there has the place 0; another edit may begin where one puts in."""
    assert splice(CAME) == CAME
    assert splice(CAME, 0, 0, "") == CAME
    assert splice(CAME, 0, 6, "ACK", 0, 0, "") == b"ACK" + CAME[6:]
    assert splice(CAME, 6, 6, "", 0, 6, "ACK") == b"ACK" + CAME[6:]
    assert splice(CAME, len(CAME), len(CAME), "é") == CAME + "é".encode()
    assert splice(CAME, 0, 6, 0, 6, 7, (1 << 64) - 1) == b"018446744073709551615" + CAME[7:]


@pytest.mark.parametrize("edits", [(3, 5, "", 4, 6, ""), (5, 3, ""), (-1, 3, ""), (0, len(CAME) + 1, "")])
def test_an_edit_in_another_one(splice: Any, edits: Any) -> None:
    """Edits outside the message raise; the C code reads no memory that is not the message's."""
    with pytest.raises(ValueError, match="outside"):
        splice(CAME, *edits)


def test_what_it_refuses_to_be_given(scanner: Any) -> None:
    many = (0, 0, "") * 15
    for given_ in (
        (),
        ("text",),
        (CAME, 0),
        (CAME, 0, 1),
        (CAME, 0, 1, b"x"),
        (CAME, "0", 1, ""),
        (CAME, *many),
    ):
        with pytest.raises(TypeError):
            scanner.spliced(*given_)
    with pytest.raises(UnicodeEncodeError):
        scanner.spliced(CAME, 0, 0, "\udc80")
    for place, number in ((1 << 70, ""), (1, 1 << 64), (1, -1)):
        with pytest.raises(OverflowError):
            scanner.spliced(CAME, 0, place, number)


@given(
    st.binary(max_size=40),
    st.lists(
        st.tuples(st.integers(-1, 41), st.integers(-1, 41), st.text(max_size=5) | st.integers(0, 2**64 - 1)),
        max_size=5,
    ),
)
def test_both_alike(scanner: Any, came: bytes, edits: list[tuple[int, int, str | int]]) -> None:
    """Two edits at one place stand there in the order in which they were given."""
    flat = [one for edit in edits for one in edit]
    try:
        expected = joined_pieces(came, *flat)
    except ValueError:
        with pytest.raises(ValueError, match="outside"):
            scanner.spliced(came, *flat)
    else:
        assert scanner.spliced(came, *flat) == expected


def test_the_one_in_c_is_taken(scanner: Any) -> None:
    from sansip.wire.head import HAS_SCANNER

    assert (spliced is joined_pieces) == (not HAS_SCANNER)


@given(st.lists(st.text(st.characters(), max_size=80) | st.integers(0, 2**31), min_size=1, max_size=5))
def test_the_hash_of_loops(scanner: Any, texts: list[str | int]) -> None:
    """RFC 3261 16.6 step 8: a loop is found by the hash, whichever of both made it."""
    given_: list[str | int] = []
    for one in texts:
        if isinstance(one, str):
            one = one.encode("utf-8", "replace").decode("utf-8", "replace") + "\udc80" * (len(one) % 2)
        given_.append(one)
    start = len(given_) * 0x12345679 & 0xFFFFFFFF
    assert scanner.text_hash(start, *given_) == plain_text_hash(start, *given_)
    assert plain_text_hash(start, *given_) == plain_text_hash(start, "\n".join(map(str, given_)))


@given(st.text(st.characters(max_codepoint=127), max_size=60), st.integers(0, 65535), st.booleans())
def test_the_source_in_a_via(scanner: Any, line: str, port: int, asks: bool) -> None:
    """RFC 3581 4: behind the flag, wherever it stands."""
    line = f"{line};rport{line}" if asks else line
    assert scanner.noted(line, "192.0.2.1", port) == noted_plainly(line, "192.0.2.1", port)


def test_what_is_no_via(scanner: Any) -> None:
    """A mistake of ours is an exception."""
    for given_ in ((), ("v", "h"), (b"v", "h", 1), ("v", None, 1), ("v", "h", "1")):
        with pytest.raises(TypeError):
            scanner.noted(*given_)
    for line, host in (("é", "h"), ("v", "é")):
        with pytest.raises(ValueError, match="ASCII"):
            scanner.noted(line, host, 1)
    with pytest.raises(OverflowError):
        scanner.noted("v", "h", -1)
    for texts in ((), (1,), ("a", 1)):
        with pytest.raises(TypeError):
            scanner.text_hash(*texts)
