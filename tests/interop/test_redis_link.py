"""The connection to Redis in the loop of each runtime, live: registered, called, cut, and silent.

Theory of operation: an installed ``sansip serve`` on one runtime, a Redis of the test, phones of raw SIP. The
operator kills the server's connections (CLIENT KILL), and stops the process of Redis (SIGSTOP): a phone gets
its answer in the first case, and a 503 in the second, and nobody waits for long.
"""

from __future__ import annotations

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
