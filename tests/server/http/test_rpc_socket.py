"""JSON-RPC over WebSocket: the commands of POST, events, and a token that ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sansip.events import LimitReached
from sansip_server.followers import Followers
from sansip_server.http.access import Role
from sansip_server.http.rpc import Rpc
from sansip_server.http.rpc_socket import RpcSocket
from sansip_sockets.http import HttpFault
from tests.server.http.test_rpc import LIMITS
from tests.server.test_management import Server


class Bench:
    """One connection, whose role is what the test says."""

    def __init__(self) -> None:
        self.role: Role = "read"
        self.now = 0.0
        self.rung = 0
        self.followers = Followers(lambda event: None)
        rpc = Rpc(Server().management, LIMITS)
        self.socket = RpcSocket(rpc, self.judged, self.followers, 2, lambda: self.now)
        self.socket.attach(self.ring)

    def judged(self) -> Role:
        return self.role

    def ring(self) -> None:
        self.rung += 1

    def send(self, given: Any) -> Any:
        with pytest.raises(StopIteration) as end:
            next(self.socket.received(json.dumps(given).encode()))
        return json.loads(end.value.value) if end.value.value else None

    def call(self, method: str, **params: Any) -> Any:
        reply = self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return reply.get("result", reply.get("error"))


def test_commands_batches_and_notifications() -> None:
    """The same table, roles and limits as by POST."""
    bench = Bench()
    assert bench.call("health")["status"] == "ok"
    assert bench.call("drain")["code"] == -32001
    note = {"jsonrpc": "2.0", "method": "health"}
    assert bench.send([note, {**note, "id": 7}])[0]["id"] == 7
    assert bench.send(note) is None
    assert bench.send([note] * 5)["error"]["code"] == -32600


def test_events() -> None:
    """Notifications from the first to the last call; dropped ones are counted (http_events)."""
    bench = Bench()
    assert bench.socket.outgoing() is None
    assert bench.call("events.follow", x=1)["code"] == -32602
    assert bench.call("events.follow") == {"following": True}
    for number in range(3):
        bench.followers(LimitReached(f"limit{number}", "192.0.2.1"))
    assert bench.rung == 1
    first = json.loads(bench.socket.outgoing() or b"")
    assert (first["method"], first["params"]["name"], first["params"]["missed"]) == (
        "events.event",
        "limit1",
        1,
    )
    assert "id" not in first
    assert bench.call("events.leave") == {"following": False}
    assert bench.socket.outgoing() is None


def test_a_role_that_ends() -> None:
    """A token that has ended ends the connection: at the next call, and for events within a second."""
    bench = Bench()
    bench.call("events.follow")
    bench.followers(LimitReached("a", "192.0.2.1"))
    bench.followers(LimitReached("b", "192.0.2.1"))
    bench.role = ""
    assert bench.socket.outgoing() is not None
    bench.now = 2.0
    with pytest.raises(HttpFault, match="a token or a password is needed"):
        bench.socket.outgoing()
    with pytest.raises(HttpFault):
        next(bench.socket.received(b"{}"))


def test_a_connection_that_is_over_follows_no_more() -> None:
    bench = Bench()
    bench.call("events.follow")
    bench.socket.closed()
    bench.followers(LimitReached("a", "192.0.2.1"))
    assert (bench.rung, bench.socket.outgoing()) == (0, None)
    bench.socket.closed()
