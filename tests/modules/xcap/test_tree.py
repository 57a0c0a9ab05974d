"""The places of elements and attributes in the octets of a document."""

from __future__ import annotations

import pytest
from hypothesis import given
from lxml import etree

from sansip.module.xml import read_xml
from sansip.modules.xcap.selector import Step
from sansip.modules.xcap.tree import Node, locate, matching, read_tree
from tests.modules.xcap.documents import documents

# RFC 4825 6.4
EXAMPLE = b"""<?xml version="1.0"?>
<foo xmlns="urn:test:default-namespace">
  <ns1:bar xmlns:ns1="urn:test:namespace1-uri"
           xmlns="urn:test:namespace1-uri">
    <baz/>
    <ns2:baz xmlns:ns2="urn:test:namespace2-uri"/>
  </ns1:bar>
  <ns3:hi xmlns:ns3="urn:test:namespace3-uri">
    <there/>
  </ns3:hi>
</foo>
"""


def all_of(node: Node) -> list[Node]:
    return [node, *(one for child in node.children for one in all_of(child))]


def test_names_and_places() -> None:
    """RFC 4825 6.4: names are expanded, and each element's octets are its own."""
    root = read_tree(EXAMPLE)
    assert [(one.name[1], one.name[0].rpartition(":")[2]) for one in all_of(root)] == [
        ("foo", "default-namespace"),
        ("bar", "namespace1-uri"),
        ("baz", "namespace1-uri"),
        ("baz", "namespace2-uri"),
        ("hi", "namespace3-uri"),
        ("there", "default-namespace"),
    ]
    bar = root.children[0]
    assert EXAMPLE[bar.start : bar.end].startswith(b"<ns1:bar xmlns:ns1=")
    assert EXAMPLE[bar.start : bar.end].endswith(b"</ns1:bar>")
    assert EXAMPLE[bar.children[0].start : bar.children[0].end] == b"<baz/>"
    assert bar.children[1].in_scope() == {
        "": "urn:test:namespace1-uri",
        "ns1": "urn:test:namespace1-uri",
        "ns2": "urn:test:namespace2-uri",
    }


def test_what_looks_like_a_tag() -> None:
    """Comments, CDATA, instructions and values may hold what looks like tags."""
    octets = b"<a x='>/>'><!-- <b> --><![CDATA[<c></c>]]><?d <e>?><f g='a>b' /></a >"
    root = read_tree(octets)
    assert [one.tag for one in all_of(root)] == ["a", "f"]
    assert root.attributes[0].value == ">/>"
    assert octets[root.children[0].start : root.children[0].end] == b"<f g='a>b' />"


@pytest.mark.parametrize(
    "octets", [b"", b"<a>", b"</a>", b"<a/><b/>", b"<a:b/>", b"<a b:c='1'/>", b"<a b='&c;'/>", b"text"]
)
def test_what_lxml_would_not_have_accepted(octets: bytes) -> None:
    """An error, so that no edit is made of half a document."""
    with pytest.raises(ValueError, match=r"\w"):
        read_tree(octets)


@given(documents())
def test_it_agrees_with_lxml(octets: bytes) -> None:
    """Names, attributes and structure are those that lxml reads."""

    def shown(element: etree._Element) -> object:
        name = etree.QName(element)
        return (name.namespace or "", name.localname), dict(element.attrib), [shown(one) for one in element]

    def seen(node: Node) -> object:
        attributes = {(f"{{{ns}}}{local}" if ns else local): one.value for one in node.attributes
                      for ns, local in [one.name]}  # fmt: skip
        return node.name, attributes, [seen(one) for one in node.children]

    assert seen(read_tree(octets)) == shown(read_xml(octets))


def test_matching_in_the_order_of_the_predicates() -> None:
    """RFC 4825 6.3: the name first, then the position among those, then the attribute."""
    root = read_tree(b"<r><a i='1'/><b i='2'/><a i='2'/><a i='2'/></r>")
    children = root.children
    assert matching(children, Step(("", "a"), 2)) == [children[2]]
    assert matching(children, Step(None, 2)) == [children[1]]
    assert matching(children, Step(("", "a"), 1, (("", "i"), "2"))) == []
    assert matching(children, Step(("", "a"), None, (("", "i"), "2"))) == children[2:]
    assert matching(children, Step(("", "a"), 0)) == []
    assert locate(root, [Step(("", "r")), Step(("", "b"))]) == (children[1], 2)
    assert locate(root, [Step(("", "r")), Step(("", "a"))]) == (root, 1)
    assert locate(root, [Step(("", "x"))]) == (None, 0)
