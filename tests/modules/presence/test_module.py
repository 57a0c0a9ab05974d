"""The presence agent: composed, authorized, told, with watcher information and partial documents."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Use
from sansip.module.xml import read_xml
from sansip.modules.calls import Calls
from sansip.modules.calls.settings import CallsSettings
from sansip.modules.documents import Documents, DocumentsRead
from sansip.modules.events import Events, EventsSettings
from sansip.modules.presence import Presence, PresenceSettings
from sansip.modules.publications import Publications, PublicationsSettings
from sansip.routing.trust import TrustedPeer
from sansip.rows import MemoryRows
from sansip.testing import check_module
from tests.modules.events.weather import Stored
from tests.modules.presence.test_pidf import PERSON, document, service
from tests.modules.presence.test_rules import one as identity
from tests.modules.presence.test_rules import rule, ruleset
from tests.modules.publications.test_module import publish as publish_any
from tests.modules.watching import Watcher
from tests.rig import BOB_URI, Rig, only, reply, request

BOB = "sip:bob@biloxi.test"
PIDF = "{urn:ietf:params:xml:ns:pidf}"
WINFO = "{urn:ietf:params:xml:ns:watcherinfo}"


def bench(rows: MemoryRows | None = None, now: float = 100.0, keep: bool = False, **settings: Any) -> Stored:
    """A server that trusts the addresses of the test network, so that its senders are who they say."""
    settings.setdefault("interval", 0.0)
    rig = Stored(
        rows,
        modules=[
            Use(Calls, CallsSettings(keep=keep)),
            Use(Documents),
            Use(Events, EventsSettings()),
            Use(Presence, PresenceSettings(**settings)),
            Use(Publications, PublicationsSettings()),
        ],
        now=now,
        trusted=[TrustedPeer("192.0.2.0/24")],
        wall_offset=1_000_000.0,
        secret=b"the same secret for every life",
    )
    rig.take(rig.stack.time_passed(rig.now))
    return rig


def publish(rig: Rig, body: bytes, *watchers: Watcher, **options: Any) -> str:
    """Publish for Bob; the watchers are told. Return the entity-tag."""
    before = len(rig.log)
    answer = publish_any(rig, body, event="presence", type="application/pidf+xml", **options)
    assert answer.status == 200
    for one in watchers:
        one.take(rig.log[before:])
    return answer.get("sip-etag") or ""


def command(rig: Rig, name: str, *watchers: Watcher, **given: Any) -> Any:
    results: list[Any] = []
    outs = rig.take(rig.stack.command(name, given, rig.now, lambda result, now: results.append(result)))
    for one in watchers:
        one.take(outs)
    return results[-1]


def rules(rig: Rig, *given: str, watchers: Any = ()) -> None:
    body = ruleset(*given).decode()
    assert isinstance(command(rig, "documents.put", *watchers, auid="pres-rules", user=BOB, body=body), str)


def basics(message: Any) -> list[str]:
    """The status of each service of a document."""
    return [
        one.findtext(f"{PIDF}status/{PIDF}basic") for one in read_xml(message.body).findall(f"{PIDF}tuple")
    ]


def test_contract() -> None:
    """What every module promises."""
    others = [Use(Documents), Use(Events), Use(Publications)]
    check_module(Presence, others=others)


def test_published_composed_expired() -> None:
    """RFC 3856: each device is a service; a device that goes is gone; without any the user is closed."""
    rig = bench()
    one = Watcher(rig)
    assert one.subscribe() == 200
    assert one.last.get("content-type") == "application/pidf+xml"
    assert basics(one.last) == ["closed"]
    tag = publish(rig, document(service("a")), one)
    assert basics(one.last) == ["open"]
    publish(rig, document(service("b", "closed")), one, expires=60)
    assert basics(one.last) == ["closed", "open"]
    one.wait(60)
    assert basics(one.last) == ["open"]
    publish(rig, b"", one, etag=tag, expires=0)
    assert basics(one.last) == ["closed"]
    assert read_xml(one.last.body).get("entity") == BOB


def test_registrations_without_a_publish() -> None:
    """A user whose phones publish nothing is open while one is registered."""
    rig = bench()
    one = Watcher(rig)
    one.subscribe()
    before = len(rig.log)
    rig.register(BOB_URI)
    one.take(rig.log[before:])
    assert basics(one.last) == ["open"]
    publish(rig, document(service("a", "closed")), one)
    assert basics(one.last) == ["closed"], "what the phone publishes counts"


def test_calls_without_a_publish() -> None:
    """A user in a call is shown on the phone (RFC 4480 3.2)."""
    rig = bench()
    rig.register(BOB_URI)
    one = Watcher(rig)
    one.subscribe()
    arrived = only(rig.udp(request(headers=[("Contact", "<sip:alice@192.0.2.1>")])), "INVITE")
    one.take(rig.udp(reply(arrived, 200), ("192.0.2.2", 5060)))
    assert b"on-the-phone" in one.last.body
    (row,) = command(rig, "calls.list")
    command(rig, "calls.hangup", one, id=row["id"])
    one.wait(40)
    assert b"on-the-phone" not in one.last.body


def test_a_call_over_a_restart() -> None:
    """With `keep = true` in [calls] a call goes on over a restart, and its users are on the phone still."""
    rig = bench(keep=True)
    rig.register(BOB_URI)
    arrived = only(rig.udp(request(headers=[("Contact", "<sip:alice@192.0.2.1>")])), "INVITE")
    rig.udp(reply(arrived, 200), ("192.0.2.2", 5060))
    rig = bench(rig.rows, now=200.0, keep=True)
    one = Watcher(rig)
    one.subscribe()
    assert b"on-the-phone" in one.last.body
    (row,) = command(rig, "calls.list")
    command(rig, "calls.hangup", one, id=row["id"])
    one.wait(40)
    assert b"on-the-phone" not in one.last.body


def test_calls_to_another_name() -> None:
    """RFC 3261 8.1.1.2: To is what the caller writes; the user that the call was sent to is in it."""
    rig = bench()
    rig.register(BOB_URI)
    bob, carol = Watcher(rig), Watcher(rig, "sip:carol@biloxi.test", name="w2")
    for one in (bob, carol):
        one.subscribe()
    call = request(headers=[("Contact", "<sip:alice@192.0.2.1>")], to="<sip:carol@biloxi.test>")
    arrived = only(rig.udp(call), "INVITE")
    outs = rig.udp(reply(arrived, 200), ("192.0.2.2", 5060))
    for one in (bob, carol):
        one.take(outs)
    assert b"on-the-phone" in bob.last.body
    assert b"on-the-phone" not in carol.last.body


def test_allow_block_confirm_polite() -> None:
    """RFC 5025 3.2.1: what each value of sub-handling means for the watcher."""
    rig = bench()
    publish(rig, document(service("a")))
    show = "<pr:provide-services><pr:all-services/></pr:provide-services>"
    rules(rig, rule(identity(), "allow", show))
    one = Watcher(rig)
    assert (one.subscribe(), basics(one.last)) == (200, ["open"])
    rules(rig, rule(identity(), "polite-block", show), watchers=[one])
    assert (one.state, basics(one.last)) == ("active;expires=3600", ["closed"])
    rules(rig, rule(identity(), "allow", show), watchers=[one])
    assert basics(one.last) == ["open"]
    rules(rig, rule(identity(), "block"), watchers=[one])
    assert (one.state, one.last.body) == ("terminated;reason=rejected", b"")
    two = Watcher(rig, name="w2")
    assert two.subscribe() == 403
    rules(rig, rule(identity(), "confirm"))
    assert (two.subscribe(), two.state, two.last.body) == (200, "pending;expires=3600", b"")
    rules(rig, rule(identity(), "allow", show), watchers=[two])
    assert (two.state, basics(two.last)) == ("active;expires=3600", ["open"])


def test_the_user_itself() -> None:
    """A user always sees its own state."""
    rig = bench(without_rules="block")
    assert Watcher(rig, user="bob").subscribe() == 200
    assert Watcher(rig, name="w2").subscribe() == 403


def test_what_is_shown_changes_at_once() -> None:
    """RFC 5025 3.3: another permission is another document, told at once."""
    rig = bench()
    publish(rig, document(service("a"), PERSON))
    every = "<pr:provide-services><pr:all-services/></pr:provide-services>"
    rules(rig, rule(identity(), shows=every))
    one = Watcher(rig)
    one.subscribe()
    assert b"busy" not in one.last.body
    persons = "<pr:provide-persons><pr:all-persons/></pr:provide-persons>"
    activities = "<pr:provide-activities>true</pr:provide-activities>"
    rules(rig, rule(identity(), shows=every + persons + activities), watchers=[one])
    assert b"busy" in one.last.body
    assert b"happy" not in one.last.body


def test_validity_and_sphere() -> None:
    """RFC 4745 7.2, 7.3: rules that begin with time, or with what the user publishes, act at that moment."""
    rig = bench()
    show = "<pr:provide-services><pr:all-services/></pr:provide-services>"
    span = "<validity><from>1970-01-12T13:51:40Z</from><until>1970-01-12T13:53:20Z</until></validity>"
    rules(
        rig,
        rule(identity(), "confirm"),
        rule(span, "allow", show),
        rule('<sphere value="work"/>', "allow", show),
    )
    one = Watcher(rig)
    one.subscribe()
    assert one.state.startswith("pending")
    one.wait(200.5)
    # The Unix time is 1,000,300 s: the validity has begun.
    assert one.state.startswith("active")
    one.wait(100)
    assert one.state == "terminated;reason=deactivated", "it may ask again, and is pending then"
    two = Watcher(rig, name="w2")
    two.subscribe()
    assert two.state.startswith("pending")
    publish(rig, document(service("a"), PERSON), two)
    assert two.state.startswith("active")


def test_rules_are_known_before_anybody_is_told() -> None:
    """After a restart nothing is shown until the rules are read, and then what they show now."""
    rig = bench()
    publish(rig, document(service("a")))
    rules(rig, rule(identity(), "polite-block"))
    one = Watcher(rig)
    one.subscribe()
    rig = bench(rig.rows, now=150.0)
    one.rig = rig
    one.wait(5)
    assert all(basics(notify) == ["closed"] for notify in one.notifies if notify.body)
    assert basics(one.last) == ["closed"]


def test_rules_that_come_while_documents_are_read() -> None:
    """That a user had none before counts no longer."""
    rig = bench()
    presence: Any = rig.stack.modules.get(Presence)
    presence._package.ready = False
    publish(rig, document(service("a")))
    rules(rig, rule(identity(), "block"))
    presence.event_received(DocumentsRead(), rig.now)
    assert Watcher(rig).subscribe() == 403


def test_bad_rules_are_refused() -> None:
    """A document that is no ruleset is not stored, and the command says why."""
    rig = bench()
    answer = command(rig, "documents.put", auid="pres-rules", user=BOB, body="<x/>")
    assert "not a ruleset" in str(answer)
    assert command(rig, "presence.try", user=BOB, watcher="sip:alice@biloxi.test") == "allow"


def test_bad_documents_are_refused() -> None:
    """A PUBLISH that is no presence document is a 400, and changes nothing."""
    rig = bench()
    answer = publish_any(rig, b"<x/>", event="presence", type="application/pidf+xml")
    assert (answer.status, answer.get("warning")) == (400, '399 sansip "Bad Body: not a presence document"')
    assert command(rig, "presence.show", user=BOB).count("<tuple") == 1


# --- watcher information (RFC 3857, RFC 3858)


def watchers(message: Any) -> tuple[str, str, list[tuple[str, str, str]]]:
    """The version, the state, and (watcher, status, event) of a document."""
    root = read_xml(message.body)
    found = [(one.text, one.get("status"), one.get("event")) for one in root.iter(f"{WINFO}watcher")]
    return root.get("version"), root.get("state"), found


def test_watcher_information() -> None:
    """RFC 3858: full first, then what happens, versions from 0; each watcher has its words."""
    rig = bench()
    rules(rig, rule(identity(), "confirm"))
    one = Watcher(rig)
    one.subscribe()
    own = Watcher(rig, event="presence.winfo", user="bob", name="own")
    assert own.subscribe() == 200
    assert own.last.get("content-type") == "application/watcherinfo+xml"
    alice = "sip:alice@biloxi.test"
    assert watchers(own.last) == ("0", "full", [(alice, "pending", "subscribe")])
    rules(rig, rule(identity(), "allow"), watchers=[own, one])
    own.wait(10)
    assert watchers(own.last) == ("1", "partial", [(alice, "active", "approved")])
    before = len(rig.log)
    one.subscribe(0)
    own.take(rig.log[before:])
    own.wait(10)
    assert watchers(own.last) == ("2", "partial", [(alice, "terminated", "timeout")])
    own.subscribe()
    assert watchers(own.last) == ("3", "full", [])


def test_no_winfo_for_others() -> None:
    """RFC 3857 6: strangers, and other users, do not learn who watches."""
    rig = bench()
    assert Watcher(rig, event="presence.winfo").subscribe() == 403


# --- partial notification (RFC 5263)


def test_partial_notification() -> None:
    """RFC 5263 4.4: the first is whole, version 1; then differences; a refresh goes on counting."""
    rig = bench()
    one = Watcher(rig, headers=[("Accept", "application/pidf+xml, application/pidf-diff+xml")])
    one.subscribe()

    def last() -> tuple[str, str]:
        root = read_xml(one.last.body)
        assert one.last.get("content-type") == "application/pidf-diff+xml"
        return root.tag.rpartition("}")[2], root.get("version")

    assert last() == ("pidf-full", "1")
    publish(rig, document(service("a")), one)
    assert last() == ("pidf-diff", "2")
    one.subscribe()
    assert last() == ("pidf-full", "3")
    publish(rig, document(service("b")), one)
    assert last() == ("pidf-diff", "4")


def test_a_lost_difference_is_told_whole() -> None:
    """A watcher that did not get one difference gets the whole state, never the next difference alone."""
    rig = bench()
    one = Watcher(rig, headers=[("Accept", "application/pidf-diff+xml")])
    one.subscribe()
    one.answer = 500
    publish(rig, document(service("a")), one)
    one.answer = 200
    one.wait(20)
    assert b"pidf-full" in one.last.body


@pytest.mark.parametrize("key", list(PresenceSettings.__dataclass_fields__))
def test_settings_are_checked(key: str) -> None:
    """Each has bounds, or a list of words."""
    if key in ("interval", "burst"):
        with pytest.raises(ValueError, match=key):
            PresenceSettings(**{key: -1})
