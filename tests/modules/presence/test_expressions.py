"""Expressions of filters (RFC 4661 5): what they select, what is not supported, what they may cost."""

from __future__ import annotations

import pytest

from sansip.module.xml import local_name, read_xml
from sansip.modules.events import BadFilter
from sansip.modules.presence.expressions import Budget, TooLong, parse_expression, select
from tests.modules.presence.test_pidf import DEVICE, PERSON, document, service

BINDINGS = {
    "p": "urn:ietf:params:xml:ns:pidf",
    "r": "urn:ietf:params:xml:ns:pidf:rpid",
    "dm": "urn:ietf:params:xml:ns:pidf:data-model",
}
BODY = document(
    service("a", "open", '<r:class>IM</r:class><contact priority="0.8">im:bob@biloxi.test</contact>'),
    service("b", "closed", '<r:class>voice</r:class><contact priority="0.2">tel:1</contact>'),
    PERSON,
    DEVICE,
)


def found(text: str, body: bytes = BODY, most: int = 10_000) -> list[str]:
    """What is selected: names, the ids of elements, the values of attributes."""
    root = read_xml(body)
    result = []
    for one in select(root, parse_expression(text, BINDINGS), Budget(most)):
        element = one.element
        if one.attribute is not None:
            result.append(f"@{element.get(one.attribute)}")
        else:
            result.append(f"{local_name(element)} {element.get('id') or element.text or ''}".strip())
    return result


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("/p:presence/p:tuple/p:status/p:basic", ["basic open", "basic closed"]),
        ("//p:basic", ["basic open", "basic closed"]),
        ("/p:presence//p:basic", ["basic open", "basic closed"]),
        ("/*/p:tuple", ["tuple a", "tuple b"]),
        ("//p:tuple/ \n p:status/p:basic", ["basic open", "basic closed"]),
        ('//p:tuple[p:status/p:basic="open"]', ["tuple a"]),
        ("//p:tuple[p:status/p:basic='closed']/p:contact", ["contact tel:1"]),
        ('//*[p:status/p:basic="open"]', ["tuple a"]),
        ('/p:presence/p:tuple[*/p:basic="open"]', ["tuple a"]),
        ('//p:tuple[r:class="IM" or r:class="SMS"]/p:status/p:basic', ["basic open"]),
        ('//p:tuple[r:class="IM" and p:status/p:basic="closed"]', []),
        ('//p:tuple[r:class="x" and @id="a" or @id="b"]', ["tuple b"]),
        ("//p:contact[@priority<0.5]", ["contact tel:1"]),
        ("//p:contact[@priority > 0.5]", ["contact im:bob@biloxi.test"]),
        ("//p:contact[@priority=0.80]", ["contact im:bob@biloxi.test"]),
        ('//p:tuple[p:contact/@priority="0.2"]', ["tuple b"]),
        ('//p:basic[.="open"]', ["basic open"]),
        ('//r:class[..="x"]', []),
        ("//p:basic[.<5]", []),
        ("//p:tuple/@id", ["@a", "@b"]),
        ("//p:tuple/@none", []),
        ("//dm:person//r:happy", ["happy"]),
        # RFC 4661 5: a name without a prefix is in no namespace.
        ("/presence/tuple", []),
    ],
)
def test_what_is_selected(text: str, selected: list[str]) -> None:
    """The references and conditions of RFC 4661 5."""
    assert found(text) == selected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p:presence",
        "/",
        "//",
        "/p:presence/",
        "/x:presence",
        "/p:presence/p:tuple[1]",
        "/p:presence/p:tuple[p:note]",
        '/p:presence[p:tuple//p:basic="open"]',
        '/p:presence/p:tuple[not(p:note="x")]',
        "/p:presence/p:tuple/@id/p:x",
        "/p:presence//@id",
        "/p:presence/@*",
        "@id",
        "/p:presence/ancestor::p:x",
        "/p:presence/namespace::*",
        "//p:tuple|//p:note",
        "count(//p:tuple)",
        '//p:tuple[@id="a"',
        '//p:tuple[@id="a"][@id="b"]',
        '//p:tuple[@id="a" xor @id="b"]',
        "/*" * 17,
        '//*[@a="1"' + ' or @a="1"' * 8 + "]",
        "/" + "a" * 2_000,
        "//p:tuple[@id=\"a'",
        "/p:presence\x00",
    ],
)
def test_what_is_not_supported(text: str) -> None:
    """All else of XPath is refused when the filter comes, before anything is looked up."""
    with pytest.raises(BadFilter):
        parse_expression(text, BINDINGS)


def test_what_it_may_cost() -> None:
    """Each element that is visited counts, also by conditions and at any depth."""
    deep = document(service(inner="<x:a>" * 18 + "</x:a>" * 18))
    with pytest.raises(TooLong):
        found("//*//*//*//*//*", deep, most=500)
    with pytest.raises(TooLong):
        found('//*[*/*/*="x" or */*="x"]', deep, most=40)
    assert found("//p:basic", deep, most=50) == ["basic open"]
