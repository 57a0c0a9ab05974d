"""The gevent adapter: waits for what the pumps of ``sansip_sockets`` ask for.

The two front doors, identical in their options (see docs/adapters.md)::

    run(build, listeners=None, *, on_ready=None, on_reload=None, drain_time=32.0, offload=None,
        handlers=None, notify=None, filters=None, limits=None, report=None) -> int

    server = Server(build, listeners=None, *, offload=None, handlers=None, notify=None,
                    filters=None, limits=None, report=None)
    server.start()          # or serve_forever(), or `with server:`
    server.stop()

It works with and without ``gevent.monkey.patch_all()``. Sockets are served by
callbacks of the hub; no greenlet is made for a datagram or a connection. So
``notify`` and routes must not wait; they may put into a queue, set an event or
spawn a greenlet. Handlers of questions may wait: they run in native threads, or
with ``offload=gevent.spawn`` in greenlets, for code that cooperates.
"""

try:
    import gevent as _gevent
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "gevent is not installed; pip install 'sansip[gevent]'", name=error.name
    ) from None

from sansip_gevent.server import Server, run

__all__ = ["Server", "run"]

del _gevent
