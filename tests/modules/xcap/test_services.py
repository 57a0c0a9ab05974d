"""The URIs of the services of all users: each is taken once (RFC 4826)."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from sansip.auth import Lookup
from sansip.module import Use
from sansip.module.xml import read_xml
from sansip.modules.documents import Documents
from sansip.modules.xcap import Xcap, XcapSettings
from sansip.testing import ModuleBench
from tests.modules.xcap.served import BILL, JOE, SERVICES, Client, client, said, service


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
