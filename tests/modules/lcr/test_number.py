"""Telephone numbers: what callers dial, which of it counts, and what each gateway gets."""

from __future__ import annotations

import pytest

from sansip.modules.lcr.number import dialled, key_of, prefix_key
from tests.modules.lcr.farm import Farm, call, table
from tests.rig import only, reply, what


def test_number_rewritten_at_each_attempt() -> None:
    """Each gateway gets the number that was dialled, stripped and prefixed for it alone."""
    head = "gateway,prefix,price,strip,add"
    rates = table("one,49,0.01", "two,49,0.02", "three,49,0.03,0,99", "four,49,0.04,2,0", head=head)
    rig = Farm(rates, gateways={"one": {"strip": 2, "add": "0"}, "two": {"add": "+"}, "three": {"strip": 4}})
    outs = call(rig, "+49-30-123456")
    users = []
    while invites := [out for out in outs if out.what == "INVITE"]:
        users.append(invites[0].message.uri.user)
        outs = rig.udp(reply(invites[0], 503), invites[0].to)
    assert users == ["030123456", "+4930123456", "994930123456", "030123456"]
    # Where nothing is to be done it leaves as it came.
    rig = Farm(rates)
    assert only(call(rig, "+49-30-123456"), "INVITE").message.uri.user == "+49-30-123456"


@pytest.mark.parametrize(
    ("user", "gets"),
    [
        ("+49301;rn=+88213;npdi", "+49301"),
        ("49301%3Brn=+88213", "49301"),
        ("%2B49301", "+49301"),
        ("4930%2312", "4930%2312"),
    ],
)
def test_what_has_no_price(user: str, gets: str) -> None:
    """RFC 4694 5: a parameter of the number would have the gateway call another one, at this one's price."""
    assert only(call(Farm(table("one,49,0.01")), user), "INVITE").message.uri.user == gets


def test_marks_of_keypads() -> None:
    """A # among the digits is escaped for the gateway, also where the number is rewritten."""
    rig = Farm(table("one,49,0.01"), gateways={"one": {"strip": 2, "add": "*"}})
    assert only(call(rig, "4930%2312"), "INVITE").message.uri.user == "*30%2312"


def test_300_digits() -> None:
    """Networks call by the first digits: no number is so long that a dialplan has no rule for it."""
    rig = Farm(table("one,49,0.01"))
    assert "INVITE" in what(call(rig, "49" + "1" * 62))
    assert "404" in what(call(rig, "49" + "1" * 63, 1))


@pytest.mark.parametrize("user", ["bob", "4930x", "+", "%34%39", "49" * 150, ""])
def test_no_number(user: str) -> None:
    """A name, or a number of 300 digits that no rate has: not found, at once."""
    rig = Farm(table("one,44,0.01"))
    assert "INVITE" not in what(call(rig, user or "x"))


def test_numbers() -> None:
    """What people write for the eye is left out (RFC 3966 5.1.1); what is no number has no key."""
    assert dialled("+49-(30)-123.456") == "4930123456"
    assert dialled("*21#") == "*21#"
    assert dialled("4930;phone-context=+49") == "4930"
    for none in ("", "+", "bob", "49x", "４９", "49 30"):
        assert dialled(none) == ""
    assert key_of("4930" + "1" * 300) == key_of("4930" + "1" * 12)
    assert prefix_key("") == 0
    assert prefix_key("0") < prefix_key("00") < prefix_key("01") < prefix_key("1") < prefix_key("#")
