"""Which documents there are below the root, and who may read and write each."""

from __future__ import annotations

import pytest

from sansip.auth import Lookup
from sansip.module import Use
from sansip.modules.documents import Documents
from sansip.modules.xcap import Xcap, XcapSettings
from sansip.testing import ModuleBench
from tests.modules.xcap.served import (
    ADMIN,
    BASE,
    BILL,
    FRIENDS,
    JOE,
    LISTS,
    ROOT,
    Client,
    bench,
    client,
    said,
)

GLOBAL = f"{ROOT}/resource-lists/global/index"

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
    assert admin.put(GLOBAL, FRIENDS).status == 201
    assert bill.get(GLOBAL).body == FRIENDS
    assert bill("DELETE", GLOBAL).status == 403
    bill.bench = bill.bench.restarted()
    assert bill.get(GLOBAL).body == FRIENDS
    assert bill.bench.command("xcap.list", user="global")[0]["auid"] == "resource-lists"


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_who_writes_the_global_tree(method: str) -> None:
    """RFC 4825 5.7, 8: who may not write there gets 403; a 405 would say that nobody may."""
    made = bench()
    assert Client(made, ADMIN).put(GLOBAL, FRIENDS).status == 201
    assert Client(made, JOE)(method, GLOBAL, FRIENDS).status == 403
    assert Client(made, JOE).get(GLOBAL).status == 200


def test_a_user_who_is_not_there() -> None:
    """RFC 4825 8: 404 for a user that is not recognised, and 403 for the documents of another."""

    def users(lookup: Lookup) -> dict[str, str] | None:
        return {"MD5": "0" * 32} if lookup.username in ("bill", "joe") else None

    made = ModuleBench(Xcap, XcapSettings(), others=[Use(Documents)], answers={Lookup: users})
    joe = Client(made, JOE)
    assert joe.get(LISTS).status == 403
    assert joe.get(LISTS.replace("bill", "nobody")).status == 404
