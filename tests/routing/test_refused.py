"""RFC 3261 8.2.7: a sender that has proved nothing gets one refusal for each copy, and nothing is kept of it.

Why it matters: an INVITE costs its sender one datagram, with anybody's address on it. A
failure that is sent again until somebody acknowledges it sends eleven to that address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.routing import TrustedPeer, ask
from tests.rig import ALICE, BOB, BOB_URI, Rig, ack, only, relay_to, reply, request, sent, times, what, within


def malformed(request: Any) -> None:
    _ = request.message.typed("route")


async def denied_later(request: Any) -> None:
    await ask("may they")
    request.reply(403)


async def undecided(request: Any) -> None:
    await ask("may they")


def raises(request: Any) -> None:
    raise ValueError("a route with a mistake")


def draining() -> Rig:
    rig = Rig()
    rig.stack.drain(rig.now)
    return rig


def not_secure(request: Any) -> None:
    request.relay(BOB_URI)


# Refused requests, the part that refuses, and the status.
REFUSED: dict[str, tuple[Callable[[], Rig], bytes, str]] = {
    "what cannot be read": (Rig, request().replace(b"CSeq: 1", b"CSeq: x"), "400"),
    "one more than there is room for": (lambda: Rig(limits={"transactions": 0}), request(), "503"),
    "a new one while draining": (draining, request(), "503"),
    "a forged flow token": (Rig, request(headers=[("Route", "<sip:f-AAAA@192.0.2.10;lr>")]), "403"),
    "a malformed Route": (Rig, request(headers=[("Route", "<sip:192.0.2.10;lr>, <<")]), "400"),
    "a scheme": (Rig, request(uri="foo:bar"), "416"),
    "no hops": (Rig, request(hops=0), "483"),
    "an extension": (Rig, request(headers=[("Proxy-Require", "x")]), "420"),
    "no such dialog": (Rig, request(to_tag="x"), "481"),
    "relaying": (Rig, request(uri="sip:x@other.test"), "403"),
    "nobody of that name": (Rig, request(), "404"),
    "no user": (Rig, request(uri="sip:biloxi.test"), "484"),
    "no password": (lambda: Rig(auth=AuthConfig()), request(), "407"),
    "by a route": (lambda: Rig(lambda one: one.reply(403)), request(), "403"),
    "by a route that asked first": (lambda: Rig(denied_later), request(), "403"),
    "by no decision of a route": (lambda: Rig(undecided), request(), "500"),
    "by a mistake of a route": (lambda: Rig(raises), request(), "500"),
    "by what a route read": (lambda: Rig(malformed), request(headers=[("Route", "<")]), "400"),
    "for want of a secure target": (lambda: Rig(not_secure), request(uri="sips:bob@biloxi.test"), "480"),
}  # fmt: skip


def refusal(rig: Rig, data: bytes) -> Any:
    outs = rig.udp(data)
    if rig.asks:
        outs += rig.answer(False)
    (out,) = outs
    return out


@pytest.mark.parametrize("name", REFUSED)
def test_refused_once(name: str) -> None:
    """One answer for each copy, with one To tag; no state, no repetition; the ACK ends here."""
    make, data, status = REFUSED[name]
    rig = make()
    first = refusal(rig, data)
    # RFC 3261 8.2.7: a stateless UAS sends no provisional responses and repeats nothing.
    assert (first.what, first.to) == (status, ALICE)
    held = rig.stack.snapshot()
    assert held["server_transactions"] == 0
    assert rig.wait(40) == []
    # RFC 3261 8.2.7: the same To tag for the same request.
    again = refusal(rig, data)
    assert (again.what, again.message.to_tag) == (status, first.message.to_tag)
    assert first.message.to_tag
    if b"CSeq: x" not in data:
        events = len(rig.events)
        assert rig.udp(ack(data, first)) == []
        assert len(rig.events) == events
    rig.run_out()
    assert rig.empty


def test_the_ack_never_reaches_a_route() -> None:
    """17.1.1.3: it is hop by hop; a route that relays everything would send it to the callee."""
    rig = Rig(relay_to(BOB_URI))
    data = request(hops=0)
    (out,) = rig.udp(data)
    assert rig.udp(ack(data, out)) == []
    # No one can forge such a tag: this ACK is one for a 2xx.
    forged = within(data, "ACK", to="<sip:bob@biloxi.test>;tag=r-0000000000000000", hops=70)
    assert what(rig.udp(forged)) == ["ACK"]


def test_what_was_proved_is_kept() -> None:
    """17.2.1: peers that are trusted by their address get what a transaction sends, until their ACK."""
    rig = Rig(trusted=[TrustedPeer(ALICE[0])])
    data = request()
    out = only(rig.udp(data), "404")
    assert times(rig.wait(4), rig.start, "404") == [0.5, 1.5, 3.5]
    assert rig.udp(ack(data, out)) == []
    assert rig.wait(40) == []


def test_who_was_told_to_wait_is_told_the_end_until_it_acknowledges() -> None:
    """17.1.1.2: after a 100 the caller does not repeat its INVITE, so one lost answer would be the end."""
    rig = Rig(denied_later)
    data = request()
    rig.udp(data)
    assert what(rig.wait(0.3)) == ["100"]
    out = only(rig.answer(False), "403")
    assert what(rig.wait(1)) == ["403"]
    assert rig.udp(ack(data, out)) == []
    assert rig.wait(40) == []


def test_refuse_after_a_100_is_repeated_too() -> None:
    """The same for ``request.refuse``: nothing is kept only where nothing was sent."""

    async def route(incoming: Any) -> None:
        await ask("may they")
        incoming.refuse(403)

    rig = Rig(route)
    rig.udp(request())
    rig.wait(0.3)
    rig.answer(False)
    assert what(rig.wait(1)) == ["403"]


def test_a_redirection_keeps_its_transaction() -> None:
    """8.3: a redirect server is stateful for the whole of a transaction, a CANCEL included."""
    rig = Rig(lambda incoming: incoming.redirect(["sip:bob@elsewhere.test"]))
    data = request()
    assert what(rig.udp(data)) == ["302"]
    assert sent(rig.udp(within(data, "CANCEL"))) == [("200", ALICE)]


def test_an_options_of_a_stranger_keeps_nothing() -> None:
    """A flood of them must not fill the table; a retransmission is answered anew."""
    rig = Rig()
    for _ in range(2):
        (out,) = rig.udp(request("OPTIONS", "sip:biloxi.test"))
        assert out.what == "200"
    assert rig.stack.snapshot()["server_transactions"] == 0
    assert len({one.message.to_tag for one in rig.log}) == 1


def test_a_relayed_failure_is_repeated() -> None:
    """16.7, 17.2.1: what the callee said must reach the caller."""
    rig = Rig(relay_to(BOB_URI))
    branch = only(rig.udp(request()), "INVITE")
    rig.udp(reply(branch, 486), BOB)
    assert times(rig.wait(4), rig.start, "486") == [0.5, 1.5, 3.5]
