"""What a PUT is refused for before its body is looked at."""

from __future__ import annotations

from tests.modules.xcap.served import FRIENDS, LISTS, client, field


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
