"""A Redis that was taken over answers with an array that never ends: callers do not wait for it.

Theory of operation: an installed ``sansip serve`` has its shared location behind a relay of TCP. From some
moment on the relay itself answers, with one array of which element after element comes. An honest client
asks OPTIONS meanwhile.
"""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.phone import Phone
from tests.interop.siege import watched
from tests.interop.test_cluster import Node
from tools.peers import free_port
from tools.redises import HOST, redis_server

pytestmark = [
    pytest.mark.needs("redis-server"),
    pytest.mark.skipif(TARGET != "sansip", reason="it is sansip's store"),
]

# Elements on one connection: more than the server takes of one answer.
ELEMENTS = 1_500_000
PIECE = b":1\r\n" * 1_500


class Relay:
    """Passes octets between the server and Redis, until ``turned``: then it answers by itself."""

    def __init__(self, redis: int) -> None:
        self._redis = redis
        self._listening = socket.create_server((HOST, 0))
        self.port = self._listening.getsockname()[1]
        self.turned = threading.Event()
        # How many connections got the endless array.
        self.attacks = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._listening.accept()
                theirs = socket.create_connection((HOST, self._redis))
                threading.Thread(target=self._asked, args=(ours, theirs), daemon=True).start()
                threading.Thread(target=self._answered, args=(ours, theirs), daemon=True).start()

    def _asked(self, ours: socket.socket, theirs: socket.socket) -> None:
        with suppress(OSError), ours, theirs:
            while data := ours.recv(65_536):
                # Scripts are the questions of the location; what redis-py asks as it connects goes on.
                if self.turned.is_set() and b"EVALSHA" in data:
                    self.attacks += 1
                    ours.sendall(b"*100000000\r\n")
                    for _ in range(ELEMENTS // 1_500):
                        ours.sendall(PIECE)
                    return
                theirs.sendall(data)

    def _answered(self, ours: socket.socket, theirs: socket.socket) -> None:
        with suppress(OSError):
            while data := theirs.recv(65_536):
                ours.sendall(data)


def test_an_endless_array(tmp_path: Path) -> None:
    """Its elements are read once, and counted: the phone gets a 503, and nobody else waits for long."""
    number = free_port()
    with ExitStack() as stack:
        stack.enter_context(redis_server(tmp_path / "redis", number))
        relay = Relay(number)
        stack.callback(relay.close)
        node = Node(tmp_path, "n1", f"redis://{HOST}:{relay.port}/0")
        stack.callback(node.stop)
        bob = stack.enter_context(Phone("bob", "biloxi.test", "udp", node.v4))
        bob.register()
        with watched(node.program, node.v4, tmp_path) as watch:
            relay.turned.set()
            bob.register_refused("503", "retry-after")
            relay.turned.clear()
        assert relay.attacks >= 1
        assert watch.sent > 0
        node.program.wait_for("works again|registrations get 503|fails")
        bob.register()
        node.end()
