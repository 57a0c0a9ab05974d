"""Several nodes and the faults among them: each is noticed, named, and harmless.

Theory of operation: nodes are installed ``sansip serve`` processes on one Redis, as in
``test_cluster``. One phone registers in a loop; a clock is wrong; Redis is gone, full, or a replica;
two nodes have one name; one has another key; a newer version wrote a record; a process stands
still. What honest phones notice is asserted, and what the log says.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import TARGET
from tests.interop.line import Line
from tests.interop.phone import Phone
from tests.interop.siege import watched
from tests.interop.test_clock_steps import LIBRARIES
from tests.interop.test_cluster import Node, converse, receive_answer, register_text
from tests.missing import missing
from tools.peers import PeerError, Program, free_port
from tools.redises import HOST, cli, redis_server

pytestmark = [
    pytest.mark.needs("redis-server", "redis-cli"),
    pytest.mark.skipif(TARGET != "sansip", reason="Kamailio's nodes are set up another way"),
]

AOR = "sip:bob@biloxi.test"
MANY = "[registrar]\nmax_contacts = 60\n[limits]\nbindings_per_aor = 60"


class Ring:
    """Redis, and the nodes that a test starts on it."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.stack = stack
        self.port = free_port()
        self.redis = self.start_redis()
        self.nodes: list[Node] = []

    def start_redis(self) -> Program:
        return self.stack.enter_context(redis_server(self.directory / "redis", self.port))

    def node(self, name: str, **options: Any) -> Node:
        node = Node(self.directory, name, f"redis://{HOST}:{self.port}/0", **options)
        self.nodes.append(node)
        self.stack.callback(node.stop)
        return node

    def cli(self, *words: str) -> str:
        return cli(self.port, *words)


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[Ring]:
    with ExitStack() as stack:
        made = Ring(tmp_path, stack)
        yield made
        for node in made.nodes:
            assert "Traceback" not in node.program.output(), node.program.output()


def health(node: Node) -> dict[str, Any]:
    """The report of ``sansip ctl health`` on the location at ``node``."""
    command = [
        sys.executable,
        "-m",
        "sansip_server",
        "ctl",
        "--control",
        str(node.directory / "ctl"),
        "health",
    ]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=30, check=False)
    found: dict[str, Any] = json.loads(done.stdout)["parts"]["location"]
    return found


def controlled(directory: Path, name: str) -> str:
    """The line of the configuration that gives node ``name`` a control socket."""
    return f'control = "{directory / name / "ctl"}"'


def bound(node: Node, user: str) -> set[str]:
    """The contacts that ``node`` says ``user`` has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(5.0)
        phone.sendto(register_text(user, "", time.monotonic_ns() % 2**31, 0), node.v4)
        return set(re.findall(r"(?m)^Contact: <sip:(\w+)@", receive_answer(phone).decode()))


# --- one address-of-record, many writers


@pytest.mark.parametrize("transport", ["udp", "tcp", "ws"])
def test_a_phone_that_registers_in_a_loop(transport: str, ring: Ring, tmp_path: Path) -> None:
    """Twenty others at its node and twenty at another one are all told 200, while it never stops."""
    n1, n2 = ring.node("n1", more=MANY), ring.node("n2", more=MANY)
    ended = threading.Event()
    address = n1.v4 if transport != "ws" else (HOST, n1.ws)
    with Line(transport, address, name="loop") as line, watched(n1.program, n1.v4, tmp_path):

        def loop() -> None:
            number = 0
            while not ended.is_set():
                number += 1
                text = register_text("many", "loop", number, 600).decode()
                line.send(text.replace("SIP/2.0/UDP", f"SIP/2.0/{transport.upper()}").encode())
                time.sleep(0.002)

        attacker = threading.Thread(target=loop)
        attacker.start()
        answers: list[bytes] = []
        try:
            with ExitStack() as stack:
                phones = [
                    stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(40)
                ]
                for number, phone in enumerate(phones):
                    phone.settimeout(10.0)
                    node = n1 if number % 2 else n2
                    phone.sendto(register_text("many", f"p{number}", 1, 600), node.v4)
                answers = [receive_answer(phone)[:11] for phone in phones]
        finally:
            ended.set()
            attacker.join()
    assert answers == [b"SIP/2.0 200"] * 40
    assert {f"p{number}" for number in range(40)} <= bound(n2, "many")


# --- Redis


def test_nobody_is_not_found_while_redis_is_gone(ring: Ring) -> None:
    """RFC 3261 21.5.4: 503 with Retry-After, for other servers know; no 404, which ends the search."""
    n1, n2 = ring.node("n1"), ring.node("n2")
    with (
        Phone("bob", "biloxi.test", "tcp", n1.v4) as bob,
        Phone("alice", "biloxi.test", "udp", n2.v4) as alice,
    ):
        bob.register()
        ring.redis.process.kill()
        ring.redis.process.wait()
        alice.invite(bob.aor)
        assert alice.expect("503").get("retry-after")
        ring.redis = ring.start_redis()
        n2.program.wait_for("works again after")
        converse(alice, bob, hangs_up=alice)


def test_a_full_redis(ring: Ring, tmp_path: Path) -> None:
    """OOM: registrations get 503, and everything else goes on, signs of life included (over SIP)."""
    n1 = ring.node("n1", more=controlled(tmp_path, "n1"))
    n2 = ring.node("n2")
    n2.program.wait_for("with n1")
    with (
        Phone("bob", "biloxi.test", "tcp", n1.v4) as bob,
        Phone("alice", "biloxi.test", "udp", n2.v4) as alice,
    ):
        bob.register()
        converse(alice, bob, hangs_up=alice)
        ring.cli("config", "set", "maxmemory", "1")
        n1.program.wait_for("refuses signs of life: .*maxmemory")
        n2.program.wait_for("refuses signs of life")
        # Longer than a node may be silent.
        time.sleep(2.5)
        bob.register_refused("503", "retry-after")
        converse(alice, bob, hangs_up=bob)
        assert "maxmemory" in health(n1)["error"]
        ring.cli("config", "set", "maxmemory", "0")
        n1.program.wait_for("takes signs of life again")
        bob.register()
        converse(alice, bob, hangs_up=alice)
    assert n2.said("is gone") == 0
    assert n1.said("the shared location redis://") == n1.said("refuses") + n1.said("again after")


def test_a_redis_that_is_a_replica(ring: Ring) -> None:
    """READONLY after a failover by hand: as full; and it is master again without a restart."""
    n1 = ring.node("n1")
    with (
        Phone("bob", "biloxi.test", "tcp", n1.v4) as bob,
        Phone("alice", "biloxi.test", "udp", n1.v4) as alice,
    ):
        bob.register()
        ring.cli("replicaof", HOST, str(free_port()))
        n1.program.wait_for("refuses signs of life: .*read only replica")
        bob.register_refused("503", "retry-after")
        converse(alice, bob, hangs_up=bob)
        ring.cli("replicaof", "no", "one")
        n1.program.wait_for("takes signs of life again")
        bob.register()


def test_a_redis_that_evicts(ring: Ring, tmp_path: Path) -> None:
    """It would throw acknowledged registrations away without a word: said at the start, and in health."""
    ring.cli("config", "set", "maxmemory", "100mb")
    ring.cli("config", "set", "maxmemory-policy", "allkeys-lru")
    n1 = ring.node("n1", more=controlled(tmp_path, "n1"))
    assert n1.said("set maxmemory-policy noeviction (it is allkeys-lru)") == 1
    assert "allkeys-lru" in health(n1)["warnings"][0]


# --- clocks


def test_a_clock_that_is_ahead(ring: Ring, tmp_path: Path) -> None:
    """A node 90 s ahead removes no binding: expiry is by Redis's clock. The log warns of the clock."""
    if not LIBRARIES:
        missing("libfaketime is not installed (apt install faketime)")
    clock = [f"LD_PRELOAD={LIBRARIES[0]}", "FAKETIME=+90s", "FAKETIME_DONT_FAKE_MONOTONIC=1"]
    n1 = ring.node("n1")
    n2 = ring.node("n2", prefix=["env", *clock], more=controlled(tmp_path, "n2"))
    for number, node in enumerate((n1, n2), 1):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.settimeout(5.0)
            phone.sendto(register_text("bob", f"p{number}", 1, 60), node.v4)
            assert receive_answer(phone).startswith(b"SIP/2.0 200")
    assert bound(n1, "bob") == bound(n2, "bob") == {"p1", "p2"}
    n2.program.wait_for("this machine's clock is (89|90).* s ahead of that of the shared location")
    told = health(n2)
    assert 89.0 < told["clock_skew"] < 91.0
    assert "ahead of" in told["warnings"][0]
    assert n1.said("this machine's clock") == 0


# --- nodes that are not as they should be


def test_two_nodes_of_one_name(ring: Ring, tmp_path: Path) -> None:
    """A copied configuration: each names the other, and all calls work (12 of 12 failed)."""
    n1 = ring.node("n1", more=controlled(tmp_path, "n1"))
    twin = ring.node("twin", called="n1")
    n1.program.wait_for(f"another node is named 'n1', too, at 127.0.0.1:{twin.port}")
    twin.program.wait_for(f"another node is named 'n1', too, at 127.0.0.1:{n1.port}")
    assert "another node is named n1" in health(n1)["warnings"][0]
    for number, (home, through) in enumerate(((n1, twin), (twin, n1), (n1, n1), (twin, twin))):
        for transport in ("tcp", "ws"):
            address = (HOST, home.ws) if transport == "ws" else home.v4
            with (
                Phone(f"bob{number}{transport}", "biloxi.test", transport, address) as bob,
                Phone("alice", "biloxi.test", "udp", through.v4) as alice,
            ):
                bob.register()
                converse(alice, bob, hangs_up=bob)


def test_a_node_with_another_key_does_not_start(ring: Ring) -> None:
    """It says which nodes have another one; they go on."""
    n1 = ring.node("n1")
    with pytest.raises(PeerError, match=rf"secret_file.*another key \(n1 at 127.0.0.1:{n1.port}\)"):
        ring.node("n2", key=b"some other key that nobody else has")
    with (
        Phone("bob", "biloxi.test", "tcp", n1.v4) as bob,
        Phone("alice", "biloxi.test", "udp", n1.v4) as alice,
    ):
        bob.register()
        converse(alice, bob, hangs_up=bob)


def test_a_node_with_another_key_that_started(ring: Ring, tmp_path: Path) -> None:
    """Redis was away when it did: each names the other once it sees it, and serves its own phones."""
    n1 = ring.node("n1", more=controlled(tmp_path, "n1"))
    os.kill(ring.redis.pid, signal.SIGSTOP)
    try:
        n2 = ring.node("n2", key=b"some other key that nobody else has")
    finally:
        os.kill(ring.redis.pid, signal.SIGCONT)
    n1.program.wait_for(f"node n2 at 127.0.0.1:{n2.port} has another key")
    n2.program.wait_for(f"node n1 at 127.0.0.1:{n1.port} has another key")
    assert "another key" in health(n1)["warnings"][0]
    with (
        Phone("bob", "biloxi.test", "tcp", n1.v4) as bob,
        Phone("alice", "biloxi.test", "udp", n1.v4) as alice,
    ):
        bob.register()
        converse(alice, bob, hangs_up=bob)


def test_what_a_newer_version_wrote(ring: Ring, tmp_path: Path) -> None:
    """A node and a record of a later format: named, never overwritten; all other users are served."""
    n1 = ring.node("n1", more=controlled(tmp_path, "n1"))
    n2 = ring.node("n2")
    n1.program.wait_for("node n2 lives")
    later = f"{int(time.time() * 1000) + 600_000} " + json.dumps({"name": "n9", "version": 2})
    ring.cli("hset", "sansip:{nodes}", "0123456789abcdef", later)
    record = "v" * 16 + '{"format":2,"bindings":[]}'
    ring.cli("set", f"sansip:{{{AOR}}}", record)
    n1.program.wait_for("a node that this version cannot read shares the location: .*n9")
    with (
        Phone("bob", "biloxi.test", "tcp", n1.v4) as bob,
        Phone("carol", "biloxi.test", "tcp", n2.v4) as carol,
    ):
        bob.register_refused("503", "retry-after")
        n1.program.wait_for(f"the record of {AOR} is of a newer version of sansip, and is left alone")
        carol.register()
        with Phone("alice", "biloxi.test", "udp", n1.v4) as alice:
            alice.invite(bob.aor)
            assert alice.expect("503").get("retry-after")
            converse(alice, carol, hangs_up=alice)
    assert ring.cli("get", f"sansip:{{{AOR}}}") == record
    assert "n9" in ring.cli("hget", "sansip:{nodes}", "0123456789abcdef")
    assert n1.said("is gone") == n2.said("is gone") == 0
    assert any("newer version" in one for one in health(n1)["warnings"])


def test_a_node_that_stands_still(ring: Ring) -> None:
    """SIGSTOP, as a paused machine: no node waits for it, and its old state undoes nothing later."""
    n1, n2 = ring.node("n1"), ring.node("n2")
    n2.program.wait_for("with n1")
    with (
        Phone("bob", "biloxi.test", "tcp", n1.v4) as bob,
        Phone("alice", "biloxi.test", "udp", n2.v4) as alice,
    ):
        bob.register()
        os.kill(n1.program.pid, signal.SIGSTOP)
        try:
            n2.program.wait_for("node n1 is gone", timeout=15)
            begun = time.monotonic()
            alice.invite(bob.aor)
            alice.expect("480")
            assert time.monotonic() - begun < 2.0
            # Another phone of the user registers meanwhile, at the other node.
            with Phone("bob", "biloxi.test", "ws", (HOST, n2.ws)) as other:
                other.register()
                converse(alice, other, hangs_up=alice)
                # The requests in n1's sockets were written before, and are done after.
                bob.send_register()
                time.sleep(0.2)
                os.kill(n1.program.pid, signal.SIGCONT)
                assert bob.contact in bob.expect("200").get("contact")
                n2.program.wait_for("(?s)node n1 is gone.*node n1 lives")
                assert len(bound(n2, "bob")) == 1
                with Phone("carol", "biloxi.test", "udp", n2.v4) as carol:
                    carol.invite(bob.aor)
                    for phone in (bob, other):
                        phone.answer(phone.expect("INVITE"), "486 Busy Here")
                    carol.expect("486")
        finally:
            os.kill(n1.program.pid, signal.SIGCONT)
