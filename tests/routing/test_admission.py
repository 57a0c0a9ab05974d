"""The requests of strangers under way: of one source, for one callee, and in the table of transactions."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.auth import AuthConfig, compute_response, ha1
from sansip.events import LimitReached
from sansip.proxy import Target
from sansip.routing import TrustedPeer
from sansip.wire import parse_uri
from sansip.wire.headers.auth import parse_challenge
from tests.rig import (
    ALICE,
    BOB,
    BOB_URI,
    CAROL,
    CAROL_URI,
    HOST,
    Out,
    Rig,
    only,
    reply,
    request,
    what,
    within,
)

LOOPBACK = (ListenerConfig(0, "udp", "127.0.0.1", 5060), ListenerConfig(1, "udp", "::1", 5060))


async def to_bob(incoming: Any) -> None:
    incoming.relay(BOB_URI)


def ring(rig: Rig, count: int, *, source: Any = ALICE, since: int = 0, **options: Any) -> list[str]:
    """``count`` requests, each a transaction of its own; returns the last answer to each, "" for none."""
    answers = []
    method = options.pop("method", "INVITE")
    for number in range(since, since + count):
        mark = f"{source[0]}-{number}"
        data = request(method, source=source, branch=f"z9hG4bK{mark}", call_id=mark, **options)
        outs = [out.what for out in rig.udp(data, source) if out.to == source]
        answers.append(outs[-1] if outs else "")
    return answers


def limits_reached(rig: Rig) -> list[tuple[str, str]]:
    return [(event.name, event.source) for event in rig.events if isinstance(event, LimitReached)]


def answer(rig: Rig, invite: Out, status: int) -> None:
    rig.udp(reply(invite, status), BOB)


# --- of one source


def test_pending_per_source() -> None:
    """4,000 INVITEs a second to a silent phone filled the table: of one source so many wait, and no more."""
    rig = Rig(to_bob, limits={"pending_per_source": 5, "pending_per_callee": 0})
    assert ring(rig, 8) == ["100"] * 5 + ["503"] * 3
    assert limits_reached(rig) == [("pending_per_source", ALICE[0])]
    refused = rig.log[-1].message
    assert refused.has("retry-after")
    # Others are served; and what is refused is not kept (RFC 3261 8.2.7).
    assert ring(rig, 1, source=CAROL) == ["100"]
    assert rig.stack.snapshot()["server_transactions"] == 6


@pytest.mark.parametrize("status", [200, 486, 600])
def test_an_answer_makes_room(status: int) -> None:
    """Only what waits counts: a busy exchange that is answered is not hindered."""
    rig = Rig(to_bob, limits={"pending_per_source": 2})
    for number in range(10):
        assert ring(rig, 2, since=2 * number) == ["100", "100"]
        for invite in [out for out in rig.log if out.what == "INVITE"][-2:]:
            answer(rig, invite, status)


@pytest.mark.parametrize("how", ["timeout", "cancel", "reply", "error"])
def test_every_end_makes_room(how: str) -> None:
    """A request that ends in any way is counted no longer."""
    waiting = []

    async def route(incoming: Any) -> None:
        incoming.relay(BOB_URI)
        waiting.append(incoming)

    rig = Rig(route, limits={"pending_per_source": 1})
    data = request()
    invite = only(rig.udp(data), "INVITE")
    if how == "timeout":
        rig.wait(32.0)
    elif how == "cancel":
        rig.udp(reply(invite, 180), BOB)
        rig.udp(within(data, "CANCEL"))
        rig.udp(reply(invite, 487), BOB)
    elif how == "reply":
        waiting[0].reply(403)
    else:
        rig.failed(invite)
    assert ring(rig, 1) == ["100"]
    assert ring(rig, 1, since=1) == ["503"]
    rig.run_out()
    assert rig.empty
    assert not rig.stack.proxy.pending.sources
    assert not rig.stack.proxy.pending.callees


@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "OPTIONS"])
def test_other_methods(method: str) -> None:
    """A silent phone holds any request, for 32 seconds."""
    rig = Rig(to_bob, limits={"pending_per_source": 3})
    assert ring(rig, 5, method=method) == [""] * 3 + ["503"] * 2
    rig.wait(33.0)
    assert ring(rig, 1, since=9, method=method) == [""]


def test_neighbours_in_a_network() -> None:
    """RFC 4291 2.5.4: the owner of one IPv6 address has 2**64 of them."""
    rig = Rig(to_bob, limits={"pending_per_source": 2, "pending_per_callee": 0})
    hosts = ["2001:db8:0:7::1", "2001:db8:0:7::2", "2001:db8:0:7:ffff::", "2001:db8:0:8::1"]
    answers = []
    for number, host in enumerate(hosts):
        source = (host, 5060)
        data = request(source=source, branch=f"z9hG4bK{number}", call_id=f"{number}")
        answers += [out.what for out in rig.udp(data, source, listener=2) if out.to == source]
    assert answers == ["100", "100", "503", "100"]


def test_within_a_dialog() -> None:
    """Calls that ring do not hold up a call that is answered."""
    rig = Rig(limits={"pending_per_source": 1})
    rig.register(BOB_URI)
    data = request(headers=[("Contact", "<sip:alice@192.0.2.1>")])
    invite = only(rig.udp(data), "INVITE")
    rig.udp(reply(invite, 200, headers=[("Contact", f"<{BOB_URI}>")]), BOB)
    routes = [("Route", rig.route())]
    assert ring(rig, 2) == ["100", "503"]
    bye = request("BYE", BOB_URI, branch="z9hG4bKbye", to_tag="bob", cseq=2, headers=routes)
    assert what(rig.udp(bye)) == ["BYE"]


def test_a_tag_makes_no_dialog() -> None:
    """A route that relays too much is bounded, for any text in To."""
    rig = Rig(to_bob, limits={"pending_per_source": 2})
    assert ring(rig, 4, to_tag="x") == ["100", "100", "503", "503"]


# --- for one callee


def test_pending_per_callee() -> None:
    """From many forged sources: the phone is left alone, and so is the table."""
    rig = Rig(limits={"pending_per_callee": 4})
    rig.register(BOB_URI)
    rig.register(CAROL_URI, CAROL, "sip:carol@biloxi.test")
    strangers = [(f"198.51.100.{last}", 5060) for last in range(1, 8)]
    sender = "<sip:x@elsewhere.example>"
    answers = [ring(rig, 1, source=source, sender=sender)[0] for source in strangers]
    assert answers == ["100"] * 4 + ["480"] * 3
    assert limits_reached(rig) == [("pending_per_callee", "sip:bob@biloxi.test")]
    # The user is one, by any name; others are reached.
    assert ring(rig, 1, since=1, sender=sender, uri=f"sip:b%6Fb@{HOST}:5060;x") == ["480"]
    assert ring(rig, 1, since=2, sender=sender, uri="sip:carol@biloxi.test") == ["100"]
    rig.wait(33.0)
    assert ring(rig, 1, since=3, sender=sender) == ["100"]


def test_whom_we_know_still_gets_through() -> None:
    """Strangers who ring a phone all the time do not keep its friends from calling it."""
    rig = Rig(
        limits={"pending_per_callee": 1},
        trusted=[TrustedPeer("192.0.2.3", name="carrier")],
    )
    rig.register(BOB_URI)
    sender = "<sip:x@elsewhere.example>"
    assert ring(rig, 2, sender=sender) == ["100", "480"]
    assert ring(rig, 5, source=CAROL, sender=sender) == ["100"] * 5


def test_what_is_not_ours_has_no_callee() -> None:
    """A route that relays elsewhere has its own idea of the callee."""

    async def route(incoming: Any) -> None:
        incoming.relay()

    rig = Rig(route, limits={"pending_per_callee": 1})
    assert ring(rig, 3, uri=BOB_URI) == ["100"] * 3


# --- sources that the limits do not hold for


@pytest.mark.parametrize("source", [("127.0.0.1", 5070), ("127.8.9.1", 1), ("::1", 5070)])
def test_limit_loopback(source: Any) -> None:
    """Only a program of this machine has such an address: a load generator, a proxy before us."""
    limits = {"pending_per_source": 2, "pending_per_callee": 2, "source_rate": 4, "source_burst": 4}
    listener = int(":" in source[0])
    for counted in (False, True):
        rig = Rig(to_bob, listeners=LOOPBACK, limits={**limits, "limit_loopback": counted})
        answers = []
        for number in range(8):
            data = request(source=source, branch=f"z9hG4bK{number}", call_id=f"{number}")
            answers += [out.what for out in rig.udp(data, source, listener) if out.to == source] or ["-"]
        assert answers == (["100", "100", "503", "503", "-", "-", "-", "-"] if counted else ["100"] * 8)


def test_a_trusted_peer() -> None:
    """A carrier sends hundreds of calls a second from one address."""
    limits = {"pending_per_source": 2, "pending_per_callee": 0, "source_rate": 4, "source_burst": 4}
    rig = Rig(to_bob, limits=limits, trusted=[TrustedPeer("192.0.2.0/28")])
    assert ring(rig, 20) == ["100"] * 20
    assert ring(rig, 5, source=("192.0.2.99", 5060)) == ["100", "100", "503", "503", ""]
    assert limits_reached(rig)[-1] == ("source_rate", "192.0.2.99")


def test_the_server_itself() -> None:
    """A spiral comes from our own address, for any number of users."""

    async def route(incoming: Any) -> None:
        if incoming.uri.user == "alias":
            incoming.relay(Target(parse_uri("sip:bob@biloxi.test"), address=(HOST, 5060)))
        else:
            incoming.relay(BOB_URI)

    rig = Rig(route, limits={"pending_per_source": 4, "source_rate": 4, "source_burst": 4})
    for last in range(1, 9):
        source = (f"198.51.100.{last}", 5060)
        data = request(uri="sip:alias@biloxi.test", source=source, branch=f"z9hG4bK{last}", call_id=f"{last}")
        spiral = only(rig.udp(data, source), "INVITE")
        assert what(rig.udp(spiral.data, (HOST, 5060))) == ["100", "INVITE"]


# --- the reserve


def crowded(**options: Any) -> Rig:
    """A stack for whose strangers there is no room left."""
    limits = {
        "transactions": 20,
        "transactions_reserved": 50,
        "pending_per_callee": 0,
        "pending_per_source": 0,
    }
    rig = Rig(limits=limits, **options)
    rig.register(BOB_URI)
    rig.register(CAROL_URI, CAROL, "sip:carol@biloxi.test")
    rig.run_out(4_000)
    rig.register(BOB_URI)
    rig.wait(33.0)
    assert set(ring(rig, 5, sender="<sip:x@elsewhere.example>")) == {"100"}
    return rig


def test_transactions_reserved() -> None:
    """Strangers may fill so much of the table. What they ask then is answered, and forgotten at once."""
    rig = crowded()
    held = rig.stack.snapshot()
    sender = "<sip:x@elsewhere.example>"
    assert ring(rig, 3, since=10, sender=sender) == ["503"] * 3
    assert limits_reached(rig) == [("transactions_reserved", ALICE[0])]
    assert ring(rig, 3, since=20, sender=sender, uri="sip:nobody@biloxi.test") == ["404"] * 3
    assert ring(rig, 3, since=30, sender=sender, method="OPTIONS", uri="sip:biloxi.test") == ["200"] * 3
    assert rig.stack.snapshot() == held
    rig.run_out()
    assert ring(rig, 1, since=40, sender=sender, method="OPTIONS", uri="sip:biloxi.test") == ["200"]


def test_the_reserve_is_for_whom_we_know() -> None:
    """A trusted peer, and a call that stands, go on."""
    rig = crowded(trusted=[TrustedPeer("192.0.2.3")])
    invite = [out for out in rig.log if out.what == "INVITE"][-1]
    rig.udp(reply(invite, 200, headers=[("Contact", f"<{BOB_URI}>")]), BOB)
    routes = [("Route", rig.route())]
    mark = f"{ALICE[0]}-4"
    bye = request("BYE", BOB_URI, branch="z9hG4bKbye", to_tag="bob", cseq=2, call_id=mark, headers=routes)
    assert what(rig.udp(bye)) == ["BYE"]
    assert ring(rig, 2, source=CAROL, sender="<sip:x@elsewhere.example>") == ["100", "100"]


def test_our_users_get_in() -> None:
    """Honest registrations once got 503: a challenge keeps nothing, and its answer proves the user."""
    stored = {"MD5": ha1("alice", "biloxi.test", "wonderland", "MD5")}
    rig = Rig(
        limits={"transactions": 20, "transactions_reserved": 50, "pending_per_callee": 0},
        auth=AuthConfig(algorithms=("MD5",)),
        users=lambda lookup: stored if lookup.username == "alice" else None,
        wall_offset=1_700_000_000.0,
    )

    def as_alice(method: str, uri: str, mark: str, **options: Any) -> list[str]:
        """Send a request, answer the challenge, and return what became of both."""
        sender = "<sip:alice@biloxi.test>"
        options |= {"sender": sender, "to": sender if method == "REGISTER" else f"<{uri}>", "call_id": mark}
        (first,) = rig.udp(request(method, uri, branch=f"z9hG4bK{mark}1", **options))
        name, field = ("www-authenticate", "Authorization")
        if method != "REGISTER":
            name, field = ("proxy-authenticate", "Proxy-Authorization")
        asked = parse_challenge(first.message.get(name), "test", "")
        proof = compute_response(
            stored["MD5"], method, uri, asked.nonce or "", qop="auth", nc="00000001", cnonce="c"
        )
        value = (
            f'Digest username="alice", realm="biloxi.test", nonce="{asked.nonce}", uri="{uri}",'
            f' response="{proof}", qop=auth, nc=00000001, cnonce="c"'
        )
        options["headers"] = [*options.get("headers", ()), (field, value)]
        return [first.what, *what(rig.udp(request(method, uri, branch=f"z9hG4bK{mark}2", cseq=2, **options)))]

    contact = [("Contact", "<sip:alice@192.0.2.1>"), ("Expires", "600")]
    assert as_alice("REGISTER", "sip:biloxi.test", "r1", headers=contact) == ["401", "200"]
    rig.wait(33.0)
    stranger = {"sender": "<sip:x@elsewhere.example>", "uri": "sip:alice@biloxi.test", "source": CAROL}
    assert ring(rig, 7, **stranger) == ["100"] * 5 + ["503"] * 2
    assert as_alice("REGISTER", "sip:biloxi.test", "r2", headers=contact) == ["401", "200"]
    assert as_alice("INVITE", "sip:alice@biloxi.test", "i1") == ["407", "100", "INVITE"]
    assert ring(rig, 1, since=90, **stranger) == ["503"]
