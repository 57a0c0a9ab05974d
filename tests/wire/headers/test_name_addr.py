"""name-addr and addr-spec with parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import NameAddr, SipUri, parse_name_addr, parse_uri
from sansip.wire.headers.name_addr import ORDINARY_LINE, ORDINARY_VALUE, ordinary_name_addr

FORMS = [
    "<sip:a@h>",
    "<sip:a@h>;tag=x",
    "Alice <sip:a@h>;tag=x",
    '  token1~` token2\'+_\ttoken3*%!.-   <sips:h:5061;lr>;a;tag=x;b="c;d"',
    '"Alice, \u00e9 ; <A>" <sip:a@192.0.2.1;transport=tcp> ; tag = x',
    '""<sip:a@h:65535>',
    "<sip:a@h>;expires=60;q=0.5",
]


def parse(text: str) -> NameAddr:
    return parse_name_addr(text, "To", "RFC 3261 20.39")


@pytest.mark.parametrize("text", FORMS)
def test_both_ways_agree(text: str) -> None:
    """The pattern for the ordinary form reads what the general parser reads."""
    general = parse(text)
    for match in (ORDINARY_LINE.fullmatch(f"To:{text}"), ORDINARY_VALUE.fullmatch(text)):
        assert match is not None
        quick = ordinary_name_addr(match, "To", "")
        assert (quick.display, quick.tag, quick.params) == (general.display, general.tag, general.params)
        assert str(quick) == str(general) == text.strip()
        assert str(quick.uri) == str(general.uri)
        for name in ("scheme", "user", "password", "host", "port", "params", "headers", "transport"):
            assert getattr(quick.uri, name) == getattr(general.uri, name)
        assert repr(quick) == f"<NameAddr {text.strip()}>"


def test_without_brackets() -> None:
    """RFC 3261 20: parameters behind a bare URI are the header field's."""
    address = parse("sip:a@h;tag=x")
    assert str(address.uri) == "sip:a@h"
    assert address.params == {"tag": "x"}
    assert str(parse("tel:+1 ; a").uri) == "tel:+1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("sip:a@h?x=y", "must be enclosed"),
        ("sip:a,b@h", "must be enclosed"),
        ('"a <sip:h>', "unterminated"),
        ("a, b <sip:h>", "display name"),
        ("<sip:h", "without '>'"),
        ("<sip:h>x", "parameter"),
        ("<sip:h>;", "parameter"),
        ("<>", "not a URI"),
        ("<sip:h:x>", "host or port"),
        ("x y", "malformed address"),
        ("<sip:h>;tag=a:b", "token"),
        ("<sip:h>;a;a", "more than once"),
    ],
)
def test_malformed(text: str, said: str) -> None:
    """The reason has the fault and the name of the field."""
    with pytest.raises(RemoteProtocolError, match=said) as caught:
        parse(text)
    assert caught.value.field == "To"
    assert caught.value.section


def test_brackets_wanted() -> None:
    """RFC 3261 20.34: Route takes a name-addr only."""
    with pytest.raises(RemoteProtocolError, match="enclosed"):
        parse_name_addr("sip:h;lr", "Route", "", brackets=True)
    assert parse_name_addr("<sip:h;lr>", "Route", "", brackets=True).params == {}


def test_q_and_expires() -> None:
    """RFC 3261 20.10: malformed expires counts as 3600, malformed q as none."""
    for value, expected in (
        ("0.333", 0.333),
        ("1", 1.0),
        ("1.000", 1.0),
        ("0.", 0.0),
        ("1.1", None),
        ("x", None),
    ):
        assert parse(f"<sip:h>;q={value}").q == expected
    for value, seconds in (("0", 0), ("60", 60), ("x", 3600), ("4294967296", 3600), ("9" * 99, 3600)):
        assert parse(f"<sip:h>;expires={value}").expires == seconds
    assert parse("<sip:h>;expires").expires == 3600
    assert parse("<sip:h>").expires is None
    assert parse("<sip:h>").q is None


def test_build_and_replace() -> None:
    """Display names are quoted when they must be; a changed address is new."""
    assert str(NameAddr.build("sip:h")) == "<sip:h>"
    assert str(NameAddr.build("sip:h", "Bob B.", {"TAG": "1"})) == "Bob B. <sip:h>;tag=1"
    address = NameAddr.build(parse_uri("sip:a@h"), 'B "x"', {"a": None})
    assert str(address) == '"B \\"x\\"" <sip:a@h>;a'
    changed = address.replace(uri="tel:+1", params={})
    assert str(changed) == '"B \\"x\\"" <tel:+1>'
    assert str(address.replace(display="")) == "<sip:a@h>;a"
    match = ORDINARY_VALUE.fullmatch("A <sip:a@h>;tag=1")
    assert match is not None
    assert str(ordinary_name_addr(match, "To", "").replace(display="é")) == '"é" <sip:a@h>;tag=1'
    for bad in (
        {"uri": "nonsense"},
        {"uri": "sip:h", "display": "a\nb"},
        {"uri": "sip:h", "params": {"a": "b c"}},
    ):
        with pytest.raises(LocalProtocolError):
            NameAddr.build(**bad)


@given(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])))
def test_any_display_name(display: str) -> None:
    """A written name-addr is read again with the same meaning, white space between tokens aside."""
    address = parse(str(NameAddr.build("sip:a@h", display, {"tag": "1"})))
    assert address.display == display
    assert isinstance(address.uri, SipUri)
    assert address.tag == "1"


@given(st.text('a \t"\\<>;,=:@é', max_size=40))
def test_any_text(text: str) -> None:
    """An address or a RemoteProtocolError; the two ways never disagree."""
    match = ORDINARY_VALUE.fullmatch(text)
    try:
        address = parse(text)
    except RemoteProtocolError:
        if match is not None:
            with pytest.raises(RemoteProtocolError):
                ordinary_name_addr(match, "To", "")
        return
    if match is not None:
        assert ordinary_name_addr(match, "To", "").params == address.params
