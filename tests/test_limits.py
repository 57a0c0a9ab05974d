"""Every limit of sansip.limits is reached by a test, and acts as it says.

Theory of operation: a test named ``test_<limit>`` here reaches that limit through
a stack; limits of one part alone are reached by the tests beside that part, and
``ELSEWHERE`` says where. The last test counts.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from sansip.events import ConnectionRefused, LimitReached, MessageRefused
from sansip.limits import Limits
from sansip.routing import ask
from sansip.transport.websocket.filter import WebSocket
from tests.rig import ALICE, BOB, BOB_URI, CAROL, Rig, only, relay_to, reply, request, sent, what

# The limit's own part, where its test stands.
ELSEWHERE = {
    "large_connect_time": "proxy/test_branch.py",
    "sdp_media": "sdp/test_description.py",
    "http_connections": "interop/test_http.py",
    "http_connections_per_source": "interop/test_http.py",
    "http_head_size": "adapters/sockets/http/test_conversation.py",
    "http_body_size": "adapters/sockets/http/test_conversation.py",
    "http_time": "interop/test_http.py",
    "http_idle_time": "interop/test_http.py",
    "http_answer_time": "adapters/test_http.py",
    "http_small_chunks": "adapters/sockets/http/test_conversation.py",
    "http_rate": "adapters/test_http.py",
    "http_burst": "adapters/test_http.py",
    "http_events": "server/http/test_rpc_socket.py",
    "http_page": "server/http/test_rpc.py",
    "http_batch": "server/http/test_rpc.py",
    "module_keys": "module/test_limiting.py",
    "shared_values": "module/test_sharing.py",
    "prepare_time": "interop/test_module_reload.py",
    "links": "module/test_links.py",
    "links_per_source": "module/test_links.py",
    "link_message": "module/test_links.py",
    "handler_waiting": "routing/test_handlers.py",
    "mount_requests": "module/test_mounts.py",
    "mount_time": "module/test_mounts.py",
    "mount_answer": "module/test_mounts.py",
    "hook_time": "proxy/test_waiting.py",
    "module_sockets": "module/test_sockets.py",
    "module_questions": "module/test_sockets.py",
    "module_backlog": "module/test_sockets.py",
    "retire_time": "test_reconfigure.py",
    "former_listeners": "test_reconfigure.py",
    "requests_unanswered": "dialog",
    "reliable_waiting": "dialog",
    "session_size": "dialog",
    "modification_attempts": "dialog",
    "prompt_time": "dialog",
    "challenges": "auth/test_client.py",
    "challenge_size": "auth/test_client.py",
    "datagram_backlog": "adapters/sockets/test_backlog.py",
    "sends_remembered": "adapters/sockets/test_sent.py",
    "changes_per_aor": "routing/test_changes.py",
    "change_attempts": "routing/test_changes.py",
    "bans": "test_bans.py",
    "refreshed_dialogs": "routing/test_within.py",
    "users_known": "server/test_known.py",
    "branches_in_all": "proxy/test_budget.py",
    "transactions_reserved": "routing/test_admission.py",
    "pending_per_source": "routing/test_admission.py",
    "relayed_calls": "proxy/test_relayed.py",
    "pending_per_callee": "routing/test_admission.py",
    "limit_loopback": "routing/test_admission.py",
    "ring_time": "proxy/test_ringing.py",
    "early_dialogs": "proxy/test_ringing.py",
    "max_breadth": "proxy/test_validation.py",
    "client_nonces": "proxy/test_sequence.py",
    "raised_dialogs": "proxy/test_sequence.py",
    "connection_idle": "transport/test_connections.py",
    "message_time": "transport/test_connections.py",
    "first_data_time": "transport/test_connections.py",
    "notices": "test_notices.py",
    "proxy_header_size": "transport/test_entrance.py",
    "connect_time": "transport/test_connections.py",
    "binding_size": "registrar",
    "calls": "ua/test_bounds.py",
    "calls_per_source": "ua/test_bounds.py",
    "calls_unacknowledged": "ua/test_bounds.py",
    "bridges_in_a_row": "b2bua/test_hostile_legs.py",
    "forks_per_call": "ua/test_outgoing.py",
    "call_dialogs": "ua/test_bounds.py",
    "requests_per_call": "ua/test_bounds.py",
    "transfers_per_call": "b2bua/test_transfer.py",
    "referrals_per_call": "ua/test_referral.py",
    "route_steps": "routing/test_endless.py",
    "websocket_ping": "transport/websocket",
    "websocket_pong": "transport/websocket",
    "dns_queries": "transport/dns",
    "dns_queries_per_domain": "transport/dns",
    "dns_cache": "transport/dns",
    "dns_message": "transport/dns",
    "dns_records": "transport/dns",
    "next_hops": "transport/dns",
    "avoid_time": "transport/dns",
    "avoided": "transport/dns",
}


def limited(route: Any = None, **limits: Any) -> Rig:
    return Rig(route, limits=limits)


def reasons(rig: Rig, kind: type) -> list[str]:
    found: list[Any] = [event for event in rig.events if isinstance(event, kind)]
    return [getattr(event, "name", None) or event.reason for event in found]


# --- sizes


def test_message_size() -> None:
    """413 on a datagram and on a stream, where its body is skipped."""
    rig = limited(message_size=2000)
    data = request("MESSAGE", body=b"x" * 2000)
    assert what(rig.udp(data)) == ["413"]
    assert what(rig.tcp(rig.accept(), data)) == ["413"]
    assert len(reasons(rig, MessageRefused)) == 2


def test_head_size() -> None:
    """513 on a datagram and on a stream; without an end of the head nothing can be answered."""
    rig = limited(head_size=1000, message_size=2000)
    data = request("MESSAGE", headers=[("X", "x" * 500)] * 3)
    assert what(rig.udp(data)) == ["513"]
    assert what(rig.tcp(rig.accept(), data)) == ["513"]
    assert what(rig.tcp(rig.accept(), data[:-2] + b"X: " + b"x" * 1000)) == ["Disconnect"]


def test_skipped_size() -> None:
    """A message that is too large is refused alone; a still larger one costs its connection."""
    rig = limited(relay_to(BOB_URI), message_size=2000, skipped_size=5000)
    conn = rig.accept()
    data = request("MESSAGE", body=b"x" * 4000) + request("OPTIONS", "sip:192.0.2.10", branch="z9hG4bKo")
    assert what(rig.tcp(conn, data)) == ["413", "OPTIONS"]
    assert what(rig.tcp(conn, request("MESSAGE", body=b"x" * 6000, branch="z9hG4bKx"))) == [
        "413",
        "Disconnect",
    ]


@pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
def test_contact_count(method: str) -> None:
    """400, for values on lines of their own and on one line; a response with more is none."""
    rig = limited(relay_to(BOB_URI), contact_count=5)
    value = "<sip:x@192.0.2.2>"
    assert what(rig.udp(request(method, headers=[("Contact", value)] * 6))) == ["400"]
    assert what(rig.udp(request(method, headers=[("Contact", ", ".join([value] * 6))]))) == ["400"]
    for number, headers in enumerate(([("Contact", value)] * 5, [("Contact", ", ".join([value] * 5))])):
        outs = rig.udp(request(method, headers=headers, branch=f"z9hG4bK{number}", call_id=f"{number}"))
        branch = only(outs, method)
        assert rig.udp(reply(branch, 302, headers=[("Contact", ", ".join([value] * 6))]), BOB) == []
        assert ("302", ALICE) in sent(rig.udp(reply(branch, 302, headers=headers), BOB))


def test_header_size() -> None:
    """400."""
    assert what(limited(header_size=1000).udp(request(headers=[("X", "x" * 1000)]))) == ["400"]


def test_header_count() -> None:
    """400."""
    rig = limited(header_count=20)
    assert what(rig.udp(request(headers=[("X", "y")] * 20))) == ["400"]


def test_header_parts() -> None:
    """400: a datagram of parameters alone would be a hundred times its size once they are taken apart."""
    many = "".join(f";p{number}" for number in range(40))
    assert what(limited(header_parts=30).udp(request(headers=[("X", "y" + many)]))) == ["400"]
    commas = ", ".join("y" * 40)
    assert what(limited(header_parts=30).udp(request(headers=[("X", commas)]))) == ["400"]
    # Also in the field that is taken apart first.
    via = f"SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKx{many}"
    assert what(limited(header_parts=30).udp(request(headers=[("Via", via)]))) == ["400"]
    assert what(limited(relay_to(BOB_URI)).udp(request(headers=[("X", "y" + many)]))) == ["100", "INVITE"]


def test_via_count() -> None:
    """400, for values on lines of their own and on one line."""
    via = "SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKx"
    assert what(limited(via_count=5).udp(request(headers=[("Via", via)] * 5))) == ["400"]
    many = ", ".join([via] * 6)
    assert what(limited(relay_to(BOB_URI), via_count=5).udp(request(headers=[("Via", many)]))) in (
        ["400"],
        ["100", "INVITE"],
    )


@pytest.mark.parametrize("field", ["Route", "Record-Route"])
def test_route_count(field: str) -> None:
    """400, for values on lines of their own and on one line; as many as there may be go through."""
    rig = limited(relay_to(BOB_URI), route_count=5)
    value = "<sip:192.0.2.2;lr>"
    assert what(rig.udp(request(headers=[(field, value)] * 6))) == ["400"]
    assert what(rig.udp(request(headers=[(field, ", ".join([value] * 6))]))) == ["400"]
    for number, headers in enumerate(([(field, value)] * 5, [(field, ", ".join([value] * 5))])):
        assert "INVITE" in what(rig.udp(request(headers=headers, branch=f"z9hG4bK{number}")))


def test_uri_size() -> None:
    """21.4.12: 414."""
    assert what(limited(uri_size=100).udp(request(uri=f"sip:{'b' * 100}@biloxi.test"))) == ["414"]


def test_websocket_head_size() -> None:
    """431 and closed: an HTTP request that does not end."""
    filtered = WebSocket(limits=Limits(websocket_head_size=1000))
    filtered.opened(1.0)
    output = filtered.received(b"GET / HTTP/1.1\r\nHost: biloxi.test\r\nCookie: " + b"x" * 1000, 1.0)
    assert b" 431 " in b"".join(output.down).partition(b"\r\n")[0]
    assert output.closing


# --- counts


def test_branches() -> None:
    """The targets beyond it are not tried: the best of q come first."""
    uris = [f"sip:bob@192.0.2.{last}" for last in range(100, 110)]
    outs = limited(relay_to(*uris), branches=3).udp(request())
    assert what(outs) == ["100"] + ["INVITE"] * 3


def test_transactions() -> None:
    """503 with Retry-After, without a transaction; an event; and room again when some have ended."""
    rig = limited(relay_to(BOB_URI), transactions=4, transactions_reserved=0)
    for number in range(2):
        rig.udp(request("MESSAGE", branch=f"z9hG4bK{number}", call_id=f"{number}"))
    (out,) = rig.udp(request("MESSAGE", branch="z9hG4bKx", call_id="x"))
    assert (out.what, out.to) == ("503", ALICE)
    assert out.message.has("retry-after")
    assert reasons(rig, LimitReached) == ["transactions"]
    held = rig.stack.snapshot()
    assert held["server_transactions"] + held["client_transactions"] == 4
    # 8.2.7: a retransmission gets the same answer, To tag and all.
    assert rig.udp(request("MESSAGE", branch="z9hG4bKx", call_id="x"))[0].data == out.data
    # Retransmissions of what is running, and ACKs, still find their way.
    assert rig.udp(request("MESSAGE", branch="z9hG4bK0", call_id="0")) == []
    rig.run_out()
    assert what(rig.udp(request("MESSAGE", branch="z9hG4bKy", call_id="y"))) == ["MESSAGE"]


def test_connections() -> None:
    """The new one is closed; none can be opened either, and its request fails."""
    rig = limited(relay_to("sip:bob@192.0.2.2;transport=tcp"), connections=2)
    first = rig.accept(("192.0.2.1", 1))
    rig.accept(("192.0.2.1", 2))
    rig.accept(("192.0.2.3", 1))
    assert what(rig.log) == ["Disconnect"]
    assert len(reasons(rig, ConnectionRefused)) == 1
    assert sent(rig.udp(request("MESSAGE"))) == [("500", ALICE)]
    rig.closed(first)
    assert what(rig.udp(request("MESSAGE", branch="z9hG4bKy"))) == ["Connect"]


def test_connections_per_source() -> None:
    """Others are let in meanwhile."""
    rig = limited(connections_per_source=2)
    held = [rig.accept(("192.0.2.1", port)) for port in (1, 2, 3)]
    assert what(rig.log) == ["Disconnect"]
    rig.accept(("192.0.2.3", 1))
    assert what(rig.log) == ["Disconnect"]
    rig.closed(held[0])
    rig.accept(("192.0.2.1", 4))
    assert what(rig.log) == ["Disconnect"]


def test_connection_backlog() -> None:
    """Octets that do not fit into the queue of a connection being opened fail at once."""
    rig = limited(relay_to("sip:bob@192.0.2.2;transport=tcp"), connection_backlog=2000)
    connect = only(rig.udp(request("MESSAGE", branch="z9hG4bK1", body=b"x" * 1000)), "Connect")
    assert sent(rig.udp(request("MESSAGE", branch="z9hG4bK2", body=b"x" * 1000), CAROL)) == [("500", CAROL)]
    assert len(rig.opened(connect)) == 1


# --- rates


def test_source_rate() -> None:
    """Requests above the rate are dropped, with an event; others are served; tokens come back."""
    rig = limited(source_rate=10, source_burst=5)
    data = [request("FOO", "sip:x@other.test", branch=f"z9hG4bK{number}") for number in range(20)]
    answered = [what(rig.udp(one)) for one in data[:8]]
    assert answered == [["403"]] * 5 + [[]] * 3
    # Told once a second.
    assert reasons(rig, LimitReached) == ["source_rate"]
    other = request("FOO", "sip:x@other.test", source=CAROL, branch="z9hG4bKc")
    assert what(rig.udp(other, CAROL)) == ["403"]
    rig.wait(0.35)
    assert [what(rig.udp(one)) for one in data[8:12]] == [["403"]] * 3 + [[]]


def test_source_burst() -> None:
    """After a long silence there is a burst's worth of tokens, and no more."""
    rig = limited(source_rate=10, source_burst=5)
    rig.wait(1000)
    answered = [
        bool(rig.udp(request("FOO", "sip:x@other.test", branch=f"z9hG4bK{number}"))) for number in range(10)
    ]
    assert answered == [True] * 5 + [False] * 5


def test_source_rate_off() -> None:
    """0 turns it off."""
    rig = limited(source_rate=0, source_burst=0)
    assert all(rig.udp(request("FOO", "sip:x@other.test", branch=f"z9hG4bK{number}")) for number in range(50))


def test_source_rate_and_retransmissions() -> None:
    """Messages of a transaction cost no token: its retransmissions do not shut a busy caller out."""
    rig = limited(relay_to(BOB_URI), source_rate=1, source_burst=1)
    data = request()
    rig.udp(data)
    assert all(what(rig.udp(data)) == ["100"] for _ in range(10))


def test_source_rate_and_garbage() -> None:
    """Malformed requests are answered within the rate, and then not any more."""
    rig = limited(source_rate=1, source_burst=2)
    bad = request("OPTIONS").replace(b"CSeq: 1", b"CSeq: x")
    assert [what(rig.udp(bad)) for _ in range(4)] == [["400"], ["400"], [], []]


def test_sources() -> None:
    """The table of sources is bounded: the oldest is forgotten."""
    rig = limited(source_rate=1, source_burst=1, sources=10)
    for last in range(1, 100):
        source = (f"192.0.2.{last}", 5060)
        assert rig.udp(request("FOO", "sip:x@other.test", source=source, branch=f"z9hG4bK{last}"), source)
    assert len(rig.stack.reception.rates._buckets) <= 10


# --- registrations


def test_bindings_per_aor() -> None:
    """503, and nothing is changed."""
    rig = limited(bindings_per_aor=2)
    for last in (1, 2):
        rig.register(f"sip:bob@192.0.2.{last}")
    data = request(
        "REGISTER",
        "sip:biloxi.test",
        branch="z9hG4bKr",
        sender="<sip:bob@biloxi.test>",
        headers=[("Contact", "<sip:bob@192.0.2.3>"), ("Expires", "60")],
    )
    assert what(rig.udp(data)) == ["503"]
    assert len([out for out in rig.udp(request(call_id="x", branch="z9hG4bKx")) if out.what == "INVITE"]) == 2


def test_aors() -> None:
    """503 for a new one; the registered ones go on."""
    rig = limited(aors=2)
    for user in ("bob", "carol"):
        rig.register(f"sip:{user}@192.0.2.2", aor=f"sip:{user}@biloxi.test")
    data = request(
        "REGISTER",
        "sip:biloxi.test",
        branch="z9hG4bKr",
        to="<sip:dave@biloxi.test>",
        headers=[("Contact", "<sip:dave@192.0.2.3>"), ("Expires", "60")],
    )
    assert what(rig.udp(data)) == ["503"]
    assert rig.stack.snapshot()["addresses_of_record"] == 2
    rig.register("sip:bob@192.0.2.22")


# --- questions


async def asking(incoming: Any) -> None:
    await ask("anything")
    incoming.reply(200)


def test_questions() -> None:
    """The route's await raises, so the request gets a 500; questions that wait go on."""
    rig = limited(asking, questions=2)
    for number in range(2):
        assert what(rig.udp(request("MESSAGE", branch=f"z9hG4bK{number}"))) == []
    assert what(rig.udp(request("MESSAGE", branch="z9hG4bKx"))) == ["500"]
    assert rig.stack.snapshot()["questions"] == 2
    assert what(rig.answer(1)) == ["200"]
    assert what(rig.udp(request("MESSAGE", branch="z9hG4bKy"))) == []


def test_answer_time() -> None:
    """It is a failed answer that the route did not catch: 500. Nothing is left."""
    rig = limited(asking, answer_time=3.0)
    rig.udp(request("MESSAGE"))
    assert what(rig.wait(2.9)) == []
    assert what(rig.wait(0.1)) == ["500"]
    assert rig.stack.snapshot()["questions"] == 0


# --- nothing else grows


def test_a_flood_of_invites_is_bounded() -> None:
    """Ten thousand INVITEs without an ACK: the memory stays within the limit, then goes."""
    rig = limited(transactions=50)
    for number in range(2_000):
        rig.udp(request(branch=f"z9hG4bK{number}", call_id=f"{number}"), (f"192.0.2.{number % 250}", 5060))
    held = rig.stack.snapshot()
    assert held["server_transactions"] <= 50
    assert held["timers"] <= 200
    rig.run_out()
    assert rig.empty


def test_a_flood_of_strange_durations() -> None:
    """Expiry times that a peer chooses do not pile up queues of timers."""
    rig = limited()
    for seconds in range(60, 400):
        data = request(
            "REGISTER",
            "sip:biloxi.test",
            branch=f"z9hG4bK{seconds}",
            call_id=f"{seconds}",
            sender="<sip:bob@biloxi.test>",
            headers=[("Contact", f"<sip:bob@192.0.2.{seconds % 3}>"), ("Expires", str(seconds))],
        )
        assert what(rig.udp(data)) == ["200"]
    rig.run_out()
    assert not any(rig.stack.snapshot().values())


def test_a_flood_of_octets_without_an_end() -> None:
    """A stream of one endless header line is cut at the limit."""
    rig = limited(head_size=4096, message_size=4096)
    conn = rig.accept()
    rig.tcp(conn, b"INVITE sip:bob@biloxi.test SIP/2.0\r\nX: ")
    for _ in range(1000):
        if rig.tcp(conn, b"x" * 100):
            break
    connection = rig.stack.connections.get(conn)
    assert connection is not None
    assert len(connection.framer.tail) <= 4096
    assert what(rig.log) == ["Disconnect"]


def test_responses_to_nothing_cost_nothing() -> None:
    """RFC 6026 7.3: strays leave no trace."""
    rig = Rig(relay_to(BOB_URI))
    branch = only(rig.udp(request("MESSAGE")), "MESSAGE")
    before = rig.stack.snapshot()
    for number in range(200):
        stray = reply(branch, 200).replace(b"z9hG4bK", b"z9hG4bK%d" % number, 1)
        assert rig.udp(stray, BOB) == []
    assert rig.stack.snapshot() == before


# --- all of them


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_each_has_a_test(name: str) -> None:
    """design.md 5.8: every limit has a name, a default, a reason, and a test that reaches it."""
    where = ELSEWHERE.get(name)
    if where is None:
        assert f"test_{name}" in globals()
        return
    path = Path(__file__).parent / where
    files = [path] if path.is_file() else sorted(path.glob("**/test_*.py"))
    assert any(name in one.read_text(encoding="utf-8") for one in files)
