"""Resource lists (RFC 4662): one subscription to all members, told whole and then in part."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sansip.module import Use
from sansip.module.xml import read_xml
from sansip.modules.documents import Documents
from sansip.modules.events import Events
from sansip.modules.lists import Lists, ListsSettings
from sansip.modules.presence import Presence, PresenceSettings
from sansip.modules.publications import Publications
from sansip.modules.watches import Watches, WatchesSettings
from sansip.proxy import ProxyConfig
from sansip.routing.trust import TrustedPeer
from sansip.rows import MemoryRows
from sansip.testing import check_module
from tests.modules.events.weather import Stored
from tests.modules.presence.test_module import command
from tests.modules.presence.test_pidf import document, service
from tests.modules.presence.test_rules import one as identity
from tests.modules.presence.test_rules import rule, ruleset
from tests.modules.publications.test_module import publish as publish_any
from tests.modules.watches.elsewhere import Elsewhere
from tests.modules.watches.elsewhere import document as document_elsewhere
from tests.modules.watching import Watcher
from tests.rig import Rig

ALICE, LIST = "sip:alice@biloxi.test", "sip:friends@biloxi.test"
RLMI = "{urn:ietf:params:xml:ns:rlmi}"


def bench(
    rows: MemoryRows | None = None, now: float = 100.0, elsewhere: bool = False, **settings: Any
) -> Stored:
    settings.setdefault("interval", 0.0)
    rig = Stored(
        rows,
        modules=[
            Use(Documents),
            Use(Events),
            Use(Lists, ListsSettings(**settings)),
            Use(Presence, PresenceSettings(interval=0.0)),
            Use(Publications),
            *([Use(Watches, WatchesSettings(rate=1000.0, most_of_watcher=3))] if elsewhere else []),
        ],
        now=now,
        trusted=[TrustedPeer("192.0.2.0/24")],
        # RFC 3261 18.1.1 has NOTIFYs of this size go over TCP, where no watcher of this test listens.
        proxy=ProxyConfig(tcp_above=65_000),
        wall_offset=1_000_000.0,
        secret=b"the same secret for every life",
    )
    rig.take(rig.stack.time_passed(rig.now))
    return rig


def services(*members: str, uri: str = LIST, packages: str = "presence") -> str:
    entries = "".join(
        f'<rl:entry uri="{one}"><rl:display-name>n</rl:display-name></rl:entry>' for one in members
    )
    return (
        '<rls-services xmlns="urn:ietf:params:xml:ns:rls-services" '
        f'xmlns:rl="urn:ietf:params:xml:ns:resource-lists"><service uri="{uri}"><list>{entries}</list>'
        f"<packages><package>{packages}</package></packages></service></rls-services>"
    )


def put(rig: Rig, body: str, *watchers: Watcher, auid: str = "rls-services", user: str = ALICE) -> Any:
    return command(rig, "documents.put", *watchers, auid=auid, user=user, body=body)


def watch(rig: Rig, **options: Any) -> Watcher:
    return Watcher(rig, LIST, headers=[("Supported", "eventlist"), *options.pop("headers", ())], **options)


def publish(rig: Rig, user: str, *watchers: Watcher, basic: str = "open") -> None:
    uri = f"sip:{user}@biloxi.test"
    body = document(service("a", basic), entity=uri)
    before = len(rig.log)
    answer = publish_any(rig, body, uri=uri, event="presence", type="application/pidf+xml")
    assert answer.status == 200
    for one in watchers:
        one.take(rig.log[before:])


def told(message: Any) -> tuple[str, str, dict[str, tuple[str, str]]]:
    """Version, fullState, and (state, basic status) of each member."""
    kind = message.get("content-type")
    boundary = re.findall(r"boundary=\"?([^;\"]+)", kind)[0]
    start = re.findall(r'start="<([^>]+)>"', kind)[0]
    parts = {}
    for part in message.body.decode().split(f"--{boundary}")[1:-1]:
        head, _, body = part.partition("\r\n\r\n")
        parts[re.findall(r"Content-ID: <([^>]+)>", head)[0]] = body.strip()
    root = read_xml(parts.pop(start).encode())
    found = {}
    for one in root.findall(f"{RLMI}resource"):
        instance = one.find(f"{RLMI}instance")
        cid = None if instance is None else instance.get("cid")
        basic = re.findall(r"<basic>(\w+)", parts.pop(cid))[0] if cid else ""
        found[one.get("uri")] = ("" if instance is None else instance.get("state"), basic)
    assert parts == {}, "no stray parts"
    return root.get("version"), root.get("fullState"), found


BOB, CAROL, ELSEWHERE = "sip:bob@biloxi.test", "sip:carol@biloxi.test", "sip:x@elsewhere.test"


def test_contract() -> None:
    """What every module promises."""
    check_module(Lists, others=[Use(Documents), Use(Events)])


def test_full_then_partial() -> None:
    """RFC 4662 5: the first is full, with what is known; the next ones have what changed, versions from 0."""
    rig = bench()
    put(rig, services(BOB, CAROL, ELSEWHERE))
    publish(rig, "bob")
    one = watch(rig)
    assert one.subscribe() == 200
    # RFC 4662 4.4, 4.5
    assert one.response is not None
    assert one.response.get("require") == one.last.get("require") == "eventlist"
    members = {BOB: ("active", "open"), CAROL: ("active", "closed"), ELSEWHERE: ("", "")}
    assert told(one.last) == ("0", "true", members)
    publish(rig, "carol", one)
    assert told(one.last) == ("1", "false", {CAROL: ("active", "open")})
    one.subscribe()
    assert told(one.last)[:2] == ("2", "true")


def test_the_extension_is_required() -> None:
    """RFC 4662 4.4: a watcher that does not support lists gets 421."""
    rig = bench()
    put(rig, services(BOB))
    one = Watcher(rig, LIST)
    assert one.subscribe() == 421
    assert one.response is not None
    assert one.response.get("require") == "eventlist"


def test_rules_of_members() -> None:
    """What a member's rules say holds within a list, and a change of them is told at once."""
    rig = bench()
    put(rig, services(BOB, CAROL))
    put(rig, ruleset(rule(identity(), "confirm")).decode(), auid="pres-rules", user=BOB)
    put(rig, ruleset(rule(identity(), "block")).decode(), auid="pres-rules", user=CAROL)
    one = watch(rig)
    one.subscribe()
    assert told(one.last)[2] == {BOB: ("pending", ""), CAROL: ("terminated", "")}
    show = "<pr:provide-services><pr:all-services/></pr:provide-services>"
    put(rig, ruleset(rule(identity(), "allow", show)).decode(), one, auid="pres-rules", user=BOB)
    assert told(one.last) == ("1", "false", {BOB: ("active", "closed")})


def test_a_list_changes() -> None:
    """A new document is told whole, at once; a list that is gone ends the subscription."""
    rig = bench()
    put(rig, services(BOB))
    one = watch(rig)
    one.subscribe()
    put(rig, services(CAROL), one)
    assert told(one.last) == ("1", "true", {CAROL: ("active", "closed")})
    put(rig, services(CAROL, uri="sip:other@biloxi.test"), one)
    assert one.state == "terminated;reason=noresource"


def test_only_the_owner() -> None:
    """Nobody else finds the list, and nobody takes the address of a user by a list."""
    rig = bench()
    put(rig, services(CAROL, uri=BOB))
    one = Watcher(rig, BOB, user="dave", headers=[("Supported", "eventlist")])
    assert one.subscribe() == 200
    assert one.last.get("content-type") == "application/pidf+xml"
    assert watch(rig, user="dave", name="w2").subscribe() == 200, "a user like any other"


def test_strangers_leave_nothing() -> None:
    """Lists are looked for by From, before anybody has proved to be that user: no name is kept."""
    rig = bench()
    put(rig, services("sip:bob@biloxi.test"))
    for number in range(20):
        watch(rig, user=f"u{number}").subscribe(600)
    assert set(rig.stack.modules.get(Lists)._read) <= {ALICE}


def test_other_packages() -> None:
    """RFC 4826 4: a service is for the packages that it names."""
    rig = bench()
    put(rig, services(BOB, packages="dialog"))
    one = watch(rig)
    one.subscribe()
    assert one.last.get("content-type") == "application/pidf+xml"


def test_lists_in_lists() -> None:
    """Lists of `resource-lists`, and services that name services: each member once, a circle ends."""
    rig = bench()
    lists = (
        '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"><list name="mine">'
        f'<entry uri="{BOB}"/><list name="inner"><entry uri="{CAROL}"/><entry uri="{BOB}"/></list>'
        "</list></resource-lists>"
    )
    put(rig, lists, auid="resource-lists")
    body = (
        '<rls-services xmlns="urn:ietf:params:xml:ns:rls-services" '
        'xmlns:rl="urn:ietf:params:xml:ns:resource-lists">'
        f'<service uri="{LIST}"><list><rl:entry uri="sip:second@biloxi.test"/></list></service>'
        '<service uri="sip:second@biloxi.test"><list>'
        f'<rl:entry uri="{LIST}"/><rl:entry uri="sip:third@biloxi.test"/></list></service>'
        '<service uri="sip:third@biloxi.test"><resource-list>http://x/resource-lists/users/alice/index/~~'
        "/resource-lists/list[@name=%22mine%22]</resource-list></service></rls-services>"
    )
    put(rig, body)
    assert command(rig, "lists.show", user=ALICE)[LIST] == [BOB, CAROL]


def test_members_are_bounded() -> None:
    """`members` is the most that one list tells."""
    rig = bench(members=3)
    put(rig, services(*(f"sip:u{number}@biloxi.test" for number in range(10))))
    one = watch(rig)
    one.subscribe()
    assert len(told(one.last)[2]) == 3


def test_octets_are_bounded() -> None:
    """`size` bounds the states in one NOTIFY; the others follow in the next ones, and none is left behind."""
    uris = [f"sip:u{number}@biloxi.test" for number in range(6)]
    rig = bench(size=8_192)
    put(rig, services(*uris))
    for uri in uris:
        body = document(service("a", inner=f"<x:note>{'x' * 3_000}</x:note>"), entity=uri)
        answer = publish_any(rig, body, uri=uri, event="presence", type="application/pidf+xml")
        assert answer.status == 200
    one = watch(rig)
    one.subscribe()
    first, *later = one.notifies
    assert len(first.body) < 8_192 + 2_000
    # RFC 4662 5.4: a list in full names all.
    here = ("active", "open")
    assert told(first)[2] == {uri: here if uri in uris[:2] else ("", "") for uri in uris}
    assert [told(notify)[1:] for notify in later] == [
        ("false", dict.fromkeys(uris[2:4], here)),
        ("false", dict.fromkeys(uris[4:], here)),
    ]
    assert one.wait(60) == []
    with pytest.raises(ValueError, match="size is 1"):
        ListsSettings(size=1)


@pytest.mark.parametrize(
    "body", ["<x/>", services("nobody"), services(BOB).replace("</service>", "</service>" * 2)]
)
def test_refused(body: str) -> None:
    """What is no document of services is not stored."""
    assert not isinstance(put(bench(), body), str)


def test_a_restart() -> None:
    """The subscription to a list lives on, and is told whole."""
    rig = bench()
    # Read before the services, which alone say that the list exists.
    empty = '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>'
    put(rig, empty, auid="resource-lists")
    put(rig, services(BOB))
    one = watch(rig)
    one.subscribe()
    rig = bench(rig.rows, now=150.0)
    one.rig = rig
    one.wait(5)
    assert told(one.last)[1:] == ("true", {BOB: ("active", "closed")})
    publish(rig, "bob", one)
    assert told(one.last)[1:] == ("false", {BOB: ("active", "open")})
    assert one.subscribe() == 200


ZOE, YAN = "sip:zoe@192.0.2.9", "sip:yan@192.0.2.9"


def listen(server: Elsewhere, one: Watcher, seconds: float = 1.0) -> None:
    """Let both the other server and the watcher answer while time passes."""
    before = len(server.rest)
    server.wait(seconds)
    one.take(server.rest[before:])


def test_members_elsewhere() -> None:
    """RFC 4662 4: they are subscribed to for the watcher; the first NOTIFY does not wait for them."""
    rig = bench(elsewhere=True)
    server = Elsewhere(rig)
    put(rig, services(BOB, ZOE))
    one = watch(rig)
    assert one.subscribe() == 200
    assert told(one.last) == ("0", "true", {BOB: ("active", "closed"), ZOE: ("", "")})
    listen(server, one)
    (asked,) = server.asked
    # For the watcher; without eventlist, so that lists of lists elsewhere end (RFC 4662 7.4).
    assert (str(asked.from_.uri), asked.uri_text, asked.has("supported")) == (ALICE, ZOE, False)
    assert told(one.last) == ("1", "false", {ZOE: ("active", "open")})
    one.take(server.notify(body=document_elsewhere(ZOE, "closed")))
    assert told(one.last) == ("2", "false", {ZOE: ("active", "closed")})
    # RFC 4662 5.5: active needs a part, and terminated a reason.
    one.take(server.notify("pending"))
    assert told(one.last)[2] == {ZOE: ("pending", "")}
    one.take(server.notify("terminated;reason=rejected"))
    assert told(one.last)[2] == {ZOE: ("terminated", "")}
    assert b'reason="rejected"' in one.last.body
    one.subscribe()
    assert told(one.last)[1:] == ("true", {BOB: ("active", "closed"), ZOE: ("terminated", "")})


def test_members_elsewhere_end_with_the_list() -> None:
    """What nobody wants to know any longer is not subscribed to: a new document, and the end of the list."""
    rig = bench(elsewhere=True)
    server = Elsewhere(rig)
    put(rig, services(ZOE, YAN))
    one = watch(rig)
    one.subscribe()
    listen(server, one)
    assert {asked.uri_text for asked in server.asked} == {ZOE, YAN}
    put(rig, services(ZOE), one)
    server.take(rig.log[-20:])
    listen(server, one)
    (ended,) = [asked for asked in server.asked if asked.expires == 0]
    assert str(ended.to.uri) == YAN
    one.subscribe(0)
    server.take(rig.log[-20:])
    listen(server, one)
    assert {str(asked.to.uri) for asked in server.asked if asked.expires == 0} == {ZOE, YAN}
    server.wait(40)
    assert len(rig.stack.modules.get(Watches)) == 0


def test_a_fetch_of_a_list_subscribes_nowhere() -> None:
    """RFC 6665 4.4.3: it is over before anything could be heard; it must not leave subscriptions behind."""
    rig = bench(elsewhere=True)
    server = Elsewhere(rig)
    put(rig, services(ZOE))
    one = watch(rig)
    one.subscribe(0)
    listen(server, one)
    assert server.asked == []


def test_two_lists_share_what_is_elsewhere() -> None:
    """One subscription for each watcher and member, however many lists and phones; limits are per watcher."""
    rig = bench(elsewhere=True)
    server = Elsewhere(rig)
    members = [f"sip:m{number}@192.0.2.9" for number in range(5)]
    put(rig, services(*members))
    one, two = watch(rig), watch(rig, name="w2")
    one.subscribe()
    two.subscribe()
    listen(server, one)
    # `watches.most_of_watcher` is 3 here: the others have no state.
    assert len(server.asked) == 3
    states = [state for state, _ in told_of(one, members)]
    assert states == ["active"] * 3 + [""] * 2


def told_of(one: Watcher, members: list[str]) -> list[tuple[str, str]]:
    """What a refresh tells of these members."""
    one.subscribe()
    found = told(one.last)[2]
    return [found[member] for member in members]


def test_a_member_that_cannot_be_subscribed_to() -> None:
    """A URI with header fields would put words of the user into requests of this server."""
    rig = bench(elsewhere=True)
    server = Elsewhere(rig)
    put(rig, services("sip:192.0.2.9", "tel:+1234"))
    one = watch(rig)
    one.subscribe()
    listen(server, one)
    assert server.asked == []
