"""Edits: each in its place, and all other octets as they were (RFC 4825 8.2.3, 8.2.4, 8.4)."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sansip.module.xml import read_xml
from sansip.modules.xcap.edit import delete, put_attribute, put_element
from sansip.modules.xcap.faults import Conflict, Fault
from sansip.modules.xcap.selector import XML, AttributeName, Selector, parse_selector
from sansip.modules.xcap.tree import locate, read_tree
from tests.modules.xcap.documents import documents, elements

BOUND = {"p": "urn:p", "q": "urn:q", "d": "urn:d", "xml": XML}
# RFC 4825 8.2.3
ROOT = b"""<?xml version="1.0"?>
<root>
 <el1 att="first"/>
 <el1 att="second"/>
 <!-- comment -->
 <el2 att="first"/>
</root>
"""


def selector(text: str, default: str = "") -> Selector:
    return parse_selector(text, BOUND, default)


def put(octets: bytes, text: str, body: bytes, default: str = "") -> tuple[bytes, bool]:
    one = selector(text, default)
    edit = put_attribute if isinstance(one.terminal, AttributeName) else put_element
    return edit(octets, read_tree(octets), one, body)


def refused(octets: bytes, text: str, body: bytes | None, default: str = "") -> str:
    root, one = read_tree(octets), selector(text, default)
    with pytest.raises(Fault) as fault:
        delete(octets, root, one) if body is None else put(octets, text, body, default)
    return fault.value.name if isinstance(fault.value, Conflict) else str(fault.value.status)


THIRD = b"""<el1 att="second"/><el1 att="third"/>
 <!-- comment -->"""


@pytest.mark.parametrize(
    ("text", "body", "old", "new"),
    [
        ('root/el1[@att="third"]', b'<el1 att="third"/>', b'<el1 att="second"/>\n <!-- comment -->', THIRD),
        (
            'root/el1[3][@att="third"]',
            b'<el1 att="third"/>',
            b'<el1 att="second"/>\n <!-- comment -->',
            THIRD,
        ),
        ('root/*[3][@att="third"]', b'<el1 att="third"/>', b'<el1 att="second"/>\n <!-- comment -->', THIRD),
        ("root/el3", b'<el3 att="first"/>', b"</root>", b'<el3 att="first"/></root>'),
        ('root/el2[@att="2"]', b'<el2 att="2"/>', b'<el2 att="first"/>', b'<el2 att="first"/><el2 att="2"/>'),
        (
            'root/el2[2][@att="2"]',
            b'<el2 att="2"/>',
            b'<el2 att="first"/>',
            b'<el2 att="first"/><el2 att="2"/>',
        ),
        (
            'root/*[2][@att="2"]',
            b'<el2 att="2"/>',
            b'<el1 att="first"/>',
            b'<el1 att="first"/><el2 att="2"/>',
        ),
        (
            'root/el2[1][@att="2"]',
            b'<el2 att="2"/>',
            b'<el2 att="first"/>',
            b'<el2 att="2"/><el2 att="first"/>',
        ),
    ],
)
def test_insertions_of_the_rfc(text: str, body: bytes, old: bytes, new: bytes) -> None:
    """RFC 4825 8.2.3: the examples, octet for octet."""
    assert put(ROOT, text, body) == (ROOT.replace(old, new, 1), True)


@pytest.mark.parametrize(
    ("octets", "text", "body", "new"),
    [
        # A wildcard with an attribute that is nowhere: the last of all, behind the text.
        (b"<r><a/> t</r>", 'r/*[@i="1"]', b"<b i='1'/>", b"<r><a/> t<b i='1'/></r>"),
        (b"<r><a/> t</r>", 'r/*[1][@i="1"]', b"<b i='1'/>", b"<r><b i='1'/><a/> t</r>"),
        (b"<r> t </r>", "r/*", b"<b/>", b"<r> t <b/></r>"),
        (b"<r> t </r>", "r/*[1]", b"<b/>", b"<r> t <b/></r>"),
        (b"<r/>", "r/b", b"<b/>", b"<r><b/></r>"),
        (b"<r i = '1' />", "r/b[1]", b"<b/>", b"<r i = '1' ><b/></r>"),
        (b"<p:r xmlns:p='urn:p'/>", "p:r/p:b", b"<p:b/>", b"<p:r xmlns:p='urn:p'><p:b/></p:r>"),
        (b"<r><a/></r>", "r/a[2]", b"<a/>", b"<r><a/><a/></r>"),
        (b"<r><a/></r>", "r/*[2]", b"<b/>", b"<r><a/><b/></r>"),
        # White space around the element is not the element's.
        (b"<r/>", "r/b", b"\r\n <b> x </b>\n", b"<r><b> x </b></r>"),
        # RFC 4825 8.2.3: declarations of namespaces are kept, also where they are not needed.
        (
            b"<r xmlns:p='urn:p'/>",
            "r/p:b",
            b"<p:b xmlns:p='urn:p'/>",
            b"<r xmlns:p='urn:p'><p:b xmlns:p='urn:p'/></r>",
        ),
    ],
)
def test_other_insertions(octets: bytes, text: str, body: bytes, new: bytes) -> None:
    """Positions at the edges, and an element that was empty."""
    assert put(octets, text, body) == (new, True)


@pytest.mark.parametrize(
    ("octets", "text", "body", "new"),
    [
        (b"<r> <a i='1'>x</a> <a/></r>", "r/a[1]", b"<a>y<!-- c --></a>", b"<r> <a>y<!-- c --></a> <a/></r>"),
        (b"<r> <a/> </r>", "r/*", b"<b/>", b"<r> <b/> </r>"),
        (b"<!-- h --><r/>\n", "r", b"<r>new</r>", b"<!-- h --><r>new</r>\n"),
        (b"<r><a i='1'/></r>", 'r/a[@i="1"]', b"<a i=\"1\" j='2'/>", b"<r><a i=\"1\" j='2'/></r>"),
    ],
)
def test_replacements(octets: bytes, text: str, body: bytes, new: bytes) -> None:
    """RFC 4825 8.2.4: the new element stands where the old one stood."""
    assert put(octets, text, body) == (new, False)


@pytest.mark.parametrize(
    ("octets", "text", "body"),
    [
        (b"<r/>", "r/a", b"<b/>"),
        (b"<r/>", "r/a[2]", b"<a/>"),
        (b"<r/>", "r/*[2]", b"<a/>"),
        (b"<r/>", "r/a[0]", b"<a/>"),
        (b"<r><a/></r>", "r/a[3]", b"<a/>"),
        (b"<r><a/></r>", "r/*[3]", b"<a/>"),
        (b"<r><a/><a/></r>", "r/a", b"<a/>"),
        (b"<r><a/><a/></r>", "r/*", b"<a/>"),
        (b"<r><a i='1'/></r>", 'r/a[@i="1"]', b"<a i='2'/>"),
        (b"<r/>", 'r/a[@i="1"]', b"<a/>"),
        (b"<r/>", "r/a", b"<a xmlns='urn:d'/>"),
        (b"<r/>", "s", b"<s/>"),
        (b"<r/>", "r", b"<s/>"),
        # The insertion would make another one the first.
        (b"<r><a i='1'/></r>", 'r/*[2][@i="2"]', b"<a i='3'/>"),
    ],
)
def test_cannot_insert(octets: bytes, text: str, body: bytes) -> None:
    """RFC 4825 8.2.3: a GET after the PUT has to return what was put."""
    assert refused(octets, text, body) == "cannot-insert"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text",
        b"<a>",
        b"<a></b>",
        b"<a/><a/>",
        b"<a/>text",
        b"text<a/>",
        b"<!-- c --><a/>",
        b"<a/><!-- c -->",
        b"<?xml version='1.0'?><a/>",
        b"<!DOCTYPE a><a/>",
        b"<x:a/>",
        b"<a/></fragment><fragment>",
        b"</fragment>",
        b"<a b=1/>",
        b"<a b='1' b='2'/>",
        b"<a>&x;</a>",
        b"<a>&#0;</a>",
        b"<a>\x01</a>",
        b"<![CDATA[x]]>",
        b"<?p?><a/>",
        b"<a>" * 30 + b"</a>" * 30,
        b"<a/>]]>",
        b"<a/>&amp;",
    ],
)
def test_not_xml_frag(body: bytes) -> None:
    """RFC 4825 8.2.2: one element and nothing else, and none that reaches out of its place."""
    assert refused(b"<r/>", "r/a", body) == "not-xml-frag"


@pytest.mark.parametrize("body", [b"<a>\xff</a>", b"<a>\xed\xa0\x80</a>", b"\xff\xfe<\0a\0/\0>\0"])
def test_not_utf_8(body: bytes) -> None:
    """RFC 4825 8.2.2."""
    assert refused(b"<r/>", "r/a", body) == "not-utf-8"
    assert refused(b"<r/>", "r/@a", b'"' + body + b'"') == "not-utf-8"


@pytest.mark.parametrize(
    ("octets", "text", "body", "new", "is_new"),
    [
        (b"<r/>", "r/@a", b'"1"', b'<r a="1"/>', True),
        (b"<r />", "r/@a", b"'1'", b"<r a='1' />", True),
        (b"<r b='2'>x</r>", "r/@a", b'"1"', b"<r b='2' a=\"1\">x</r>", True),
        (b"<r  a = 'x' b='2'/>", "r/@a", b'"&lt;&#65;"', b"<r  a = \"&lt;&#65;\" b='2'/>", False),
        (b"<r xmlns:p='urn:p'/>", "r/@p:a", b'"1"', b"<r xmlns:p='urn:p' p:a=\"1\"/>", True),
        (b"<r xmlns:z='urn:p'/>", "r/@p:a", b'"1"', b"<r xmlns:z='urn:p' z:a=\"1\"/>", True),
        (b"<r/>", "r/@xml:lang", b'"en"', b'<r xml:lang="en"/>', True),
        (b"<r><a i='1'/></r>", 'r/a[@i="1"]/@j', b'"1"', b"<r><a i='1' j=\"1\"/></r>", True),
    ],
)
def test_attributes(octets: bytes, text: str, body: bytes, new: bytes, is_new: bool) -> None:
    """RFC 4825 7.7: created behind the others, or its value replaced with its quotes."""
    assert put(octets, text, body) == (new, is_new)


@pytest.mark.parametrize(
    "body",
    [b"", b"1", b'"1', b'"1" ', b'"<"', b'"&"', b'"&x;"', b'"1"2"', b"'1\"", b'"\x01"', b'"1" b="2"', b"''x"],
)
def test_not_xml_att_value(body: bytes) -> None:
    """RFC 4825 8.2.2: a value in quotes; none that brings further attributes with it."""
    assert refused(b"<r/>", "r/@a", body) == "not-xml-att-value"


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"<r><a i='1'/></r>", 'r/a[@i="1"]/@i'),
        (b"<r/>", "r/@p:a"),
        (b"<r xmlns='urn:p'/>", "p:r/@p:a"),
        (b"<r/>", "r/@xmlns"),
    ],
)
def test_attributes_that_cannot_be(octets: bytes, text: str) -> None:
    """RFC 4825 7.7: the selector would not find it; there is no prefix for it; a declaration is none."""
    assert refused(octets, text, b'"2"') == "cannot-insert"


@pytest.mark.parametrize(
    ("octets", "text", "new"),
    [
        (b"<r> <a/> </r>", "r/a", b"<r>  </r>"),
        (b"<r><a/><a/></r>", "r/a[2]", b"<r><a/></r>"),
        (b"<r><a/><b/></r>", "r/*[2]", b"<r><a/></r>"),
        (b"<r><a i='1'/><a i='2'/></r>", 'r/*[1][@i="1"]', b"<r><a i='2'/></r>"),
        (b"<r\n a='1'  b='2'/>", "r/@b", b"<r\n a='1'/>"),
        (b"<r a='1' b='2'/>", "r/@a", b"<r b='2'/>"),
        (b"<r><a i='1' j='2'/></r>", 'r/a[@i="1"]/@i', b"<r><a j='2'/></r>"),
    ],
)
def test_deletions(octets: bytes, text: str, new: bytes) -> None:
    """RFC 4825 8.4: white space around an element stays."""
    assert delete(octets, read_tree(octets), selector(text)) == new


@pytest.mark.parametrize(
    ("octets", "text", "answer"),
    [
        (b"<r><a/><a/></r>", "r/a[1]", "cannot-delete"),
        (b"<r><a/><b/></r>", "r/*[1]", "cannot-delete"),
        (b"<r><a/><a/></r>", "r/a", "404"),
        (b"<r/>", "r/a", "404"),
        (b"<r/>", "r/@a", "404"),
        (b"<r/>", "r/a/@a", "404"),
        (b"<r xmlns='urn:p'/>", "p:r/@xmlns", "404"),
        (b"<r/>", "r", "schema-validation-error"),
        (b"<r><a i='1'/><a i='1' j='1'/></r>", 'r/a[1][@i="1"]', "cannot-delete"),
    ],
)
def test_deletions_that_cannot_be(octets: bytes, text: str, answer: str) -> None:
    """RFC 4825 7.5: the selector has to select nothing afterwards."""
    assert refused(octets, text, None) == answer


def path_of(octets: bytes, number: int) -> str:
    """Return a selector by positions for one of the elements below the root."""
    paths: list[str] = []
    waiting = [(read_tree(octets), "r")]
    while waiting:
        node, path = waiting.pop()
        for place, child in enumerate(node.children, 1):
            paths.append(f"{path}/*[{place}]")
            waiting.append((child, paths[-1]))
    assume(paths)
    return paths[number % len(paths)]


@settings(max_examples=40)
@given(documents(), st.integers(0, 100), elements())
def test_a_replacement_changes_nothing_else(octets: bytes, number: int, element: str) -> None:
    """The document stays octet for octet outside the element, and is well-formed."""
    path = path_of(octets, number)
    node, _ = locate(read_tree(octets), selector(path, "urn:d").steps)
    assert node is not None
    changed, is_new = put(octets, path, element.encode(), "urn:d")
    assert not is_new
    assert changed == octets[: node.start] + element.encode() + octets[node.end :]
    read_xml(changed)


@settings(max_examples=40)
@given(documents(), st.integers(0, 100))
def test_an_insertion_changes_nothing_else(octets: bytes, number: int) -> None:
    """Without what was put, the document is the old one; an empty parent gets an end tag."""
    path = f'{path_of(octets, number)}/*[@new="1"]'
    body = '<n new="1"/>'
    changed, is_new = put(octets, path, body.encode(), "urn:d")
    assert is_new
    read_xml(changed)
    assert changed.count(body.encode()) == octets.count(body.encode()) + 1
    place = changed.index(body.encode())
    without = changed[:place] + changed[place + len(body) :]
    parent, _ = locate(read_tree(octets), selector(path, "urn:d").steps[:-1])
    assert parent is not None
    if parent.empty:
        assert without == octets[: parent.inner] + f"></{parent.tag}>".encode() + octets[parent.end :]
    else:
        assert without == octets


@settings(max_examples=40)
@given(documents(), st.integers(0, 100))
def test_a_deletion_changes_nothing_else(octets: bytes, number: int) -> None:
    """Either the element is gone and nothing else, or the document is as it was."""
    path = path_of(octets, number)
    node, _ = locate(read_tree(octets), selector(path, "urn:d").steps)
    assert node is not None
    step = path.rpartition("/")[2]
    parent = node.parent
    assert parent is not None
    if step != f"*[{len(parent.children)}]":
        # The next one would be there afterwards.
        assert refused(octets, path, None, "urn:d") == "cannot-delete"
        return
    changed = delete(octets, read_tree(octets), selector(path, "urn:d"))
    assert changed == octets[: node.start] + octets[node.end :]
    read_xml(changed)
