"""Spirals that multiply: one received request has a bounded number of branches in all its generations here.

Theory of operation: the routes of these tests send requests back to the server's own
address, as Contacts do that name it. ``play`` is the network between the server and
itself.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from sansip import LocalProtocolError
from sansip.events import LimitReached
from sansip.proxy import ProxyConfig, Target
from sansip.wire import parse_uri
from tests.rig import ALICE, BOB, BOB_URI, CAROL, HOST, Out, Rig, request, sent, what

US = (HOST, 5060)


def play(rig: Rig, outs: list[Out], most: int = 3_000) -> int:
    """Carry what the server sends to itself; return how many requests there were."""
    waiting = deque(outs)
    count = 0
    while waiting and count < most:
        out = waiting.popleft()
        if out.to == US:
            count += out.what == "INVITE"
            waiting += rig.udp(out.data, US)
    return count


def limits_reached(rig: Rig) -> list[str]:
    return [event.name for event in rig.events if isinstance(event, LimitReached)]


def contacts(user: str, count: int = 10) -> list[str]:
    return [f"sip:{user}@{HOST};x={number}" for number in range(count)]


async def to_itself(incoming: Any) -> None:
    if incoming.validate():
        incoming.relay(contacts("bob"))


def test_contacts_that_name_the_user_himself() -> None:
    """RFC 5393 4.2.1: what is looked up is the address-of-record, so parameters make no spiral of a loop."""
    rig = Rig(to_itself)
    assert play(rig, rig.udp(request())) == 10
    assert what(rig.log).count("482") == 10 + 1
    assert sent(rig.log)[-1] == ("482", ALICE)


@pytest.mark.parametrize(
    "uri",
    [
        f"sip:bob@{HOST}:5060",
        f"sip:b%6Fb@{HOST};y",
        "sip:bob@BILOXI.test;transport=udp",
        f"sip:bob@biloxi.test;maddr={HOST}",
    ],
)
def test_other_spellings_of_the_user(uri: str) -> None:
    """RFC 3261 10.3 step 5: an alias, a port, an escape or a parameter name the same user."""

    async def route(incoming: Any) -> None:
        if incoming.validate():
            incoming.relay(Target(parse_uri(uri), address=US))

    rig = Rig(route)
    assert play(rig, rig.udp(request())) == 1
    assert sent(rig.log)[-1] == ("482", ALICE)


def test_a_gruu_is_somebody_else() -> None:
    """RFC 5627 6.1: a user's GRUU leads to one of his devices, his address to all: no loop."""

    async def route(incoming: Any) -> None:
        if incoming.validate():
            gruu = "gr" in incoming.uri.params
            incoming.relay(BOB_URI if gruu else Target(parse_uri("sip:bob@biloxi.test;gr=x"), address=US))

    rig = Rig(route)
    assert play(rig, rig.udp(request())) == 1
    assert sent(rig.log)[-1] == ("INVITE", BOB)


async def from_user_to_user(incoming: Any) -> None:
    """Each of many users has Contacts that name others: no request ever comes back to where it was."""
    if incoming.validate():
        number = int(incoming.uri.user[1:])
        incoming.relay([f"sip:u{10 * number + one}@{HOST}" for one in range(10)])


def test_users_that_point_at_each_other() -> None:
    """32 Contacts each burnt a core for minutes: ten, in seven generations, would be ten million."""
    rig = Rig(from_user_to_user, limits={"branches_in_all": 40})
    assert play(rig, rig.udp(request(uri=f"sip:u1@{HOST}"))) == 40
    assert set(limits_reached(rig)) == {"branches_in_all"}
    rig.run_out()
    assert ("482", ALICE) in sent(rig.log)
    assert rig.empty


def test_one_after_the_other() -> None:
    """Max-Breadth counts the branches at the same time (RFC 5393 5.3): serial forks count, too."""

    async def route(incoming: Any) -> None:
        if incoming.validate():
            number = int(incoming.uri.user[1:])
            uris = [f"sip:u{10 * number + one}@{HOST}" for one in range(10)]
            incoming.relay([Target(parse_uri(uri), 1000 - at) for at, uri in enumerate(uris)])

    rig = Rig(route, limits={"branches_in_all": 40}, proxy=ProxyConfig(tcp_above=0))
    assert play(rig, rig.udp(request(uri=f"sip:u1@{HOST}", hops=20))) == 40
    assert sent(rig.log)[-1][1] == ALICE


def test_by_way_of_another_proxy() -> None:
    """The branch is found in any Via of ours, wherever it stands."""
    rig = Rig(from_user_to_user, limits={"branches_in_all": 15})
    outs = [out for out in rig.udp(request(uri=f"sip:u1@{HOST}")) if out.what == "INVITE"]
    assert len(outs) == 10
    via = b"\r\nVia: SIP/2.0/UDP 192.0.2.3;branch=z9hG4bKc%d\r\nVia: "
    seen = []
    for number, out in enumerate(outs[:2]):
        seen += what(rig.udp(out.data.replace(b"\r\nVia: ", via % number, 1), CAROL))
    assert seen.count("INVITE") == 5
    assert seen[-1] == "482"


def test_a_request_of_its_own_has_a_budget_of_its_own() -> None:
    """A branch that is unknown, or never was, is no reason to refuse a request."""
    rig = Rig(from_user_to_user, limits={"branches_in_all": 10})
    rig.udp(request(uri=f"sip:u1@{HOST}"))
    for number, via in enumerate((f"SIP/2.0/UDP {HOST}:5060;branch=z9hG4bKno", "SIP/2.0/UDP 192.0.2.9")):
        data = request(uri=f"sip:u1@{HOST}", branch=f"z9hG4bKn{number}", headers=[("Via", via)], call_id="n")
        assert what(rig.udp(data)).count("INVITE") == 10


def test_a_route_that_goes_on() -> None:
    """With nothing left a relay fails like any other, so the route comes to an end without an error."""
    errors = []

    async def route(incoming: Any) -> None:
        if not incoming.validate():
            return
        for _ in range(5):
            try:
                await incoming.relay("sip:bob@192.0.2.2")
            except LocalProtocolError as error:
                errors.append(str(error))
                raise

    rig = Rig(route, limits={"branches_in_all": 2})
    outs = rig.udp(request())
    for _ in range(2):
        invite = next(out for out in outs if out.what == "INVITE")
        outs = rig.udp(
            b"SIP/2.0 486 Busy Here\r\n" + invite.data.partition(b"\r\n")[2].replace(b"Contact", b"X"), BOB
        )
    assert sent(outs)[-1] == ("482", ALICE)
    assert errors == []
    assert limits_reached(rig) == ["branches_in_all"]


def test_a_place_that_was_given_up() -> None:
    """RFC 3263 4.3: a later answer from there is still a branch of the same request."""

    async def route(incoming: Any) -> None:
        incoming.relay("sip:bob@phone.test" if incoming.message.uri.user == "bob" else contacts("carol"))

    rig = Rig(route, limits={"branches_in_all": 4})
    rig.udp(request())
    [slow] = [out for out in rig.answer([BOB, CAROL]) if out.what == "INVITE"]
    assert sent(rig.wait(3))[-1] == ("INVITE", CAROL)
    again = slow.data.replace(b"INVITE sip:bob@phone.test", f"INVITE sip:carol@{HOST}".encode(), 1)
    via = b"\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKb\r\nVia: "
    assert what(rig.udp(again.replace(b"\r\nVia: ", via, 1), BOB)).count("INVITE") == 3
