"""tel URIs."""

from __future__ import annotations

import pytest

from sansip.errors import RemoteProtocolError
from sansip.wire import TelUri, parse_uri
from sansip.wire.tel import bare_number, parse_tel


def test_global_and_local_numbers() -> None:
    """RFC 3966 5.1.4, 5.1.5"""
    uri = parse_uri("TEL:+1-201-555-0123;Ext=22")
    assert isinstance(uri, TelUri)
    assert uri.is_global
    assert uri.number == "+1-201-555-0123"
    assert uri.params == {"ext": "22"}
    local = parse_tel("tel:7042;phone-context=example.com")
    assert not local.is_global
    assert bare_number("*A(1)-2.3#") == "*a123#"
    assert repr(local) == "<TelUri tel:7042;phone-context=example.com>"
    assert str(TelUri("+1", {"x": None, "y": "2"})) == "tel:+1;x;y=2"


@pytest.mark.parametrize(
    "text",
    [
        "tel:",
        "tel:+",
        "tel:+-",
        "tel:7042",
        "tel:7042;phone-context",
        "tel:7042;phone-context=",
        # RFC 3966 3: descriptor
        "tel:7042;phone-context=+",
        "tel:7042;phone-context=+1a",
        "tel:7042;phone-context=7042",
        "tel:7042;phone-context=192.0.2.1",
        "tel:7042;phone-context=-a.test",
        "tel:7042;phone-context=a-.test",
        "tel:7042;phone-context=a..test",
        "tel:7042;phone-context=.test",
        "tel:7042;phone-context=sip:a@b",
        "tel:7042;phone-context=a%2etest",
        "tel:+1;phone-context=[2001:db8::1]",
        "tel:+1;a;a",
        "tel:+1;",
        "tel:+1;a=",
        "tel:abcg",
    ],
)
def test_malformed(text: str) -> None:
    """RFC 3966 3, and a local number without its context."""
    with pytest.raises(RemoteProtocolError):
        parse_uri(text)


@pytest.mark.parametrize(
    "context",
    [
        "example.com",
        "example.com.",
        "a",
        "a-1.b--c.x9",
        "1.2.3.com",
        "+1",
        "+1-212",
        "+(44)20.7",
        "EXAMPLE.Com",
    ],
)
def test_contexts(context: str) -> None:
    """RFC 3966 3: a domain name, or the digits that global numbers begin with."""
    assert parse_tel(f"tel:7042;phone-context={context}").params["phone-context"] == context
