"""Other names for users, and short numbers: the dialled name becomes the user's name."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.modules.aliases import Alias, Aliases, AliasesSettings, AliasLoop
from sansip.testing import ModuleBench, check_module
from sansip.wire import Request

BOB = Alias("sip:4930123@EXAMPLE.com", "sip:bob@example.com")


def bench(*names: Alias, **options: Any) -> ModuleBench[Aliases]:
    made = ModuleBench(Aliases, AliasesSettings(list(names), **options))
    register(made, "bob", "sip:bob@192.0.2.2")
    return made


def register(made: ModuleBench[Any], user: str, contact: str) -> None:
    lines = [
        "REGISTER sip:example.com SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bKreg{user}",
        "Max-Forwards: 70",
        f"From: <sip:{user}@example.com>;tag=r",
        f"To: <sip:{user}@example.com>",
        f"Call-ID: {user}",
        "CSeq: 1 REGISTER",
        f"Contact: <{contact}>",
        "Expires: 3600",
        "Content-Length: 0",
    ]
    made.receive("\r\n".join([*lines, "", ""]).encode(), ("192.0.2.2", 5060))


def called(made: ModuleBench[Aliases], user: str) -> list[str]:
    """Call a user; return the Request-URIs of what leaves, and the answers."""
    before = len(made.sent)
    answers = made.call(user)
    return [one.uri_text for one in made.sent[before:] if isinstance(one, Request)] + answers


def test_contract() -> None:
    """The contract of every module."""
    check_module(Aliases, AliasesSettings([BOB]))


def test_an_alias() -> None:
    """An alias of the file; hosts are compared without case (RFC 3261 19.1.4)."""
    assert called(bench(BOB), "4930123") == ["sip:bob@192.0.2.2"]


def test_an_alias_of_an_alias() -> None:
    """Until a name stands for itself."""
    made = bench(BOB, Alias("sip:info@example.com", "sip:4930123@example.com"))
    assert called(made, "info") == ["sip:bob@192.0.2.2"]


def test_a_loop() -> None:
    """Calls get 482, and the log names the alias."""
    made = bench(
        Alias("sip:a@example.com", "sip:b@example.com"), Alias("sip:b@example.com", "sip:a@example.com")
    )
    assert called(made, "a") == ["482 Alias Loop"]
    assert [event for event in made.events if isinstance(event, AliasLoop)]
    assert "leads back to itself" in str(made.command("aliases.explain", uri="sip:a@example.com"))


def test_elsewhere() -> None:
    """An alias may lead to another server."""
    made = bench(Alias("sip:sales@example.com", "sip:sales@192.0.2.99"))
    assert called(made, "sales") == ["sip:sales@192.0.2.99"]


def test_commands_and_restart() -> None:
    """A name added by command beats the file, and outlives the process."""
    made = bench(BOB)
    made.command("aliases.add", alias="sip:boss@example.com", target="sip:bob@example.com")
    again = made.restarted()
    register(again, "bob", "sip:bob@192.0.2.2")
    assert called(again, "boss") == ["sip:bob@192.0.2.2"]
    assert [row["alias"] for row in again.command("aliases.list")] == [
        "sip:4930123@example.com",
        "sip:boss@example.com",
    ]
    assert again.command("aliases.remove", alias="sip:boss@example.com") is True
    assert called(again, "boss") == ["404 Not Found"]


def test_short_numbers() -> None:
    """Each caller's own; another caller's mean nothing."""
    made = bench()
    made.command(
        "aliases.short", user="sip:caller@elsewhere.example", digits="12", target="sip:bob@example.com"
    )
    made.command("aliases.short", user="sip:other@example.com", digits="13", target="sip:bob@example.com")
    assert called(made, "12") == ["sip:bob@192.0.2.2"]
    row = {"user": "sip:other@example.com", "digits": "13", "target": "sip:bob@example.com"}
    assert made.command("aliases.numbers", user="sip:other@example.com") == [row]
    assert "aliases.numbers: " in str(made.command("aliases.numbers", user="bob"))
    assert called(made, "13") == ["404 Not Found"]
    made.command("aliases.short", user="sip:caller@elsewhere.example", digits="12")
    assert called(made, "12") == ["404 Not Found"]


@pytest.mark.parametrize(
    ("command", "given", "said"),
    [
        ("aliases.add", {"alias": "tel:1", "target": "sip:b@c"}, "no SIP URI"),
        ("aliases.add", {"alias": "sip:a@b", "target": "sip:b@c?Route=x"}, "without header fields"),
        ("aliases.add", {"alias": "sip:b", "target": "sip:b@c"}, "names no user"),
        ("aliases.short", {"user": "sip:a@b", "digits": "123", "target": "sip:b@c"}, "expected 2 digits"),
    ],
)
def test_what_operators_get_wrong(command: str, given: dict[str, Any], said: str) -> None:
    """The error names the expected value."""
    assert said in str(bench().command(command, **given))


def test_bad_settings() -> None:
    """Two lines for one alias, or a number of digits that no phone dials."""
    with pytest.raises(ValueError, match="stands twice"):
        AliasesSettings([BOB, BOB])
    with pytest.raises(ValueError, match="short must be"):
        AliasesSettings(short=99)
