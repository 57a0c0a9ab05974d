"""Cut cables between nodes and Redis: network namespaces, and the kernel drops the packets.

Theory of operation: Redis, two nodes and the phones are hosts of their own on one bridge
(``homes.Internet``). To cut two of them off from each other is a rule in the namespace of
one, which drops what comes from the other and what goes there, without a word, as a
broken switch does.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import TARGET
from tests.interop.homes import Internet, inside
from tests.interop.phone import Phone
from tests.interop.test_cluster import Node, converse
from tools.peers import Program

pytestmark = [
    pytest.mark.needs("redis-server"),
    pytest.mark.skipif(TARGET != "sansip", reason="Kamailio's nodes are set up another way"),
]

REDIS, N1, N2, PHONES = "203.0.113.10", "203.0.113.11", "203.0.113.12", "203.0.113.21"


class Network:
    """The hosts, each with what runs there."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.internet = stack.enter_context(Internet())
        self.hosts = {
            name: self.internet.host(name, address)
            for name, address in (("redis", REDIS), ("n1", N1), ("n2", N2), ("phones", PHONES))
        }
        for name in self.hosts:
            self.run(name, "add table ip cut")
            self.run(name, "add chain ip cut in { type filter hook input priority 0; }")
            self.run(name, "add chain ip cut out { type filter hook output priority 0; }")
        command = ["redis-server", "--port", "6379", "--bind", REDIS, "--save", "", "--protected-mode", "no"]
        self.redis = stack.enter_context(
            Program([*self.prefix("redis"), *command], directory / "redis.log", cwd=directory)
        )
        self.redis.wait_for("Ready to accept connections")
        self.nodes: dict[str, Node] = {}
        for name, address in (("n1", N1), ("n2", N2)):
            where = {"host": address, "prefix": self.prefix(name), "more": 'auth = "none"'}
            node = Node(directory, name, f"redis://{REDIS}:6379/0", **where)
            stack.callback(node.stop)
            self.nodes[name] = node
        self.nodes["n1"].program.wait_for("node n2 lives")

    def prefix(self, host: str) -> list[str]:
        return ["ip", "netns", "exec", self.hosts[host]]

    def run(self, host: str, rule: str) -> None:
        subprocess.run([*self.prefix(host), "nft", rule], check=True, timeout=20)

    def cut(self, host: str, address: str) -> None:
        """Nothing passes between ``host`` and ``address`` any more."""
        self.run(host, f"add rule ip cut in ip saddr {address} drop")
        self.run(host, f"add rule ip cut out ip daddr {address} drop")

    def mend(self, host: str) -> None:
        """All cables of ``host`` are whole again."""
        self.run(host, "flush table ip cut")

    def phone(self, user: str, transport: str, node: str) -> Phone:
        """A phone on a host of its own, which registers at ``node``."""
        home = self.nodes[node]
        address = (home.host, home.ws) if transport == "ws" else home.v4
        with inside(self.hosts["phones"]):
            return Phone(user, "biloxi.test", transport, address, source=(PHONES, 0))


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with ExitStack() as stack:
        made = Network(tmp_path, stack)
        yield made
        for node in made.nodes.values():
            assert "Traceback" not in node.program.output(), node.program.output()


def took(seconds: float, what: Callable[[], Any]) -> None:
    """``what`` ends within ``seconds``."""
    begun = time.monotonic()
    what()
    assert time.monotonic() - begun < seconds


@pytest.mark.timeout(90)
def test_a_node_is_cut_off_from_redis(network: Network) -> None:
    """It is asked over SIP and not given up: its phones are called; registrations there get 503, then 200."""
    n1, n2 = network.nodes["n1"].program, network.nodes["n2"].program
    with network.phone("bob", "tcp", "n1") as bob, network.phone("alice", "udp", "n2") as alice:
        bob.register()
        converse(alice, bob, hangs_up=alice)
        network.cut("n1", REDIS)
        n2.wait_for(rf"node n1 at {N1}:\d+ lives and has lost the shared location")
        for number in range(2):
            took(3.0, lambda: converse(alice, bob, hangs_up=bob))
            # And again when more signs of life are missing.
            time.sleep(1.0 - number)
        bob.register_refused("503", "retry-after")
        # The other way: n1 cannot find an unknown user, and does not say that the user is absent.
        with network.phone("carol", "tcp", "n2") as carol, network.phone("dave", "udp", "n1") as dave:
            carol.register()
            dave.invite(carol.aor)
            assert dave.expect("503").get("retry-after")
        network.mend("n1")
        n1.wait_for("works again after")
        n2.wait_for("(?s)has lost the shared location.*node n1 lives")
        bob.register()
        converse(alice, bob, hangs_up=alice)
    assert "is gone" not in n2.output()


@pytest.mark.timeout(90)
def test_a_node_is_cut_off_from_everybody(network: Network) -> None:
    """It is gone for the others, which wait for it once at most, and is back with its connections."""
    n2 = network.nodes["n2"].program
    with network.phone("bob", "ws", "n1") as bob, network.phone("alice", "udp", "n2") as alice:
        bob.register()
        for address in (REDIS, N2):
            network.cut("n1", address)
        n2.wait_for("node n1 is gone")
        alice.invite(bob.aor)
        took(1.0, lambda: alice.expect("480"))
        network.mend("n1")
        n2.wait_for("(?s)node n1 is gone.*node n1 lives")
        with network.phone("carol", "udp", "n2") as carol:
            converse(carol, bob, hangs_up=bob)


@pytest.mark.timeout(90)
def test_two_nodes_are_cut_off_from_each_other(network: Network) -> None:
    """Redis says that both live: a caller waits a few seconds and not 32, the next one not at all."""
    n2 = network.nodes["n2"].program
    with network.phone("bob", "ws", "n1") as bob, network.phone("alice", "udp", "n2") as alice:
        bob.register()
        network.cut("n1", N2)
        alice.invite(bob.aor)
        took(8.0, lambda: alice.expect("480", patience=10.0))
        n2.wait_for(rf"node n1 at {N1}:\d+ does not answer here")
        with network.phone("carol", "udp", "n2") as carol:
            carol.invite(bob.aor)
            took(1.0, lambda: carol.expect("480"))
        # Callers at its own node never notice.
        with network.phone("dave", "udp", "n1") as dave:
            converse(dave, bob, hangs_up=dave)
        network.mend("n1")
        n2.wait_for("(?s)does not answer here.*node n1 lives")
        with network.phone("erin", "udp", "n2") as erin:
            converse(erin, bob, hangs_up=erin)
