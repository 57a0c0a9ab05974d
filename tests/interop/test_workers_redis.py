"""Workers that share a location with other nodes: the workers of a server are one node."""

from __future__ import annotations

import json
import os
import signal
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
from tests.interop.line import Line, Silence
from tests.interop.phone import Message, Phone
from tests.interop.test_cluster import Node
from tests.interop.workers import soon
from tools.peers import free_port
from tools.redises import redis_server

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="workers are sansip's"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
    pytest.mark.needs("redis-server"),
]
DOMAIN = "biloxi.test"
HOST = "127.0.0.1"


class Pair:
    """Redis, and two nodes of two workers each."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.port = free_port()
        self.redis = stack.enter_context(redis_server(directory / "redis", self.port))
        location = f"redis://{HOST}:{self.port}/0"
        self.nodes: list[Node] = []
        for name in ("n1", "n2"):
            more = f'workers = 2\ncontrol = "{directory / name / "ctl"}"'
            self.nodes.append(Node(directory, name, location, more=more))
            stack.callback(self.nodes[-1].stop)
        for node, other in (self.nodes, self.nodes[::-1]):
            node.program.wait_for(f"node {other.name} lives", 30.0)

    def ctl(self, index: int, *words: str) -> Any:
        node = self.nodes[index]
        command = [
            sys.executable,
            "-m",
            "sansip_server",
            "ctl",
            "--control",
            str(node.directory / "ctl"),
            *words,
        ]
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=30, check=False)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def kill(self, index: int, number: int) -> None:
        """Kill a worker; wait until the next process in its place serves."""
        before = self.nodes[index].said(f"worker {number} serves again")
        os.kill(self.ctl(index, "stats")[0]["pids"][str(number)], signal.SIGKILL)
        soon(lambda: self.nodes[index].said(f"worker {number} serves again") > before, "it serves again")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        started = Pair(tmp_path, stack)
        yield started
        for node in started.nodes:
            node.end()


def call(caller: Phone, callee: Phone) -> None:
    """A whole call."""
    caller.invite(callee.aor)
    callee.answer(callee.expect("INVITE"), "200 OK")
    caller.established(caller.expect("200"))
    assert callee.expect("ACK").what == "ACK"
    caller.within("BYE")
    callee.answer(callee.expect("BYE"), "200 OK")
    assert caller.expect("200").what == "200"


def test_phones_of_all_workers_are_reached_from_both_nodes(pair: Pair) -> None:
    """RFC 5626 5.3: a token of any worker's connection is followed by each worker of that node."""
    first, second = pair.nodes
    with Phone("bob", DOMAIN, "ws", (HOST, first.ws)) as bob:
        bob.register()
        for index in range(8):
            node = (first, second)[index % 2]
            with Phone(f"c{index}", DOMAIN, "udp", node.v4) as caller:
                call(caller, bob)


def test_a_dead_worker_takes_its_connections_alone(pair: Pair) -> None:
    """Phones at WebSockets of a dead worker are gone at once, from both nodes; all others go on."""
    first, second = pair.nodes
    with ExitStack() as closing:
        phones = [
            closing.enter_context(Phone(f"u{index}", DOMAIN, "ws", (HOST, first.ws))) for index in range(10)
        ]
        still = closing.enter_context(Phone("udp", DOMAIN, "udp", first.v4))
        for phone in [*phones, still]:
            phone.register()
        pair.kill(0, 1)
        alive = {one["aor"] for one in pair.ctl(0, "bindings") if "aor" in one}
        assert still.aor in alive
        for index, phone in enumerate(phones):
            node = (first, second)[index % 2]
            with Phone(f"c{index}", DOMAIN, "udp", node.v4) as caller:
                if phone.aor in alive:
                    call(caller, phone)
                else:
                    caller.invite(phone.aor)
                    while (answer := caller.receive(10.0)).what == "100":
                        pass
                    assert answer.what in ("404", "480", "430"), answer.start
        with Phone("last", DOMAIN, "udp", first.v4) as caller:
            call(caller, still)


def _register(line: Line, user: str, cseq: int, contact: str) -> bytes:
    aor = f"<sip:{user}@{DOMAIN}>"
    lines = [
        f"REGISTER sip:{DOMAIN} SIP/2.0",
        f"Via: SIP/2.0/UDP {line.sent_by};branch=z9hG4bK{user}{cseq}{time.monotonic_ns()};rport",
        "Max-Forwards: 70",
        f"From: {aor};tag=r",
        f"To: {aor}",
        f"Call-ID: one-{user}",
        f"CSeq: {cseq} REGISTER",
        f"Contact: <{contact}>",
        "Expires: 600",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def test_order_holds_over_workers_of_both_nodes(pair: Pair) -> None:
    """RFC 3261 10.3 step 7: whichever node and worker an old REGISTER comes to, it undoes nothing."""
    with ExitStack() as closing:
        lines = [closing.enter_context(Line("udp", pair.nodes[index % 2].v4)) for index in range(12)]
        for index, line in enumerate(lines):
            line.send(_register(line, "alice", 10 + index, "sip:alice@127.0.0.1:7"))
            assert Message(line.receive(10.0).decode()).what == "200"
            old = lines[index - 1]
            old.send(_register(old, "alice", 10 + index - 1, "sip:alice@127.0.0.1:7"))
            assert Message(old.receive(10.0).decode()).what in ("400", "500")


def test_acknowledged_bindings_outlive_killed_workers(pair: Pair) -> None:
    """While workers of both nodes are killed again and again, each REGISTER that got its 200 is in Redis."""
    acknowledged: set[str] = set()
    stop = threading.Event()

    def register(index: int) -> None:
        with Line("udp", pair.nodes[index % 2].v4) as line:
            number = 0
            while not stop.is_set():
                number += 1
                user = f"u{index}x{number}"
                line.send(_register(line, user, 1, f"sip:{user}@{line.sent_by}"))
                try:
                    if Message(line.receive(2.0).decode()).what == "200":
                        acknowledged.add(user)
                except Silence:
                    pass
                time.sleep(0.02)

    threads = [threading.Thread(target=register, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for number in (0, 1, 0):
        for index in range(2):
            pair.kill(index, number)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(acknowledged) > 50
    with Line("udp", pair.nodes[1].v4) as line:
        for user in sorted(acknowledged):
            # RFC 3261 10.2.3: a query.
            query = _register(line, user, 2, "").replace(b"Contact: <>\r\n", b"")
            line.send(query.replace(b"Call-ID: one-", b"Call-ID: query-"))
            answer = Message(line.receive(10.0).decode())
            assert any(name == "contact" for name, _ in answer.fields), user


def test_redis_that_dies_is_told(pair: Pair) -> None:
    """A REGISTER that no worker can write gets 503, users that are known are called, and health says why."""
    first = pair.nodes[0]
    with Phone("bob", DOMAIN, "udp", first.v4) as bob, Phone("eve", DOMAIN, "udp", first.v4) as eve:
        bob.register()
        pair.redis.process.kill()
        pair.redis.process.wait()
        with Line("udp", first.v4) as line:
            line.send(_register(line, "carol", 1, "sip:carol@127.0.0.1:7"))
            assert Message(line.receive(10.0).decode()).what == "503"
        [health] = pair.ctl(0, "health")
        assert "location" in health["failing"], health
        # All workers of the node know bob, whichever took the REGISTER.
        for _ in range(4):
            call(eve, bob)
