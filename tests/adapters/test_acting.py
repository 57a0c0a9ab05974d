"""Programs around the stack make and take calls: ``server.act`` on every runtime."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from sansip import ListenerConfig, Stack, StackConfig
from sansip.errors import LocalProtocolError
from sansip.events import CallOffered
from tests.ua.phones import ANSWER, OFFER


def stack(listeners: list[Any]) -> Stack:
    """A stack whose route leaves calls to the program around it."""

    def route(request: Any) -> None:
        if request.method == "INVITE":
            request.incoming().hand_out()
        else:
            request.reply(200)

    return Stack(StackConfig(listeners, ["biloxi.test"], route=route), bytes(32))


LISTENERS = [ListenerConfig(0, "udp", "127.0.0.1", 0)]


def test_asyncio() -> None:
    """A call to oneself: offered, rung, accepted, held, hung up; the other side hears of the end."""
    import sansip_asyncio

    async def main() -> None:
        offered: asyncio.Queue[CallOffered] = asyncio.Queue()

        def notify(event: Any) -> None:
            if isinstance(event, CallOffered):
                offered.put_nowait(event)

        async with sansip_asyncio.serve(stack, LISTENERS, notify=notify) as server:
            port = server.listeners[0].address[1]
            uri = f"sip:desk@127.0.0.1:{port}"
            assert (await server.act("request", method="OPTIONS", uri=uri)).status == 200
            calling = asyncio.create_task(server.act("invite", uri=uri, sdp=OFFER))
            event = await asyncio.wait_for(offered.get(), 5)
            assert event.sdp == OFFER
            await server.act("ring", event.number)
            accepted = await server.act("accept", event.number, sdp=ANSWER)
            call = await calling
            assert call.remote_sdp == ANSWER
            over = asyncio.create_task(server.act("over", accepted.number))
            assert (await server.act("hold", call.number)).status == 200
            await server.act("bye", call.number)
            assert await asyncio.wait_for(over, 5) == "BYE"
            with pytest.raises(LocalProtocolError, match="over"):
                await server.act("bye", call.number)
            with pytest.raises(LocalProtocolError, match="name its number"):
                await server.act("bye")

    asyncio.run(main())


@pytest.mark.parametrize("runtime", ["trio", "anyio", "curio"])
def test_others(runtime: str) -> None:
    """The same verb, awaited in the manner of each runtime."""
    module = pytest.importorskip(f"sansip_{runtime}")
    if runtime == "curio" and sys.version_info >= (3, 14):
        pytest.skip("curio does not run there")
    found: list[int] = []

    async def main() -> None:
        async with module.serve(stack, LISTENERS) as server:
            port = server.listeners[0].address[1]
            response = await server.act("request", method="OPTIONS", uri=f"sip:127.0.0.1:{port}")
            found.append(response.status)

    if runtime == "trio":
        import trio

        trio.run(main)
    elif runtime == "anyio":
        import anyio

        anyio.run(main)
    else:
        import curio

        curio.run(main)
    assert found == [200]


def test_gevent() -> None:
    """A plain call there, which lets other greenlets run."""
    sansip_gevent = pytest.importorskip("sansip_gevent")
    server = sansip_gevent.Server(stack, LISTENERS)
    server.start()
    try:
        port = server.listeners[0].address[1]
        assert server.act("request", method="OPTIONS", uri=f"sip:127.0.0.1:{port}").status == 200
    finally:
        server.stop()
