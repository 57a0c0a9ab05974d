"""The protocol of Redis: whatever way the octets are cut, the same answers; whatever comes, no surprise."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sansip_server.stores.resp import Answers, Malformed, NoScriptError, ReadOnlyError, ResponseError, pack

WHOLE = b"+OK\r\n:1\r\n$-1\r\n$5\r\na\r\nbc\r\n*-1\r\n*3\r\n:7\r\n$0\r\n\r\n*1\r\n+x\r\n:-2\r\n"
ANSWERS: list[Any] = [b"OK", 1, None, b"a\r\nbc", None, [7, b"", [b"x"]], -2]


def test_commands_as_octets() -> None:
    """Lengths are of octets, so no argument can end another one's: a phone's text may hold anything."""
    assert pack([("GET", "k\r\n"), (b"SET", "ü", 12)]) == (
        b"*2\r\n$3\r\nGET\r\n$3\r\nk\r\n\r\n*3\r\n$3\r\nSET\r\n$2\r\n\xc3\xbc\r\n$2\r\n12\r\n"
    )
    # Octets that are not UTF-8 leave as they came.
    assert pack([("\udcff",)]) == b"*1\r\n$1\r\n\xff\r\n"


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
