"""The usual relay does what a response context with one branch does: the same octets at the same times.

Each play runs on three stacks of one seed. Two relay as they like, with and without the default route's
quick way; the third has to make a response context at once. Any difference in what they send, or when they
would wake, is a fault of the short way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.auth import AuthConfig
from sansip.proxy import ProxyConfig
from sansip.proxy.usual import Usual
from sansip.routing import TrustedPeer
from tests.proxy.sides import BUSY, CALLEE, CANCEL, INVITE, OTHER, RINGS, TAKES, TRIES, Side, compare

PLAYS: dict[str, list[tuple[Any, ...]]] = {
    "a call": [INVITE, TRIES, RINGS, TAKES, TAKES],
    # RFC 3261 16.11, 16.12: the ACK of a 2xx, and a request within the dialog
    "a whole call": [INVITE, RINGS, TAKES, ("within", "ACK", ""), ("within", "BYE", "")],
    "an ACK with an asserted identity": [
        *(INVITE, TAKES),
        ("within", "ACK", "P-Asserted-Identity: <sip:a@a.test>\nPrivacy: id\nMax-Breadth: x\n"),
    ],
    "two proxies on the way": [
        *(INVITE, TAKES),
        ("within", "ACK", "Route: <sip:192.0.2.2;lr>\n"),
        ("within", "INFO", "Route: <sip:192.0.2.2;lr>\n"),
    ],
    "answered without ringing": [INVITE, TAKES],
    # RFC 3261 16.7 step 5: each 2xx of a fork beyond the next hop goes back.
    "a fork beyond": [INVITE, RINGS, TAKES, ("response", "200 OK", "c", CALLEE, True)],
    # RFC 3261 17.2.1, 17.1.1.2
    "repeated": [INVITE, INVITE, ("wait", 0.6), RINGS, INVITE, TAKES, INVITE],
    # RFC 3261 16.7 steps 5 and 6
    "busy": [INVITE, RINGS, BUSY, BUSY, ("wait", 3.0)],
    "declined": [INVITE, ("response", "603 Decline", "b", CALLEE, True)],
    "moved": [INVITE, ("response", "302 Moved", "b", CALLEE, True)],
    # RFC 3261 9.1, 16.10
    "cancelled before it rings": [INVITE, CANCEL, RINGS, ("response", "487 Gone", "b", CALLEE, True)],
    "cancelled while it rings": [INVITE, RINGS, CANCEL, ("response", "487 Gone", "b", CALLEE, True)],
    "a CANCEL that crosses the 200": [INVITE, RINGS, TAKES, CANCEL],
    "a 200 that crosses the CANCEL": [INVITE, RINGS, CANCEL, TAKES],
    # RFC 3261 16.8: Timer C, and 17.1.1.2: Timer B
    "rings for ever": [INVITE, RINGS, ("wait", 100.0), RINGS, ("wait", 300.0)],
    "silent": [INVITE, ("wait", 40.0)],
    "silent after 100": [INVITE, TRIES, ("wait", 300.0)],
    "unreachable": [INVITE, ("failed",)],
    "unreachable while it rings": [INVITE, RINGS, ("failed",)],
    "without the caller's Via": [INVITE, ("response", "180 Ringing", "b", CALLEE, False), TAKES],
    "a 200 without the caller's Via": [INVITE, ("response", "200 OK", "b", CALLEE, False)],
    "from elsewhere": [INVITE, ("response", "180 Ringing", "b", OTHER, True), TAKES],
    "a message": [("request", "MESSAGE", ""), TAKES, TAKES],
    # RFC 4320 4.1, 4.2
    "a slow message": [("request", "MESSAGE", ""), ("wait", 10.0), TRIES, ("wait", 10.0), TAKES],
    "a message that is not answered": [("request", "MESSAGE", ""), ("wait", 40.0)],
    "a message that fails": [("request", "MESSAGE", ""), BUSY],
    "a message that rings": [("request", "MESSAGE", ""), RINGS, TAKES],
    "no hop left": [("request", "INVITE", "Max-Breadth: 0\n")],
    "one branch allowed": [("request", "INVITE", "Max-Breadth: 1\nTimestamp: 7\n"), RINGS, TAKES],
    "recorded before": [("request", "INVITE", "Record-Route: <sip:192.0.2.7;lr>\n"), RINGS, TAKES],
    "credentials": [("request", "INVITE", 'Authorization: Digest realm="x"\n'), RINGS, TAKES],
}


@pytest.mark.parametrize("name", PLAYS)
def test_the_usual_relay_does_what_a_response_context_does(name: str) -> None:
    """RFC 3261 16.6 to 16.10: one set of rules, whatever stands for the branch."""
    compare(PLAYS[name])


STEPS = st.one_of(
    st.sampled_from([INVITE, CANCEL, RINGS, TAKES, BUSY, TRIES, ("failed",)]),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.6, 4.0, 33.0, 100.0, 190.0])),
    st.tuples(
        st.just("response"),
        st.sampled_from(["100 Trying", "183 Progress", "200 OK", "408 Timeout", "503 Busy", "600 Busy"]),
        st.sampled_from(["b", "c", ""]),
        st.sampled_from([CALLEE, OTHER]),
        st.booleans(),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([INVITE, ("request", "MESSAGE", "")]), st.lists(STEPS, max_size=7))
def test_any_play_ends_alike(first: tuple[Any, ...], steps: list[tuple[Any, ...]]) -> None:
    """No order of responses, failures, CANCELs and silence tells the short way from the long one."""
    compare([first, *steps])


# Lines of responses that somebody might have to look at.
ODD = (
    'Contact: "B, C" <sip:bob@192.0.2.2>',
    "Contact: <sip:bob@10.0.0.1>",
    "Contact: <sip:bob@192.0.2.2:5060;transport=tcp>, <sip:bob@192.0.2.3>",
    "Contact: sip:bob@192.0.2.2;x=1",
    "m: <sip:bob@192.0.2.2>",
    "Server: phone",
    "Record-Route: <sip:192.0.2.7;lr>",
    "P-Asserted-Identity: <sip:boss@biloxi.test>\nPrivacy: id",
    'WWW-Authenticate: Digest realm="biloxi.test", nonce="1"',
    "Alert-Info: <http://x.test>",
    "Subject: x\n y",
    "Max-Forwards: x",
    "To: <sip:bob@biloxi.test>",
    "Content-Length: 7",
    "Timestamp: 5",
)


@pytest.mark.parametrize("more", [{}, {"auth": AuthConfig()}, {"trusted": [TrustedPeer("192.0.2.2", "x")]}])
@pytest.mark.parametrize("first", [INVITE, ("request", "MESSAGE", "")])
@pytest.mark.parametrize("odd", ODD)
def test_odd_lines_of_responses_are_seen_to(odd: str, first: Any, more: dict[str, Any]) -> None:
    """RFC 3325 5, RFC 3261 16.7: fields that the long way takes away, rewrites or refuses are so on both."""
    steps = [
        first,
        ("response", "180 Ringing", "b", CALLEE, True, odd),
        ("response", "200 OK", "b", CALLEE, True, odd),
        ("response", "200 OK", "c", CALLEE, True, odd),
    ]
    compare(steps, None, **more)


async def waits(request: Any) -> None:
    """A failure route: it decides on what became of the first target."""
    if request.method == "REGISTER":
        await request.register()
        return
    response = await request.relay(await request.locate())
    if response is not None and response.status == 486:
        request.reply(480, "Ask Later")


async def replies(request: Any) -> None:
    """It relays, and answers by itself all the same."""
    if request.method == "REGISTER":
        await request.register()
        return
    request.relay(await request.locate())
    request.reply(480)


@pytest.mark.parametrize("route", [waits, replies])
@pytest.mark.parametrize("steps", [[INVITE, RINGS, BUSY], [INVITE, RINGS, TAKES], [INVITE, CANCEL]])
def test_a_route_that_wants_more_gets_a_response_context(
    route: Callable[..., Any], steps: list[tuple[Any, ...]]
) -> None:
    """Awaiting the outcome, or a reply after a relay, is no usual relay, and works as ever."""
    compare(steps, route)


def test_a_call_makes_no_response_context() -> None:
    """One object carries an ordinary call until it is over: the purpose of this file."""
    side = Side()
    for step in PLAYS["a call"]:
        side.play(step)
        (client,) = side.stack.transactions.clients.values()
        assert isinstance(client.user, Usual)
    side.pass_time(40.0)
    assert side.stack.snapshot()["timers"] <= 1


# With these lines a request is as large as it may be: its copy is beyond the limits.
MANY = "".join(f"X{number}: a\n" for number in range(248))
LONG = "".join(f"X{number}: {'a' * 1_000}\n" for number in range(32)) + f"Y: {'b' * 110}\n"


@pytest.mark.parametrize("lines", [MANY, LONG])
@pytest.mark.parametrize(
    "end", [[RINGS, CANCEL], [BUSY], [("wait", 40.0)], [RINGS, ("wait", 300.0)], [TAKES]]
)
def test_a_request_at_the_limits_ends_as_any(end: list[tuple[Any, ...]], lines: str) -> None:
    """A CANCEL, or the ACK of a failure, is made of the copy: an exception left the stack.

    By UDP these go another way, but where no size is too large, and to phones at TCP, TLS and WebSocket.
    """
    compare([("request", "INVITE", lines), *end], proxy=ProxyConfig(tcp_above=0))
