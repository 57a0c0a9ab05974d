"""Flows of others: no user draws a call away from another, and no token relays for a stranger."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.line import Line
from tests.interop.phone import Message, Phone
from tests.interop.siege import LOCAL, TRANSPORTS, Siege, request
from tools import peers

# Where attackers and victims are, and phones that changed networks.
ELSEWHERE = "127.0.0.66"
# An edge proxy for phones, and the default route for requests to the server itself.
EDGE = """
from sansip.routing.default import route as otherwise

async def route(request):
    if request.over_flow:
        request.record_route()
        request.relay()
    elif request.method == "REGISTER":
        request.add_path()
        request.relay("sip:{host}:{port}")
    else:
        await otherwise(request)
"""


def private(phone: Phone, user: str) -> None:
    """Have ``phone`` name itself by an address behind a NAT, as it stands in millions of homes."""
    phone.sent_by = "10.0.0.9:5060"
    phone.contact = f"<sip:{user}@10.0.0.9:5060>"


def test_a_call_is_not_drawn_away(tmp_path: Path) -> None:
    """Issue 4: mallory registers from the address that bob's NAT has (a made-up source, or the same port
    used again), and then from his own. Requests of alice's call with bob go to bob."""
    with Siege(tmp_path) as siege:
        server = siege.address("udp")
        with (
            siege.watched(),
            Phone("bob", siege.domain, "udp", server) as bob,
            Phone("alice", siege.domain, "udp", server) as alice,
            Phone("mallory", siege.domain, "udp", server, source=(ELSEWHERE, 0)) as mallory,
        ):
            private(bob, "bob")
            private(mallory, "mallory")
            bob.register()
            alice.invite(bob.aor)
            bob.answer(bob.expect("INVITE"), "200 OK")
            alice.established(alice.expect("200"))
            bob.expect("ACK")
            # From bob's own socket, for that is what an address of a NAT is.
            own, mallory._line = mallory._line, bob._line
            mallory.register()
            mallory._line = own
            mallory.register()
            for _ in range(3):
                alice.within("INFO")
                bob.answer(bob.expect("INFO"), "200 OK")
                alice.expect("200")
            alice.within("BYE")
            bob.answer(bob.expect("BYE"), "200 OK")
            alice.expect("200")
            # It is registered, so it is asked whether it lives; and nothing else.
            assert all(data.startswith(b"OPTIONS ") for data in own.received())


def edge(directory: Path) -> tuple[Siege, Line]:
    """An edge proxy, and the line of its registrar, which the test plays."""
    port = peers.free_port()
    route = directory / "edge.py"
    route.write_text(EDGE.format(host=LOCAL, port=port))
    config = f'[[trusted]]\naddress = "{LOCAL}"\n'
    siege = Siege(directory, options=["--route", str(route)], config=config)
    return siege, Line("udp", siege.address("udp"), name="registrar", source=(LOCAL, port))


def registered(registrar: Line, phone: Phone) -> str:
    """Register ``phone`` through the edge; return the Path that the registrar was told."""
    phone.send_register()
    seen = Message(registrar.receive().decode())
    names = ("via", "to", "from", "call-id", "cseq")
    copied = [f"{name}: {value}" for name, value in seen.fields if name in names]
    lines = ["SIP/2.0 200 OK", *copied, f"Contact: {phone.contact};expires=600", "Content-Length: 0", "", ""]
    registrar.send("\r\n".join(lines).encode())
    phone.expect("200")
    return seen.get("path")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_token_of_a_path_is_no_open_relay(tmp_path: Path, transport: str) -> None:
    """Issue 22: a stranger has the token of a phone's flow, which lives, and one of a flow that is gone.
    With neither he reaches the phone, nor the host that he puts into the Request-URI; the registrar does."""
    siege, registrar = edge(tmp_path)
    with (
        siege,
        registrar,
        Line("udp", siege.address("udp"), name="victim", source=(ELSEWHERE, 0)) as victim,
        siege.watched() as watch,
        Phone("bob", siege.domain, "tcp", siege.address("tcp")) as bob,
    ):
        with Phone("carol", siege.domain, "tcp", siege.address("tcp")) as carol:
            paths = [registered(registrar, phone) for phone in (bob, carol)]
        uri = f"sip:x@{victim.sent_by}"
        with siege.line(transport, source=(ELSEWHERE, 0)) as stranger:
            for path in paths:
                lines = [f"Route: {path}", "P-Asserted-Identity: <sip:boss@siege.test>"]
                for method in ("INVITE", "MESSAGE", "BYE", "OPTIONS"):
                    for to in ("<sip:x@y.test>", "<sip:x@y.test>;tag=1"):
                        stranger.send(request(method, uri, stranger, to=to, lines=lines))
                        assert stranger.receive().startswith(b"SIP/2.0 403 ")
            assert stranger.received() == []
        assert bob._line.received() == []
        registrar.send(request("MESSAGE", uri, registrar, lines=[f"Route: {paths[0]}"]))
        bob.answer(bob.expect("MESSAGE"), "200 OK")
        assert registrar.receive().startswith(b"SIP/2.0 200 ")
        registrar.send(request("MESSAGE", uri, registrar, lines=[f"Route: {paths[1]}"]))
        assert registrar.receive().startswith(b"SIP/2.0 430 ")
        assert victim.received() == []
    assert watch.spent < 1.0


@pytest.mark.parametrize("transport", ["tcp", "ws"])
def test_a_call_outlives_its_connection(tmp_path: Path, transport: str) -> None:
    """Issue 20: bob's phone changes from WLAN to LTE in a call, and both sides go on; before it has
    registered again the answer is 430, at once."""
    with (
        Siege(tmp_path) as siege,
        siege.watched(),
        Phone("alice", siege.domain, "udp", siege.address("udp")) as alice,
    ):
        server = siege.address(transport)
        with Phone("bob", siege.domain, transport, server) as bob:
            bob.contact = f"<sip:bob@b3.invalid;transport={transport}>"
            bob.register()
            alice.invite(bob.aor)
            bob.answer(bob.expect("INVITE"), "200 OK")
            alice.established(alice.expect("200"))
            bob.expect("ACK")
        alice.within("INFO")
        alice.expect("430")
        with Phone("bob", siege.domain, transport, server, source=(ELSEWHERE, 0)) as moved:
            # The same phone, and the same call.
            line = moved._line
            moved.__dict__.update(bob.__dict__, _line=line)
            moved.register()
            alice.within("INFO")
            moved.answer(moved.expect("INFO"), "200 OK")
            alice.expect("200")
            moved.within("BYE")
            alice.answer(alice.expect("BYE"), "200 OK")
            moved.expect("200")


@pytest.mark.parametrize("transport", ["tcp", "ws"])
def test_a_phone_that_dies_while_it_rings(tmp_path: Path, transport: str) -> None:
    """Issue 20: the caller hears 480 at once, and not in three minutes (Timer C)."""
    with (
        Siege(tmp_path) as siege,
        siege.watched(),
        Phone("alice", siege.domain, "udp", siege.address("udp")) as alice,
    ):
        with Phone("bob", siege.domain, transport, siege.address(transport)) as bob:
            bob.register()
            alice.invite(bob.aor)
            bob.answer(bob.expect("INVITE"), "180 Ringing")
            alice.expect("180")
        alice.expect("480")
