"""The names of the sides of a dialog, in Record-Route and Route (RFC 3261 12.2)."""

from __future__ import annotations

import pytest

from sansip.proxy.sides import is_named, marked_in, side_in, side_of, sides_in

PLAIN = "Record-Route: <sip:192.0.2.10;lr;d=4000aa01>"
PAIR = (
    "Record-Route: <sip:f-Zw_-1@192.0.2.10;lr;d=4000aa01>, <sip:f-aA@192.0.2.10;transport=tcp;lr;d=4000aa01>"
)
OTHERS = (
    "Record-Route: <sip:p.test;lr>\r\nRecord-Route: <sips:f-X@192.0.2.10;lr;d=4000bb01;c=3>, <sip:u@h;d=1>"
)


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        (PLAIN, ["4000aa01"]),
        (PAIR, ["4000aa01 f-Zw_-1 f-aA"]),
        (OTHERS, ["4000bb01 f-X", "1"]),
        ("Record-Route: <sip:192.0.2.10;lr>", []),
        ("Record-Route: <sip:192.0.2.10;lr;d=1", []),
        ("", []),
    ],
)
def test_sides_in(text: str, sides: list[str]) -> None:
    """One name for each mark, with the flow tokens of its values, whatever their order."""
    assert sides_in(text) == sides
    assert all(is_named(one, text) for one in sides)
    assert not is_named("", text)
    assert not is_named("4000cc01", text)


def test_the_sender_reverses_them() -> None:
    """RFC 3261 12.1.2: the caller's route set is that of the response, reversed."""
    route = "Route: <sip:f-aA@192.0.2.10;transport=tcp;lr;D=4000AA01>, <sip:f-Zw_-1@192.0.2.10;lr;d=4000AA01>"
    route = route.replace(";D=", ";d=")
    side = side_in(route, "4000AA01")
    assert side == side_of("4000AA01", ["f-aA", "f-Zw_-1"])
    assert is_named(side, PAIR)
    assert side_in(PLAIN.replace("Record-Route", "Route"), "4000aa01") == "4000aa01"


def test_a_mark_without_its_token_is_another_side() -> None:
    """Who shows a private Contact of somebody else has the same mark, and goes elsewhere."""
    assert not is_named("4000aa01", PAIR)
    assert not is_named("4000aa01 f-aA", PAIR)
    assert not is_named("4000aa01 f-aA", PLAIN)


@pytest.mark.parametrize("part", ["4", "4000aa0", "aa01", "lr", "s", "192"])
def test_a_part_of_a_mark_is_no_side(part: str) -> None:
    """Nearly every text has a mark of one letter in it: a part of a mark names no side."""
    assert not is_named(part, PLAIN)
    assert not is_named("", "Record-Route: <sip:t@x;lr;d=>")


def test_what_others_write_is_not_kept() -> None:
    """A callee's proxies may write 32 KB into each of many responses, and a call lives long."""
    assert marked_in(PAIR, 2048) == PAIR
    assert marked_in("Record-Route: <sip:p.test;lr>", 2048) == ""
    long = f"{PAIR}, <sip:192.0.2.9;lr;x={'y' * 15_000}>"
    assert sides_in(marked_in(long, 2048)) == sides_in(PAIR)
    assert len(marked_in(long, 2048)) < 200
    assert marked_in(long.replace("x=", "d="), 2048) == ""


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", ["<", "<sip:", "<sip:a;d=", ";d=0", "<sip:f-", "<sip:a@"])
def test_linear(piece: str) -> None:
    """A peer's Record-Route costs no more than its length."""
    assert len(sides_in(piece * 200_000)) <= 1
    assert len(marked_in(piece * 200_000, 2048)) <= 2048
