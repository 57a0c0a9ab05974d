"""ENUM (RFC 6116): numbers to domains, rules to URIs, and rules that would run away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.transport.dns import Naptr, enum_domain, enum_uris

NUMBER = "+441632960083"


def rule(
    regexp: str, service: str = "E2U+sip", order: int = 1, preference: int = 1, flags: str = "u"
) -> Naptr:
    return Naptr(order, preference, flags, service, regexp, "")


def test_the_domain_of_a_number() -> None:
    """RFC 6116 3.2, with its own example; only digits count."""
    assert enum_domain("+442079460148") == "8.4.1.0.6.4.9.7.0.2.4.4.e164.arpa"
    assert enum_domain("+44 (20) 7946-0148") == "8.4.1.0.6.4.9.7.0.2.4.4.e164.arpa"
    assert enum_domain("100", "numbers.example") == "0.0.1.numbers.example"
    for wrong in ("", "+", "alice", "1" * 33):
        with pytest.raises(ValueError, match="no telephone number"):
            enum_domain(wrong)


def test_rules_in_order() -> None:
    """RFC 3403 4.1: by order, then preference; other services and flags are left out."""
    rules = [
        rule("!^.*$!sip:c@example.test!", order=2),
        rule("!^.*$!sip:b@example.test!", preference=5),
        rule("!^.*$!mailto:x@example.test!", "E2U+email:mailto"),
        rule("!^.*$!sip:no@example.test!", flags=""),
        rule("!^.*$!sip:a@example.test!", "sip+E2U"),
    ]
    assert enum_uris(NUMBER, rules) == [f"sip:{name}@example.test" for name in "abc"]


@pytest.mark.parametrize(
    ("regexp", "expected"),
    [
        (r"!^\+44(.*)$!sip:\1@uk.test!", ["sip:1632960083@uk.test"]),
        (r"/^(\+44)(1632)(.*)$/sip:\3@\2.test/", ["sip:960083@1632.test"]),
        (r"!^\+1(.*)$!sip:\1@us.test!", []),
        (r"!^.*$!sip:a\!b@example.test!", ["sip:a!b@example.test"]),
        (r"!^.*$!sip:\9@example.test!", []),
        (r"!^.*$!SIP:X@example.test!i", ["SIP:X@example.test"]),
        ("", []),
        ("!", []),
        ("!!!", [""]),
        ("!(!x!", []),
        ("!^.*$!x", []),
        ("!^.*$!x!g", []),
        # RFC 3402 3.2: POSIX's extended expressions.
        (r"!^\+([[:digit:]]+)$!sip:\1@example.test!", ["sip:441632960083@example.test"]),
        (r"|^\+44(1632\|1633)(.*)$|sip:\2@x.test|", []),
        # What would break a message is no replacement.
        ("!^.*$!sip:a@b\r\nX: y!", []),
        ("!^.*$!sip:a b@c!", []),
        ("!^.*$!sip:" + "x" * 300 + "@c!", []),
        # Neither digits nor flags divide.
        ("1^.*$1sip:a@b1", []),
        ("i^.*$isip:a@bi", []),
    ],
)
def test_substitution(regexp: str, expected: list[str]) -> None:
    """RFC 3402 3.2: the first character divides; groups are put in by their number."""
    assert enum_uris(NUMBER, [rule(regexp)]) == expected


@pytest.mark.parametrize(
    "expression",
    ["(a?){40}x", "(.*)*x", "(.+)+x", "(1|1)*x", "((.*)(.*))+x", ".*.*.*.*.*x", "(?=x)", "(.)\\1(.)\\2x"],
)
def test_expressions_that_could_run_away_are_not_used(expression: str) -> None:
    """The zone belongs to somebody else, and so does the expression."""
    assert enum_uris(NUMBER, [rule(f"!{expression}!sip:x@y!")]) == []


@given(st.text(max_size=40))
def test_any_rule(regexp: str) -> None:
    """Nothing that a zone holds raises."""
    for uri in enum_uris(NUMBER, [rule(regexp), rule(f"!{regexp}!x!"), rule(f"!.*!{regexp}!")]):
        assert isinstance(uri, str)
