"""Calls to numbers leave by gateways, by default and from a route. On a virtual clock."""

from __future__ import annotations

from typing import Any

from sansip.auth import AuthConfig
from sansip.module import Use
from sansip.modules.calls import Calls
from sansip.modules.lcr import Gateway, Lcr, LcrSettings
from sansip.routing import IncomingRequest, sleep
from sansip.testing import check_module
from tests.modules.lcr.farm import PLACES, Farm, call, gateway_of, table
from tests.rig import ALICE, BOB, BOB_URI, only, reply, request, what, within


def test_contract() -> None:
    """What every module promises."""
    check_module(Lcr, LcrSettings(), [Use(Calls)])
    check_module(Lcr, LcrSettings([Gateway("one", "sip:192.0.2.31")], takes="nothing"), [Use(Calls)])


def test_phones_first_and_strangers_never() -> None:
    """A number that is registered here rings here; who has proved nothing gets to no gateway."""
    rig = Farm(table("one,,0.01"))
    rig.register(BOB_URI, aor="sip:4930@biloxi.test")
    assert only(call(rig, "4930"), "INVITE").to == BOB
    auth = {"auth": AuthConfig()}
    rig = Farm(table("one,,0.01"), more=auth)
    outs = call(rig, sender="<sip:mallory@elsewhere.test>")
    assert "INVITE" not in what(outs)
    assert what(outs)[-1] in ("404", "480")
    rig = Farm(table("one,,0.01"), more=auth, strangers=True)
    assert gateway_of(only(call(rig, sender="<sip:mallory@elsewhere.test>"), "INVITE")) == "one"


def test_no_refer_out_of_dialogs() -> None:
    """RFC 3515: a gateway that is asked so calls another number than the one with the price."""
    rig = Farm(table("one,,0.01"))
    headers = [("Contact", "<sip:alice@192.0.2.1>"), ("Refer-To", "<sip:88213@192.0.2.31>")]
    outs = rig.udp(request("REFER", "sip:4930@biloxi.test", headers=headers))
    assert what(outs) == ["403"]
    outs = rig.udp(request("OPTIONS", "sip:4930@biloxi.test", branch="z9hG4bKo", call_id="o"))
    assert gateway_of(only(outs, "OPTIONS")) == "one"


def test_a_gateways_own_calls() -> None:
    """A request of a gateway for a number that is not here goes to no gateway: it would go round."""
    rig = Farm(table("one,49,0.01"))
    source = PLACES["two"]
    uri = "sip:4930@biloxi.test"
    outs = rig.udp(request(uri=uri, to=f"<{uri}>", source=source), source)
    assert "INVITE" not in what(outs)


def test_in_a_route() -> None:
    """A route sends by itself, and decides what a failure becomes."""

    async def route(request: IncomingRequest, lcr: Lcr) -> None:
        if request.validate() and not await lcr.send(request):
            request.reply(480, f"No Way To {lcr.number(request) or 'Nobody'}")

    rig = Farm(table("one,49,0.01"), route)
    invite = only(call(rig), "INVITE")
    outs = rig.udp(reply(invite, 503), invite.to)
    assert [out.message.reason for out in outs if out.to == ALICE] == ["No Way To 4930123456"]
    outs = call(rig, "bob", 1)
    assert [out.message.reason for out in outs if out.to == ALICE and out.what == "480"] == [
        "No Way To Nobody"
    ]


def test_variables_for_accounting() -> None:
    """The call says which gateway has it, and what it costs."""
    seen: list[Any] = []

    async def route(request: IncomingRequest, lcr: Lcr, calls: Calls) -> None:
        if request.validate():
            request.record_route()
            await lcr.send(request)
            seen.append(calls.of(request))

    head = "gateway,prefix,price,currency,setup,minimum,increment"
    rig = Farm(table("one,49,0.0125,USD,0.05,30,6", head=head), route)
    invite = only(call(rig), "INVITE")
    rig.udp(reply(invite, 200), invite.to)
    kept = {name: value for name, value in seen[0].variables.items() if name.startswith("lcr.")}
    assert kept == {
        "lcr.gateway": "one",
        "lcr.prefix": "49",
        "lcr.price": "0.0125",
        "lcr.currency": "USD",
        "lcr.setup": "0.05",
        "lcr.minimum": "30",
        "lcr.increment": "6",
    }


def test_sleeping_route() -> None:
    """A call that waited in a route while its caller gave up goes nowhere."""

    async def route(request: IncomingRequest, lcr: Lcr) -> None:
        if request.validate():
            await sleep(1.0)
            await lcr.send(request)

    rig = Farm(table("one,49,0.01"), route)
    uri = "sip:4930123456@biloxi.test"
    invite = request(uri=uri, to=f"<{uri}>", headers=[("Contact", "<sip:alice@192.0.2.1>")])
    rig.udp(invite)
    rig.udp(within(invite, "CANCEL"))
    assert not [out for out in rig.wait(3.0) if out.what == "INVITE"]
