"""The server as a whole: the RFCs' examples, a table of cases, conditions, who may, generated documents."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from lxml import etree

from sansip.actions import Ask
from sansip.auth import Lookup
from sansip.module import Use, WebRequest, WebResponse
from sansip.module.xml import read_xml
from sansip.modules.documents import Documents, DocumentsSettings
from sansip.modules.xcap import Xcap, XcapSettings
from sansip.modules.xcap.schemas import validate
from sansip.rows import Write
from sansip.testing import ModuleBench, check_module

BILL, JOE, ADMIN = "sip:bill@example.com", "sip:joe@example.com", "sip:admin@example.com"
ROOT = "/xcap-root"
LISTS = f"{ROOT}/resource-lists/users/{BILL}/index"
SERVICES = f"{ROOT}/rls-services/users/{BILL}/index"
RULES = f"{ROOT}/pres-rules/users/{BILL}/index"
STATE = f"{ROOT}/pidf-manipulation/users/{BILL}/index"
TYPES = {
    "resource-lists": "application/resource-lists+xml",
    "rls-services": "application/rls-services+xml",
    "pres-rules": "application/auth-policy+xml",
    "org.openmobilealliance.pres-rules": "application/auth-policy+xml",
    "pidf-manipulation": "application/pidf+xml",
}
# RFC 4825 13, figure 24.
FRIENDS = b"""<?xml version="1.0" encoding="UTF-8"?>
<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">
  <list name="friends">
  </list>
</resource-lists>
"""
LIST = "/~~/resource-lists/list%5b@name=%22friends%22%5d"
ELEMENT, ATTRIBUTE = "application/xcap-el+xml", "application/xcap-att+xml"


class Client:
    """A client of ``user``, who has proved it."""

    def __init__(self, bench: ModuleBench[Xcap], user: str = BILL) -> None:
        self.bench = bench
        self.user = user

    def __call__(
        self, method: str, path: str, body: bytes = b"", kind: str | None = None, **fields: str
    ) -> WebResponse:
        headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
        if kind is None and body:
            if "~~" not in path:
                kind = TYPES.get(path.split("/")[2], "text/plain")
            else:
                kind = ATTRIBUTE if path.partition("?")[0].rpartition("/")[2].startswith("@") else ELEMENT
        if kind:
            headers.append(("content-type", kind))
        answer = self.bench.web(method, path, headers, body, user=self.user)
        assert answer is not None
        assert self.bench.failures == []
        return answer

    def put(self, path: str, body: bytes, **fields: Any) -> WebResponse:
        return self("PUT", path, body, **fields)

    def get(self, path: str, **fields: Any) -> WebResponse:
        return self("GET", path, **fields)


def field(answer: WebResponse, name: str) -> str | None:
    return next((value for known, value in answer.headers if known == name), None)


def etag(answer: WebResponse) -> str:
    found = field(answer, "ETag")
    assert found is not None
    return found


def said(answer: WebResponse) -> str:
    """The status, and the condition of a 409, whose body obeys RFC 4825 11.2."""
    if answer.status != 409:
        return str(answer.status)
    assert answer.content_type == "application/xcap-error+xml"
    root = read_xml(answer.body)
    assert validate(root, "xcap-error") == ""
    return str(etree.QName(root[0]).localname)


def bench(**settings: Any) -> ModuleBench[Xcap]:
    documents = settings.pop("documents", DocumentsSettings())
    return ModuleBench(
        Xcap, XcapSettings(trusted=[ADMIN], rate=10_000, **settings), others=[Use(Documents, documents)]
    )


def client() -> Client:
    return Client(bench())


def test_contract() -> None:
    """What every module promises."""
    check_module(Xcap, others=[Use(Documents)])


def test_the_examples_of_the_rfc() -> None:
    """RFC 4825 13: Bill makes a list, a service, entries; reads, deletes, and reads an attribute."""
    bill = client()
    first = bill.put(LISTS, FRIENDS)
    assert (first.status, first.body) == (201, b"")
    services = f"""<?xml version="1.0" encoding="UTF-8"?>
<rls-services xmlns="urn:ietf:params:xml:ns:rls-services">
<service uri="sip:myfriends@example.com">
  <resource-list>http://xcap.example.com{LISTS}{LIST}</resource-list>
  <packages>
   <package>presence</package>
  </packages>
 </service>
</rls-services>
""".encode()
    assert bill.put(SERVICES, services).status == 201
    bob = b"""<entry uri="sip:bob@example.com">
    <display-name>Bob Jones</display-name>
  </entry>"""
    second = bill.put(f"{LISTS}{LIST}/entry", bob)
    assert second.status == 201
    whole = bill.get(LISTS)
    # Figure 28, octet for octet.
    assert whole.body == FRIENDS.replace(b"  </list>", b"  " + bob + b"</list>")
    assert (whole.status, whole.content_type) == (200, "application/resource-lists+xml")
    assert etag(whole) == etag(second) != etag(first)
    close = b"""<list name="close-friends">
   <entry uri="sip:joe@example.com">
     <display-name>Joe Smith</display-name>
   </entry>
   <entry uri="sip:nancy@example.com">
     <display-name>Nancy Gross</display-name>
   </entry>
   <entry uri="sip:petri@example.com">
     <display-name>Petri Aukia</display-name>
   </entry>
</list>"""
    assert bill.put(f"{LISTS}{LIST}/list%5b@name=%22close-friends%22%5d", close).status == 201
    petri = f"{LISTS}/~~/resource-lists/list/list/entry%5b@uri=%22sip:petri@example.com%22%5d"
    gone = bill("DELETE", petri)
    assert (gone.status, gone.body) == (200, b"")
    assert bill("DELETE", petri).status == 404
    nancy = bill.get(f"{LISTS}/~~/resource-lists/list/list/entry%5b2%5d/@uri")
    assert (nancy.body, nancy.content_type) == (b'"sip:nancy@example.com"', ATTRIBUTE)
    assert etag(nancy) == etag(gone)
    assert bill("DELETE", LISTS).status == 200
    assert bill.get(LISTS).status == 404


# The documents that the cases below are about.
BASE = b"""<?xml version="1.0" encoding="UTF-8"?>
<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists" xmlns:x="urn:x">
 <list name="a" x:c="1"><entry uri="sip:1@example.com"/><entry uri="sip:2@example.com"/></list>
 <!-- between -->
 <list name="b"><entry uri="sip:3@example.com"><display-name>Three</display-name></entry></list>
</resource-lists>
"""
A, B = "/~~/resource-lists/list%5B1%5D", "/~~/resource-lists/list%5B@name='b'%5D"
ENTRY = b'<entry uri="sip:new@example.com"/>'
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


WHERE: list[tuple[str, str, str]] = [
    ("GET", f"/unknown/users/{BILL}/index", "404"),
    ("GET", "/resource-lists", "404"),
    ("GET", "/resource-lists/users", "404"),
    ("GET", f"/resource-lists/users/{BILL}", "404"),
    ("GET", f"/resource-lists/users/{BILL}/", "404"),
    ("GET", f"/resource-lists/other/{BILL}/index", "404"),
    ("GET", "/resource-lists/users/sip:bill@elsewhere.example/index", "404"),
    ("GET", "/resource-lists/users/nonsense%20/index", "404"),
    ("GET", "/resource-lists/users/global/index", "404"),
    ("GET", f"/resource-lists/users/{JOE}/index", "403"),
    ("PUT", f"/resource-lists/users/{JOE}/index", "403"),
    ("DELETE", f"/resource-lists/users/{JOE}/index", "403"),
    ("GET", f"/resource-lists/users/{JOE}/nothing", "403"),
    ("GET", "/resource-lists/users/sip%3Abill%40example.com/index", "200"),
    ("GET", "/resource-lists/users/bill@example.com/index", "200"),
    ("GET", "/resource-lists/users/sip:bill@EXAMPLE.com/index", "200"),
    ("GET", "/resource-lists/users/sip:bil%6C@example.com/index", "200"),
    ("GET", f"/resource-lists/users/{BILL}/a%2Fb", "404"),
    ("PUT", "/resource-lists/global/index", "403"),
    ("GET", "/resource-lists/global/index", "404"),
    ("GET", "/rls-services/global/index", "403"),
    ("PUT", "/rls-services/global/index", "403"),
    ("GET", f"/xcap-caps/users/{BILL}/index", "404"),
    ("PUT", "/xcap-caps/global/index", "405"),
    ("GET", "/xcap-caps/global/other", "404"),
    ("GET", "/org.openmobilealliance.xcap-directory/global/index", "404"),
    ("PUT", f"/org.openmobilealliance.xcap-directory/users/{BILL}/directory.xml", "405"),
    ("GET", f"/org.openmobilealliance.xcap-directory/users/{JOE}/directory.xml", "403"),
    ("PUT", f"/pidf-manipulation/users/{BILL}/second", "constraint-failure"),
]


@pytest.mark.parametrize(("method", "path", "answer"), WHERE)
def test_who_may_where(method: str, path: str, answer: str) -> None:
    """RFC 4825 5.7, 8: one's own documents; unknown applications and users are 404s."""
    bill = client()
    bill.put(LISTS, BASE)
    assert said(bill(method, ROOT + path, BASE if method == "PUT" else b"")) == answer


def test_the_global_tree() -> None:
    """RFC 4825 5.7: all users read it, trusted ones write it; it outlives a restart."""
    bill = client()
    admin = Client(bill.bench, ADMIN)
    path = f"{ROOT}/resource-lists/global/index"
    assert admin.put(path, FRIENDS).status == 201
    assert bill.get(path).body == FRIENDS
    assert bill("DELETE", path).status == 403
    bill.bench = bill.bench.restarted()
    assert bill.get(path).body == FRIENDS
    assert bill.bench.command("xcap.list", user="global")[0]["auid"] == "resource-lists"


def test_capabilities() -> None:
    """RFC 4825 12: valid by its schema; parts can be read; its tag holds."""
    bill = client()
    path = f"{ROOT}/xcap-caps/global/index"
    got = bill.get(path)
    assert got.content_type == "application/xcap-caps+xml"
    assert validate(read_xml(got.body), "xcap-caps") == ""
    for one in ("<auid>xcap-caps</auid>", "<auid>pres-rules</auid>", ">urn:ietf:params:xml:ns:xcap-caps<"):
        assert one in got.body.decode()
    assert bill.get(path, if_none_match=etag(got)).status == 304
    assert bill.get(f"{path}/~~/xcap-caps/auids/auid%5B1%5D").content_type == ELEMENT


def test_the_directory() -> None:
    """OMA XDM: which documents a user has, with their tags."""
    bill = client()
    tag = etag(bill.put(LISTS, BASE)).strip('"')
    got = bill.get(f"{ROOT}/org.openmobilealliance.xcap-directory/users/{BILL}/directory.xml").body.decode()
    assert (
        f'<folder auid="resource-lists"><entry uri="{LISTS}" etag="{tag}" size="{len(BASE)}"/></folder>'
        in got
    )


def service(uri: str = "sip:friends@example.com", extra: str = "") -> bytes:
    return (
        '<rls-services xmlns="urn:ietf:params:xml:ns:rls-services" '
        f'xmlns:rl="urn:ietf:params:xml:ns:resource-lists"><service uri="{uri}"><list>'
        f'<rl:entry uri="sip:joe@example.com"/></list>{extra}</service></rls-services>'
    ).encode()


def test_the_uri_of_a_service_is_unique() -> None:
    """RFC 4826 4.4.5: on the whole server; the answer names other URIs, which are free."""
    bill = client()
    joe = Client(bill.bench, JOE)
    theirs = SERVICES.replace(BILL, JOE)
    assert bill.put(SERVICES, service()).status == 201
    # One's own document may have it again.
    assert bill.put(SERVICES, service()).status == 200
    for uri in ("sip:friends@example.com", "sip:friends@EXAMPLE.com", "sip:friend%73@example.com"):
        got = joe.put(theirs, service(uri))
        assert said(got) == "uniqueness-failure"
        assert '<exists field="rls-services/service/@uri"><alt-value>' in got.body.decode()
    suggested = read_xml(got.body)[0][0][0].text
    assert joe.put(theirs, service(suggested)).status == 201
    bill("DELETE", SERVICES)
    assert joe.put(theirs, service()).status == 200
    # A restart knows it as well.
    bill.bench = bill.bench.restarted()
    assert said(bill.put(SERVICES, service())) == "uniqueness-failure"


def test_many_spellings_of_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one that the answer names costs as much as the document is long: it names ten of them."""
    bill = client()
    bill.put(SERVICES, service())
    names = ["".join(one) for one in product(*zip("example", "EXAMPLE", strict=True))]
    many = "".join(f'</service><service uri="sip:friends@{one}.com"><list/>' for one in names[1:])
    asked: list[str] = []

    def is_taken(uri: str) -> bool:
        asked.append(uri)
        return False

    monkeypatch.setattr(bill.bench.module, "_is_taken", is_taken)
    got = bill.put(SERVICES, service(extra=many))
    assert said(got) == "uniqueness-failure"
    assert got.body.count(b"<exists ") == 10
    assert len(asked) <= 100


def test_the_uri_of_a_service_is_no_users() -> None:
    """RFC 4826 4.4.5: not that of an existing resource; without the store of users nothing is decided."""
    answers: dict[Any, Any] = {Lookup: lambda question: {"MD5": ""} if question.username == "joe" else None}
    bill = client()
    bill.bench = ModuleBench(Xcap, XcapSettings(rate=10_000), others=[Use(Documents)], answers=answers)
    assert said(bill.put(SERVICES, service(JOE))) == "uniqueness-failure"
    assert bill.put(SERVICES, service()).status == 201
    # Also by an element; one that is there already is not looked for again.
    place = f"{SERVICES}/~~/rls-services/service%5B2%5D"
    element = b'<service uri="sip:joe@example.com"><list/></service>'
    assert said(bill.put(place, element)) == "uniqueness-failure"

    def fails(question: Lookup) -> None:
        raise OSError("no store")

    answers[Lookup] = fails
    assert bill.put(SERVICES, service()).status == 200
    assert bill.put(SERVICES, service("sip:others@example.com")).status == 503
    many = "".join(f'</service><service uri="sip:s{number}@example.com"><list/>' for number in range(60))
    assert said(bill.put(SERVICES, service(extra=many))) == "constraint-failure"


def test_all_services_in_one_document() -> None:
    """RFC 4826 4.4.8: for trusted users; each service stays what it was, whatever prefixes it uses."""
    bill = client()
    joe, admin = Client(bill.bench, JOE), Client(bill.bench, ADMIN)
    bill.put(SERVICES, service())
    prefixed = (
        b'<s:rls-services xmlns:s="urn:ietf:params:xml:ns:rls-services" '
        b'xmlns="urn:ietf:params:xml:ns:resource-lists">'
        b'<s:service uri="sip:b@example.com"><s:list><entry uri="sip:j@example.com"/></s:list></s:service>'
        b"</s:rls-services>"
    )
    assert joe.put(SERVICES.replace(BILL, JOE), prefixed).status == 201
    path = f"{ROOT}/rls-services/global/index"
    got = admin.get(path)
    root = read_xml(got.body)
    assert validate(root, "rls-services") == ""
    assert {one.get("uri") for one in root} == {"sip:friends@example.com", "sip:b@example.com"}
    one = admin.get(f"{path}/~~/rls-services/service%5B@uri=%22sip:b@example.com%22%5D/@uri")
    assert one.body == b'"sip:b@example.com"'
    assert admin("DELETE", path).status == 405


REFERENCE = (
    "<rls-services xmlns='urn:ietf:params:xml:ns:rls-services'><service uri='sip:f@example.com'>"
    "<resource-list>{}</resource-list></service></rls-services>"
)
ENTRIES = "<resource-lists xmlns='urn:ietf:params:xml:ns:resource-lists'><list>{}</list></resource-lists>"


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        (SERVICES, REFERENCE.format(f"http://xcap.example.com{LISTS}/~~/resource-lists/list"), "201"),
        (SERVICES, REFERENCE.format(f" https://x:8443/resource-lists/users/{BILL}/index/~~/a "), "201"),
        (SERVICES, REFERENCE.format(f"http://x/resource-lists/users/{JOE}/index/~~/a"), "constraint-failure"),
        (SERVICES, REFERENCE.format(f"http://x/rls-services/users/{BILL}/index/~~/a"), "constraint-failure"),
        (SERVICES, REFERENCE.format(f"/resource-lists/users/{BILL}/index/~~/a"), "constraint-failure"),
        (SERVICES, REFERENCE.format("ftp://x/y"), "constraint-failure"),
        (LISTS, ENTRIES.format("<entry-ref ref='resource-lists/users/x/index/~~/a'/>"), "201"),
        (LISTS, ENTRIES.format("<entry-ref ref='/resource-lists'/>"), "constraint-failure"),
        (LISTS, ENTRIES.format("<entry-ref ref='http://x/y'/>"), "constraint-failure"),
        (LISTS, ENTRIES.format("<entry-ref ref='a'/><entry-ref ref='a'/>"), "uniqueness-failure"),
        (LISTS, ENTRIES.format("<external anchor='http://x/y'/>"), "201"),
        (LISTS, ENTRIES.format("<external anchor='y'/>"), "constraint-failure"),
        (LISTS, ENTRIES.format("<external/>"), "constraint-failure"),
        (LISTS, ENTRIES.format("<external anchor='http://x/y'/>" * 2), "uniqueness-failure"),
        (LISTS, ENTRIES.format("<entry/>"), "schema-validation-error"),
        (LISTS, ENTRIES.format("<x:y xmlns:x='urn:unknown'><z/></x:y>"), "201"),
    ],
)  # fmt: skip
def test_constraints_of_lists(path: str, body: str, answer: str) -> None:
    """RFC 4826 3.4.5, 4.4.5: what the schema does not say; unknown namespaces where it has room."""
    assert said(client().put(path, body.encode())) == answer


PRESENCE = "<presence xmlns='urn:ietf:params:xml:ns:pidf'{}/>"
RULE = """<ruleset xmlns="urn:ietf:params:xml:ns:common-policy" xmlns:pr="urn:ietf:params:xml:ns:pres-rules">
<rule id="a"><conditions><identity><one id="sip:joe@example.com"/></identity></conditions>
<actions><pr:sub-handling>{}</pr:sub-handling></actions><transformations/></rule></ruleset>"""


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        (RULES, RULE.format("allow"), "201"),
        (RULES.replace("pres-rules/", "org.openmobilealliance.pres-rules/"), RULE.format("allow"), "201"),
        (RULES, RULE.format("perhaps"), "schema-validation-error"),
        (RULES, RULE.format("allow").replace('id="a"', ""), "schema-validation-error"),
        (RULES, PRESENCE.format(" entity='sip:a@b'"), "schema-validation-error"),
        (STATE, PRESENCE.format(" entity='sip:bill@example.com'"), "201"),
        (STATE, PRESENCE.format(""), "schema-validation-error"),
        (STATE.replace("index", "second"), PRESENCE.format(" entity='sip:a@b'"), "constraint-failure"),
    ],
)  # fmt: skip
def test_rules_and_states(path: str, body: str, answer: str) -> None:
    """RFC 5025 9, RFC 4827 9: by their schemas; one document of the state."""
    assert said(client().put(path, body.encode())) == answer


def test_a_selector_in_rules() -> None:
    """RFC 5025 9.3: the default namespace is that of pres-rules, so common-policy needs a prefix."""
    bill = client()
    bill.put(RULES, RULE.format("allow").encode())
    path = f"{RULES}/~~/cr:ruleset/cr:rule%5B@id='a'%5D/cr:actions/sub-handling"
    path += "?xmlns(cr=urn:ietf:params:xml:ns:common-policy)"
    assert bill.get(path).body == b"<pr:sub-handling>allow</pr:sub-handling>"
    assert bill.put(path, b"<pr:sub-handling>block</pr:sub-handling>").status == 200
    assert b">block<" in bill.get(RULES).body


def test_namespaces_in_scope() -> None:
    """RFC 4825 10: an element of the same name with all of them."""
    bill = client()
    bill.put(LISTS, BASE)
    got = bill.get(f"{LISTS}{A}/namespace::*")
    assert got.content_type == "application/xcap-ns+xml"
    assert got.body == b'<list xmlns="urn:ietf:params:xml:ns:resource-lists" xmlns:x="urn:x"/>'


def test_limits() -> None:
    """Each limit has its answer, with its name: size, number, depth, requests in a second."""
    few = DocumentsSettings(size=500, most_of_user=2)
    bill = Client(bench(documents=few))
    assert bill.put(LISTS, FRIENDS).status == 201
    got = bill.put(f"{LISTS}{LIST}/entry", b'<entry uri="sip:' + b"x" * 400 + b'"/>')
    assert (said(got), b"documents.size" in got.body) == ("constraint-failure", True)
    bill.put(LISTS.replace("index", "second"), FRIENDS)
    got = bill.put(LISTS.replace("index", "third"), FRIENDS)
    assert (said(got), b"documents.most_of_user" in got.body) == ("constraint-failure", True)
    bill = client()
    deep = b"<list>" * 40 + b"</list>" * 40
    assert said(bill.put(LISTS, FRIENDS.replace(b"  </list>", deep + b"</list>"))) == "constraint-failure"
    bill.bench = ModuleBench(Xcap, XcapSettings(rate=3), others=[Use(Documents)])
    answers = [bill.get(LISTS) for _ in range(5)]
    assert [one.status for one in answers] == [404] * 3 + [429] * 2
    assert b"xcap.rate" in answers[-1].body
    bill.bench.wait(1.0)
    assert bill.get(LISTS).status == 404


def test_who_has_not_proved_who_they_are() -> None:
    """RFC 4825 8: digest in the realm of the domain; an unknown application is a 404 before it."""
    one = bench()
    answer = one.web("GET", LISTS)
    assert answer is not None
    assert answer.status == 401
    assert 'Digest realm="example.com"' in (field(answer, "WWW-Authenticate") or "")
    answer = one.web("GET", LISTS.replace("resource-lists", "unknown"))
    assert answer is not None
    assert answer.status == 404


def test_two_nodes_that_share_the_rows() -> None:
    """Each sees what the other wrote; of two that write with one tag one wins; modules hear in a second."""
    here = client()
    there = Client(here.bench.beside())
    first = etag(here.put(LISTS, BASE))
    assert etag(there.get(LISTS)) == first
    # A client may go on at the other node with the tag that it got here, although that node was never asked.
    second = etag(here.put(LISTS, FRIENDS, if_match=first))
    assert there.put(LISTS, BASE, if_match=first).status == 412
    third = etag(there.put(LISTS, BASE, if_match=second))
    assert here.put(LISTS, FRIENDS, if_match=second).status == 412
    assert etag(here.get(LISTS)) == third
    slow, other = Slow(here.bench), Slow(there.bench)
    slow.put(1, FRIENDS, third)
    other.put(2, FRIENDS, third)
    slow.go_on(Write)
    other.go_on(Write)
    slow.go_on()
    other.go_on()
    assert sorted([*slow.statuses.values(), *other.statuses.values()]) == [200, 412]
    # A service that was made there is taken here a second later, and free a second after it is gone.
    joe = Client(there.bench, JOE)
    assert joe.put(SERVICES.replace(BILL, JOE), service()).status == 201
    there.bench.wait(1.5)
    here.bench.wait(1.5)
    assert said(here.put(SERVICES, service())) == "uniqueness-failure"
    assert joe("DELETE", SERVICES.replace(BILL, JOE)).status == 200
    there.bench.wait(1.5)
    here.bench.wait(1.5)
    assert here.put(SERVICES, service()).status == 201


def test_operators() -> None:
    """Commands: what a user has, which applications there are, and why a document would be refused."""
    bill = client()
    bill.put(LISTS, BASE)
    command = bill.bench.command
    assert [(one["auid"], one["name"]) for one in command("xcap.list", user=BILL)] == [
        ("resource-lists", "index")
    ]
    assert "pres-rules" in [one["auid"] for one in command("xcap.usages")]
    given = {"auid": "resource-lists", "user": BILL}
    assert command("xcap.try", **given, body=FRIENDS.decode()) == "it could be written"
    assert command("xcap.try", **given, body="<a>") == "not-well-formed: not well-formed XML"
    assert "there is no application" in str(command("xcap.try", auid="x", user=BILL, body=""))
    assert "no SIP URI" in str(command("xcap.list", user="nonsense"))


def test_settings() -> None:
    """What cannot be is refused with its name."""
    for given, name in (
        ({"rate": 0}, "rate"),
        ({"suggestions": 99}, "suggestions"),
        ({"trusted": ["x"]}, "trusted"),
    ):
        with pytest.raises(ValueError, match=name):
            XcapSettings(**given)


class Slow:
    """Requests to a server whose store answers when ``go_on`` says so."""

    def __init__(self, server: ModuleBench[Xcap]) -> None:
        self.server = server
        self.waiting: list[Any] = []
        self.statuses: dict[int, int] = {}

    def put(self, number: int, body: bytes, tag: str) -> None:
        headers = (("if-match", tag), ("content-type", TYPES["resource-lists"]))
        request = WebRequest("PUT", LISTS, "", headers, body, user=BILL)

        def answered(answer: WebResponse, now: float) -> None:
            self.statuses[number] = answer.status

        self.waiting += self.server.stack.web_received(number, request, self.server.now, answered)

    def go_on(self, *until: type) -> None:
        """Answer the questions of the stack, up to one of the kinds ``until``."""
        stack = self.server.stack
        while self.waiting and not (
            isinstance(self.waiting[0], Ask) and isinstance(self.waiting[0].question, until)
        ):
            action = self.waiting.pop(0)
            if isinstance(action, Ask):
                answer = self.server._answer(action.question)
                self.waiting += stack.answer(action.id, answer, self.server.now)


def test_eight_at_once_with_one_tag() -> None:
    """RFC 4825 7.11: exactly one wins, also while the store takes its time."""
    bill = client()
    tag = etag(bill.put(LISTS, BASE))
    slow = Slow(bill.bench)
    for number in range(8):
        slow.put(number, BASE.replace(b"Three", b"%d" % number), tag)
    slow.go_on(Write)
    assert slow.statuses == {}
    slow.go_on()
    assert sorted(slow.statuses.values()) == [200] + [412] * 7
    (winner,) = (number for number, status in slow.statuses.items() if status == 200)
    assert f">{winner}<".encode() in bill.get(LISTS).body


def test_changes_that_wait_are_bounded() -> None:
    """While the store takes its time, clients that come and go leave no more than so many bodies."""
    bill = client()
    tag = etag(bill.put(LISTS, BASE))
    slow = Slow(bill.bench)
    for number in range(80):
        slow.put(number, BASE.replace(b"Three", b"%d" % number), tag)
    slow.go_on(Write)
    assert list(slow.statuses.values()) == [503] * 15
    slow.go_on()
    assert sorted(slow.statuses.values()) == [200] + [412] * 64 + [503] * 15


def test_a_client_that_goes_while_the_store_writes() -> None:
    """What is being written is there afterwards, also in the rows, and the next client has its turn."""
    bill = client()
    tag = etag(bill.put(LISTS, BASE))
    slow = Slow(bill.bench)
    slow.put(1, BASE.replace(b"Three", b"gone"), tag)
    slow.put(2, BASE.replace(b"Three", b"second"), "*")
    slow.go_on(Write)
    slow.waiting += bill.bench.stack.web_closed(1, bill.bench.now)
    slow.go_on()
    assert slow.statuses == {2: 200}
    assert b">second<" in bill.get(LISTS).body
    bill.bench = bill.bench.restarted()
    assert b">second<" in bill.get(LISTS).body


def test_a_store_that_fails() -> None:
    """What was not stored is not there, and the client hears that it may try again."""
    bill = client()
    before = bill.put(LISTS, BASE)
    bill.bench.broken = True
    assert bill.put(LISTS, FRIENDS).status == 503
    bill.bench.broken = False
    assert etag(bill.get(LISTS)) == etag(before)
    assert bill.put(LISTS, FRIENDS).status == 200
