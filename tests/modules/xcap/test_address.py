"""Which documents there are below the root, and who may read and write each."""

from __future__ import annotations

import pytest

from tests.modules.xcap.served import ADMIN, BASE, BILL, FRIENDS, JOE, LISTS, ROOT, Client, client, said

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
