"""Numbers are called by the SIP addresses that DNS has of them (RFC 6116), and no zone does harm."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.module import Use
from sansip.modules.enum import Enum, EnumSettings
from sansip.testing import check_module
from sansip.transport.dns import DnsLookup, Naptr
from tests.answered import Answered
from tests.rig import ALICE, BOB, BOB_URI, Out, Rig, only, reply, request, what

NUMBER = "+441632960083"
NAME = "3.8.0.0.6.9.2.3.6.1.4.4.e164.arpa"


def rule(regexp: str, order: int = 1, preference: int = 1, flags: str = "u", replacement: str = "") -> Naptr:
    return Naptr(order, preference, flags, "E2U+sip" if flags else "", regexp, replacement)


class Numbers(Answered):
    """A rig with zones: a name's records, or an exception."""

    def __init__(self, zones: dict[str, Any], settings: EnumSettings | None = None, **options: Any) -> None:
        self.zones = zones
        self.asked: list[str] = []
        super().__init__(
            options.pop("route", None), modules=[Use(Enum, settings or EnumSettings())], **options
        )
        self.wait(0.01)

    def answer_to(self, question: Any) -> Any:
        assert isinstance(question, DnsLookup), question
        if question.kind == "NAPTR":
            self.asked.append(question.name)
        return self.zones.get(question.name, [])


def call(rig: Rig, user: str = NUMBER, **options: Any) -> list[Out]:
    uri = f"sip:{user}@biloxi.test"
    return rig.udp(request(uri=uri, to=f"<{uri}>", **options))


def test_contract() -> None:
    """What every module promises."""
    check_module(Enum)


def test_called_in_order() -> None:
    """RFC 3403 4.1: by order and preference, the next where the one before fails."""
    rig = Numbers(
        {
            NAME: [
                rule("!^.*$!sip:second@192.0.2.22!", preference=20),
                rule(r"!^\+44(.*)$!sip:\1@192.0.2.21!", preference=10),
                rule("!^.*$!mailto:x@192.0.2.23!", preference=1),
            ]
        }
    )
    first = only(call(rig, "+44-1632-960083"), "INVITE")
    assert (first.message.uri_text, first.to) == ("sip:1632960083@192.0.2.21", ("192.0.2.21", 5060))
    second = only(rig.udp(reply(first, 480), first.to), "INVITE")
    assert second.message.uri_text == "sip:second@192.0.2.22"
    assert rig.asked == [NAME]


def test_our_own_users() -> None:
    """An address of ours is looked up here, and the number itself never once more."""
    rig = Numbers({NAME: [rule("!^.*$!sip:bob@biloxi.test!"), rule(f"!^.*$!sip:{NUMBER}@biloxi.test!")]})
    rig.register(BOB_URI)
    assert only(call(rig), "INVITE").to == BOB


def test_suffixes() -> None:
    """In order; a zone that does not answer is passed over; what leads on is followed a few times."""
    private = NAME.replace("e164.arpa", "numbers.test")
    settings = EnumSettings(["e164.arpa", "numbers.test"])
    rig = Numbers({NAME: LookupError("SERVFAIL"), private: [rule("!^.*$!sip:x@192.0.2.21!")]}, settings)
    assert only(call(rig), "INVITE").message.uri_text == "sip:x@192.0.2.21"
    assert rig.asked == [NAME, private]
    rig = Numbers(
        {
            NAME: [rule("", flags="", replacement="next.test")],
            "next.test": [rule("!^.*$!sip:y@192.0.2.21!")],
        }
    )
    assert only(call(rig), "INVITE").message.uri_text == "sip:y@192.0.2.21"
    # Zones that lead in a circle.
    rig = Numbers({NAME: [rule("", flags="", replacement=NAME)]})
    assert what(call(rig))[-1] in ("404", "480")
    assert len(rig.asked) == 5


@pytest.mark.parametrize(
    "regexp",
    [
        "!(.*)*x!sip:a@192.0.2.21!",
        "!^.*$!sip:a@192.0.2.21?Route=%3Csip:evil%3E!",
        "!^.*$!sip:a@192.0.2.21\r\nRoute: <sip:evil>!",
        "!^.*$!http://192.0.2.21/!",
        r"!^.*$!sip:\9@192.0.2.21!",
        "!^.*$!sip:!",
        "",
    ],
)
def test_hostile_zones(regexp: str) -> None:
    """The zone belongs to somebody else: what is no plain SIP URI is not called."""
    rig = Numbers({NAME: [rule(regexp)]})
    assert "INVITE" not in what(call(rig))
    assert rig.command("enum.try", number=NUMBER) == []


def test_a_thousand_rules() -> None:
    """Only the best few are judged, and called."""
    rig = Numbers({NAME: [rule(f"!^.*$!sip:a{n}@192.0.2.21!", preference=n) for n in range(1_000)]})
    assert rig.command("enum.try", number=NUMBER) == [f"sip:a{n}@192.0.2.21" for n in range(10)]


@pytest.mark.parametrize(
    "user", ["441632960083", "bob", "+44x", "+", "+123", "+" + "1" * 16, "+" + "4" * 300]
)
def test_no_number(user: str) -> None:
    """Only international numbers of up to 15 digits are asked for; extensions are no business of DNS."""
    rig = Numbers({})
    assert "INVITE" not in what(call(rig, user))
    assert rig.asked == []


def test_without_a_plus() -> None:
    """Where all numbers are international the plus may be left out."""
    rig = Numbers({NAME: [rule("!^.*$!sip:x@192.0.2.21!")]}, EnumSettings(plus=False))
    assert only(call(rig, NUMBER[1:]), "INVITE").message.uri_text == "sip:x@192.0.2.21"


def test_strangers() -> None:
    """Who has proved nothing does not have us send requests where a zone of its own says."""
    zones = {NAME: [rule("!^.*$!sip:x@192.0.2.21!")]}
    stranger = {"sender": "<sip:x@evil.example>"}
    assert "INVITE" not in what(call(Numbers(zones, auth=AuthConfig()), **stranger))
    assert "INVITE" in what(call(Numbers(zones, EnumSettings(strangers=True), auth=AuthConfig()), **stranger))


def test_in_a_route() -> None:
    """A route asks by itself, and may believe a caller whose number leads to his own address."""
    seen: list[Any] = []

    async def route(request: Any, enum: Enum) -> None:
        if request.validate():
            seen.append(([str(one) for one in await enum.query(NUMBER)], await enum.is_from_number(request)))
            request.reply(480)

    rig = Numbers({NAME: [rule(f"!^.*$!sip:{NUMBER}@atlanta.test!")]}, route=route)
    outs = call(rig, sender=f"<sip:{NUMBER}@atlanta.test>")
    assert [out.what for out in outs if out.to == ALICE] == ["480"]
    rig.udp(request(uri="sip:x@biloxi.test", sender="<sip:x@evil.example>", call_id="2", branch="z9hG4bK2"))
    assert seen == [([f"sip:{NUMBER}@atlanta.test"], True), ([f"sip:{NUMBER}@atlanta.test"], False)]


@pytest.mark.parametrize(
    "options",
    [{"suffixes": []}, {"suffixes": ["a..b"]}, {"suffixes": ["x y"]}, {"service": "!"}, {"within": 60.0}],
)
def test_wrong_settings(options: dict[str, Any]) -> None:
    """Each is refused with its name."""
    with pytest.raises(ValueError, match=next(iter(options))):
        EnumSettings(**options)
