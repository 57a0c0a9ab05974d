"""The protocol of Redis: whatever way the octets are cut, the same answers; whatever comes, no surprise."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest

from sansip_server.stores import resp
from sansip_server.stores.resp import (
    Answers,
    Malformed,
    NoScriptError,
    Push,
    ReadOnlyError,
    ResponseError,
    pack,
)

WHOLE = b"+OK\r\n:1\r\n$-1\r\n$5\r\na\r\nbc\r\n*-1\r\n*3\r\n:7\r\n$0\r\n\r\n*1\r\n+x\r\n:-2\r\n"
ANSWERS: list[Any] = [b"OK", 1, None, b"a\r\nbc", None, [7, b"", [b"x"]], -2]


def test_commands_as_octets() -> None:
    """Lengths are of octets, so no argument can end another one's: a phone's text may hold anything."""
    assert pack([("GET", "k\r\n"), (b"SET", "ü", 12)]) == (
        b"*2\r\n$3\r\nGET\r\n$3\r\nk\r\n\r\n*3\r\n$3\r\nSET\r\n$2\r\n\xc3\xbc\r\n$2\r\n12\r\n"
    )
    # Octets that are not UTF-8 leave as they came.
    assert pack([("\udcff",)]) == b"*1\r\n$1\r\n\xff\r\n"


def test_messages_between_answers() -> None:
    """RESP3: what Redis tells unasked is no answer, however it is cut, and its null is None."""
    told = b">2\r\n$10\r\ninvalidate\r\n"
    data = b":1\r\n" + told + b"*1\r\n$1\r\nk\r\n_\r\n" + told + b"_\r\n>0\r\n*1\r\n:2\r\n"
    wanted = [1, [b"invalidate", [b"k"]], None, [b"invalidate", None], [], [2]]
    for size in (1, 2, 7, len(data)):
        answers = Answers()
        found = [one for at in range(0, len(data), size) for one in answers.feed(data[at : at + size])]
        assert [one.message if isinstance(one, Push) else one for one in found] == wanted
        assert [isinstance(one, Push) for one in found] == [False, True, False, True, True, False]


def test_octet_by_octet() -> None:
    """TCP cuts where it likes."""
    answers = Answers()
    found = [one for octet in WHOLE for one in answers.feed(bytes([octet]))]
    assert found == ANSWERS


@pytest.mark.parametrize("seed", range(20))
def test_cut_anywhere(seed: int) -> None:
    """The same in random pieces, several times over."""
    chance = random.Random(seed)
    data, at, found = WHOLE * 5, 0, []
    answers = Answers()
    while at < len(data):
        end = at + chance.randint(1, 30)
        found += answers.feed(data[at:end])
        at = end
    assert found == ANSWERS * 5


def test_a_long_string_in_small_pieces() -> None:
    """A string is looked at once it is whole: the time is linear however it is cut."""
    answers = Answers()
    assert answers.feed(b"$1000000\r\n") == []
    found = [one for _ in range(10_000) for one in answers.feed(b"x" * 100)]
    assert found == []
    assert answers.feed(b"\r\n:1\r\n") == [b"x" * 1_000_000, 1]


def reads(answers: Answers, pieces: list[bytes]) -> int:
    """Return how many elements are read until ``answers`` has all ``pieces``."""
    count = 0

    def note(frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event == "call" and frame.f_code is resp._read.__code__

    sys.setprofile(note)
    try:
        for piece in pieces:
            assert answers.feed(piece) == []
    finally:
        sys.setprofile(None)
    return count


def test_an_array_in_small_pieces() -> None:
    """A malicious Redis sends one array and never ends it: each element is read once, not at each packet."""
    answers = Answers()
    assert reads(answers, [b"*5000\r\n"] + [b":1\r\n"] * 4_999) == 5_000
    assert answers.feed(b":2\r\n+x\r\n") == [[1] * 4_999 + [2], b"x"]
    # The same within arrays, with strings in two pieces.
    pieces = [b"*2\r\n*-1\r\n*500\r\n"] + [b"$3\r\na", b"bc\r\n"] * 499
    assert reads(answers, pieces) <= 3 + 2 * 499
    assert answers.feed(b"*0\r\n:1\r\n") == [[None, [b"abc"] * 499 + [[]]], 1]


def test_an_answer_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its elements are counted over all its levels, so its memory is bounded."""
    monkeypatch.setattr(resp, "_ELEMENTS", 1_000)
    answers = Answers()
    assert answers.feed(b"*100000\r\n") == []
    with pytest.raises(Malformed, match="without an end"):
        answers.feed((b"*2\r\n" + b":1\r\n" * 2) * 334)
    # Answer by answer there is no such limit.
    assert Answers().feed((b"*3\r\n" + b":1\r\n" * 3) * 1_000) == [[1, 1, 1]] * 1_000


def test_octets_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strings of the greatest length, one after another, are no answer either."""
    monkeypatch.setattr(resp, "_LONGEST", 10_000)
    with pytest.raises(Malformed, match="without an end"):
        Answers().feed(b"*100\r\n" + (b"$1000\r\n" + b"x" * 1_000 + b"\r\n") * 10)


def test_errors() -> None:
    """An error is an answer to one command; the connection goes on."""
    text = b"-ERR no\r\n-NOSCRIPT No matching script.\r\n-READONLY You can't\r\n-OOM full\r\n:1\r\n"
    plain, script, replica, full, one = Answers().feed(text)
    assert (type(plain), str(plain)) == (ResponseError, "no")
    assert type(script) is NoScriptError
    assert type(replica) is ReadOnlyError
    assert (type(full), str(full)) == (ResponseError, "OOM full")
    assert one == 1


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"$x\r\n",
        b":" + b"9" * 5_000 + b"\r\n",
        b"$99999999999999\r\n",
        b"$-2\r\n",
        b"*1\r\n" * 50,
        b"+" + b"x" * 70_000,
    ],
)
def test_another_protocol(octets: bytes) -> None:
    """A port that is not Redis's, or a broken one: said at once, in bounded time and depth."""
    with pytest.raises(Malformed):
        Answers().feed(octets)
