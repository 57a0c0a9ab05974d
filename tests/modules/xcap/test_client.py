"""The client against the server of this package, and its URIs as the RFC writes them."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.modules.xcap.client import XcapAnswer, XcapClient, XcapRequest
from sansip.testing import ModuleBench
from tests.modules.xcap.served import BASE, BILL, JOE, bench, service

ROOT = "https://xcap.example.com/xcap-root"


class Talk:
    """A client whose requests go to the server at once."""

    def __init__(self, server: ModuleBench[Any], user: str = BILL) -> None:
        self.client = XcapClient(ROOT, user)
        self._server = server
        self._user = user

    def __call__(self, request: XcapRequest) -> XcapAnswer:
        path = request.url.removeprefix("https://xcap.example.com")
        fields = [(name.lower(), value) for name, value in request.headers.items()]
        answer = self._server.web(request.method, path, fields, request.body, user=self._user)
        assert answer is not None
        return self.client.read(request, answer.status, dict(answer.headers), answer.body)


def test_uris() -> None:
    """RFC 4825 6: quotes and brackets are escaped; the bindings stand in the query."""
    client = XcapClient(f"{ROOT}/", BILL)
    assert client.get("resource-lists", 'resource-lists/list[@name="a b/c"]').url == (
        f"{ROOT}/resource-lists/users/sip:bill@example.com/index"
        "/~~/resource-lists/list%5B@name=%22a%20b/c%22%5D"
    )
    url = client.get("pres-rules", "c:ruleset", namespaces={"c": "urn:x(1)"}).url
    assert url.endswith("/~~/c:ruleset?xmlns(c=urn:x%5E(1%5E))")
    assert client.get("xcap-caps", everybody=True).url == f"{ROOT}/xcap-caps/global/index"


def test_a_document_and_its_parts() -> None:
    """Written, changed in parts, read: each with the tag that it has by then."""
    talk = Talk(bench())
    client = talk.client
    assert talk(client.put("resource-lists", BASE, new=True)).created
    assert talk(client.put("resource-lists", BASE, new=True)).stale
    entry = 'resource-lists/list[@name="a"]/entry[@uri="sip:n@example.com"]'
    assert talk(client.put_element("resource-lists", entry, b'<entry uri="sip:n@example.com"/>')).created
    assert talk(client.get("resource-lists", changed=True)).unchanged
    value = 'two "words" & <more>'
    place, bound = "resource-lists/list[1]/@x:note", {"x": "urn:x"}
    assert talk(client.put_attribute("resource-lists", place, value, namespaces=bound, safely=True)).created
    got = talk(client.get("resource-lists", place, namespaces=bound))
    assert got.body == b'"two &quot;words&quot; &amp; &lt;more&gt;"'
    assert talk(client.delete("resource-lists", entry, safely=True)).status == 200
    assert talk(client.delete("resource-lists", safely=True)).status == 200
    assert client.etag("resource-lists") == ""


def test_somebody_else_was_quicker() -> None:
    """A request that is made safely changes nothing then."""
    server = bench()
    one, other = Talk(server), Talk(server)
    one(one.client.put("resource-lists", BASE))
    other(other.client.get("resource-lists"))
    one(one.client.put("resource-lists", BASE))
    assert other(other.client.delete("resource-lists", safely=True)).stale
    assert other(other.client.get("resource-lists")).status == 200
    assert other(other.client.delete("resource-lists", safely=True)).status == 200


def test_conflicts() -> None:
    """The condition, its reason, and what the server suggests."""
    server = bench()
    one, other = Talk(server), Talk(server, JOE)
    one(one.client.put("rls-services", service()))
    answer = other(other.client.put("rls-services", service()))
    assert (answer.conflict, len(answer.alternatives)) == ("uniqueness-failure", 3)
    answer = one(one.client.put_element("rls-services", "rls-services/service/x/y", b"<y/>"))
    assert answer.conflict == "no-parent"
    assert answer.ancestor.endswith("/index/~~/rls-services/service")
    assert answer.phrase


@pytest.mark.parametrize("body", [b"", b"<a>", b"<a/>", b"text"])
def test_a_broken_error_document(body: bytes) -> None:
    """A 409 without its condition is a 409."""
    client = XcapClient(ROOT, BILL)
    answer = client.read(client.get("resource-lists"), 409, {}, body)
    assert (answer.status, answer.conflict) == (409, "")
