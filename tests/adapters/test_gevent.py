"""The parts that only gevent has: a server like ``StreamServer``, monkey patching, threads, the hub."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sansip.actions import Ask, Notify
from sansip_sockets import BindError, bind
from tests.adapters.fakes import PATIENCE, FakeStack, Listen, Question
from tests.missing import needed

gevent = needed("gevent")
sansip_gevent = needed("sansip_gevent")

UDP = Listen(0, "udp", "127.0.0.1")


@pytest.fixture(autouse=True)
def no_hub_left():
    """Each test has a hub of its own, and leaves none of its descriptors."""
    yield
    gevent.get_hub().destroy(destroy_loop=True)


def echo(address, data: bytes = b"hello") -> bytes:
    """Ask the server from another native thread, while this one serves."""

    def ask() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(PATIENCE)
            peer.sendto(data, address)
            return peer.recv(100)

    return gevent.get_hub().threadpool.apply(ask)


def test_start_and_stop():
    """``start`` returns with the server serving, ``stop`` when everything is closed; once each."""
    server = sansip_gevent.Server(lambda listeners: FakeStack(), [UDP])
    assert not server.started
    server.start()
    assert server.started
    assert echo(server.listeners[0].address) == b"hello"
    with pytest.raises(RuntimeError, match="started once"):
        server.start()
    server.stop()
    server.stop()
    assert (server.started, server.listeners[0].sock.fileno()) == (False, -1)


def test_with_and_serve_forever():
    """Leaving the block stops, and ``serve_forever`` returns when somebody stops it."""
    with sansip_gevent.Server(lambda listeners: FakeStack(), [UDP]) as server:
        gevent.spawn_later(0, server.stop)
        server.serve_forever()
    assert not server.started


def test_serve_forever_starts():
    """It behaves as gevent's own servers do; and a killed greenlet leaves nothing open."""
    server = sansip_gevent.Server(lambda listeners: FakeStack(), [UDP])
    serving = gevent.spawn(server.serve_forever)
    gevent.sleep(0)
    assert echo(server.listeners[0].address) == b"hello"
    serving.kill()
    assert server.listeners[0].sock.fileno() == -1


def test_a_port_in_use():
    """Told by ``start``, after which the server is as before."""
    with bind(UDP).sock as taken:
        server = sansip_gevent.Server(lambda listeners: FakeStack(), [Listen(0, "udp", *taken.getsockname())])
        with pytest.raises(BindError, match="in use"):
            server.start()
    assert not server.started
    server.start()
    server.stop()


def test_drain():
    """``drain`` waits in its greenlet; ``stop`` with a timeout drains before."""
    stack = FakeStack()
    stack.idle = False
    with sansip_gevent.Server(lambda listeners: stack, [UDP]) as server:
        assert server.drain(0.0) is False
        stack.idle = True
        assert server.drain() is True
        server.stop(timeout=PATIENCE)
    assert len(stack.told("drain")) == 3


def test_stop_from_the_hub():
    """A watcher of events may stop the server; it cannot wait for it."""
    stack = FakeStack()
    stack.on_datagram = lambda listener, data, source: [Notify("stop")]
    with sansip_gevent.Server(
        lambda listeners: stack,
        [UDP],
        notify=lambda event: server.stop(),  # type: ignore[has-type]  # the name is bound by this very call
    ) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"stop", server.listeners[0].address)
        server.serve_forever()
    assert server.listeners[0].sock.fileno() == -1


@pytest.mark.parametrize("offload", [None, gevent.spawn])
def test_where_handlers_run(offload):
    """A handler runs in a native thread, where any code may block.

    Or in a greenlet, for code that cooperates.
    """
    stack = FakeStack()
    stack.on_datagram = lambda listener, data, source: [Ask(1, Question("who"))]

    def handler(question: Question) -> tuple[int, bool]:
        return threading.get_ident(), gevent.getcurrent() is gevent.get_hub()

    with sansip_gevent.Server(
        lambda listeners: stack, [UDP], handlers={Question: handler}, offload=offload
    ) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"ask", server.listeners[0].address)
        number, (thread, in_hub) = gevent.get_hub().threadpool.apply(stack.expect, ("answer",))
    assert number == 1
    assert (thread == threading.get_ident(), in_hub) == (offload is not None, False)


PATCHED = """
from gevent import monkey
monkey.patch_all()
import gevent, socket
from sansip import ListenerConfig, Stack, StackConfig
import sansip_gevent

REQUEST = (
    "OPTIONS sip:localhost SIP/2.0\\r\\nVia: SIP/2.0/{0} 127.0.0.1:{1};branch=z9hG4bK1;rport\\r\\n"
    "From: <sip:a@localhost>;tag=1\\r\\nTo: <sip:localhost>\\r\\nCall-ID: {0}\\r\\nCSeq: 1 OPTIONS\\r\\n"
    "Max-Forwards: 70\\r\\nContent-Length: 0\\r\\n\\r\\n"
)

def ask(transport, kind, address):
    # Patched sockets on both sides, in one thread: the side that blocks stops both.
    with socket.socket(socket.AF_INET, kind) as peer:
        peer.settimeout(10)
        peer.connect(address)
        peer.sendall(REQUEST.format(transport, peer.getsockname()[1]).encode())
        return peer.recv(4096).partition(b"\\r\\n")[0].decode()

listeners = [ListenerConfig(0, "udp", "127.0.0.1", 0), ListenerConfig(1, "tcp", "127.0.0.1", 0)]
with sansip_gevent.Server(
    lambda bound: Stack(StackConfig(bound, ["localhost"]), bytes(16)), listeners
) as server:
    jobs = [
        gevent.spawn(ask, "UDP", socket.SOCK_DGRAM, server.listeners[0].address),
        gevent.spawn(ask, "TCP", socket.SOCK_STREAM, server.listeners[1].address),
    ]
    gevent.joinall(jobs, raise_error=True)
    print(*(job.value for job in jobs), sep="\\n")
"""


def test_monkey_patched():
    """A patched program serves and calls in one thread: the real stack over UDP and TCP."""
    output = subprocess.run(
        [sys.executable, "-W", "error", "-c", PATCHED],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=PATIENCE * 3,
        check=False,
    )
    assert (output.stdout, output.stderr) == ("SIP/2.0 200 OK\nSIP/2.0 200 OK\n", "")


PATCHED_CONTRACT = """
from gevent import monkey
# The suite's own threads and queues stay native; each of its sockets is gevent's.
monkey.patch_all(thread=False, queue=False)
import sys, pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", "gevent", "tests/adapters/contract"]))
"""


@pytest.mark.timeout(180)
def test_the_contract_monkey_patched():
    """All of the contract again, in a process whose socket module is gevent's."""
    output = subprocess.run(
        [sys.executable, "-c", PATCHED_CONTRACT],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert output.returncode == 0, output.stdout + output.stderr
