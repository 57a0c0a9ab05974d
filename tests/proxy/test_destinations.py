"""One branch for each destination: many Contacts do not send many copies of a request to one address."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.proxy import ProxyConfig
from sansip.routing import TrustedPeer
from tests.rig import ALICE, BOB, BOB_URI, CAROL, DAVE, Out, Rig, only, relay_to, reply, request, sent, what


def called(rig: Rig, **options: Any) -> list[Any]:
    """Where an INVITE for bob goes."""
    outs = rig.udp(request(**options))
    return [out.to for out in outs if out.what == "INVITE"]


def registered(*uris: str, rig: Rig | None = None, **options: Any) -> Rig:
    """A rig at which bob has these Contacts, the last one newest."""
    rig = rig or Rig(**options)
    for uri in uris:
        rig.register(uri, CAROL)
        rig.wait(1.0)
    return rig


def test_many_contacts_at_one_address() -> None:
    """One INVITE to a user with 32 of them sent up to 224 datagrams there (each repeated for 32 s)."""
    uris = [f"sip:u{number}@192.0.2.2;x={number}" for number in range(10)]
    rig = registered(*uris)
    outs = rig.udp(request())
    assert sent(outs) == [("100", ALICE), ("INVITE", BOB)]
    # Of equals, the one refreshed last is the likeliest to be alive.
    assert outs[-1].message.uri_text == uris[-1]
    assert what(rig.wait(32.0)).count("INVITE") == 6
    rig.run_out(4_000)
    assert rig.empty


def test_phones_behind_one_nat() -> None:
    """A port is a phone."""
    rig = registered("sip:bob@192.0.2.2:5062", "sip:bob@192.0.2.2:5064", "sip:bob@192.0.2.3")
    assert sorted(called(rig)) == [("192.0.2.2", 5062), ("192.0.2.2", 5064), CAROL]


def test_other_ways_of_writing_it() -> None:
    """The default port, and where the packets of a phone came from, are the same place."""
    rig = registered("sip:a@192.0.2.2:5060", "sip:b@192.0.2.2", "sip:c@192.0.2.2;transport=udp")
    assert called(rig) == [BOB]


def test_the_other_transport_is_another_place() -> None:
    """The TCP listener at an address may be another server than the UDP one; there are few transports."""
    rig = registered("sip:bob@192.0.2.2", "sip:bob@192.0.2.2;transport=tcp")
    assert sorted(out.what for out in rig.udp(request())) == ["100", "Connect", "INVITE"]


def resolve(rig: Rig, answers: dict[str, list[Any]]) -> list[Out]:
    outs = []
    for ask in list(rig.asks):
        rig.asks.remove(ask)
        outs += rig.answer(answers[ask.question.host], ask)
    return outs


def test_names_that_lead_to_one_address() -> None:
    """The owner of a domain can make any number of names."""
    rig = registered(*(f"sip:bob@n{number}.elsewhere.example" for number in range(5)))
    assert what(rig.udp(request())) == ["100"]
    outs = resolve(rig, {f"n{number}.elsewhere.example": [BOB] for number in range(5)})
    assert sent(outs) == [("INVITE", BOB)]
    assert sent(rig.udp(reply(only(outs, "INVITE"), 486), BOB)) == [("ACK", BOB), ("486", ALICE)]
    rig.run_out(4_000)
    assert rig.empty


def test_a_name_with_an_address_of_its_own() -> None:
    """RFC 3263 4.3: the next address of a target is tried where the first is taken."""
    rig = registered("sip:bob@a.elsewhere.example", "sip:bob@b.elsewhere.example")
    rig.udp(request())
    both = {"a.elsewhere.example": [BOB, CAROL], "b.elsewhere.example": [BOB, DAVE]}
    outs = resolve(rig, both)
    assert sorted(out.to for out in outs) == [BOB, CAROL]


def test_one_after_the_other() -> None:
    """16.6: by q, it has been tried; the failure that there is goes back, and others are tried still."""
    rig = Rig()
    for uri, q in (("sip:a@192.0.2.2", "1.0"), ("sip:b@192.0.2.2", "0.5"), ("sip:c@192.0.2.4", "0.1")):
        rig.register(uri, CAROL, params=f";q={q}")
    first = only(rig.udp(request()), "INVITE")
    assert first.message.uri_text == "sip:a@192.0.2.2"
    second = rig.udp(reply(first, 486), BOB)
    assert sent(second) == [("ACK", BOB), ("INVITE", DAVE)]
    assert sent(rig.udp(reply(second[1], 480), DAVE)) == [("ACK", DAVE), ("486", ALICE)]


def test_each_request_anew() -> None:
    """It is a matter of one request: the next one goes there, and so does what a route tries again."""

    async def route(incoming: Any) -> None:
        targets = await incoming.locate()
        if await incoming.relay(targets) is not None:
            incoming.relay(targets)

    rig = Rig()
    registered("sip:a@192.0.2.2", "sip:b@192.0.2.2", rig=rig)
    rig.stack.route = route
    outs = rig.udp(request())
    again = rig.udp(reply(only(outs, "INVITE"), 486), BOB)
    assert sent(again) == [("ACK", BOB), ("INVITE", BOB)]


def test_the_targets_of_a_route() -> None:
    """An operator who calls two extensions of one exchange means both."""
    rig = Rig(relay_to("sip:11@192.0.2.2", "sip:12@192.0.2.2"))
    assert called(rig) == [BOB, BOB]


@pytest.mark.parametrize(
    "options",
    [
        {"trusted": [TrustedPeer("192.0.2.2")]},
        {"proxy": ProxyConfig(one_branch=False)},
    ],
)
def test_phones_behind_a_gateway(options: Any) -> None:
    """A gateway has one address for all its phones: it is trusted, or the setting says so."""
    assert called(registered("sip:a@192.0.2.2", "sip:b@192.0.2.2", **options)) == [BOB, BOB]


def test_phones_behind_an_edge() -> None:
    """RFC 3327: all requests for them go to one edge proxy, which has a flow to each."""
    rig = Rig(trusted=[TrustedPeer("192.0.2.2")])
    for uri, token in (("sip:a@198.51.100.1", "t1"), ("sip:b@198.51.100.1", "t2")):
        path = [("Path", f"<sip:{token}@192.0.2.2;lr>"), ("Supported", "path")]
        rig.register(uri, BOB, headers=path)
    assert called(rig) == [BOB, BOB]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_redirection_to_one_address(count: int) -> None:
    """A server that redirects may send us to a third party; once."""
    rig = Rig(relay_to(BOB_URI), proxy=ProxyConfig(recurse=True))
    invite = only(rig.udp(request()), "INVITE")
    contacts = ", ".join(f"<sip:x{number}@192.0.2.4>" for number in range(count))
    outs = rig.udp(reply(invite, 302, headers=[("Contact", contacts)]), BOB)
    assert sent(outs) == [("ACK", BOB), ("INVITE", DAVE)]
    assert sent(rig.udp(reply(outs[1], 486), DAVE))[-1][1] == ALICE
    rig.run_out()
    assert rig.empty


def test_another_flow_of_a_phone() -> None:
    """RFC 5626 7: a flow that took the place of a dead one is tried, beside all others."""
    rig = Rig()
    uris = ("sip:a@192.0.2.2", "sip:b@192.0.2.3", "sip:b@192.0.2.2")
    for uri, instance, reg_id in zip(uris, ("one", "two", "two"), (1, 1, 2), strict=True):
        params = f';+sip.instance="<urn:uuid:00000000-0000-0000-0000-{instance:0>12}>";reg-id={reg_id}'
        host = uri.partition("@")[2]
        rig.register(uri, (host, 5060), params=params, headers=[("Supported", "outbound")])
        rig.wait(1.0)
    outs = [out for out in rig.udp(request()) if out.what == "INVITE"]
    seen = {out.to for out in outs}
    for out in outs:
        seen |= {again.to for again in rig.udp(reply(out, 430), out.to) if again.what == "INVITE"}
    assert seen <= {BOB, CAROL}
    rig.run_out(4_000)
    assert rig.empty
