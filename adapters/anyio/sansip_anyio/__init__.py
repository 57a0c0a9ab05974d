"""The anyio adapter: for hosts that are written for anyio (FastAPI, Starlette), on asyncio and on trio.

The two front doors, identical in their options (see docs/adapters.md)::

    run(build, listeners=None, *, backend="asyncio", on_ready=None, on_reload=None, drain_time=32.0,
        uvloop=False, handlers=None, notify=None, filters=None, limits=None, report=None) -> int

    async with serve(build, listeners=None, *, handlers=None, notify=None, filters=None,
                     limits=None, report=None) as server:
        await server.wait_closed()

``serve`` is for programs that ``anyio.run`` themselves, or run on asyncio or trio
already. Handlers that are ``async def`` run as tasks of the loop, all others in threads.
"""

try:
    import anyio as _anyio
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "anyio is not installed; pip install 'sansip[anyio]'", name=error.name
    ) from None

from sansip_anyio.server import Server, run, serve

__all__ = ["Server", "run", "serve"]

del _anyio
