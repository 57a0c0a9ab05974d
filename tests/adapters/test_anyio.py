"""The parts that only anyio has: task groups and cancel scopes, on both backends, by its pytest plugin."""

from __future__ import annotations

import pytest

from sansip.actions import Ask, Notify, SendData
from sansip_sockets import BindError, bind
from tests.adapters.fakes import PATIENCE, FakeStack, Listen, Question
from tests.missing import needed

anyio = needed("anyio")
sansip_anyio = needed("sansip_anyio")

UDP = Listen(0, "udp", "127.0.0.1")
TCP = Listen(1, "tcp", "127.0.0.1")


def test_uvloop_is_for_asyncio():
    """A setting that would do nothing is refused."""
    with pytest.raises(ValueError, match="uvloop is an event loop for asyncio"):
        sansip_anyio.run(FakeStack(), [UDP], backend="trio", uvloop=True)


@pytest.mark.parametrize("options", [{}, {"uvloop": True}, {"backend": "trio"}], ids=str)
def test_as_a_program(options):
    """``stop`` in a callback ends it, on each backend: exit status 0, and the sockets are closed."""
    needed("uvloop" if "uvloop" in options else options.get("backend", "asyncio"))
    servers = []

    def ready(server):
        servers.append(server)
        server.stop()

    assert sansip_anyio.run(lambda listeners: FakeStack(), [UDP, TCP], on_ready=ready, **options) == 0
    assert [listener.sock.fileno() for listener in servers[0].listeners] == [-1, -1]


@pytest.fixture(params=["asyncio", "asyncio+uvloop", "trio"])
def anyio_backend(request):
    """Each backend; the plugin runs the tests in it."""
    name, _, loop = request.param.partition("+")
    needed(name)
    if loop:
        needed(loop)
        return name, {"use_uvloop": True}
    return name, {}


async def ask(address, data: bytes) -> bytes:
    """Be a TCP peer in the same thread."""
    with anyio.fail_after(PATIENCE):
        async with await anyio.connect_tcp(*address) as peer:
            await peer.send(data)
            return await peer.receive(100)


@pytest.mark.anyio
async def test_serve_beside_other_tasks():
    """The server is a guest of the loop: peers run in the same thread."""
    answers = []

    async def peer(address, data):
        answers.append(await ask(address, data))

    async with (
        sansip_anyio.serve(lambda listeners: FakeStack(), [TCP]) as server,
        anyio.create_task_group() as tasks,
    ):
        for number in range(20):
            tasks.start_soon(peer, server.listeners[0].address, b"%d" % number)
    assert sorted(answers) == sorted(b"%d" % number for number in range(20))


@pytest.mark.anyio
async def test_a_cancel_scope_around_the_server():
    """anyio's way to end anything: the block is left, and everything is closed by then."""
    with anyio.move_on_after(0.01):
        async with sansip_anyio.serve(lambda listeners: FakeStack(), [UDP, TCP]) as server:
            await server.wait_closed()
    assert [listener.sock.fileno() for listener in server.listeners] == [-1, -1]


@pytest.mark.anyio
async def test_stop_does_not_cancel_the_block():
    """Stopping ends the pumps; the code behind ``wait_closed`` in the block still runs."""
    stack = FakeStack()
    stack.idle = False
    async with sansip_anyio.serve(lambda listeners: stack, [UDP]) as server:
        assert not await server.drain(0.0)
        server.stop()
        server.stop()
        await server.wait_closed()
        await anyio.lowlevel.checkpoint()
        assert server.listeners[0].sock.fileno() == -1


@pytest.mark.anyio
async def test_stop_from_inside():
    """A watcher of events runs inside a pump: everything is closed when that has come to its wait."""
    stack = FakeStack()
    stack.on_data = lambda conn, data: [SendData(conn, b"bye"), Notify("stop")]
    async with sansip_anyio.serve(
        lambda listeners: stack,
        [TCP],
        notify=lambda event: server.stop(),  # type: ignore[has-type]  # the name is bound by this very call
    ) as server:
        assert await ask(server.listeners[0].address, b"stop") == b"bye"
        with anyio.fail_after(PATIENCE):
            await server.wait_closed()


@pytest.mark.anyio
async def test_an_async_handler_runs_in_its_own_task():
    """Its exception is the answer, and no other task ends."""
    stack = FakeStack()
    stack.on_data = lambda conn, data: [Ask(7, Question("slow")), SendData(conn, b"asked")]

    async def handler(question):
        with anyio.fail_after(0.001):
            await anyio.sleep(60)

    async with sansip_anyio.serve(lambda listeners: stack, [TCP], handlers={Question: handler}) as server:
        await ask(server.listeners[0].address, b"ask")
        number, answer = await anyio.to_thread.run_sync(stack.expect, "answer")
    assert number == 7
    assert isinstance(answer, TimeoutError)


@pytest.mark.anyio
async def test_a_handler_in_a_thread():
    """Plain functions run in threads of the server's own, which wake the loop that waits."""
    stack = FakeStack()
    stack.on_data = lambda conn, data: [Ask(7, Question("plain")), SendData(conn, b"asked")]
    async with sansip_anyio.serve(
        lambda listeners: stack, [TCP], handlers={Question: lambda q: 42}
    ) as server:
        await ask(server.listeners[0].address, b"ask")
        assert await anyio.to_thread.run_sync(stack.expect, "answer") == (7, 42)


@pytest.mark.anyio
async def test_a_port_in_use():
    """``serve`` raises it as it is, for nothing runs yet."""
    with bind(UDP).sock as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BindError, match="in use"):
            async with sansip_anyio.serve(
                lambda listeners: FakeStack(), [Listen(0, "udp", "127.0.0.1", port)]
            ):
                pytest.fail("served")


@pytest.mark.anyio
async def test_what_the_block_raises_comes_in_a_group():
    """The exceptions come as from any task group; the sockets are closed."""
    with pytest.raises(ExceptionGroup) as caught:
        async with sansip_anyio.serve(lambda listeners: FakeStack(), [UDP]) as server:
            raise ValueError("mine")
    assert caught.group_contains(ValueError, match="mine")
    assert server.listeners[0].sock.fileno() == -1


@pytest.mark.anyio
async def test_two_servers_in_one_loop():
    """A host may have several, and one of them ends without the other."""
    async with sansip_anyio.serve(lambda listeners: FakeStack(), [TCP]) as first:
        async with sansip_anyio.serve(lambda listeners: FakeStack(), [TCP]) as second:
            assert await ask(second.listeners[0].address, b"2") == b"2"
        assert await ask(first.listeners[0].address, b"1") == b"1"
