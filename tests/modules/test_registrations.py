"""Registration events (RFC 3680): the contacts of a user, told to the user as they come and go."""

from __future__ import annotations

from typing import Any

from sansip.module import Use
from sansip.module.xml import read_xml
from sansip.modules.events import Events
from sansip.modules.registrations import Registrations, RegistrationsSettings
from sansip.routing.trust import TrustedPeer
from sansip.testing import check_module
from tests.modules.events.test_nodes import Nodes as Sharing
from tests.modules.events.weather import Stored
from tests.modules.watching import Watcher
from tests.rig import BOB, BOB_URI, CAROL, CAROL_URI, request

NS = "{urn:ietf:params:xml:ns:reginfo}"


def bench() -> Stored:
    rig = Stored(
        modules=[Use(Events), Use(Registrations, RegistrationsSettings(interval=0.0))],
        trusted=[TrustedPeer("192.0.2.0/24")],
    )
    rig.take(rig.stack.time_passed(rig.now))
    return rig


def phone(rig: Stored, user: str = "bob") -> Watcher:
    return Watcher(rig, event="reg", user=user, source=BOB)


def told(message: Any) -> tuple[str, str, str, list[tuple[str, str, str]]]:
    """Version, state, the state of the registration, and (contact, state, event)."""
    root = read_xml(message.body)
    (registration,) = root
    found = [(one.findtext(f"{NS}uri"), one.get("state"), one.get("event")) for one in registration]
    return root.get("version"), root.get("state"), registration.get("state"), found


def test_contract() -> None:
    """What every module promises."""
    check_module(Registrations, others=[Use(Events)])


def test_contacts_come_and_go() -> None:
    """RFC 3680 5: full first, then what changes: registered, refreshed, expired; versions from 0."""
    rig = bench()
    one = phone(rig)
    assert one.subscribe(7200) == 200
    assert told(one.last) == ("0", "full", "init", [])
    before = len(rig.log)
    rig.register(BOB_URI)
    one.take(rig.log[before:])
    assert told(one.last) == ("1", "partial", "active", [(BOB_URI, "active", "registered")])
    rig.now += 10
    before = len(rig.log)
    rig.register(CAROL_URI, CAROL)
    one.take(rig.log[before:])
    assert told(one.last) == ("2", "partial", "active", [(CAROL_URI, "active", "registered")])
    one.wait(3595)
    assert told(one.last)[2:] == ("active", [(BOB_URI, "terminated", "expired")])
    one.wait(20)
    assert told(one.last)[2:] == ("terminated", [(CAROL_URI, "terminated", "expired")])


def test_only_the_user() -> None:
    """RFC 3680 7: strangers do not learn where a user is."""
    assert phone(bench(), "carol").subscribe() == 403


def test_a_registration_at_another_node() -> None:
    """RFC 3680 4.8: a phone that watches at n2 learns of the contacts that n1 takes and removes."""

    class Nodes(Sharing):
        MODULES = (Use(Events), Use(Registrations, RegistrationsSettings(interval=0)))
        TRUSTED = (TrustedPeer("192.0.2.0/24"),)

    nodes = Nodes("n1", "n2")
    aor = "sip:bob@biloxi.test"

    def register(number: int, expires: int) -> None:
        data = request(
            "REGISTER", "sip:biloxi.test", source=BOB, branch=f"z9hG4bKr{number}", sender=f"<{aor}>",
            to=f"<{aor}>", call_id="r", cseq=number,
            headers=[("Contact", f"<{BOB_URI}>"), ("Expires", str(expires))],
        )  # fmt: skip
        nodes.udp("n1", data, BOB)
        nodes.settle("n1")

    def meet(*watchers: Watcher) -> None:
        for name in ("n1", "n2", "n1", "n2"):
            outs = nodes.wait(name, 1.0)
            for one in watchers:
                if name == "n2":
                    one.take(outs)

    meet()
    register(1, 3600)
    watcher = Watcher(nodes.rigs["n2"], aor, "reg", user="bob")
    watcher.subscribe()
    watcher.take(nodes.settle("n2"))
    assert watcher.status == 200
    # The first NOTIFY has what is registered elsewhere.
    assert BOB_URI.encode() in watcher.notifies[-1].body
    meet(watcher)
    told = len(watcher.notifies)
    register(2, 0)
    meet(watcher)
    assert b'state="terminated"' in watcher.notifies[-1].body
    assert len(watcher.notifies) == told + 1
    meet(watcher)
    assert len(watcher.notifies) == told + 1
