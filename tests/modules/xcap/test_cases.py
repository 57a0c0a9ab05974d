"""Each request to a document or to a part of it, with its status: a table of cases (RFC 4825 8)."""

from __future__ import annotations

import pytest

from tests.modules.xcap.served import (
    ATTRIBUTE,
    BASE,
    BILL,
    ELEMENT,
    ENTRY,
    LISTS,
    ROOT,
    TYPES,
    A,
    B,
    client,
    etag,
    field,
    said,
)

X = "?xmlns(x=urn:x)"
BAD = b'<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"><entry uri="sip:a@b"/></resource-lists>'

CASES: list[tuple[str, str, bytes, str | None, dict[str, str], str]] = [
    # Reading (RFC 4825 8.3).
    ("GET", "", b"", None, {}, "200"),
    ("HEAD", "", b"", None, {}, "200"),
    ("GET", A, b"", None, {}, "200"),
    ("GET", f"{A}/@name", b"", None, {}, "200"),
    ("GET", f"{A}/@x:c{X}", b"", None, {}, "200"),
    ("GET", f"{A}/@c", b"", None, {}, "404"),
    ("GET", f"{A}/@x:c", b"", None, {}, "400"),
    ("GET", f"{A}/namespace::*", b"", None, {}, "200"),
    ("GET", f"{A}/entry/namespace::*", b"", None, {}, "404"),
    ("GET", "/~~/resource-lists/list", b"", None, {}, "404"),
    ("GET", "/~~/resource-lists/list%5B3%5D", b"", None, {}, "404"),
    ("GET", "/~~/resource-lists/list%5B0%5D", b"", None, {}, "404"),
    ("GET", "/~~/resource-lists/*%5B2%5D", b"", None, {}, "200"),
    ("GET", "/~~/*/*%5B@name=%22b%22%5D/*/*", b"", None, {}, "200"),
    ("GET", "/%7E%7E/resource-lists", b"", None, {}, "200"),
    ("GET", "/~~/resource-lists%2Flist%5B1%5D", b"", None, {}, "200"),
    ("GET", "/~~", b"", None, {}, "404"),
    ("GET", "/~~/", b"", None, {}, "404"),
    ("GET", "/~~/x", b"", None, {}, "404"),
    ("GET", "/~~/resource-lists/", b"", None, {}, "404"),
    ("GET", "/~~/resource-lists/text()", b"", None, {}, "404"),
    ("GET", "/~~/resource-lists/list%5B@xmlns='urn:x'%5D", b"", None, {}, "404"),
    ("GET", "/~~/d:resource-lists?xmlns(d=urn:ietf:params:xml:ns:resource-lists)", b"", None, {}, "200"),
    ("GET", "/~~/d:resource-lists?xmlns(d=urn:other)", b"", None, {}, "404"),
    ("GET", "/~~/d:resource-lists?xpointer(/x)", b"", None, {}, "400"),
    ("GET", "/~~/resource-lists?xpointer(/x)", b"", None, {}, "200"),
    ("GET", "/~~/resource-lists?(", b"", None, {}, "400"),
    ("GET", "/~~/%FF", b"", None, {}, "400"),
    ("GET", "/~~/resource-lists%00", b"", None, {}, "400"),
    ("GET", "/deeper", b"", None, {}, "404"),
    # Methods (8.1, 8.2, 8.4).
    ("POST", "", b"x", "text/plain", {}, "405"),
    ("PATCH", A, b"x", "text/plain", {}, "405"),
    ("OPTIONS", "", b"", None, {}, "200"),
    ("OPTIONS", f"{A}/namespace::*", b"", None, {}, "200"),
    ("PUT", f"{A}/namespace::*", b"<a/>", ELEMENT, {}, "405"),
    ("DELETE", f"{A}/namespace::*", b"", None, {}, "405"),
    # Documents (8.2.2, 8.2.5).
    ("PUT", "", BASE, None, {}, "200"),
    ("PUT", "", b"", TYPES["resource-lists"], {}, "not-well-formed"),
    ("PUT", "", b"<a>", None, {}, "not-well-formed"),
    ("PUT", "", b"text", None, {}, "not-well-formed"),
    ("PUT", "", BASE + b"<x/>", None, {}, "not-well-formed"),
    ("PUT", "", BASE.replace(b"<list name=\"b\">", b"<y:list name=\"b\">"), None, {}, "not-well-formed"),
    ("PUT", "", BASE.replace(b"Three", b"\xff"), None, {}, "not-utf-8"),
    ("PUT", "", BASE.replace(b"UTF-8", b"ISO-8859-1"), None, {}, "not-utf-8"),
    ("PUT", "", BASE.decode().replace("UTF-8", "UTF-16").encode("utf-16"), None, {}, "not-utf-8"),
    ("PUT", "", BASE, f"{TYPES['resource-lists']}; charset=iso-8859-1", {}, "not-utf-8"),
    ("PUT", "", BASE, f"{TYPES['resource-lists']}; charset=\"UTF-8\"", {}, "200"),
    ("PUT", "", b"\xef\xbb\xbf" + BASE, None, {}, "200"),
    ("PUT", "", BASE, "application/xml", {}, "415"),
    ("PUT", "", BASE, ELEMENT, {}, "415"),
    ("PUT", "", BASE, "", {}, "415"),
    ("PUT", "", b'<resource-lists/>', None, {}, "schema-validation-error"),
    ("PUT", "", b'<x xmlns="urn:ietf:params:xml:ns:resource-lists"/>', None, {}, "schema-validation-error"),
    ("PUT", "", BAD, None, {}, "schema-validation-error"),
    ("PUT", "", b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + BASE[39:], None, {}, "constraint-failure"),
    ("PUT", "", BASE.replace(b'name="b"', b'name="a"'), None, {}, "uniqueness-failure"),
    ("PUT", "", BASE.replace(b"sip:2@", b"sip:1@"), None, {}, "uniqueness-failure"),
    ("PUT", "", BASE.replace(b"sip:3@", b"sip:1@"), None, {}, "200"),
    ("PUT", "/deeper", BASE, TYPES["resource-lists"], {}, "no-parent"),
    # Elements (8.2.1 to 8.2.4).
    ("PUT", f"{A}/entry%5B@uri='sip:new@example.com'%5D", ENTRY, None, {}, "201"),
    ("PUT", f"{B}/entry", b'<entry uri="sip:x@example.com"/>', None, {}, "200"),
    ("PUT", f"{A}/entry", ENTRY, None, {}, "cannot-insert"),
    ("PUT", f"{A}/entry%5B@uri='sip:1@example.com'%5D", ENTRY, None, {}, "cannot-insert"),
    ("PUT", f"{A}/entry%5B4%5D", ENTRY, None, {}, "cannot-insert"),
    ("PUT", f"{A}/entry%5B3%5D", ENTRY, None, {}, "201"),
    ("PUT", f"{A}/*%5B1%5D%5B@uri='sip:new@example.com'%5D", ENTRY, None, {}, "201"),
    ("PUT", f"{A}/list/entry", ENTRY, None, {}, "no-parent"),
    ("PUT", "/~~/resource-lists/list/entry", ENTRY, None, {}, "no-parent"),
    ("PUT", "/~~/other/list/entry", ENTRY, None, {}, "no-parent"),
    ("PUT", "/~~/other", b"<other/>", None, {}, "cannot-insert"),
    ("PUT", f"{A}/foo", b"<foo/>", None, {}, "schema-validation-error"),
    ("PUT", f"{A}/x:foo{X}", b"<x:foo/>", ELEMENT, {}, "201"),
    ("PUT", f"{A}/x:foo", b"<x:foo/>", ELEMENT, {}, "400"),
    ("PUT", f"{A}/entry%5B3%5D", b"<entry>", None, {}, "not-xml-frag"),
    ("PUT", f"{A}/entry%5B3%5D", ENTRY + ENTRY, None, {}, "not-xml-frag"),
    ("PUT", f"{A}/entry%5B3%5D", b"text", None, {}, "not-xml-frag"),
    ("PUT", f"{A}/entry%5B3%5D", b'<entry uri="\xff"/>', None, {}, "not-utf-8"),
    ("PUT", f"{A}/entry%5B3%5D", ENTRY, "application/xml", {}, "415"),
    ("PUT", f"{A}/entry%5B3%5D", ENTRY, ATTRIBUTE, {}, "415"),
    ("PUT", f"{A}/entry%5B3%5D", b'<entry uri="sip:1@example.com"/>', None, {}, "uniqueness-failure"),
    ("PUT", f"{A}/entry%5Blast()%5D", ENTRY, None, {}, "404"),
    ("PUT", "/~~/resource-lists/list%5B3%5D", b'<list name="c"/>', None, {}, "201"),
    # Attributes (8.2.1, 8.2.2).
    ("PUT", f"{A}/@name", b'"c"', None, {}, "200"),
    ("PUT", f"{A}/@name", b'"b"', None, {}, "uniqueness-failure"),
    ("PUT", f"{B}/@name", b'"c"', None, {}, "cannot-insert"),
    ("PUT", f"{A}/@name", b"c", None, {}, "not-xml-att-value"),
    ("PUT", f"{A}/@name", b'"<"', None, {}, "not-xml-att-value"),
    ("PUT", f"{A}/@name", b'"\xff"', None, {}, "not-utf-8"),
    ("PUT", f"{A}/@name", b'"c"', ELEMENT, {}, "415"),
    ("PUT", f"{A}/@x:d{X}", b'"c"', ATTRIBUTE, {}, "201"),
    ("PUT", f"{A}/@foo", b'"c"', None, {}, "schema-validation-error"),
    ("PUT", f"{A}/list/@name", b'"c"', None, {}, "no-parent"),
    # Deletions (8.4).
    ("DELETE", "", b"", None, {}, "200"),
    ("DELETE", A, b"", None, {}, "cannot-delete"),
    ("DELETE", B, b"", None, {}, "200"),
    ("DELETE", "/~~/resource-lists/list%5B2%5D", b"", None, {}, "200"),
    ("DELETE", f"{A}/entry", b"", None, {}, "404"),
    ("DELETE", f"{A}/entry%5B1%5D", b"", None, {}, "cannot-delete"),
    ("DELETE", f"{A}/entry%5B2%5D", b"", None, {}, "200"),
    ("DELETE", f"{A}/entry%5B1%5D/@uri", b"", None, {}, "schema-validation-error"),
    ("DELETE", f"{A}/@name", b"", None, {}, "200"),
    ("DELETE", f"{A}/@other", b"", None, {}, "404"),
    ("DELETE", "/~~/resource-lists", b"", None, {}, "schema-validation-error"),
    ("DELETE", "/deeper", b"", None, {}, "404"),
    # Conditions (7.11, 8.2.6; RFC 9110 13).
    ("GET", "", b"", None, {"if_none_match": "{etag}"}, "304"),
    ("GET", A, b"", None, {"if_none_match": "{etag}"}, "304"),
    ("HEAD", "", b"", None, {"if_none_match": '"x", W/{etag}'}, "304"),
    ("GET", "", b"", None, {"if_none_match": '"x"'}, "200"),
    ("GET", "", b"", None, {"if_none_match": "*"}, "304"),
    ("GET", "", b"", None, {"if_match": '"x"'}, "412"),
    ("GET", "", b"", None, {"if_match": "{etag}"}, "200"),
    ("GET", "", b"", None, {"if_match": "nonsense"}, "400"),
    ("GET", "/~~/x", b"", None, {"if_match": '"x"'}, "404"),
    ("PUT", "", BASE, None, {"if_none_match": "*"}, "412"),
    ("PUT", "", BASE, None, {"if_match": "{etag}"}, "200"),
    ("PUT", "", BASE, None, {"if_match": "W/{etag}"}, "412"),
    ("PUT", "", BASE, None, {"if_match": "*"}, "200"),
    ("PUT", "", BASE, None, {"if_match": '"a,b", {etag}'}, "200"),
    # RFC 9110 5.6.1.2: elements of a list may be empty.
    ("PUT", "", BASE, None, {"if_match": ', "a", ,{etag}'}, "200"),
    ("PUT", "", BASE, None, {"if_match": ", ,"}, "412"),
    ("PUT", "", BASE, None, {"if_match": '"a" "b"'}, "400"),
    ("PUT", "", b"<a>", None, {"if_match": '"x"'}, "412"),
    ("PUT", "", BASE, "text/plain", {"if_match": '"x"'}, "415"),
    ("PUT", f"{A}/entry%5B3%5D", ENTRY, None, {"if_none_match": "*"}, "412"),
    ("PUT", f"{A}/@x:d{X}", b'"c"', ATTRIBUTE, {"if_none_match": "*"}, "412"),
    ("PUT", f"{A}/entry%5B3%5D", ENTRY, None, {"if_match": '"x"'}, "412"),
    ("PUT", f"{A}/list/entry", ENTRY, None, {"if_match": '"x"'}, "no-parent"),
    ("DELETE", "", b"", None, {"if_match": '"x"'}, "412"),
    ("DELETE", "", b"", None, {"if_match": "{etag}"}, "200"),
    ("DELETE", B, b"", None, {"if_match": '"x"'}, "412"),
    ("DELETE", B, b"", None, {"if_match": "{etag}"}, "200"),
    ("DELETE", B, b"", None, {"if_none_match": "{etag}"}, "412"),
    ("DELETE", "/~~/x", b"", None, {"if_match": '"x"'}, "404"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "kind", "fields", "answer"), CASES)
def test_a_case(
    method: str, path: str, body: bytes, kind: str | None, fields: dict[str, str], answer: str
) -> None:
    """RFC 4825 8: each with its status; what was refused has changed nothing, what was done has a new tag."""
    bill = client()
    before = etag(bill.put(LISTS, BASE))
    fields = {name: value.replace("{etag}", before) for name, value in fields.items()}
    got = bill(method, LISTS + path, body, kind, **fields)
    assert said(got) == answer, got.body
    after = bill.get(LISTS)
    if method in ("PUT", "DELETE") and answer in ("200", "201"):
        assert got.body == b""
        if after.status == 200:
            assert etag(got) == etag(after) != before
        if method == "PUT":
            # RFC 4825 7: GET(PUT(x)) is x.
            assert bill.get(LISTS + path).body == body
        else:
            assert bill.get(LISTS + path).status == 404
    else:
        assert (after.body, etag(after)) == (BASE, before)
    if answer == "405":
        assert "GET" in (field(got, "Allow") or "")


NEW: list[tuple[str, str, bytes, dict[str, str], str]] = [
    ("PUT", "", BASE, {"if_none_match": "*"}, "201"),
    ("PUT", "", BASE, {"if_match": "*"}, "412"),
    ("PUT", "", BASE, {"if_match": '"x"'}, "412"),
    ("PUT", "", BASE, {"if_match": ","}, "412"),
    ("PUT", "", BASE, {"if_none_match": '"x"'}, "201"),
    ("PUT", A, ENTRY, {}, "no-parent"),
    ("PUT", f"{A}/@name", b'"x"', {}, "no-parent"),
    ("PUT", A, ENTRY, {"if_none_match": "*"}, "no-parent"),
    ("DELETE", "", b"", {}, "404"),
    ("DELETE", A, b"", {}, "404"),
    ("GET", A, b"", {}, "404"),
    ("HEAD", "", b"", {"if_match": "*"}, "404"),
]


@pytest.mark.parametrize(("method", "path", "body", "fields", "answer"), NEW)
def test_where_there_is_no_document(
    method: str, path: str, body: bytes, fields: dict[str, str], answer: str
) -> None:
    """RFC 4825 8.2.1, 8.2.6: the directory is there, the document is not."""
    got = client()(method, LISTS + path, body, **fields)
    assert said(got) == answer
    if answer == "no-parent":
        assert f"<ancestor>{ROOT}/resource-lists/users/{BILL}/</ancestor>" in got.body.decode()


def test_the_ancestor_of_a_parent_that_is_not_there() -> None:
    """RFC 4825 11.1: a URI, percent-encoded, at which an insertion would be possible."""
    bill = client()
    bill.put(LISTS, BASE)
    got = bill.put(f"{LISTS}{A}/list%5B@name=%22c%22%5D/entry", ENTRY)
    assert f"<ancestor>{LISTS}/~~/resource-lists/list%5B1%5D</ancestor>" in got.body.decode()


def test_namespaces_in_scope() -> None:
    """RFC 4825 10: an element of the same name with all of them."""
    bill = client()
    bill.put(LISTS, BASE)
    got = bill.get(f"{LISTS}{A}/namespace::*")
    assert got.content_type == "application/xcap-ns+xml"
    assert got.body == b'<list xmlns="urn:ietf:params:xml:ns:resource-lists" xmlns:x="urn:x"/>'
