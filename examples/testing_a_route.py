"""Test a routing script with the real engine, phones, and time that jumps.

Run it with ``pytest examples/testing_a_route.py``. The route below is a hunt
group: it rings the desk, and the mobile when the desk did not answer in 20 s.
"""

from __future__ import annotations

import pytest

from sansip import ListenerConfig, StackConfig
from sansip.routing import IncomingRequest
from sansip.testing import Endpoint, Network


async def route(request: IncomingRequest) -> None:
    """Register phones; calls for ``sales`` go to the desk, then to the mobile."""
    if request.method == "REGISTER":
        await request.register()
    elif request.method in ("ACK", "BYE") or request.in_dialog:
        request.relay()
    elif getattr(request.uri, "user", None) == "sales":
        request.record_route()
        outcome = await request.relay("sip:sales@192.0.2.21")
        if outcome is not None and outcome.status in (408, 480, 486):
            await request.relay("sip:sales@192.0.2.22")
    else:
        request.reply(404)


@pytest.fixture
def phones() -> tuple[Endpoint, Endpoint, Endpoint]:
    """A caller, the desk and the mobile, on a network with one server that runs ``route``."""
    network = Network()
    listeners = [ListenerConfig(0, "udp", "192.0.2.1", 5060)]
    network.server(StackConfig(listeners, ["example.com"], route=route))
    return (
        network.endpoint("caller", "192.0.2.11"),
        network.endpoint("desk", "192.0.2.21"),
        network.endpoint("mobile", "192.0.2.22"),
    )


def test_the_desk_answers(phones: tuple[Endpoint, Endpoint, Endpoint]) -> None:
    """The mobile does not ring when the desk answers."""
    caller, desk, mobile = phones
    caller.request("INVITE", "sip:sales@example.com")
    invite = desk.expect("INVITE")
    desk.reply(invite, 200)
    caller.expect("200")
    caller.request("ACK")
    desk.expect("ACK")
    mobile.expect_nothing(60)


def test_the_desk_is_busy(phones: tuple[Endpoint, Endpoint, Endpoint]) -> None:
    """Busy at the desk: the mobile rings, and the caller does not get the 486."""
    caller, desk, mobile = phones
    caller.request("INVITE", "sip:sales@example.com")
    desk.reply(desk.expect("INVITE"), 486)
    desk.expect("ACK")
    mobile.reply(mobile.expect("INVITE"), 200)
    caller.expect("200")


def test_the_desk_is_dead(phones: tuple[Endpoint, Endpoint, Endpoint]) -> None:
    """A silent desk phone costs 32 virtual seconds, and no real ones."""
    caller, desk, mobile = phones
    caller.request("INVITE", "sip:sales@example.com")
    desk.expect("INVITE")
    invite = mobile.expect("INVITE", within=33)
    mobile.reply(invite, 200)
    caller.expect("200")


def test_a_lossy_network(phones: tuple[Endpoint, Endpoint, Endpoint]) -> None:
    """Half of all datagrams are lost: retransmissions carry the call through."""
    caller, desk, _ = phones
    network = caller.network
    network.set_links(loss=0.5, latency=0.02, jitter=0.05)
    desk.on_request = lambda request: desk.reply(request, 200) if request.method == "INVITE" else None
    invite = caller.request("INVITE", "sip:sales@example.com")
    for _ in range(12):
        # A real phone does this itself: it repeats its INVITE until a response comes.
        if caller.inbox:
            break
        network.run(0.5)
        caller.send(invite)
    assert caller.expect("100|200", within=10)
