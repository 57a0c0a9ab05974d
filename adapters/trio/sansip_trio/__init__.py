"""The trio adapter: waits for what the pumps of ``sansip_sockets`` ask for.

The two front doors, identical in their options (see docs/adapters.md)::

    run(build, listeners=None, *, on_ready=None, on_reload=None, drain_time=32.0,
        handlers=None, notify=None, filters=None, limits=None, report=None) -> int

    async with serve(build, listeners=None, *, handlers=None, notify=None, filters=None,
                     limits=None, report=None) as server:
        await server.wait_closed()

``serve`` is for programs that ``trio.run`` themselves. Handlers that are ``async
def`` run as trio's tasks, all others in threads.
"""

try:
    import trio as _trio
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("trio is not installed; pip install 'sansip[trio]'", name=error.name) from None

from sansip_trio.server import Server, run, serve

__all__ = ["Server", "run", "serve"]

del _trio
