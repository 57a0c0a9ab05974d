"""The default route: a registrar and proxy for its own domains that never relays for strangers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rig import ALICE, BOB, CAROL, HOST, Rig, only, reply, request, sent, what


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.register("sip:bob@192.0.2.2")
    return rig


def test_a_call(rig: Rig) -> None:
    """Found at the registrar, recorded, and the whole dialog through us in both directions."""
    invite = only(rig.udp(request(headers=[("Contact", "<sip:alice@192.0.2.1>")])), "INVITE")
    assert (invite.to, invite.message.uri_text) == (BOB, "sip:bob@192.0.2.2")
    route = invite.message.get("record-route") or ""
    assert sent(rig.udp(reply(invite, 180), BOB)) == [("180", ALICE)]
    contact = [("Contact", "<sip:bob@192.0.2.2>")]
    assert sent(rig.udp(reply(invite, 200, headers=contact), BOB)) == [("200", ALICE)]
    told = [("Route", rig.route())]
    ack = request("ACK", "sip:bob@192.0.2.2", branch="z9hG4bKack", to_tag="bob", headers=told)
    assert sent(rig.udp(ack)) == [("ACK", BOB)]
    # Bob hangs up.
    bye = request(
        "BYE",
        "sip:alice@192.0.2.1",
        source=BOB,
        branch="z9hG4bKbye",
        sender="<sip:bob@biloxi.test>",
        from_tag="bob",
        to="<sip:alice@biloxi.test>",
        to_tag="alice",
        headers=[("Route", route)],
    )
    out = only(rig.udp(bye, BOB), "BYE")
    assert out.to == ALICE
    assert sent(rig.udp(reply(out, 200), ALICE)) == [("200", BOB)]
    rig.wait(40)
    assert rig.stack.snapshot()["server_transactions"] == 0
    assert rig.stack.snapshot()["client_transactions"] == 0


def test_all_phones_of_an_address_ring(rig: Rig) -> None:
    """16.6: in parallel where q is equal."""
    rig.register("sip:bob@192.0.2.3", CAROL)
    assert sent(rig.udp(request()))[1:] == [("INVITE", BOB), ("INVITE", CAROL)]


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "OPTIONS", "SUBSCRIBE", "NEWMETHOD"])
def test_nobody_there(method: str) -> None:
    """16.5: a resource at this proxy that does not exist: 404."""
    assert what(Rig().udp(request(method))) == ["404"]


@pytest.mark.parametrize(
    "uri", ["sip:bob@other.test", "sip:bob@203.0.113.1", "sips:bob@other.test", "tel:+15551234"]
)
@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "OPTIONS", "REGISTER"])
def test_no_relay_for_strangers(rig: Rig, method: str, uri: str) -> None:
    """Requests for others' domains are not ours to forward, for whatever method."""
    assert what(rig.udp(request(method, uri))) == ["403"]


@pytest.mark.parametrize(
    "route", ["<sip:203.0.113.1;lr>", f"<sip:{HOST};lr>, <sip:203.0.113.1;lr>", "<sip:203.0.113.1>"]
)
def test_no_relay_by_a_preloaded_route(rig: Rig, route: str) -> None:
    """A Route that leads past the location service is not followed."""
    outs = rig.udp(request(headers=[("Route", route)]))
    assert {out.to for out in outs} <= {ALICE, BOB}


def test_no_relay_by_maddr(rig: Rig) -> None:
    """An maddr of others in our domain's address: the location service decides, not the sender."""
    outs = rig.udp(request(uri="sip:bob@biloxi.test;maddr=203.0.113.1"))
    assert {out.to for out in outs} <= {ALICE, BOB}


@pytest.mark.parametrize("method", ["BYE", "INVITE", "INFO", "NOTIFY"])
def test_a_dialog_that_we_know_nothing_of(rig: Rig, method: str) -> None:
    """12.2.2: 481."""
    assert what(rig.udp(request(method, to_tag="bob"))) == ["481"]


@pytest.mark.parametrize("to_tag", [None, "bob"])
def test_a_lonely_ack(rig: Rig, to_tag: str | None) -> None:
    """An ACK that belongs to nothing is dropped."""
    assert rig.udp(request("ACK", to_tag=to_tag)) == []


def test_a_lonely_cancel(rig: Rig) -> None:
    """16.10: forwarded without state, to where its INVITE would have gone; the answer finds its way back."""
    out = only(rig.udp(request("CANCEL")), "CANCEL")
    assert out.to == BOB
    assert sent(rig.udp(reply(out, 481), BOB)) == [("481", ALICE)]
    assert rig.stack.snapshot()["client_transactions"] == 0


@pytest.mark.parametrize(
    "uri", ["sip:nobody@biloxi.test", "sip:bob@other.test", "sip:biloxi.test", "tel:+15551234"]
)
def test_a_lonely_cancel_goes_nowhere_else(rig: Rig, uri: str) -> None:
    """9.2: 481. Where the INVITE could not have gone, no CANCEL of a stranger goes, either."""
    assert what(rig.udp(request("CANCEL", uri))) == ["481"]


def test_a_lonely_cancel_with_a_route_of_its_own(rig: Rig) -> None:
    """A pre-loaded Route leads no CANCEL past the location service."""
    data = request("CANCEL", headers=[("Route", "<sip:203.0.113.1;lr>")])
    assert only(rig.udp(data), "CANCEL").to == BOB
    assert what(rig.udp(request("CANCEL", to_tag="x", branch="z9hG4bKx"))) == ["481"]


def test_a_refresh_of_a_registration(rig: Rig) -> None:
    """10.3: it is the registrar's to answer, with all bindings."""
    headers = [("Contact", "<sip:bob@192.0.2.22>"), ("Expires", "60")]
    data = request(
        "REGISTER", "sip:biloxi.test", sender="<sip:bob@biloxi.test>", headers=headers, call_id="r2"
    )
    (out,) = rig.udp(data)
    assert out.what == "200"
    assert len(out.message.contacts) == 2


def test_a_registration_for_another_domain(rig: Rig) -> None:
    """10.3 step 5: not an address of the domain asked."""
    data = request(
        "REGISTER", "sip:biloxi.test", to="<sip:bob@other.test>", headers=[("Contact", "<sip:x@y.test>")]
    )
    assert what(rig.udp(data)) == ["404"]


@pytest.mark.parametrize("hops", [0])
def test_max_forwards(rig: Rig, hops: int) -> None:
    """16.3 step 3."""
    assert what(rig.udp(request(hops=hops))) == ["483"]


def test_within_a_dialog_only_for_its_own(rig: Rig) -> None:
    """A To tag alone opens no door."""

    def tries() -> list[dict[str, Any]]:
        return [
            {"uri": "sip:victim@203.0.113.1", "headers": [("Route", f"<sip:{HOST};lr>")]},
            {"uri": "sip:victim@203.0.113.1", "headers": [("Route", "<sip:203.0.113.1;lr>")]},
            {"uri": f"sip:{HOST};lr", "headers": [("Route", "<sip:victim@203.0.113.1>")]},
            {"uri": f"sip:{HOST};maddr=203.0.113.1"},
        ]

    for number, options in enumerate(tries()):
        uri = options.pop("uri")
        outs = rig.udp(request("MESSAGE", uri, to_tag="x", branch=f"z9hG4bKx{number}", **options))
        assert {out.to for out in outs} == {ALICE}
