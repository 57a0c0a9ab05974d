"""The parts that only trio has: nurseries, cancel scopes, and errors in groups."""

from __future__ import annotations

import pytest

from sansip.actions import Ask, Notify, SendData
from sansip_sockets import BindError, bind
from tests.adapters.fakes import PATIENCE, FakeStack, Listen, Question
from tests.missing import needed

trio = needed("trio")
sansip_trio = needed("sansip_trio")

UDP = Listen(0, "udp", "127.0.0.1")
TCP = Listen(1, "tcp", "127.0.0.1")


async def ask(address, data: bytes) -> bytes:
    """Be a TCP peer in the same thread."""
    with trio.fail_after(PATIENCE):
        async with await trio.open_tcp_stream(*address) as peer:
            await peer.send_all(data)
            return await peer.receive_some(100)


def test_serve_beside_other_tasks():
    """The server is a guest of the loop: peers run in the same thread."""
    answers = []

    async def peer(address, data):
        answers.append(await ask(address, data))

    async def main():
        async with (
            sansip_trio.serve(lambda listeners: FakeStack(), [TCP]) as server,
            trio.open_nursery() as nursery,
        ):
            for number in range(20):
                nursery.start_soon(peer, server.listeners[0].address, b"%d" % number)

    trio.run(main)
    assert sorted(answers) == sorted(b"%d" % number for number in range(20))


def test_a_cancel_scope_around_the_server():
    """Trio's way to end anything: the block is left, and everything is closed by then."""

    async def main():
        with trio.move_on_after(0.01):
            async with sansip_trio.serve(lambda listeners: FakeStack(), [UDP, TCP]) as server:
                await server.wait_closed()
        return [listener.sock.fileno() for listener in server.listeners]

    assert trio.run(main) == [-1, -1]


def test_stop_does_not_cancel_the_block():
    """Stopping ends the pumps; the code behind ``wait_closed`` in the block still runs."""

    async def main():
        stack = FakeStack()
        stack.idle = False
        async with sansip_trio.serve(lambda listeners: stack, [UDP]) as server:
            results = [await server.drain(0.0)]
            server.stop()
            server.stop()
            await server.wait_closed()
            await trio.lowlevel.checkpoint()
            results.append(server.listeners[0].sock.fileno() == -1)
        return results

    assert trio.run(main) == [False, True]


def test_stop_from_inside():
    """A watcher of events runs inside a pump: everything is closed when that has come to its wait."""
    stack = FakeStack()
    stack.on_data = lambda conn, data: [SendData(conn, b"bye"), Notify("stop")]

    async def main():
        async with sansip_trio.serve(
            lambda listeners: stack,
            [TCP],
            notify=lambda event: server.stop(),  # type: ignore[has-type]  # the name is bound by this very call
        ) as server:
            assert await ask(server.listeners[0].address, b"stop") == b"bye"
            await server.wait_closed()

    trio.run(main)


def test_an_async_handler_runs_in_its_own_task():
    """Its exception is the answer, and no other task ends."""
    stack = FakeStack()
    stack.on_data = lambda conn, data: [Ask(7, Question("slow")), SendData(conn, b"asked")]

    async def handler(question):
        with trio.fail_after(0.001):
            await trio.sleep(60)

    async def main():
        async with sansip_trio.serve(lambda listeners: stack, [TCP], handlers={Question: handler}) as server:
            await ask(server.listeners[0].address, b"ask")
            return await trio.to_thread.run_sync(stack.expect, "answer")

    number, answer = trio.run(main)
    assert number == 7
    assert isinstance(answer, trio.TooSlowError)


def test_a_port_in_use():
    """``serve`` raises it as it is, for nothing runs yet."""

    async def main(port):
        async with sansip_trio.serve(lambda listeners: FakeStack(), [Listen(0, "udp", "127.0.0.1", port)]):
            pytest.fail("served")

    with bind(UDP).sock as taken, pytest.raises(BindError, match="in use"):
        trio.run(main, taken.getsockname()[1])


def test_what_the_block_raises_comes_in_a_group():
    """The exceptions come as from any nursery; the sockets are closed."""

    async def main():
        async with sansip_trio.serve(lambda listeners: FakeStack(), [UDP]):
            raise ValueError("mine")

    with pytest.raises(ExceptionGroup) as caught:
        trio.run(main)
    assert caught.group_contains(ValueError, match="mine")
