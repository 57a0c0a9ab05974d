"""The connection to Redis in the loop of each runtime, live: registered, called, cut, and silent.

Theory of operation: an installed ``sansip serve`` on one runtime, a Redis of the test, phones of raw SIP. The
operator kills the server's connections (CLIENT KILL), and stops the process of Redis (SIGSTOP): a phone gets
its answer in the first case, and a 503 in the second, and nobody waits for long.
"""

from __future__ import annotations

import re
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.interop.conftest import TARGET
from tests.interop.phone import Phone
from tests.interop.test_cluster import Node
from tools.peers import free_port
from tools.redises import HOST, cli, redis_server

pytestmark = [
    pytest.mark.needs("redis-server", "redis-cli"),
    pytest.mark.skipif(TARGET != "sansip", reason="it is sansip's store"),
]


@pytest.mark.parametrize("runtime", ["asyncio", "blocking", "gevent", "curio", "trio", "anyio"])
def test_every_runtime(runtime: str, tmp_path: Path) -> None:
    """A connection that was cut costs no phone its answer; a Redis that hangs costs a second, once."""
    number = free_port()
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(tmp_path / "redis", number))
        location = f"redis://{HOST}:{number}/0"
        node = Node(tmp_path, "n1", location, more=f'runtime = "{runtime}"')
        stack.callback(node.stop)
        bob = stack.enter_context(Phone("bob", "biloxi.test", "udp", node.v4))
        ann = stack.enter_context(Phone("ann", "biloxi.test", "udp", node.v4))
        bob.register()
        assert cli(number, "exists", "sansip:{sip:bob@biloxi.test}") == "1"
        ann.register()
        ann.invite(bob.aor)
        bob.expect("INVITE")
        # The link and the signs of life: all are cut.
        assert int(cli(number, "client", "kill", "type", "normal", "skipme", "yes")) >= 2
        carol = stack.enter_context(Phone("carol", "biloxi.test", "udp", node.v4))
        for _ in range(3):
            carol.register()
        redis.process.send_signal(signal.SIGSTOP)
        try:
            begun = time.monotonic()
            carol.register_refused("503", "retry-after")
            # Generous: the machine may be busy. It must not be the 10 s of ``limits.answer_time``.
            assert time.monotonic() - begun < 8
        finally:
            redis.process.send_signal(signal.SIGCONT)
        node.program.wait_for("works again")
        carol.register()
        node.end()


def test_tls(tmp_path: Path) -> None:
    """The same over rediss: octets that TLS holds back are read, too."""
    authority = Authority(tmp_path)
    certificate = authority.issue("redis.pem", "127.0.0.1")
    number = free_port()
    options = ["--tls-port", str(number), "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(certificate)]
    options += ["--tls-ca-cert-file", str(authority.authority)]
    with ExitStack() as stack:
        stack.enter_context(redis_server(tmp_path / "redis", 0, options))
        trusted = f'authorities = "{authority.authority}"'
        node = Node(tmp_path, "n1", f"rediss://{HOST}:{number}/0", redis=trusted)
        stack.callback(node.stop)
        bob = stack.enter_context(Phone("bob", "biloxi.test", "udp", node.v4))
        ann = stack.enter_context(Phone("ann", "biloxi.test", "udp", node.v4))
        for _ in range(20):
            bob.register()
        ann.register()
        ann.invite(bob.aor)
        bob.expect("INVITE")
        node.end()


def gets(port: int) -> int:
    """Return how many records were read, in scripts, too."""
    found = re.search(r"cmdstat_get:calls=(\d+)", cli(port, "info", "commandstats"))
    return int(found[1]) if found else 0


def test_calls_without_a_trip(tmp_path: Path) -> None:
    """A call to a phone of this node asks Redis nothing, until its record is changed by anybody else."""
    number = free_port()
    with ExitStack() as stack:
        stack.enter_context(redis_server(tmp_path / "redis", number))
        nodes = [Node(tmp_path, name, f"redis://{HOST}:{number}/0") for name in ("n1", "n2")]
        for node in nodes:
            stack.callback(node.stop)
        one, two = nodes
        bob = stack.enter_context(Phone("bob", "biloxi.test", "udp", one.v4))
        moved = stack.enter_context(Phone("bob", "biloxi.test", "tcp", two.v4))
        other = stack.enter_context(Phone("other", "biloxi.test", "udp", one.v4))

        def called(phone: Phone) -> int:
            """Have ann call bob at ``one``, where ``phone`` rings; return how many records were read."""
            # What Redis proved counts for a second.
            other.register()
            before = gets(number)
            with Phone("ann", "biloxi.test", "udp", one.v4) as ann:
                ann.invite(bob.aor)
                phone.expect("INVITE")
            return gets(number) - before

        one.program.wait_for("node n2 lives")
        # The first REGISTER of all has to teach Redis the script.
        other.register()
        bob.register()
        assert [called(bob) for _ in range(3)] == [0, 0, 0]
        # He registers at the other node, too: the very next call rings there.
        moved.register()
        assert called(moved) == 1
        cli(number, "flushall")
        with Phone("ann", "biloxi.test", "udp", one.v4) as ann:
            ann.invite(bob.aor)
            ann.expect("404")
        for node in nodes:
            node.end()


# docs/cluster.md
RIGHTS = "+eval +evalsha +get +wait +info +set +del +time +hset +hdel +hgetall"


@pytest.mark.parametrize("case", ["told", "no right", "an old protocol"])
def test_a_redis_that_may_not_tell(case: str, tmp_path: Path) -> None:
    """The rights that docs/cluster.md names are enough, and so is RESP2; then each call is a trip."""
    number = free_port()
    with ExitStack() as stack:
        options = ["--rename-command", "HELLO", ""] if case == "an old protocol" else []
        stack.enter_context(redis_server(tmp_path / "redis", number, options))
        more = " +client|tracking +client|caching" if case == "told" else ""
        cli(number, "acl", "setuser", "lean", "on", ">geheim", "~sansip:*", *(RIGHTS + more).split())
        node = Node(tmp_path, "n1", f"redis://lean:geheim@{HOST}:{number}/0")
        stack.callback(node.stop)
        bob = stack.enter_context(Phone("bob", "biloxi.test", "udp", node.v4))
        ann = stack.enter_context(Phone("ann", "biloxi.test", "udp", node.v4))
        ann.register()
        bob.register()
        before = gets(number)
        ann.invite(bob.aor)
        bob.expect("INVITE")
        assert gets(number) - before == (0 if case == "told" else 1)
        node.end()
