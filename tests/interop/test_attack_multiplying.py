"""Messages that cost the server more than their sender: long Routes, and requests that come back to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.siege import LOCAL, TRANSPORTS, Siege, request


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_route_of_many_values_that_name_us(tmp_path: Path, transport: str) -> None:
    """26 KB in one datagram, from a stranger, took 1.3 s; each of these takes about a millisecond."""
    with Siege(tmp_path) as siege, siege.watched() as watch, siege.line(transport) as stranger:
        port = siege.address("udp")[1]
        ours = f"<sip:{LOCAL}:{port};lr>"
        # Values in a line, lines, and the answer.
        for values, count, expected in ((600, 2, 400), (1, 240, 400), (90, 1, 404), (1, 90, 404)):
            lines = [f"Route: {', '.join([ours] * values)}"] * count
            for _ in range(5):
                stranger.send(request("INVITE", f"sip:bob@{siege.domain}", stranger, lines=lines))
                assert stranger.receive(15.0).startswith(b"SIP/2.0 %d " % expected)
    assert watch.spent < 1.0


# Each user has ten Contacts or more that name the server: the user's own, or those of other such users.
MULTIPLYING = """
async def route(request):
    if not request.validate():
        return
    user = getattr(request.uri, "user", None)
    here = f"{request.uri.host}:{request.uri.port}"
    if request.method != "INVITE" or user is None:
        request.answer_as_server()
    elif user == "self":
        request.relay([f"sip:self@{here};x={one}" for one in range(32)])
    else:
        request.relay([f"sip:{user}{one}@{here}" for one in range(10)])
"""


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("user", ["self", "u"])
def test_contacts_that_name_the_server(tmp_path: Path, user: str, transport: str) -> None:
    """One INVITE burnt a core for minutes and took 1 GB: now it ends, in a bounded number of branches."""
    route = tmp_path / "route.py"
    route.write_text(MULTIPLYING)
    with Siege(tmp_path, options=["--route", str(route)]) as siege, siege.watched() as watch:
        with siege.line(transport) as stranger:
            host, port = siege.address("udp")
            stranger.send(request("INVITE", f"sip:{user}@{host}:{port}", stranger))
            answers = [one.split(b" ")[1] for one in stranger.received(1.0)]
        assert answers[0] == b"100"
        assert answers[1] == b"482"
    assert watch.spent < 1.5
    assert watch.grown < 20_000_000


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_many_contacts_at_one_address(tmp_path: Path, transport: str) -> None:
    """One INVITE to a user with 32 of them at a third party sent it up to 224 datagrams."""
    with (
        Siege(tmp_path) as siege,
        siege.watched(),
        siege.line(transport) as user,
        siege.line("udp") as victim,
    ):
        aor = f"sip:bob@{siege.domain}"
        for number in range(10):
            contact = f"Contact: <sip:x{number}@{victim.sent_by};y={number}>"
            user.send(request("REGISTER", f"sip:{siege.domain}", user, to=f"<{aor}>", lines=[contact]))
            assert user.receive().startswith(b"SIP/2.0 200 ")
        user.send(request("INVITE", aor, user))
        # Sent again after 0.5 and 1.5 s (RFC 3261 17.1.1.2), and so on: seven in all. A phone that registered
        # over a connection is called over it, with any Contact.
        got = [one.split(b" ")[0] for one in victim.received(1.2)]
        own = [one.split(b" ")[0] for one in user.received()]
    assert got == ([b"INVITE"] * 3 if transport == "udp" else [])
    assert own.count(b"INVITE") == (0 if transport == "udp" else 1)
