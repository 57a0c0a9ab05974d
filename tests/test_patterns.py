"""Expressions of operators and of strangers' DNS zones: none keeps the server busy."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from sansip.patterns import LONGEST, LONGEST_RESULT, Pattern, Template

RUNAWAY = [
    r"(a+)+b",
    r"(a*)*b",
    r"(a|a)*b",
    r"(a|aa)+b",
    r"(\d+)*x",
    r"([a-z]+\d*)+!",
    r"(.*a){12}b",
    r".*.*.*x",
    r"\d*\d*\d*\d*x",
    r"(x+x+)+y",
    r"((a?){30})a{30}",
    r"(a?){60}b",
    r"(^|a)+b",
    r"(?i:(k+)+)!",
    r"(a|b|ab)*c",
    r"(?:(?:0+)?1?)+x",
    r"([^x]+y?)+z",
    # What follows an optional part may be what it ends in.
    r"^(?:1+)?(?:1+)?(?:1+)?(?:1+)?(?:1+)?(?:1+)?x",
    # [^ab] takes "A" where case counts.
    r"^(?:[^ab]+A+)+b$",
    r"^(?i:(?:(?-i:[^ab])+A+)+b)$",
]
SOUND = [
    r"^00(\d+)$",
    r"^(00|\+)49(\d{3,12})$",
    r"^0([1-9]\d*)$",
    r"^\+?(\d+)$",
    r"^(.*)@(.*)$",
    r"sip:[^@]+@example\.com",
    r"^(\d+)-(\d+)-(\d+)-(\d+)-(\d+)$",
    r"^(?:ab[cd]|x)+$",
    r"^(\d\d)*$",
    r"^!?(.*)$",
    r"^(49|1)?(30|40|89)\d{4,}",
    r".*x",
    r"^[\w.+-]{1,64}$",
    r"(?i)^SALES$",
    r"",
]


@pytest.mark.parametrize("text", RUNAWAY)
def test_runaway(text: str) -> None:
    """Each of these needs an age for a short text, and is refused with a word why."""
    with pytest.raises(ValueError, match=r"too (long|many)|empty"):
        Pattern(text)


@pytest.mark.parametrize("text", SOUND)
def test_sound(text: str) -> None:
    """The patterns that operators write are taken as they are."""
    assert Pattern(text).text == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (r"(\d", "unterminated"),
        (r"(a)\1", "without groupref"),
        (r"(?=a)b", "without assert"),
        (r"(?<!a)b", "without assert"),
        (r"[[:digit:]]", "nested set"),
        ("a" * 600, "at most 512"),
        ("(" * 40 + ")" * 40, "within each other"),
        (r"a{99999999999}", "no regular expression"),
        (r"(?m)^(?:[a\n]+$)+x", "flags m and u"),
        (r"^(?:(?u:\w)+[^a-z0-9_]+)+x", "flags m and u"),
    ],
)
def test_refused(text: str, said: str) -> None:
    """The reason names the part that cannot be."""
    with pytest.raises(ValueError, match=said):
        Pattern(text)


def test_nested() -> None:
    """The count itself is short: a part within twenty others is looked at some twenty times, not 2**20."""
    looks = 0

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal looks
        looks += event == "call" and frame.f_code.co_filename.endswith("patterns.py")

    text = "(?:" * 19 + "a" + "b)+" * 19
    sys.setprofile(count)
    try:
        assert Pattern(f"^{text}$").steps == LONGEST
    finally:
        sys.setprofile(None)
    assert looks < 2_000


def test_matches() -> None:
    """It is Python's own matching, with a bound on the text."""
    pattern = Pattern(r"^00(\d+)$")
    assert pattern.groups == 1
    found = pattern.search("004930123")
    assert found is not None
    assert found[1] == "4930123"
    assert pattern.fullmatch("0049x") is None
    assert pattern.search("00" + "1" * LONGEST) is None
    assert Pattern("ABC", ignore_case=True).search("xabc") is not None
    # Digits of other scripts are none (RFC 3261 25.1).
    assert Pattern(r"\d").search("٣") is None


def test_template() -> None:
    """Groups are put in; a group that took no part is empty; no other character has a meaning."""
    found = Pattern(r"^(00)?(\d+)$").search("123")
    assert found is not None
    assert Template(r"+\1\2;x\\n{0}%s", 2).expand(found) == r"+123;x\n{0}%s"
    assert Template(r"\0", 0).expand(found) == "123"
    with pytest.raises(ValueError, match="has 2 groups"):
        Template(r"\3", 2)
    with pytest.raises(ValueError, match="backslash"):
        Template("a\\", 0)
    with pytest.raises(ValueError, match="more than"):
        Template(r"\2" * LONGEST_RESULT, 2).expand(found)
