"""What people dial becomes the number that is meant, by rules that carry their own tests."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.modules.dialplan import Dialplan, DialplanSettings, Rule
from sansip.modules.dialplan.plan import Plan
from sansip.patterns import LONGEST
from sansip.testing import ModuleBench, check_module

RULES = [
    Rule(pattern=r"^(\+49|0)?900\d+$", refuse=403),
    Rule(prefix="00", replace="+", example="004930123", gives="+4930123"),
    Rule(pattern=r"^0([1-9]\d+)$", replace=r"+49\1", example="030123", gives="+4930123"),
    Rule(equal="112", replace="emergency", example="112", gives="emergency"),
    Rule(plan="sales.example", prefix="9", length=3, replace="+49891", attributes="desk"),
]


class Bench(ModuleBench[Dialplan]):
    def __init__(self, rules: list[Rule] = RULES, **options: Any) -> None:
        super().__init__(Dialplan, DialplanSettings(rules), **options)

    def tried(self, number: str, plan: str = "") -> Any:
        found = self.command("dialplan.try", number=number, plan=plan)
        return found if isinstance(found, Exception) else found["refuse"] or found["becomes"]

    def register(self, user: str) -> None:
        uri = f"sip:{user}@192.0.2.7"
        lines = [
            f"From: <sip:{user}@example.com>;tag=1",
            f"To: <sip:{user}@example.com>",
            f"Contact: <{uri}>",
        ]
        head = "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKr" + user.strip(
            "+"
        )
        rest = "Call-ID: r\r\nCSeq: 1 REGISTER\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        self.receive(("\r\n".join([head, *lines, rest])).encode())


def test_contract() -> None:
    """What every module promises."""
    check_module(Dialplan, DialplanSettings(list(RULES)))


def test_rules() -> None:
    """The first rule that is for a number holds; equal, prefix and pattern are in one order."""
    bench = Bench()
    assert bench.tried("004930123") == "+4930123"
    assert bench.tried("030123") == "+4930123"
    assert bench.tried("112") == "emergency"
    assert bench.tried("900123") == 403
    assert bench.tried("4711") == "4711"
    assert bench.tried("912", "sales.example") == "+4989112"
    assert bench.tried("9123", "sales.example") == "9123"
    assert "there are default, sales.example" in str(bench.tried("1", "other"))


def test_order() -> None:
    """By place, then as in the file, whatever the kinds are."""
    rules = [
        Rule(prefix="1", replace="late", place=5),
        Rule(pattern="^12", replace="early", place=1),
        Rule(equal="123", replace="exact", place=3),
        Rule(prefix="12", replace="b", place=3),
        Rule(pattern=r"^\d+$", replace=r"\0", place=9),
    ]
    plan = Plan(rules)
    meant = [plan.translate(number) for number in ("123", "13", "7")]
    assert [None if one is None else one.number for one in meant] == ["early", "late3", "7"]
    plan = Plan([*rules[:1], *rules[2:]])
    meant = [plan.translate(number) for number in ("123", "124", "13")]
    assert [None if one is None else one.number for one in meant] == ["exact", "b4", "late3"]


def test_as_in_turn() -> None:
    """The tables find what a walk through all rules finds."""
    rules = [Rule(prefix=str(n % 97), replace=f"p{n}-", place=n % 7) for n in range(1, 300)]
    rules += [Rule(equal=str(n), replace=f"e{n}", place=n % 11) for n in range(300)]
    plan = Plan(rules)
    ordered = sorted(rules, key=lambda one: one.place)
    for number in map(str, range(400)):
        first = next(
            (one for one in ordered if one.equal == number or (one.prefix and number.startswith(one.prefix))),
            None,
        )
        meant = plan.translate(number)
        assert (meant and meant.rule) == first


def test_calls() -> None:
    """The number that is meant is looked up; a number that is refused is answered at once."""
    bench = Bench()
    bench.register("+4930123")
    assert bench.call("004930123") == []
    assert [one.uri_text for one in bench.sent if hasattr(one, "uri_text")][-1] == "sip:+4930123@192.0.2.7"
    assert bench.call("0900123") == ["403 Forbidden"]
    assert bench.figure("refused") == {("default",): 1}
    assert bench.call("0" * 300) == ["404 Not Found"]


@pytest.mark.parametrize(
    "user", ["0-900-123", "(0900)1.23", "0900123;x=y", "0900123%3Bx", "+49900123;isub=1", "%30900123"]
)
def test_one_number_in_many_ways(user: str) -> None:
    """What a gateway would call as 0900123 is refused as that (RFC 3966 5.1.1: separators mean nothing)."""
    bench = Bench()
    assert bench.call(user) == ["403 Forbidden"]
    assert bench.tried("0-900-123") == 403


def test_what_is_no_number() -> None:
    """A name keeps its dots; a character that no URI has is escaped, and no module fails for it."""
    bench = Bench([Rule(equal="john.doe", replace="jd"), Rule(prefix="00", replace="+")])
    bench.register("jd")
    assert bench.call("john.doe") == []
    assert bench.call("00%20%40x") == ["404 Not Found"]
    assert bench.failures == []


def test_rules_test_themselves() -> None:
    """A rule whose example does not come out is refused, with what came out and by which rule."""
    with pytest.raises(ValueError, match=r"prefix 0: 0301 gives 301, expected \+49301 \(by prefix 0\)"):
        DialplanSettings([Rule(prefix="0", example="0301", gives="+49301")])
    # A rule that another one hides.
    with pytest.raises(ValueError, match=r"prefix 00: 0049 gives x049, expected \+49 \(by prefix 0\)"):
        DialplanSettings(
            [Rule(prefix="0", replace="x"), Rule(prefix="00", replace="+", example="0049", gives="+49")]
        )
    DialplanSettings([Rule(prefix="9", refuse=403, example="99", gives="403")])


def test_rows() -> None:
    """Rules by command are durable."""
    bench: ModuleBench[Dialplan] = Bench()
    police = {"equal": "110", "replace": "police", "example": "110", "gives": "police"}
    assert bench.command("dialplan.add", **police)["equal"] == "110"
    bench = bench.restarted()
    assert bench.command("dialplan.try", number="110")["becomes"] == "police"
    assert bench.command("dialplan.remove", equal="110") is True
    assert bench.command("dialplan.remove", equal="110") is False
    assert bench.command("dialplan.try", number="110")["becomes"] == "110"


def test_a_row_that_breaks_a_test() -> None:
    """Order is by place: a row in front hides a rule of the file, and that one's test says so."""
    bench = Bench([Rule(prefix="00", replace="+", place=5, example="0049", gives="+49")])
    said = bench.command("dialplan.add", pattern="^0", replace="x", place=1)
    assert "0049 gives x, expected +49 (by pattern ^0)" in str(said)
    assert bench.tried("0049") == "+49"
    bench.command("dialplan.add", pattern="^0", replace="x", place=9)
    # The same test holds for the configuration, over rows that were good before.
    settings = DialplanSettings([Rule(prefix="00", replace="+", place=10)])
    bench.module.check(settings)
    bench.module.configure(settings, bench.now)
    assert bench.tried("0049") == "x"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "pattern: expected one of equal, prefix and pattern, found none"),
        ({"equal": "1", "prefix": "1"}, "found equal and prefix"),
        ({"pattern": "("}, "pattern: .*no regular expression"),
        ({"pattern": "(a+)+b"}, "pattern: .*too long"),
        ({"pattern": "a", "replace": r"\1"}, "replace: .* has 0 groups"),
        ({"equal": "1", "refuse": 200}, "refuse is 200"),
        ({"equal": "1", "refuse": 403, "replace": "2"}, "replace: a number that is refused"),
        ({"equal": "1", "length": 65}, "length is 65"),
        ({"equal": "1", "place": -1}, "place is -1"),
        ({"equal": "1" * 65}, "equal has more than 64"),
        ({"equal": "1", "gives": "1"}, "gives needs an example"),
        ({"equal": "1", "plan": ""}, "plan must not be empty"),
    ],
)
def test_wrong_rules(given: dict[str, Any], said: str) -> None:
    """Each is refused with its field and what was expected."""
    with pytest.raises(ValueError, match=said):
        Rule(**given)


def test_all_expressions_together() -> None:
    """Many expressions that each take a moment are refused together."""
    slow = [Rule(pattern=f"^.*{number}.*x", place=number) for number in range(100)]
    with pytest.raises(ValueError, match="together may take too long"):
        DialplanSettings(slow)
    DialplanSettings([Rule(pattern=rf"^{number}(\d+)$", replace=r"\1") for number in range(2_000)])


def test_results_have_a_length() -> None:
    """What a rule makes never grows without end, and a number of 300 digits has no meaning."""
    plan = Plan([Rule(prefix="1", replace="2" * 250), Rule(pattern=r"^(3\d*)$", replace=r"\1" * 9)])
    for number in ("1" * LONGEST, "3" * LONGEST):
        with pytest.raises(ValueError, match="more than 256"):
            plan.translate(number)
    assert plan.translate("1" * 300) is None
    bench = Bench([Rule(prefix="1", replace="2" * 250)])
    assert bench.call("1" * 60) == ["404 Not Found"]
    assert "more than 256" in str(bench.tried("1" * 60))


def test_pages() -> None:
    """A long plan is listed a page at a time."""
    bench = Bench([Rule(equal=str(number), replace="x") for number in range(30)])
    first = bench.command("dialplan.list", limit=20)
    rest = bench.command("dialplan.list", after=19, limit=20)
    assert [one["equal"] for one in first + rest] == [str(number) for number in range(30)]
