"""A server with its clients, and documents, for the tests of the module ``xcap``."""

from __future__ import annotations

from typing import Any

from lxml import etree

from sansip.module import Use, WebResponse
from sansip.module.xml import read_xml
from sansip.modules.documents import Documents, DocumentsSettings
from sansip.modules.xcap import Xcap, XcapSettings
from sansip.modules.xcap.schemas import validate
from sansip.testing import ModuleBench

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
    settings.setdefault("octets", 1 << 30)
    return ModuleBench(
        Xcap, XcapSettings(trusted=[ADMIN], rate=10_000, **settings), others=[Use(Documents, documents)]
    )


def client() -> Client:
    return Client(bench())


# A document that most tests are about, and selectors and an element for it.
BASE = b"""<?xml version="1.0" encoding="UTF-8"?>
<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists" xmlns:x="urn:x">
 <list name="a" x:c="1"><entry uri="sip:1@example.com"/><entry uri="sip:2@example.com"/></list>
 <!-- between -->
 <list name="b"><entry uri="sip:3@example.com"><display-name>Three</display-name></entry></list>
</resource-lists>
"""
A, B = "/~~/resource-lists/list%5B1%5D", "/~~/resource-lists/list%5B@name='b'%5D"
ENTRY = b'<entry uri="sip:new@example.com"/>'


def service(uri: str = "sip:friends@example.com", extra: str = "") -> bytes:
    return (
        '<rls-services xmlns="urn:ietf:params:xml:ns:rls-services" '
        f'xmlns:rl="urn:ietf:params:xml:ns:resource-lists"><service uri="{uri}"><list>'
        f'<rl:entry uri="sip:joe@example.com"/></list>{extra}</service></rls-services>'
    ).encode()
