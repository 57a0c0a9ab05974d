"""Requests out of dialogs through a back-to-back user agent."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.b2bua import Policy
from sansip.errors import LocalProtocolError
from tests.b2bua.test_bridge import BOB, CAROL
from tests.ua.phones import Bench

TEXT = ("Content-Type", "text/plain")


def carrying(targets: Any = BOB, policy: Policy | None = None, **options: Any) -> Any:
    async def route(request: Any) -> None:
        answered = request.carry(targets, policy, **options)
        if answered is not None:
            await answered

    return route


def send(bench: Bench, method: str = "MESSAGE", *headers: tuple[str, str], body: bytes = b"hello") -> Any:
    return bench.alice.request(method, "sip:box@biloxi.test", [TEXT, *headers], body=body)


def test_a_message() -> None:
    """RFC 3428: the text passes, and its answer; nothing of this side's hops and dialogs does."""
    bench = Bench(carrying())
    sent = send(
        bench, "MESSAGE", ("Expires", "60"), ("Subject", "lunch"), ("X-Secret", "1"), ("User-Agent", "p")
    )
    got = bench.bob.expect("MESSAGE")
    assert (got.body, got.get("content-type"), got.get("expires")) == (b"hello", "text/plain", "60")
    assert (got.get("subject"), got.get("x-secret"), got.get("user-agent")) == ("lunch", None, None)
    assert (got.max_forwards, len(got.vias)) == (69, 1)
    assert got.call_id != sent.get("call-id")
    assert str(sent.get("from")).partition("tag=")[2] not in str(got)
    assert str(got.from_.uri) == "sip:alice@biloxi.test"
    bench.bob.reply(got, 202, None, [("Warning", '399 bob "queued"'), ("Server", "secret")])
    answer = bench.alice.expect("202")
    assert (answer.get("warning"), answer.get("server")) == ('399 bob "queued"', None)
    bench.network.run(70)
    assert bench.at_rest()


def test_a_publication() -> None:
    """RFC 3903 4: the entity-tag goes back to the phone, and comes again with the next PUBLISH."""
    bench = Bench(carrying())
    send(bench, "PUBLISH", ("Event", "presence"), ("Expires", "3600"), ("SIP-If-Match", "x1"))
    got = bench.bob.expect("PUBLISH")
    assert (got.get("event"), got.get("sip-if-match")) == ("presence", "x1")
    bench.bob.reply(got, 200, None, [("SIP-ETag", "x2"), ("Expires", "1800")])
    answer = bench.alice.expect("200")
    assert (answer.get("sip-etag"), answer.get("expires")) == ("x2", "1800")


@pytest.mark.parametrize(("status", "seen"), [(404, "404"), (407, "403"), (503, "500"), (603, "603")])
def test_failures(status: int, seen: str) -> None:
    """Failures pass as through a bridge."""
    bench = Bench(carrying())
    send(bench)
    bench.bob.reply(bench.bob.expect("MESSAGE"), status)
    bench.alice.expect(seen)


def test_the_next_target() -> None:
    """One after the other, for no text is to arrive twice; silence counts after ``within``."""
    bench = Bench(carrying([BOB, CAROL], within=3))
    send(bench)
    bench.bob.expect("MESSAGE")
    bench.carol.reply(bench.carol.expect("MESSAGE", within=4), 200)
    bench.alice.expect("200")


def test_loops() -> None:
    """No hops are left, or it comes back to us: here is no Via that would show it."""
    bench = Bench(carrying("sip:box@192.0.2.10"))
    send(bench)
    bench.alice.expect("500")
    send(bench, "MESSAGE", ("Max-Forwards", "0"))
    bench.alice.expect("483")


def test_what_cannot_be_carried() -> None:
    """A request that begins a dialog, or is in one, needs more: the author of the route is told so."""
    bench = Bench(carrying())
    bench.alice.request("NOTIFY", "sip:box@biloxi.test", [("Event", "presence")])
    with pytest.raises(LocalProtocolError, match="carry is for MESSAGE"):
        bench.network.run(1)


@pytest.mark.parametrize("method", ["SUBSCRIBE", "REFER"])
def test_subscriptions_are_not_carried(method: str) -> None:
    """RFC 6665 4.4.1, RFC 3515 2.4: NOTIFYs follow in its dialog, so the text says relay or refuse."""
    bench = Bench(carrying())
    headers = [("Event", "presence")] if method == "SUBSCRIBE" else [("Refer-To", "<sip:carol@biloxi.test>")]
    bench.alice.request(method, "sip:box@biloxi.test", headers)
    with pytest.raises(LocalProtocolError, match=rf"a {method} begins a dialog .* relay it, or refuse it"):
        bench.network.run(1)


def test_what_a_stranger_asserts() -> None:
    """RFC 3325 5"""
    bench = Bench(carrying(policy=Policy(passes=["P-*"])))
    send(bench, "MESSAGE", ("P-Asserted-Identity", "<sip:boss@biloxi.test>"))
    assert bench.bob.expect("MESSAGE").get("p-asserted-identity") is None
