"""Callers are told where else to call: 300, 301, 302 with Contact values and their q (RFC 3261 8.3)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Use
from sansip.modules.aliases import Alias, Aliases, AliasesSettings
from sansip.modules.redirect import Elsewhere, Redirect, RedirectSettings
from sansip.testing import ModuleBench, check_module
from sansip.wire import Request, Response
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
    """The contract of every module."""
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


def test_aliases() -> None:
    """Callers of an alias are told where its user is: by the table, and by bindings."""
    aliases = Use(Aliases, AliasesSettings([Alias("sip:sales@example.com", BOB)]))
    settings = RedirectSettings([Elsewhere(BOB, "sip:bob@192.0.2.9")])
    assert told(ModuleBench(Redirect, settings, others=[aliases]), "sales") == (302, ["<sip:bob@192.0.2.9>"])
    made = ModuleBench(Redirect, RedirectSettings(bindings="redirect"), others=[aliases])
    register(made, "bob", "sip:bob@192.0.2.2")
    assert told(made, "sales") == (302, ["<sip:bob@192.0.2.2>"])


def test_commands_and_restart() -> None:
    """An added redirect is durable until it is removed."""
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
    """The error names the expected value."""
    assert said in str(bench().command("redirect.add", **given))


def followed(contact: str, **options: Any) -> list[str]:
    """Have Bob's phone answer 302 with ``contact``; return what left for the call, or came back of it."""
    made = bench(**options)
    register(made, "bob", "sip:bob@192.0.2.2")
    made.call("bob")
    invite = made.sent[-1]
    before = len(made.sent)
    made.receive(redirection(invite, contact), ("192.0.2.2", 5060))
    return [
        one.uri_text if isinstance(one, Request) else f"{one.status}"
        for one in made.sent[before:]
        if isinstance(one, Response) or one.method == "INVITE"
    ]


def redirection(invite: Any, contact: str) -> bytes:
    kept = [f"{name}: {invite.get(name)}" for name in ("From", "Call-ID", "CSeq")]
    vias = [f"Via: {value}" for value in invite.get_all("via")]
    to = f"To: {invite.get('to')};tag=b"
    lines = ["SIP/2.0 302 Moved", *vias, *kept, to, f"Contact: {contact}", "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    ("hosts", "contact", "left"),
    [
        ([], "<sip:bob@192.0.2.9>", ["302"]),
        (["192.0.2.9"], "<sip:bob@192.0.2.9>", ["sip:bob@192.0.2.9"]),
        (["192.0.2.8"], "<sip:bob@192.0.2.9>", ["302"]),
        (["192.0.2.9"], "<sip:bob@192.0.2.9?Route=%3Csip:192.0.2.66%3Blr%3E>", ["sip:bob@192.0.2.9"]),
        (["192.0.2.2"], "<sip:bob@192.0.2.2>", ["302"]),
        (["*.2.9"], "<sip:bob@192.0.2.9>", ["sip:bob@192.0.2.9"]),
        (["*.2.9"], "<sip:bob@2.9>", ["302"]),
        (["192.0.2.9"], "<sip:bob@192.0.2.9;maddr=192.0.2.66>", ["302"]),
        (["192.0.2.9"], "<sip:bob@192.0.2.9;maddr>", ["302"]),
        (["192.0.2.9"], "<sip:bob@192.0.2.9;MADDR=192.0.2.66>", ["302"]),
        (
            ["192.0.2.9", "192.0.2.8"],
            "<sip:bob@192.0.2.9;maddr=192.0.2.8>",
            ["sip:bob@192.0.2.9;maddr=192.0.2.8"],
        ),
    ],
)
def test_follow(hosts: list[str], contact: str, left: list[str]) -> None:
    """A 302 of a phone leads to the hosts that the operator names, and to no other (RFC 3261 16.7 step 4)."""
    assert followed(contact, follow=hosts) == left


@pytest.mark.parametrize("host", ["", "*", "a b", "sip:x", "*.*"])
def test_follow_is_judged(host: str) -> None:
    """A slip must not open a way to everywhere."""
    with pytest.raises(ValueError, match="is no host"):
        RedirectSettings(follow=[host])
