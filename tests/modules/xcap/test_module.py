"""The server as a whole: the RFC's examples, limits, who is let in, commands, settings."""

from __future__ import annotations

import pytest

from sansip.module import Use
from sansip.modules.documents import Documents, DocumentsSettings
from sansip.modules.xcap import Xcap, XcapSettings
from sansip.testing import ModuleBench, check_module
from tests.modules.xcap.served import (
    ATTRIBUTE,
    BASE,
    BILL,
    ENTRY,
    FRIENDS,
    JOE,
    LIST,
    LISTS,
    SERVICES,
    Client,
    bench,
    client,
    etag,
    field,
    said,
)


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


def test_octets_in_a_second() -> None:
    """Twenty requests a second for parts of a long list took half a core, also those that are refused."""
    server = bench(octets=131_072)
    joe, bill = Client(server, JOE), Client(server)
    entries = b"".join(b'<entry uri="sip:user-%d@example.com"/>' % number for number in range(1_000))
    assert bill.put(LISTS, FRIENDS.replace(b"</list>", entries + b"</list>")).status == 201
    answers = [bill.put(f"{LISTS}{LIST}/nothing/entry", ENTRY) for _ in range(20)]
    answers += [bill.get(f"{LISTS}{LIST}/entry%5B1%5D") for _ in range(5)]
    statuses = [one.status for one in answers]
    assert statuses == [409] * statuses.count(409) + [429] * (25 - statuses.count(409))
    assert 8 <= statuses.count(409) <= 14
    assert b"xcap.octets" in answers[-1].body
    # The whole is read by nobody, and others are not concerned.
    assert bill.get(LISTS).status == 200
    assert joe.put(LISTS.replace(BILL, JOE), FRIENDS).status == 201
    server.wait(1.0)
    assert bill.get(f"{LISTS}{LIST}/entry%5B1%5D").status == 200


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
