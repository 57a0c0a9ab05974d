"""Callers are told where else to call: 300, 301, 302 with Contact values and their q (RFC 3261 8.3)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.modules.redirect import Elsewhere, Redirect, RedirectSettings
from sansip.testing import ModuleBench, check_module
from sansip.wire import Response
from tests.modules.test_aliases import register

BOB = "sip:bob@example.com"


def bench(*users: Elsewhere, **options: Any) -> ModuleBench[Redirect]:
    return ModuleBench(Redirect, RedirectSettings(list(users), **options))


def told(made: ModuleBench[Any], user: str = "bob") -> tuple[int, list[str]]:
    """Call a user; return the answer's status and Contact values."""
    made.call(user)
    answer = made.sent[-1]
    assert isinstance(answer, Response)
    return answer.status, answer.values("contact")


def test_contract() -> None:
    """What every module promises."""
    check_module(Redirect, RedirectSettings([Elsewhere(BOB, "sip:bob@192.0.2.9")]))


@pytest.mark.parametrize(("permanent", "status"), [(False, 302), (True, 301)])
def test_one(permanent: bool, status: int) -> None:
    """RFC 3261 21.3.2, 21.3.3."""
    made = bench(Elsewhere(BOB, "sip:bob@192.0.2.9", permanent=permanent))
    assert told(made) == (status, ["<sip:bob@192.0.2.9>"])


def test_several() -> None:
    """RFC 3261 21.3.1, the best first."""
    made = bench(Elsewhere(BOB, "sip:bob@192.0.2.8", 0.5), Elsewhere(BOB, "sip:bob@192.0.2.9"))
    assert told(made) == (300, ["<sip:bob@192.0.2.9>", "<sip:bob@192.0.2.8>;q=0.500"])


def test_bindings() -> None:
    """All registered users, by their contacts."""
    made = bench(bindings="redirect")
    register(made, "bob", "sip:bob@192.0.2.2")
    assert told(made) == (302, ["<sip:bob@192.0.2.2>"])
    assert told(made, "nobody")[0] == 404


def test_commands_and_restart() -> None:
    """What is added is durable, until it is removed."""
    made = bench()
    made.command("redirect.add", user=BOB, contact="sip:bob@192.0.2.9", q=0.7)
    again = made.restarted()
    assert told(again) == (302, ["<sip:bob@192.0.2.9>;q=0.700"])
    assert [row["q"] for row in again.command("redirect.list")] == [0.7]
    assert again.command("redirect.remove", user=BOB) == 1
    assert told(again)[0] == 404


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"user": "mailto:a@b", "contact": "sip:b@c"}, "expected a SIP URI"),
        ({"user": "sip:a@b", "contact": "sip:b@c?Route=x"}, "without header fields"),
        ({"user": "sip:a@b", "contact": "sip:b@c", "q": 7}, "q must be 0 to 1"),
    ],
)
def test_what_operators_get_wrong(given: dict[str, Any], said: str) -> None:
    """The error names what was expected."""
    assert said in str(bench().command("redirect.add", **given))
