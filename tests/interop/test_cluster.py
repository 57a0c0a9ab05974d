"""Three nodes on one Redis: separate processes, real phones, and the owner killed.

Theory of operation: each node is an installed ``sansip serve`` with its own port and
name and the same key. SIPp registers at one and calls through another; a browser's
phone (WebSocket) is called through a node that it never spoke with.
"""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sansip.auth import compute_response, ha1
from tests.interop.conftest import TARGET
from tests.interop.phone import Phone
from tests.interop.test_sipp import OWN, REGISTER
from tools.peers import Program, Sipp, free_port, sansip_serve
from tools.redises import HOST, redis_server

pytestmark = [
    pytest.mark.needs("sipp", "redis-server", "redis-cli"),
    pytest.mark.skipif(TARGET != "sansip", reason="Kamailio's nodes are set up another way"),
]

# Three missed ones must be more than a busy machine keeps a process waiting.
HEARTBEAT = 0.5
CONFIG = """
listen = ["udp:{host}:{port}", "tcp:{host}:{port}", "ws:{host}:{ws}"]
domains = ["biloxi.test"]
location = "{location}"
secret_file = "{key}"
{more}
[node]
name = "{name}"
heartbeat = {heartbeat}
linger = {linger}
[redis]
timeout = 1.0
{redis}
"""


KEY = b"the same key on all of the nodes"


class Node:
    """One node, that can be killed and started again.

    ``called`` is its name where it is not ``name``, that of its folder; ``prefix`` is put before its command.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        location: str,
        *,
        linger: float = 0.0,
        redis: str = "",
        more: str = "",
        host: str = HOST,
        key: bytes = KEY,
        called: str = "",
        prefix: Sequence[str] = (),
    ) -> None:
        self.directory = directory / name
        self.host = host
        self.prefix = prefix
        self.directory.mkdir()
        self.name = name
        self.port, self.ws = free_port(), free_port()
        secret = self.directory / "key"
        secret.write_bytes(key)
        self.config = self.directory / "sansip.toml"
        self.config.write_text(
            CONFIG.format(
                host=host,
                port=self.port,
                ws=self.ws,
                location=location,
                key=secret,
                name=called or name,
                heartbeat=HEARTBEAT,
                linger=linger,
                redis=redis,
                more=more,
            )
        )
        self.program = self.start()

    @property
    def v4(self) -> tuple[str, int]:
        return self.host, self.port

    def start(self) -> Program:
        options = ["--config", str(self.config)]
        self.program = sansip_serve(self.directory, [], options=options, prefix=self.prefix)
        return self.program

    def kill(self) -> None:
        self.program.process.kill()
        self.program.process.wait()

    def stop(self) -> None:
        self.program.stop()

    def said(self, text: str) -> int:
        """How many lines of the log hold ``text``."""
        return sum(text in line for line in self.program.output().splitlines())

    def end(self) -> None:
        """Stop it; it must not have tripped over anything."""
        log = self.program.output()
        self.program.stop()
        assert "Traceback" not in log, log


class Nodes:
    """Redis, and nodes n1, n2, n3 on it."""

    def __init__(self, directory: Path, stack: ExitStack, **options: Any) -> None:
        self.redis_port = free_port()
        self.redis_directory = directory / "redis"
        self.redis = stack.enter_context(redis_server(self.redis_directory, self.redis_port))
        location = f"redis://{HOST}:{self.redis_port}/0"
        self.all: list[Node] = []
        for name in ("n1", "n2", "n3"):
            self.all.append(Node(directory, name, location, **options))
            # In any state by then: a test may start it again.
            stack.callback(self.all[-1].stop)
        for node in self.all:
            for other in self.all:
                if other is not node:
                    node.program.wait_for(f"node {other.name} lives")


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with ExitStack() as stack:
        started = Nodes(tmp_path, stack)
        yield started
        for node in started.all:
            node.end()


@pytest.fixture(scope="module")
def shared_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """For tests that kill nothing."""
    with ExitStack() as stack:
        # Twelve phones of one user are more than the default allows.
        more = "[registrar]\nmax_contacts = 12"
        started = Nodes(tmp_path_factory.mktemp("nodes"), stack, more=more)
        yield started
        for node in started.all:
            node.end()


def sipp_pair(
    pair: str,
    callee: str,
    home: Node,
    through: Node,
    tmp_path: Path,
    *,
    killing: Callable[[], None] | None = None,
) -> None:
    """Register SIPp's phone at ``home``, then call it by SIPp through ``through``."""
    phone = (HOST, free_port())
    user = f"{pair[:3]}-{phone[1]}"
    with Sipp(REGISTER[callee], home.v4, tmp_path, local=phone, transport=callee, service=user) as register:
        register.succeed()
    if killing is not None:
        killing()
    with Sipp(
        OWN / f"{pair}_uas.xml", through.v4, tmp_path, local=phone, transport=callee, service=user
    ) as uas:
        uas.wait_until_bound()
        caller = (HOST, free_port())
        with Sipp(OWN / f"{pair}_uac.xml", through.v4, tmp_path, local=caller, service=user) as uac:
            uac.succeed()


@pytest.mark.parametrize("callee", ["u1", "t1"])
@pytest.mark.parametrize("pair", ["s03_call", "s04_cancel", "s05_busy", "s08_message"])
def test_called_through_another_node(pair: str, callee: str, shared_nodes: Nodes, tmp_path: Path) -> None:
    """SIPp registers at n1 and is called, cancelled and sent messages through n2."""
    n1, n2, _ = shared_nodes.all
    sipp_pair(pair, callee, n1, n2, tmp_path)


def converse(caller: Phone, callee: Phone, *, hangs_up: Phone) -> None:
    """Call, answer, and end the call from either side."""
    caller.invite(callee.aor)
    invite = callee.expect("INVITE")
    callee.answer(invite, "180 Ringing")
    caller.expect("180")
    callee.answer(invite, "200 OK")
    caller.established(caller.expect("200"))
    callee.expect("ACK")
    other = callee if hangs_up is caller else caller
    hangs_up.within("BYE")
    other.answer(other.expect("BYE"), "200 OK")
    hangs_up.expect("200")


@pytest.mark.parametrize("transport", ["ws", "tcp"])
def test_a_phone_of_another_node(transport: str, shared_nodes: Nodes) -> None:
    """RFC 5626 5.3: over the connection that it has with n1, for a caller at n3; requests both ways."""
    n1, _, n3 = shared_nodes.all
    home = (HOST, n1.ws if transport == "ws" else n1.port)
    with (
        Phone("bob", "biloxi.test", transport, home) as bob,
        Phone("alice", "biloxi.test", "udp", n3.v4) as alice,
    ):
        bob.register()
        converse(alice, bob, hangs_up=alice)
        converse(alice, bob, hangs_up=bob)


def register_text(user: str, contact: str, number: int, expires: int) -> bytes:
    """A REGISTER of one of many phones of ``user``; with "" as ``contact`` it asks for the bindings."""
    lines = [
        "REGISTER sip:biloxi.test SIP/2.0",
        f"Via: SIP/2.0/UDP {HOST}:5060;branch=z9hG4bK{contact or 'all'}-{number};rport",
        "Max-Forwards: 70",
        f"From: <sip:{user}@biloxi.test>;tag=1",
        f"To: <sip:{user}@biloxi.test>",
        f"Call-ID: {contact or 'all'}",
        f"CSeq: {number} REGISTER",
        *([f"Contact: <sip:{contact}@{HOST}:5060>", f"Expires: {expires}"] if contact else []),
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def receive_answer(phone: socket.socket) -> bytes:
    """Return the next final response; keepalives come in between, and 100 where it takes long (RFC 4320)."""
    while (data := phone.recv(65_535)).startswith((b"OPTIONS", b"SIP/2.0 1")):
        pass
    return data


def test_one_user_at_three_nodes_at_once(shared_nodes: Nodes) -> None:
    """Ten phones of one user, all that he may have, come and go through three nodes at the same time.

    After each round every node says the same: the phones that were last told 200 for
    a registration, and nobody else.
    """
    nodes = [node.v4 for node in shared_nodes.all]
    bound: set[str] = set()
    with ExitStack() as stack:
        phones = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(10)]
        for phone in phones:
            phone.settimeout(5.0)
        chance = random.Random(3261)
        for number in range(1, 16):
            wishes = [chance.random() < 0.6 for _ in phones]
            for name, (phone, wish) in enumerate(zip(phones, wishes, strict=True)):
                data = register_text("many", f"p{name}", number, 600 if wish else 0)
                phone.sendto(data, chance.choice(nodes))
            for name, (phone, wish) in enumerate(zip(phones, wishes, strict=True)):
                answer = receive_answer(phone)
                assert answer.startswith(b"SIP/2.0 200"), answer
                (bound.add if wish else bound.discard)(f"p{name}")
            for node in nodes:
                phones[0].sendto(register_text("many", "", number, 0), node)
                found = re.findall(r"(?m)^Contact: <sip:(\w+)@", receive_answer(phones[0]).decode())
                assert sorted(found) == sorted(bound)


def test_passwords_at_every_node(tmp_path: Path) -> None:
    """Users in one store, nonces under one key: a phone that n1 challenged may answer n2, and once there."""
    store = tmp_path / "users.db"
    put = [sys.executable, "-m", "sansip_server", "user", "add", "--store", str(store), "bob@biloxi.test"]
    subprocess.run(put, input=b"wonderland\n", check=True, timeout=60, capture_output=True)
    with ExitStack() as stack:
        nodes = Nodes(tmp_path, stack, more=f'auth = "digest"\nstore = "{store}"\ncontrol = ""')
        phone = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        phone.settimeout(5.0)

        def ask(node: Node, number: int, field: str = "") -> str:
            data = register_text("bob", "bob", number, 600).decode()
            phone.sendto(data.replace("Expires:", f"{field}Expires:").encode(), node.v4)
            return phone.recv(65_535).decode()

        n1, n2, n3 = nodes.all
        # A node believes no nonce of another that is as old as itself; nonces count in seconds.
        time.sleep(1.1)
        challenge = ask(n1, 1)
        assert challenge.startswith("SIP/2.0 401")
        found = re.search(r'nonce="([^"]+)"', challenge)
        assert found is not None
        key = ha1("bob", "biloxi.test", "wonderland", "MD5")
        uri = "sip:biloxi.test"
        value = compute_response(
            key, "REGISTER", uri, found[1], algorithm="MD5", qop="auth", nc="00000001", cnonce="c"
        )
        field = (
            f'Authorization: Digest username="bob", realm="biloxi.test", nonce="{found[1]}", uri="{uri}",'
            f' response="{value}", algorithm=MD5, qop=auth, nc=00000001, cnonce="c"\r\n'
        )
        assert ask(n2, 2, field).startswith("SIP/2.0 200")
        # RFC 7616 3.4: a node knows which counts it has seen.
        assert ask(n2, 3, field).startswith("SIP/2.0 401")
        assert ask(n3, 4).startswith("SIP/2.0 401")


def test_the_owner_is_killed(nodes: Nodes, tmp_path: Path) -> None:
    """``kill -9``: datagram phones are called on at once; connections fail fast until they are back."""
    n1, n2, n3 = nodes.all
    with (
        Phone("bob", "biloxi.test", "ws", (HOST, n1.ws)) as bob,
        Phone("alice", "biloxi.test", "udp", n3.v4) as alice,
    ):
        bob.register()
        converse(alice, bob, hangs_up=alice)
        sipp_pair("s03_call", "u1", n1, n2, tmp_path, killing=n1.kill)
        n3.program.wait_for("node n1 is gone")
        begun = time.monotonic()
        alice.invite(bob.aor)
        alice.expect("480")
        assert time.monotonic() - begun < 1.0
    with (
        Phone("bob", "biloxi.test", "ws", (HOST, n2.ws)) as bob,
        Phone("alice", "biloxi.test", "udp", n3.v4) as alice,
    ):
        # The phone's browser reconnects to another node and is there again.
        bob.register()
        converse(alice, bob, hangs_up=bob)


def test_a_node_comes_back(nodes: Nodes) -> None:
    """Restarted, a node loads nothing and knows everybody: it asks when somebody is called."""
    n1, n2, _ = nodes.all
    with Phone("bob", "biloxi.test", "tcp", n1.v4) as bob:
        bob.register()
        n2.kill()
        n2.start()
        assert n2.said("registrations are shared") == 1
        with Phone("alice", "biloxi.test", "udp", n2.v4) as alice:
            converse(alice, bob, hangs_up=alice)


def test_redis_is_killed_and_comes_back(nodes: Nodes) -> None:
    """503 with Retry-After and never a false 200; known bindings are served; no restart; said once."""
    n1, _, n3 = nodes.all
    with (
        Phone("bob", "biloxi.test", "tcp", n1.v4) as bob,
        Phone("alice", "biloxi.test", "udp", n1.v4) as alice,
        Phone("carol", "biloxi.test", "udp", n3.v4) as carol,
    ):
        bob.register()
        converse(carol, bob, hangs_up=carol)
        nodes.redis.process.kill()
        nodes.redis.process.wait()
        for _ in range(3):
            bob.register_refused("503", "retry-after")
        converse(alice, bob, hangs_up=bob)
        # n3 called bob before, and remembers.
        converse(carol, bob, hangs_up=carol)
        assert n1.said("the shared location redis://") == 1
        nodes.redis = redis_server(nodes.redis_directory, nodes.redis_port)
        with nodes.redis:
            n1.program.wait_for("works again after")
            bob.register()
            converse(carol, bob, hangs_up=bob)
        assert n1.said("works again after") == 1


def test_redis_is_slow(nodes: Nodes) -> None:
    """A Redis that does not answer (stopped) costs its timeout once, then nobody waits for it."""
    n1, _, _ = nodes.all
    with (
        Phone("bob", "biloxi.test", "tcp", n1.v4) as bob,
        Phone("alice", "biloxi.test", "udp", n1.v4) as alice,
    ):
        bob.register()
        os.kill(nodes.redis.pid, signal.SIGSTOP)
        try:
            bob.register_refused("503", "retry-after")
            converse(alice, bob, hangs_up=bob)
        finally:
            os.kill(nodes.redis.pid, signal.SIGCONT)
        n1.program.wait_for("works again after")
        bob.register()


def test_drained_without_a_lost_call(tmp_path: Path) -> None:
    """SIGTERM: calls that run end as they should, phones on its connections can be called; then it goes."""
    with ExitStack() as stack:
        nodes = Nodes(tmp_path, stack, linger=3.0)
        n1, n2, _ = nodes.all
        with (
            Phone("bob", "biloxi.test", "ws", (HOST, n1.ws)) as bob,
            Phone("alice", "biloxi.test", "udp", n2.v4) as alice,
            Phone("carol", "biloxi.test", "udp", n1.v4) as carol,
        ):
            bob.register()
            alice.invite(bob.aor)
            invite = bob.expect("INVITE")
            bob.answer(invite, "200 OK")
            alice.established(alice.expect("200"))
            bob.expect("ACK")
            n1.program.terminate()
            n1.program.wait_for("draining")
            n2.program.wait_for("node n1 drains")
            carol.register_refused("503", "retry-after")
            bob.within("BYE")
            alice.answer(alice.expect("BYE"), "200 OK")
            bob.expect("200")
            converse(alice, bob, hangs_up=alice)
            assert n1.program.wait(10.0) == 0
            n2.program.wait_for("node n1 is gone")
            alice.invite(bob.aor)
            alice.expect("480")
        with (
            Phone("bob", "biloxi.test", "ws", (HOST, n2.ws)) as bob,
            Phone("alice", "biloxi.test", "udp", n2.v4) as alice,
        ):
            bob.register()
            converse(alice, bob, hangs_up=bob)
