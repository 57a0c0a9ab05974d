"""Presence and lists go by what users write over XCAP, and watchers hear of it at once."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.actions import Ask
from sansip.auth import Lookup
from sansip.module import Use, WebRequest, WebResponse
from sansip.modules.documents import Documents
from sansip.modules.events import Events
from sansip.modules.lists import Lists, ListsSettings
from sansip.modules.presence import Presence, PresenceSettings
from sansip.modules.publications import Publications
from sansip.modules.xcap import Xcap
from sansip.proxy import ProxyConfig
from sansip.routing.trust import TrustedPeer
from tests.modules.events.weather import Stored
from tests.modules.lists.test_module import ALICE, LIST, publish, watch
from tests.modules.presence.test_module import basics
from tests.modules.presence.test_pidf import document, service
from tests.modules.presence.test_rules import one as identity
from tests.modules.presence.test_rules import rule, ruleset
from tests.modules.watching import Watcher
from tests.rig import Out

BOB = "sip:bob@biloxi.test"
ALL = "<pr:provide-services><pr:all-services/></pr:provide-services>"


class Site(Stored):
    """A rig whose store has no user by the name of a service."""

    def take(self, actions: list[Any]) -> list[Out]:
        outs: list[Out] = []
        for action in actions:
            if isinstance(action, Ask) and isinstance(action.question, Lookup):
                outs += self.take(self.stack.answer(action.id, None, self.now))
            else:
                outs += super().take([action])
        return outs


def bench() -> Stored:
    rig = Site(
        None,
        modules=[
            Use(Documents),
            Use(Events),
            Use(Lists, ListsSettings(interval=0.0)),
            Use(Presence, PresenceSettings(interval=0.0)),
            Use(Publications),
            Use(Xcap),
        ],
        now=100.0,
        trusted=[TrustedPeer("192.0.2.0/24")],
        proxy=ProxyConfig(tcp_above=65_000),
        wall_offset=1_000_000.0,
        secret=b"the same secret for every life",
    )
    rig.take(rig.stack.time_passed(rig.now))
    return rig


def put(rig: Stored, path: str, kind: str, body: str, *watchers: Watcher) -> int:
    """Have the user in ``path`` put a document; return the status. Watchers hear what follows from it."""
    user = path.split("/")[2]
    request = WebRequest("PUT", f"/xcap-root/{path}", "", (("content-type", kind),), body.encode(), user=user)
    answers: list[WebResponse] = []
    outs = rig.take(rig.stack.web_received(7, request, rig.now, lambda answer, now: answers.append(answer)))
    for one in watchers:
        one.take(outs)
    (answer,) = answers
    return answer.status


@pytest.mark.parametrize("auid", ["pres-rules", "org.openmobilealliance.pres-rules"])
def test_rules_act_at_once(auid: str) -> None:
    """RFC 5025 9.7: all documents of a user count, and the watcher hears in the same moment."""
    rig = bench()
    publish(rig, "bob")
    one = Watcher(rig)
    one.subscribe()
    assert basics(one.last) == ["open"]
    kind = "application/auth-policy+xml"
    first, second = f"{auid}/users/{BOB}/index", f"{auid}/users/{BOB}/others"
    assert put(rig, first, kind, ruleset(rule(identity(), "polite-block")).decode(), one) == 201
    assert basics(one.last) == ["closed"]
    assert put(rig, second, kind, ruleset(rule(identity(), "allow", ALL)).decode(), one) == 201
    assert basics(one.last) == ["open"]
    assert put(rig, second, kind, ruleset().decode(), one) == 200
    assert basics(one.last) == ["closed"]


def test_a_state_that_the_user_wrote() -> None:
    """RFC 4827: shown where no phone publishes anything, and beside what they publish."""
    rig = bench()
    one = Watcher(rig)
    one.subscribe()
    assert basics(one.last) == ["closed"]
    body = document(service("mail", "open"), entity=BOB)
    path = f"pidf-manipulation/users/{BOB}/index"
    assert put(rig, path, "application/pidf+xml", body.decode(), one) == 201
    assert basics(one.last) == ["open"]
    publish(rig, "bob", one, basic="closed")
    assert sorted(basics(one.last)) == ["closed", "open"]


def test_lists_of_users() -> None:
    """RFC 4826: a service names a list by its URI, as the RFC writes it; a new member is told at once."""
    rig = bench()
    publish(rig, "bob")
    lists = (
        '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">'
        '<list name="l1">{}</list></resource-lists>'
    )
    entry = f'<entry uri="{BOB}"/>'
    path = f"resource-lists/users/{ALICE}/index"
    assert put(rig, path, "application/resource-lists+xml", lists.format("")) == 201
    services = (
        f'<rls-services xmlns="urn:ietf:params:xml:ns:rls-services"><service uri="{LIST}"><resource-list>'
        f"http://xcap.biloxi.test/xcap-root/{path}/~~/resource-lists/list%5b@name=%22l1%22%5d</resource-list>"
        "</service></rls-services>"
    )
    services_path = f"rls-services/users/{ALICE}/index"
    assert put(rig, services_path, "application/rls-services+xml", services) == 201
    one = watch(rig)
    one.subscribe()
    assert BOB not in one.last.body.decode()
    assert put(rig, path, "application/resource-lists+xml", lists.format(entry), one) == 200
    assert BOB in one.last.body.decode()
