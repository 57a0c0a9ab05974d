"""The curio adapter: waits for what the pumps of ``sansip_sockets`` ask for.

The two front doors, identical in their options (see docs/adapters.md)::

    run(build, listeners=None, *, on_ready=None, on_reload=None, drain_time=32.0,
        handlers=None, notify=None, filters=None, limits=None, report=None) -> int

    async with serve(build, listeners=None, *, handlers=None, notify=None, filters=None,
                     limits=None, report=None) as server:
        await server.wait_closed()

``serve`` is for programs that ``curio.run`` themselves. Handlers that are ``async
def`` run as curio's tasks, all others in threads. Import this package before
curio on Python 3.12 and later, where curio 1.6 cannot be imported by itself
(``compat`` says why).
"""

from sansip_curio.compat import import_curio

import_curio()

from sansip_curio.server import Server, run, serve  # noqa: E402 (needs the patch above)

__all__ = ["Server", "run", "serve"]
