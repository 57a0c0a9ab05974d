"""What a PUT is refused for before its body is looked at, and who may write the global tree."""

from __future__ import annotations

import pytest

from sansip.auth import Lookup
from sansip.module import Use
from sansip.modules.documents import Documents
from sansip.modules.xcap import Xcap, XcapSettings
from sansip.testing import ModuleBench
from tests.modules.xcap.served import ADMIN, FRIENDS, JOE, LISTS, ROOT, Client, bench, client, field

GLOBAL = f"{ROOT}/resource-lists/global/index"


def test_a_coding() -> None:
    """RFC 9110 15.5.16: compressed octets are no document; the client is told what is taken."""
    bill = client()
    answer = bill.put(LISTS, FRIENDS, content_encoding="gzip")
    assert answer.status == 415
    assert field(answer, "Accept-Encoding") == "identity"
    assert bill.get(LISTS).status == 404
    assert bill.put(LISTS, FRIENDS, content_encoding="identity").status == 201


def test_a_part_by_its_octets() -> None:
    """RFC 9110 14.5: a part that the server would take for the whole."""
    bill = client()
    assert bill.put(LISTS, FRIENDS).status == 201
    assert bill.put(LISTS, b"<a/>", content_range="bytes 0-3/100").status == 400
    assert bill.get(LISTS).body == FRIENDS


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_the_global_tree(method: str) -> None:
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
