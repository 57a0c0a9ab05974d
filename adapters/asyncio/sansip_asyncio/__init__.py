"""The asyncio adapter (and uvloop): waits for what the pumps of ``sansip_sockets`` ask for.

The two front doors, identical in their options (see docs/adapters.md)::

    run(build, listeners=None, *, on_ready=None, on_reload=None, drain_time=32.0, uvloop=False,
        handlers=None, notify=None, filters=None, limits=None, report=None) -> int

    async with serve(build, listeners=None, *, handlers=None, notify=None, filters=None,
                     limits=None, report=None) as server:
        await server.wait_closed()

``build`` is a ``Stack``, or a function that is given the list of listener
configs with their real ports (port 0 resolved) and returns the ``Stack``.
``run`` raises ``sansip_sockets.BindError`` (one line that names the listener
and the fix) before anything else happens, blocks until SIGTERM or SIGINT,
drains, and returns the exit status 0. ``on_ready(server)`` is called once,
when every socket is open: ``[str(listener) for listener in server.listeners]``
gives ``udp:127.0.0.1:5060`` and so on. ``on_reload()`` is called on SIGHUP.
The other options are described at ``sansip_sockets.Options``.
"""

from sansip_asyncio.server import Server, run, serve

__all__ = ["Server", "run", "serve"]
