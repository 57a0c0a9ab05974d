"""Presence rules against RFC 4745 and RFC 5025."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.modules.events import Verdict
from sansip.modules.presence.rules import (
    ALL,
    EVERYTHING,
    NOTHING,
    Rule,
    Ruleset,
    Shows,
    judge,
    parse_rules,
)

ALICE, CAROL = "sip:alice@biloxi.test", "sip:carol@elsewhere.test"


def ruleset(*rules: str) -> bytes:
    listed = "".join(f'<rule id="r{number}">{rule}</rule>' for number, rule in enumerate(rules))
    return (
        '<?xml version="1.0"?><ruleset xmlns="urn:ietf:params:xml:ns:common-policy" '
        f'xmlns:pr="urn:ietf:params:xml:ns:pres-rules">{listed}</ruleset>'
    ).encode()


def rule(conditions: str = "", handling: str = "allow", shows: str = "") -> str:
    return (
        f"<conditions>{conditions}</conditions><actions><pr:sub-handling>{handling}</pr:sub-handling></actions>"
        f"<transformations>{shows}</transformations>"
    )


def one(user: str = ALICE) -> str:
    return f'<identity><one id="{user}"/></identity>'


def verdict(body: bytes, watcher: str = ALICE, sphere: str = "", unix: float = 0.0) -> Verdict:
    return judge(parse_rules(body), watcher, sphere, unix)[0]


def test_nothing_without_a_rule() -> None:
    """RFC 5025 3.2.1: without any permission the watcher is blocked."""
    assert judge(parse_rules(ruleset()), ALICE, "", 0) == (Verdict.BLOCK, NOTHING)


def test_the_highest_permission_wins() -> None:
    """RFC 4745 10.2: whatever the order of the rules."""
    given = [rule(one(), word) for word in ("block", "allow", "polite-block", "confirm")]
    assert verdict(ruleset(*given)) is Verdict.ALLOW
    assert verdict(ruleset(*given[2:])) is Verdict.POLITE
    assert verdict(ruleset(given[0], given[3])) is Verdict.CONFIRM


@pytest.mark.parametrize(
    ("conditions", "watcher", "holds"),
    [
        ("", ALICE, True),
        ("", "", True),
        (one(), ALICE, True),
        (one("sip:alice@BILOXI.test;transport=tcp"), ALICE, True),
        (one("sip:Alice@biloxi.test"), ALICE, False),
        (one(), CAROL, False),
        (f'<identity><one id="{ALICE}"/><one id="{CAROL}"/></identity>', CAROL, True),
        ("<identity><many/></identity>", CAROL, True),
        # RFC 4745 7.1: a watcher that has proved nothing has no name.
        ("<identity><many/></identity>", "", False),
        ('<identity><many domain="biloxi.test"/></identity>', ALICE, True),
        ('<identity><many domain="biloxi.test"/></identity>', CAROL, False),
        (f'<identity><many><except id="{ALICE}"/></many></identity>', ALICE, False),
        (f'<identity><many><except id="{ALICE}"/></many></identity>', CAROL, True),
        ('<identity><many><except domain="elsewhere.test"/></many></identity>', CAROL, False),
        ("<identity/>", ALICE, False),
        # RFC 4745 7: all conditions have to hold, and an unknown one never does.
        (f"{one()}<unknown xmlns='urn:x'/>", ALICE, False),
    ],
)
def test_identity(conditions: str, watcher: str, holds: bool) -> None:
    """RFC 4745 7.1."""
    assert (verdict(ruleset(rule(conditions)), watcher) is Verdict.ALLOW) is holds


def test_sphere() -> None:
    """RFC 4745 7.2: only while the user is in that sphere; an unknown one is none."""
    body = ruleset(rule('<sphere value="work"/>'))
    assert verdict(body, sphere="work") is Verdict.ALLOW
    assert verdict(body, sphere="home") is verdict(body) is Verdict.BLOCK


def test_validity() -> None:
    """RFC 4745 7.3: from the first second to the last but one; the next edge is known."""
    span = "<validity><from>1970-01-01T00:01:40Z</from><until>1970-01-01T01:03:20+01:00</until></validity>"
    body = ruleset(rule(span))
    assert [verdict(body, unix=at) is Verdict.ALLOW for at in (99, 100, 199, 200)] == [
        False,
        True,
        True,
        False,
    ]
    rules = parse_rules(body)
    assert [Ruleset(rules).next_change(at) for at in (0, 100, 200)] == [100, 200, None]


def test_what_is_shown_adds_up() -> None:
    """RFC 4745 10.2, RFC 5025 3.3: the union of sets, the highest of numbers."""
    body = ruleset(
        rule(shows="<pr:provide-services><pr:class>biz</pr:class></pr:provide-services>"
             "<pr:provide-user-input>bare</pr:provide-user-input>"),
        rule(shows="<pr:provide-services><pr:service-uri>sip:x@y.test</pr:service-uri></pr:provide-services>"
             "<pr:provide-persons><pr:all-persons/></pr:provide-persons><pr:provide-note>true</pr:provide-note>"
             "<pr:provide-mood>false</pr:provide-mood><pr:provide-user-input>thresholds</pr:provide-user-input>"
             '<pr:provide-unknown-attribute name="a" ns="urn:a">true</pr:provide-unknown-attribute>'),
    )  # fmt: skip
    assert judge(parse_rules(body), ALICE, "", 0)[1] == Shows(
        services=frozenset({("class", "biz"), ("service-uri", "sip:x@y.test")}),
        persons=frozenset({(ALL, "")}),
        attributes=frozenset({"note"}),
        unknown=frozenset({("urn:a", "a")}),
        user_input=20,
    )


@pytest.mark.parametrize(
    "body",
    [
        b"<ruleset/>",
        b"not XML",
        ruleset(rule(handling="maybe")),
        ruleset(rule('<identity><one id="nobody"/></identity>')),
        ruleset(rule("<validity><from>soon</from></validity>")),
        ruleset(rule("<validity><from>2020-01-01T00:00:00Z</from></validity>")),
        ruleset(rule(shows="<pr:provide-user-input>some</pr:provide-user-input>")),
        b'<ruleset xmlns="urn:ietf:params:xml:ns:common-policy"><rule/></ruleset>',
        ruleset(*[""] * 501),
    ],
)
def test_refused(body: Any) -> None:
    """A document that cannot be read is refused when it is written, and not found out later."""
    with pytest.raises(ValueError, match=r"."):
        parse_rules(body)


def test_each_watcher_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand subscriptions of one watcher cost one look at the rules, until a rule begins or ends."""
    looked: list[str] = []

    def holds(watcher: str, sphere: str, unix: float) -> bool:
        looked.append(watcher)
        return sphere == "work" and unix < 100.0

    rules = Ruleset([Rule([holds], Verdict.ALLOW, EVERYTHING, [100.0])])
    for _ in range(1_000):
        assert rules.judge("sip:alice@x.test", "work", 50.0) == (Verdict.ALLOW, EVERYTHING)
    assert len(looked) == 1
    assert rules.judge("sip:alice@x.test", "", 50.0)[0] is Verdict.BLOCK
    # At the edge, and where the clock was set back behind it.
    assert rules.judge("sip:alice@x.test", "work", 100.0)[0] is Verdict.BLOCK
    assert rules.judge("sip:alice@x.test", "work", 99.0)[0] is Verdict.ALLOW
    # What is remembered is bounded.
    monkeypatch.setattr("sansip.modules.presence.rules._MOST_JUDGED", 2)
    for number in range(10):
        rules.judge(f"sip:{number}@x.test", "work", 50.0)
    assert len(rules._judged) <= 2
    # Users publish their spheres, as long as a document.
    rules.judge("sip:alice@x.test", "s" * 16_000, 50.0)
    assert all(len(watcher) + len(sphere) < 100 for watcher, sphere in rules._judged)
