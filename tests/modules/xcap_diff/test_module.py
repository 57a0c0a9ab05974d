"""The event package xcap-diff (RFC 5875): what a phone hears of its user's documents, and nobody else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sansip.module import Use
from sansip.module.xml import read_xml
from sansip.modules.documents import Documents
from sansip.modules.events import Events
from sansip.modules.xcap import Xcap, XcapSettings
from sansip.modules.xcap_diff import XcapDiff, XcapDiffSettings
from sansip.proxy import ProxyConfig
from sansip.routing.trust import TrustedPeer
from sansip.rows import MemoryRows
from sansip.testing import check_module
from tests.modules.events.weather import Stored
from tests.modules.presence.test_module import command
from tests.modules.watching import Watcher
from tests.modules.xcap_diff.test_selection import uris

ALICE, BOB, ADMIN = "sip:alice@biloxi.test", "sip:bob@biloxi.test", "sip:admin@biloxi.test"
LISTS = f"resource-lists/users/{ALICE}/index"
TYPE = [("Content-Type", "application/resource-lists+xml")]
DIFF = "{urn:ietf:params:xml:ns:xcap-diff}"


def bench(rows: MemoryRows | None = None, now: float = 100.0, **settings: Any) -> Stored:
    settings.setdefault("interval", 0.0)
    rig = Stored(
        rows,
        modules=[
            Use(Documents),
            Use(Events),
            Use(Xcap, XcapSettings(trusted=[ADMIN])),
            Use(XcapDiff, XcapDiffSettings(**settings)),
        ],
        now=now,
        trusted=[TrustedPeer("192.0.2.0/24")],
        proxy=ProxyConfig(tcp_above=65_000),
        wall_offset=1_000_000.0,
        secret=b"the same secret for every life",
    )
    rig.take(rig.stack.time_passed(rig.now))
    return rig


def lists(*names: str) -> str:
    inner = "".join(f'<p:list name="{one}"><p:entry uri="{BOB}"/></p:list>' for one in names)
    return f'<p:resource-lists xmlns:p="urn:ietf:params:xml:ns:resource-lists">{inner}</p:resource-lists>'


def put(
    rig: Stored, body: str, *watchers: Watcher, auid: str = "resource-lists", user: str = ALICE, **more: str
) -> str:
    return str(command(rig, "documents.put", *watchers, auid=auid, user=user, body=body, **more))


def delete(rig: Stored, *watchers: Watcher, **more: str) -> None:
    command(rig, "documents.delete", *watchers, auid="resource-lists", user=ALICE, **more)


def watch(rig: Stored, *wanted: str, user: str = "alice", **options: Any) -> Watcher:
    one = Watcher(rig, options.pop("resource", f"sip:{user}@biloxi.test"), "xcap-diff", user=user, **options)
    one.subscribe(headers=TYPE, body=uris(*wanted))
    return one


def told(one: Watcher) -> list[tuple[str, dict[str, str]]]:
    """The elements of the last NOTIFY: kind and attributes."""
    assert one.last.get("content-type") == "application/xcap-diff+xml"
    root = read_xml(one.last.body)
    assert root.tag == f"{DIFF}xcap-diff"
    return [(each.tag.removeprefix(DIFF), dict(each.attrib)) for each in root]


def test_contract() -> None:
    """What every module promises."""
    check_module(XcapDiff, others=[Use(Documents), Use(Events), Use(Xcap)])


def test_a_document_comes_changes_and_goes() -> None:
    """RFC 5875 4.3, 4.7: each with its entity-tags; one that is not there yet is no error."""
    rig = bench()
    one = watch(rig, LISTS)
    assert (one.status, told(one)) == (200, [])
    assert read_xml(one.last.body).get("xcap-root") == "https://biloxi.test/xcap-root/"
    first = put(rig, lists(), one)
    assert told(one) == [("document", {"new-etag": first, "sel": LISTS})]
    second = put(rig, lists("a"), one)
    assert told(one) == [("document", {"new-etag": second, "previous-etag": first, "sel": LISTS})]
    delete(rig, one)
    assert told(one) == [("document", {"previous-etag": second, "sel": LISTS})]


def test_the_first_notify_and_a_refresh_are_whole() -> None:
    """RFC 5875 4.7: all that is there; a refresh with another list tells that one."""
    rig = bench()
    etag = put(rig, lists())
    one = watch(rig, LISTS)
    assert told(one) == [("document", {"new-etag": etag, "sel": LISTS})]
    one.subscribe()
    assert told(one) == [("document", {"new-etag": etag, "sel": LISTS})]
    one.subscribe(headers=TYPE, body=uris("pres-rules/"))
    assert told(one) == []
    before = len(one.notifies)
    put(rig, lists("a"), one)
    assert len(one.notifies) == before


@pytest.mark.parametrize("mode", ["no-patching", "xcap-patching", "aggregate", "other"])
def test_modes(mode: str) -> None:
    """RFC 5875 4.7: no-patching in place of each more complex mode."""
    rig = bench()
    one = watch(rig, LISTS, headers=[("Event", f"xcap-diff;diff-processing={mode}")])
    etag = put(rig, lists(), one)
    assert told(one) == [("document", {"new-etag": etag, "sel": LISTS})]


def test_an_element() -> None:
    """RFC 5874 3: its content with the namespaces that it needs; then that it is gone."""
    rig = bench()
    sel = f"{LISTS}/~~/resource-lists/list%5b@name=%22a%22%5d"
    one = watch(rig, sel)
    assert told(one) == []
    put(rig, lists("a"), one)
    (element,) = read_xml(one.last.body)
    assert element.tag == f"{DIFF}element"
    assert element.get("sel") == sel
    (inner,) = element
    assert inner.tag == "{urn:ietf:params:xml:ns:resource-lists}list"
    assert inner.get("name") == "a"
    put(rig, lists("b"), one)
    assert told(one) == [("element", {"sel": sel, "exists": "false"})]


def test_an_attribute() -> None:
    """RFC 5874 3: its value as text, whatever is in it."""
    rig = bench()
    sel = f"{LISTS}/~~/resource-lists/list/@name"
    one = watch(rig, sel)
    put(rig, lists("]]&gt;&amp;"), one)
    (element,) = read_xml(one.last.body)
    assert (element.tag, element.text) == (f"{DIFF}attribute", "]]>&")
    put(rig, lists(), one)
    assert told(one) == [("attribute", {"sel": sel, "exists": "false"})]


def test_our_prefix_means_something_else_there() -> None:
    """A document may bind the prefix that we write with."""
    rig = bench()
    one = watch(rig, f"{LISTS}/~~/resource-lists/list")
    body = lists("a").replace("xmlns:p", "xmlns:d").replace("p:", "d:").replace("sid:", "sip:")
    put(rig, body, one)
    (element,) = read_xml(one.last.body)
    assert element.tag == f"{DIFF}element"
    assert element[0].tag == "{urn:ietf:params:xml:ns:resource-lists}list"


def test_what_is_too_large_is_named_without_content() -> None:
    """RFC 5875 4.7; the limit xcap_diff.size."""
    rig = bench(size=100)
    sel = f"{LISTS}/~~/resource-lists/list"
    one = watch(rig, sel)
    put(rig, lists("a" * 100), one)
    assert told(one) == [("element", {"sel": sel})]
    assert len(read_xml(one.last.body)[0]) == 0


def test_more_uris_than_the_limit() -> None:
    """RFC 5875 7: a long list costs; the limit xcap_diff.uris."""
    rig = bench(uris=2)
    assert watch(rig, "pres-rules/", "resource-lists/", "pidf-manipulation/").status == 400


def test_a_collection() -> None:
    """RFC 5875 4.1: new documents in it are told; those named beside it are told once, as named."""
    rig = bench()
    etag = put(rig, lists())
    absolute = f"http://xcap.biloxi.test/xcap-root/{LISTS}"
    one = watch(rig, absolute, "resource-lists/")
    assert told(one) == [("document", {"new-etag": etag, "sel": absolute})]
    assert read_xml(one.last.body).get("xcap-root") == "http://xcap.biloxi.test/xcap-root/"
    second = put(rig, lists("a"), one, document="other")
    path = f"resource-lists/users/{ALICE}/other"
    assert told(one) == [("document", {"new-etag": second, "sel": path})]
    delete(rig, one, document="other")
    assert told(one) == [("document", {"previous-etag": second, "sel": path})]


def test_everything() -> None:
    """The root as a collection holds the documents of all applications, those that are made among them."""
    rig = bench()
    put(rig, lists())
    one = watch(rig, "http://xcap.biloxi.test/xcap-root/")
    found = {re.sub(r"/.*", "", each["sel"]) for _, each in told(one)}
    assert found == {"resource-lists", "xcap-caps", "org.openmobilealliance.xcap-directory"}


def test_documents_of_others() -> None:
    """RFC 5875 4.7, 7: what a GET would not return is not told, and others are not subscribed to."""
    rig = bench()
    put(rig, lists())
    elsewhere = "resource-lists/users/sip:x@elsewhere.test/"
    wanted = (LISTS, f"resource-lists/users/{ALICE}/", elsewhere, f"{elsewhere}index", "pres-rules/")
    bob = watch(rig, *wanted, user="bob", name="w2")
    assert told(bob) == []
    before = len(bob.notifies)
    put(rig, lists("a"), bob)
    assert len(bob.notifies) == before
    assert watch(rig, LISTS, user="bob", resource=ALICE, name="w3").status == 403


def test_a_global_document() -> None:
    """RFC 4825 5.7: all users read the global tree; the list of all services is for trusted users."""
    rig = bench()
    services = "rls-services/global/index"
    one = watch(rig, "resource-lists/global/index", services)
    admin = watch(rig, services, user="admin", name="w2")
    assert [kind for kind, _ in told(admin)] == ["document"]
    assert told(one) == []
    etag = put(rig, lists(), one, admin, user="global")
    one.wait(0.0)
    assert told(one) == [("document", {"new-etag": etag, "sel": "resource-lists/global/index"})]
    body = (
        '<rls-services xmlns="urn:ietf:params:xml:ns:rls-services"><service uri="sip:l@biloxi.test">'
        "<list/><packages/></service></rls-services>"
    )
    before = len(one.notifies)
    put(rig, body, one, admin, auid="rls-services", user=BOB)
    assert "previous-etag" in told(admin)[0][1]
    assert len(one.notifies) == before


def test_other_bodies() -> None:
    """RFC 5875 4.4: a list of URIs, or none."""
    rig = bench()
    one = Watcher(rig, ALICE, "xcap-diff")
    assert one.subscribe(headers=[("Content-Type", "text/plain")], body=b"x") == 415
    assert one.subscribe(headers=TYPE, body=b"<x") == 400
    assert one.subscribe(headers=[("Accept", "text/plain")]) == 406
    assert one.subscribe() == 200
    assert told(one) == []


def test_its_pace() -> None:
    """RFC 5875 4.10: one NOTIFY in five seconds in the long run, with all that changed meanwhile."""
    rig = bench(interval=5.0)
    one = watch(rig, LISTS)
    first = put(rig, lists("a"), one)
    put(rig, lists("b"), one)
    last = put(rig, lists("c"), one)
    assert len(one.notifies) == 2
    one.wait(6.0)
    assert told(one) == [("document", {"new-etag": last, "previous-etag": first, "sel": LISTS})]


def test_a_notify_that_failed() -> None:
    """All is told again, for nobody knows what the phone has."""
    rig = bench()
    one = watch(rig, LISTS, f"{LISTS}/~~/resource-lists")
    put(rig, lists(), one)
    one.answer = 503
    put(rig, lists("a"), one)
    one.answer = 200
    one.wait(10.0)
    assert [kind for kind, _ in told(one)] == ["document", "element"]
    assert "previous-etag" not in told(one)[0][1]


def test_a_restart() -> None:
    """The list is in the row: the phone gets the whole state, and then what changes."""
    rig = bench()
    one = watch(rig, LISTS)
    etag = put(rig, lists("a"), one)
    rig = bench(rig.rows, now=rig.now + 1)
    one.rig = rig
    one.take(rig.log)
    one.wait(1.0)
    assert told(one) == [("document", {"new-etag": etag, "sel": LISTS})]
    second = put(rig, lists(), one)
    assert told(one) == [("document", {"new-etag": second, "previous-etag": etag, "sel": LISTS})]


@pytest.mark.parametrize(
    "settings", [{"interval": -1.0}, {"uris": 0}, {"size": -1}, {"root": "ftp://x"}, {"uris": 201}]
)
def test_settings(settings: dict[str, Any]) -> None:
    """What cannot be is refused."""
    with pytest.raises(ValueError):
        XcapDiffSettings(**settings)


def test_the_settings_of_the_page() -> None:
    """Each key is on docs/modules/xcap.md."""
    page = (Path(__file__).parents[3] / "docs/modules/xcap.md").read_text()
    part = page.partition("## Changes as events")[2].partition("\n## ")[0]
    for name in XcapDiffSettings.__dataclass_fields__:
        assert f"`{name}`" in part
