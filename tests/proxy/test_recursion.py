"""Recursion on 3xx responses (RFC 3261 16.7 step 4, RFC 5630 5.3)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.proxy import ProxyConfig
from tests.proxy.test_context import Fork
from tests.rig import (
    ALICE,
    BOB,
    BOB_URI,
    CAROL,
    CAROL_URI,
    DAVE,
    DAVE_URI,
    HOST,
    LISTENERS,
    Rig,
    relay_to,
    reply,
    what,
)

ON = ProxyConfig(recurse=True)


def fork(*uris: Any, recurse: bool = True, limits: dict[str, Any] | None = None, **options: Any) -> Fork:
    rig = Rig(relay_to(*uris), proxy=ProxyConfig(recurse=recurse), limits=limits)
    return Fork(*uris, rig=rig, **options)


def contact(*values: str) -> dict[str, Any]:
    return {"headers": [("Contact", ", ".join(values))]}


def test_off_unless_asked_for() -> None:
    """A server that redirects must not decide at whose cost a call goes on."""
    call = fork(BOB_URI, recurse=False)
    assert ("302", ALICE) in call.answer("bob", 302, **contact(f"<{CAROL_URI}>"))
    assert call.last().get("contact") == f"<{CAROL_URI}>"


@pytest.mark.parametrize("status", [300, 301, 302])
@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_followed(status: int, method: str) -> None:
    """The caller sees none of it: the contact becomes a target of the same request."""
    call = fork(BOB_URI, method=method)
    outs = call.answer("bob", status, **contact(f"<{CAROL_URI}>"))
    assert outs[-1] == (method, CAROL)
    assert call.branches["carol"].message.uri_text == CAROL_URI
    assert call.answer("carol", 200)[0] == ("200", ALICE)


@pytest.mark.parametrize("status", [305, 380])
def test_what_means_something_else(status: int) -> None:
    """RFC 3261 21.3.4, 21.3.5: a proxy to use, another service: the caller's to decide."""
    call = fork(BOB_URI)
    assert (str(status), ALICE) in call.answer("bob", status, **contact(f"<{CAROL_URI}>"))


def test_by_their_q() -> None:
    """RFC 3261 16.6: the best first, equal ones at once, and unreadable ones last."""
    call = fork(BOB_URI)
    outs = call.answer("bob", 302, **contact(f"<{CAROL_URI}>;q=0.2", f"<{DAVE_URI}>;q=0.7"))
    assert outs[-1] == ("INVITE", DAVE)
    assert ("INVITE", CAROL) in call.answer("dave", 486)
    again = fork(BOB_URI)
    outs = again.answer("bob", 302, **contact(f"<{CAROL_URI}>;q=nonsense", f"<{DAVE_URI}>;q=0.001"))
    assert outs[-1] == ("INVITE", DAVE)
    both = fork(BOB_URI)
    outs = both.answer("bob", 302, **contact(f"<{CAROL_URI}>", f"<{DAVE_URI}>;q=1.0"))
    assert {("INVITE", CAROL), ("INVITE", DAVE)} <= set(outs)


def test_a_response_without_contacts_is_not_kept() -> None:
    """16.7 step 4: only the answers of the contacts remain to be told."""
    call = fork(BOB_URI)
    call.answer("bob", 302, **contact(f"<{CAROL_URI}>"))
    assert ("486", ALICE) in call.answer("carol", 486)


def test_two_that_point_at_each_other() -> None:
    """16.5: a URI in the set is not added again; the last redirection goes back, as it is."""
    call = fork(BOB_URI)
    call.answer("bob", 302, **contact(f"<{CAROL_URI}>"))
    assert ("302", ALICE) in call.answer("carol", 302, **contact(f"<{BOB_URI}>"))
    assert call.last().get("contact") == f"<{BOB_URI}>"


def test_itself() -> None:
    """A contact that is the Request-URI that was tried."""
    call = fork(BOB_URI)
    assert ("302", ALICE) in call.answer("bob", 302, **contact(f"<{BOB_URI}>"))


def test_what_is_left_of_a_response() -> None:
    """Only the followed Contacts disappear from it; the others compete with the other answers."""
    call = fork(BOB_URI, limits={"branches": 2})
    call.answer("bob", 302, **contact(f"<{CAROL_URI}>", f"<{DAVE_URI}>;q=0.5"))
    assert ("302", ALICE) in call.answer("carol", 486)
    assert call.last().values("contact") == [f"<{DAVE_URI}>;q=0.5"]


def test_it_comes_to_an_end() -> None:
    """A server that always invents another contact is stopped by limits.branches."""
    call = fork(BOB_URI, limits={"branches": 5})
    rig = call.rig
    for number in range(10):
        outs = call.answer("bob", 302, **contact(f"<sip:b{number}@192.0.2.2>"))
        if ("302", ALICE) in outs:
            break
    invites = [out for out in rig.log if out.what == "INVITE" and out.to == BOB]
    assert len(invites) == 5
    assert call.last().status == 302


@pytest.mark.parametrize(
    "value", ["<tel:+15551234>", "<http://example.org/>", "*", "<mailto:bob@example.org>", "not a contact <"]
)
def test_what_cannot_be_called(value: str) -> None:
    """It is for the caller to see."""
    call = fork(BOB_URI)
    assert ("302", ALICE) in call.answer("bob", 302, **contact(value))


def test_not_after_a_cancel() -> None:
    """A caller that gave up is not called back."""
    call = fork(BOB_URI)
    call.answer("bob", 180)
    cancel = call.request.replace(b"INVITE", b"CANCEL")
    call.rig.udp(cancel)
    outs = call.answer("bob", 302, **contact(f"<{CAROL_URI}>"))
    assert ("INVITE", CAROL) not in outs


def test_not_after_a_decline() -> None:
    """16.7 step 5: a 6xx ends the search."""
    call = fork(BOB_URI, CAROL_URI)
    call.answer("carol", 603)
    outs = call.answer("bob", 302, **contact(f"<{DAVE_URI}>"))
    assert ("INVITE", DAVE) not in outs
    assert call.last().status == 603


@pytest.mark.parametrize(
    ("asked", "contacts"),
    [
        ("sips:bob@192.0.2.2", ["<sip:carol@192.0.2.3>"]),
        ("sips:bob@192.0.2.2", ["<sips:carol@192.0.2.3>", "<sip:dave@192.0.2.4>"]),
        ("sip:bob@192.0.2.2", ["<sips:carol@192.0.2.3>"]),
        ("sip:bob@192.0.2.2", ["<sip:dave@192.0.2.4>", "<sips:carol@192.0.2.3>"]),
    ],
)
def test_not_between_sip_and_sips(asked: str, contacts: list[str]) -> None:
    """RFC 5630 5.3: the response goes back, so that the caller can act on it."""
    tls = [*LISTENERS, ListenerConfig(7, "tls", HOST, 5061)]
    rig = Rig(lambda incoming: incoming.relay(), proxy=ON, listeners=tls)
    call = Fork(rig=rig, uri=asked)
    if asked.startswith("sips"):
        (connect,) = [out for out in rig.log if out.what == "Connect"]
        (invite,) = [out for out in rig.opened(connect) if out.what == "INVITE"]
        outs = rig.tcp(connect.action.conn, reply(invite, 302, **contact(*contacts)))
        assert "302" in what(outs)
    else:
        assert ("302", ALICE) in call.answer("bob", 302, **contact(*contacts))
    assert not any(out.what == "Connect" and out.to == ("192.0.2.3", 5061) for out in rig.log)


def test_fields_of_a_contact() -> None:
    """RFC 3261 19.1.5: Call-ID, Route and a body in the URI of a Contact do not reach into the request."""
    call = fork(BOB_URI)
    poisoned = f"<{CAROL_URI}?Call-ID=other&Route=%3Csip:192.0.2.99%3Blr%3E&From=sip:x%40y&body=evil>"
    outs = call.answer("bob", 302, **contact(poisoned))
    assert outs[-1] == ("INVITE", CAROL)
    message = call.branches["carol"].message
    assert message.uri_text == CAROL_URI
    assert message.call_id == call.branches["bob"].message.call_id
    assert message.get("route") is None
    assert message.get("from") == call.branches["bob"].message.get("from")
    assert message.body == call.branches["bob"].message.body


def test_fields_hide_no_target() -> None:
    """16.5: the same URI with other fields is the same target, so a redirect to itself ends at once."""
    call = fork(BOB_URI)
    assert ("302", ALICE) in call.answer("bob", 302, **contact(f"<{BOB_URI}?Subject=again>"))
    assert len([out for out in call.rig.log if out.what == "INVITE"]) == 1


def following(accept: Any) -> Fork:
    async def route(request: Any) -> None:
        request.record_route()
        request.follow(accept)
        await request.relay(BOB_URI)

    return Fork(BOB_URI, rig=Rig(route))


def test_a_route_chooses() -> None:
    """Without proxy.recurse: only contacts that the route takes are tried, the others go back."""
    call = following(lambda uri: uri.host == "192.0.2.3")
    outs = call.answer("bob", 300, **contact(f"<{DAVE_URI}>", f"<{CAROL_URI}>;q=0.5"))
    assert outs[-1] == ("INVITE", CAROL)
    assert ("300", ALICE) in call.answer("carol", 486)
    assert call.last().values("contact") == [f"<{DAVE_URI}>"]


def test_a_route_that_fails_at_a_contact() -> None:
    """Its error is told, and the contact is not tried."""
    call = following(lambda uri: uri.nonsense)
    assert ("302", ALICE) in call.answer("bob", 302, **contact(f"<{CAROL_URI}>"))
    assert any(
        "nonsense" in str(event) or "nonsense" in repr(getattr(event, "error", ""))
        for event in call.rig.events
    )
