"""Peers that we called are attackers, too: whatever they answer, everybody else's calls go on.

Theory of operation: a request of each kind that the server sends (a relayed INVITE or
MESSAGE, a registration elsewhere, a keepalive) is answered by somebody who means ill, over
UDP or a connection, while another call stands open. Each answer is taken in little time, what
is kept of it is bounded and goes, the caller of the hostile one comes to an end, and the
other call is answered as if nothing had been.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from time import process_time
from typing import Any

import pytest

from sansip.auth import Account
from sansip.location import NodeConfig, NodeState
from sansip.module import Use
from sansip.modules.keepalive import Keepalive, KeepaliveConfig
from sansip.modules.upstream import UpstreamConfig, UpstreamRegistration, Upstreams
from sansip.proxy import ProxyConfig
from sansip.routing.probing import Probe
from tests.rig import ALICE, BOB, BOB_URI, CAROL, CAROL_URI, HOST, Out, Rig, only, reply, request, sent, what

Answers = Callable[[Out], list[bytes]]
ACCOUNT = Account(("192.0.2.2",), "carrier.test", "trunk", "secret")


def contacts(request: Out, status: int, count: int) -> list[bytes]:
    return [reply(request, status, headers=[("Contact", ",".join(f"<sip:{n}@h>" for n in range(count)))])]


def challenges(request: Out) -> list[bytes]:
    return [
        reply(
            request,
            401,
            headers=[("WWW-Authenticate", f'Digest realm="r{n}", nonce="{n}"') for n in range(1_000)],
        )
    ]


def short(request: Out) -> list[bytes]:
    """A body announced and never sent."""
    return [reply(request, 200).replace(b"Content-Length: 0", b"Content-Length: 60000")]


HOSTILE: dict[str, Answers] = {
    "10,000 Contacts in a 302": lambda out: contacts(out, 302, 10_000),
    "200 Contacts in a 302": lambda out: contacts(out, 302, 200),
    "10,000 Contacts in a 200": lambda out: contacts(out, 200, 10_000),
    "1,000 challenges": challenges,
    "2xx with new tags for ever": lambda out: [reply(out, 200, tag=f"t{n}") for n in range(1_000)],
    "180 with new tags for ever": lambda out: [reply(out, 180, tag=f"t{n}") for n in range(1_000)],
    "100 for ever": lambda out: [reply(out, 100) for _ in range(1_000)],
    "a field of 64 KB": lambda out: [reply(out, 200, headers=[("Subject", "x" * 64_000)])],
    "a field of 20 KB": lambda out: [reply(out, 200, headers=[("Subject", "x" * 20_000)])],
    "a tag of 16 KB": lambda out: [reply(out, 183, tag="x" * 16_000)],
    "a reason of 30 KB": lambda out: [reply(out, 486, reason="x" * 30_000)],
    "a body of 60 KB": lambda out: [reply(out, 486, body=b"x" * 60_000)],
    "a body of 100 KB": lambda out: [reply(out, 486, body=b"x" * 100_000)],
    "a body that does not come": short,
    "Retry-After of centuries": lambda out: [reply(out, 503, headers=[("Retry-After", "9" * 4_000)])],
    "Expires of centuries": lambda out: [reply(out, 200, headers=[("Expires", "9" * 4_000)])],
    "Min-Expires, again and again": lambda out: [reply(out, 423, headers=[("Min-Expires", "600000")])],
    "250 Record-Routes": lambda out: [reply(out, 200, headers=[("Record-Route", "<sip:h;lr>")] * 250)],
}


class Bench:
    """A stack with one request at a hostile peer, over UDP or one connection, and an honest call open."""

    def __init__(self, kind: str, transport: str) -> None:
        options: dict[str, Any] = {"proxy": ProxyConfig(recurse=True)}
        if kind == "OPTIONS":
            options["modules"] = [Use(Keepalive, KeepaliveConfig(interval=30, who="all"))]
        if kind == "REGISTER":
            registrar = f"sip:192.0.2.2;transport={transport}"
            registration = UpstreamRegistration("sip:trunk@192.0.2.2", ACCOUNT, registrar)
            options["modules"] = [Use(Upstreams, UpstreamConfig([registration]))]
        self.rig = rig = Rig(**options)
        self.conn: Any = None
        self.asked: Out | None = None
        if kind == "OPTIONS" and transport == "tcp":
            self.conn = rig.accept(BOB)
            uri = f"{BOB_URI};transport=tcp"
            head = [("Contact", f"<{uri}>"), ("Expires", "3600")]
            sender = "<sip:bob@biloxi.test>"
            data = request(
                "REGISTER", "sip:biloxi.test", transport="TCP", to=sender, sender=sender, headers=head
            )
            assert what(rig.tcp(self.conn, data)) == ["200"]
        elif kind != "REGISTER":
            rig.register(BOB_URI if transport == "udp" else f"{BOB_URI};transport=tcp")
        rig.register(CAROL_URI, CAROL, "sip:carol@biloxi.test")
        if kind == "OPTIONS":
            outs = [out for out in rig.wait(30.0) if out.what == "OPTIONS" and "bob" in out.message.uri_text]
        elif kind == "REGISTER":
            outs = self.connected(rig.wait(0.0))
        else:
            outs = self.connected(rig.udp(request(kind, branch="z9hG4bKbad", call_id="bad")))
        self.asked = next(out for out in outs if out.what == kind)
        honest = request(uri="sip:carol@biloxi.test", branch="z9hG4bKgood", call_id="good")
        self.honest = only(rig.udp(honest), "INVITE")

    def connected(self, outs: list[Out]) -> list[Out]:
        connects = [out for out in outs if out.what == "Connect"]
        for connect in connects:
            outs = outs + self.rig.opened(connect)
            self.conn = connect.action.conn
        return outs

    def answer(self, data: bytes) -> list[Out]:
        return self.rig.udp(data, BOB) if self.conn is None else self.rig.tcp(self.conn, data)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("kind", ["INVITE", "MESSAGE", "REGISTER", "OPTIONS"])
@pytest.mark.parametrize("name", HOSTILE)
def test_answers(name: str, kind: str, transport: str) -> None:
    """No answer takes long, is kept for long, or stops the call of another."""
    bench = Bench(kind, transport)
    rig = bench.rig
    assert bench.asked is not None
    answers = HOSTILE[name](bench.asked)
    octets = sum(map(len, answers))
    logged = len(rig.log)
    tracemalloc.start()
    begin = process_time()
    for data in answers:
        bench.answer(data)
    spent = process_time() - begin
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # With the tracing of memory; far above what is needed, and far below what a loop would take.
    assert spent < 0.2 + 2e-3 * len(answers)
    out = [one for one in rig.log[logged:] if hasattr(one.action, "data")]
    # The output is never more than the input, by more than a request or two that it asked for.
    assert sum(len(one.data) for one in out) < octets + 200 * len(answers) + 20_000
    # A message or two are kept of it, and the rig's own log of sent messages.
    assert grown < 400_000 + 3 * sum(len(one.data) for one in out) + 800 * len(out)
    assert ("200", ALICE) in sent(rig.udp(reply(bench.honest, 200), CAROL))
    rig.stack.modules.stop(rig.now)
    rig.wait(1_000.0)
    assert rig.stack.snapshot()["client_transactions"] == 0
    assert rig.stack.snapshot()["server_transactions"] == 0
    if kind in ("INVITE", "MESSAGE"):
        finals = [one for one in rig.log if one.to == ALICE and one.message.call_id == "bad"]
        # RFC 4320 4.2: to a MESSAGE silence is no answer.
        assert kind == "MESSAGE" or finals[-1].message.status >= 200


def test_a_connection_that_many_use() -> None:
    """A carrier's connection: a too large answer of one callee harms that callee alone."""
    rig = Rig()
    for user in ("bob", "carol"):
        rig.register(f"sip:{user}@192.0.2.2;transport=tcp", aor=f"sip:{user}@biloxi.test")
    outs = rig.udp(request(branch="z9hG4bKbad", call_id="bad"))
    connect = only(outs, "Connect")
    bad = only(rig.opened(connect), "INVITE")
    good = only(rig.udp(request(uri="sip:carol@biloxi.test", branch="z9hG4bKgood", call_id="good")), "INVITE")
    conn = connect.action.conn
    for data in (
        reply(bad, 200, body=b"x" * 100_000),
        reply(bad, 200, headers=[("Subject", "x" * 40_000)]),
        reply(bad, 200, headers=[("Subject", "x" * 20_000)]),
    ):
        assert rig.tcp(conn, data[:50_000]) + rig.tcp(conn, data[50_000:]) == []
    assert ("200", ALICE) in sent(rig.tcp(conn, reply(good, 200)))


def test_a_fork_of_large_failures() -> None:
    """Only the status is kept of each failure but the best, while one phone rings on."""
    rig = Rig()
    for last in range(20, 30):
        rig.register(f"sip:bob@192.0.2.{last}", (f"192.0.2.{last}", 5060))
    invites = [out for out in rig.udp(request()) if out.what == "INVITE"]
    assert len(invites) == 10
    tracemalloc.start()
    for invite in invites[1:]:
        rig.udp(reply(invite, 486, body=b"x" * 60_000), invite.to)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 200_000
    outs = rig.udp(reply(invites[0], 503), invites[0].to)
    assert [(one.what, one.to) for one in outs][-1] == ("486", ALICE)
    assert len(outs[-1].message.body) == 60_000


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_node_that_is_asked(name: str, transport: str) -> None:
    """A process that has the address of a node by now: the node is gone, once, and in time."""
    rig = Rig(shared=NodeConfig(HOST, heartbeat=1_000.0), node="one", secret=b"s" * 16)
    nodes = rig.stack.nodes
    assert nodes is not None
    lives: list[tuple[bool, float]] = []
    other = NodeState("two", "life", f"192.0.2.2;transport={transport}")
    Probe(rig.stack.client, nodes, other, lambda alive, now: lives.append((alive, now)), 2.0, rig.now)
    outs = rig.take(rig.stack.time_passed(rig.now))
    conn = 0
    if transport == "tcp":
        connect = only(outs, "Connect")
        conn, outs = connect.action.conn, rig.opened(connect)
    asked = only(outs, "OPTIONS")
    for data in HOSTILE[name](asked):
        if transport == "tcp":
            rig.tcp(conn, data)
        else:
            rig.udp(data, BOB)
    rig.wait(100.0)
    assert [alive for alive, _ in lives] == [False]
    assert lives[0][1] <= rig.start + 2.0
    assert rig.stack.snapshot()["client_transactions"] == 0
