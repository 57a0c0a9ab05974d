"""The blocking adapter: waits for what the pumps of ``sansip_sockets`` ask for; standard library only.

The two front doors, identical in their options (see docs/adapters.md)::

    run(build, listeners=None, *, on_ready=None, on_reload=None, drain_time=32.0,
        handlers=None, notify=None, filters=None, limits=None, report=None) -> int

    with Server(build, listeners=None, *, handlers=None, notify=None, filters=None,
                limits=None, report=None) as server:
        server.serve_forever()      # or turn(seconds), again and again, beside your own work

There is no event loop: the thread that calls ``serve_forever`` runs the server. If the server waits
for one UDP socket only, the thread waits in ``recvfrom`` itself, which is the least that Python can
spend on a datagram. Otherwise it waits in ``selectors``.
"""

from sansip_blocking.server import Server, run

__all__ = ["Server", "run"]
