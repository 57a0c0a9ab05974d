"""The client of HTTP that traces have: it asks a module, proved or not, and keeps the answer."""

from __future__ import annotations

from typing import Any

from sansip_conformance import read_text
from sansip_conformance.web import WebAnswer, WebEnd
from sansip_conformance.world import CoreWorld

HEAD = "domain biloxi.test\nmodule documents\nmodule xcap\nendpoint bill http\n"
STEP = "bill > proxy GET /xcap-root/x\n"


def answer(head: str, path: str) -> WebAnswer:
    (trace,) = read_text(head + STEP, "x.trace")
    world = CoreWorld(trace)
    bill = world.parties["bill"]
    assert isinstance(bill, WebEnd)
    shown = bill.ask("GET", path, [("Accept", "*/*")], b"")
    assert shown == f"GET {path} HTTP/1.1\r\nAccept: */*\r\n\r\n".encode()
    world.run(0.0)
    [one] = bill.inbox
    found: Any = one.message
    assert one.what == str(found.status)
    assert isinstance(found, WebAnswer)
    return found


def test_a_proved_user() -> None:
    """Without `user` lines the server knows that it is bill: 404, and not 401."""
    path = "/xcap-root/resource-lists/users/sip:bill@biloxi.test/index"
    found = answer(HEAD, path)
    assert (found.status, found.get("content-length")) == (404, str(len(found.body)))
    assert answer(HEAD, path.replace("bill", "joe")).status == 403


def test_a_user_who_is_asked() -> None:
    """With them the module asks, as it does on a listener."""
    found = answer(HEAD + "user bill secret\n", "/xcap-root/resource-lists/users/sip:bill@biloxi.test/index")
    assert found.status == 401
    assert found.get_all("www-authenticate")


def test_a_query() -> None:
    """What follows the question mark is the query."""
    path = (
        "/xcap-root/xcap-caps/global/index/~~/c:xcap-caps/c:auids?xmlns(c=urn:ietf:params:xml:ns:xcap-caps)"
    )
    assert answer(HEAD, path).body.startswith(b"<auids>")


def test_no_such_place() -> None:
    """A path that no module has claimed is a 404."""
    assert answer(HEAD, "/elsewhere").status == 404
