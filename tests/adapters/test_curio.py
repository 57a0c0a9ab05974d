"""The parts that only curio has: the kernel, cancellation, timeouts, an import that newer Pythons refuse."""

from __future__ import annotations

import multiprocessing.connection
import ssl
import subprocess
import sys

import pytest

from sansip.actions import Ask, Notify, SendData
from sansip_sockets import BindError, bind
from tests.adapters.fakes import PATIENCE, FakeStack, Listen, Question
from tests.missing import needed

sansip_curio = needed("sansip_curio")
curio = needed("curio")

UDP = Listen(0, "udp", "127.0.0.1")
TCP = Listen(1, "tcp", "127.0.0.1")


async def ask(address, data: bytes) -> bytes:
    """Be a TCP peer in the same kernel."""
    async with curio.timeout_after(PATIENCE), await curio.open_connection(*address) as peer:
        await peer.sendall(data)
        return await peer.recv(100)


def test_serve_beside_other_tasks():
    """The server is a guest of the kernel: peers run in the same thread."""

    async def main():
        async with sansip_curio.serve(lambda listeners: FakeStack(), [TCP]) as server:
            tasks = [await curio.spawn(ask, server.listeners[0].address, b"%d" % n) for n in range(20)]
            return [await task.join() for task in tasks]

    assert curio.run(main) == [b"%d" % n for n in range(20)]


def test_a_timeout_around_the_server():
    """Curio's way to end anything: the block is left, and everything is closed by then."""

    async def main():
        async with (
            curio.ignore_after(0.01),
            sansip_curio.serve(lambda listeners: FakeStack(), [UDP, TCP]) as server,
        ):
            await server.wait_closed()
        return [listener.sock.fileno() for listener in server.listeners]

    assert curio.run(main) == [-1, -1]


def test_cancellation():
    """A task that serves may be cancelled, with connections open."""

    async def main():
        servers = []

        async def serving():
            async with sansip_curio.serve(lambda listeners: FakeStack(), [TCP]) as server:
                servers.append(server)
                await ready.set()
                await server.wait_closed()

        ready = curio.Event()
        task = await curio.spawn(serving)
        await ready.wait()
        async with await curio.open_connection(*servers[0].listeners[0].address) as peer:
            await peer.sendall(b"hello")
            assert await peer.recv(100) == b"hello"
            await task.cancel()
            assert await peer.recv(100) == b""
        return servers[0].listeners[0].sock.fileno()

    assert curio.run(main) == -1


def test_stop_and_drain():
    """Stopping twice, from plain code; a drain that is not finished then is told so."""

    async def main():
        stack = FakeStack()
        stack.idle = False
        async with sansip_curio.serve(lambda listeners: stack, [UDP]) as server:
            results = [await server.drain(0.0)]
            draining = await curio.spawn(server.drain, 60.0)
            await curio.sleep(0)
            server.stop()
            server.stop()
            await server.wait_closed()
            return [*results, await draining.join()]

    assert curio.run(main) == [False, False]


def test_stop_from_inside():
    """A watcher of events runs inside a pump: everything is closed when that has come to its wait."""
    stack = FakeStack()
    stack.on_data = lambda conn, data: [SendData(conn, b"bye"), Notify("stop")]

    async def main():
        async with sansip_curio.serve(
            lambda listeners: stack,
            [TCP],
            notify=lambda event: server.stop(),  # type: ignore[has-type]  # the name is bound by this very call
        ) as server:
            assert await ask(server.listeners[0].address, b"stop") == b"bye"
            await server.wait_closed()

    curio.run(main)


def test_a_handler_that_runs_into_its_own_timeout():
    """Curio's timeouts are no ``Exception``; the question gets an answer all the same."""
    stack = FakeStack()
    stack.on_data = lambda conn, data: [Ask(7, Question("slow")), SendData(conn, b"asked")]

    async def handler(question):
        await curio.timeout_after(0.001, curio.sleep, 60)

    async def main():
        async with sansip_curio.serve(lambda listeners: stack, [TCP], handlers={Question: handler}) as server:
            await ask(server.listeners[0].address, b"ask")
            return await curio.run_in_thread(stack.expect, "answer")

    number, answer = curio.run(main)
    assert number == 7
    assert isinstance(answer, TimeoutError)


def test_a_port_in_use():
    """``serve`` raises it as it is."""

    async def main(port):
        async with sansip_curio.serve(lambda listeners: FakeStack(), [Listen(0, "udp", "127.0.0.1", port)]):
            pytest.fail("served")

    with bind(UDP).sock as taken, pytest.raises(BindError, match="in use"):
        curio.run(main, taken.getsockname()[1])


def test_what_the_import_of_curio_needs_is_there():
    """On 3.12 and later ``compat`` lends it: the real values, and a refusal for ``ssl.wrap_socket``."""
    connection = vars(multiprocessing.connection)
    for name in ("CHALLENGE", "WELCOME", "FAILURE"):
        assert connection[name] == connection.get(f"_{name}", connection[name])
        assert isinstance(connection[name], bytes)
    if sys.version_info >= (3, 12):
        with pytest.raises(AttributeError, match=r"removed from Python 3\.12"):
            vars(ssl)["wrap_socket"]()


def test_the_import_warns_of_nothing():
    """Curio's own code is old; what newer Pythons say about it would be noise to our users."""
    subprocess.run([sys.executable, "-W", "error", "-c", "import sansip_curio, curio"], check=True)
