"""Socket code written once for every runtime: pumps over non-blocking sockets.

Theory of operation: see ``waits`` (the duties of a runtime to a pump), ``hub`` (one stack and its
sockets), ``datagrams`` and ``streams`` (the pumps). No code in this package waits, or depends on
asyncio, gevent or curio.
"""

from sansip_sockets.answering import Handlers
from sansip_sockets.assembly import Build, Options, assemble, prepare
from sansip_sockets.bind import BindError, BoundListener, bind, bind_all, listener_text
from sansip_sockets.callbacks import CallbackWaiter, End
from sansip_sockets.control import ControlSocket
from sansip_sockets.ending import running, signals
from sansip_sockets.filters import stream_filters
from sansip_sockets.gathering import Gathering
from sansip_sockets.hub import Hub
from sansip_sockets.memory import tune_gc
from sansip_sockets.polled import PolledWaiter
from sansip_sockets.relisten import Relisten
from sansip_sockets.system_dns import system_dns
from sansip_sockets.tls import TlsConfig, TlsContexts, TlsError
from sansip_sockets.waits import PAUSE, READ, WRITE, Pump, Spawn, Wait
from sansip_sockets.workers import Offload, Threads, handler

__all__ = [
    "PAUSE",
    "READ",
    "WRITE",
    "BindError",
    "BoundListener",
    "Build",
    "CallbackWaiter",
    "ControlSocket",
    "End",
    "Gathering",
    "Handlers",
    "Hub",
    "Offload",
    "Options",
    "PolledWaiter",
    "Pump",
    "Relisten",
    "Spawn",
    "Threads",
    "TlsConfig",
    "TlsContexts",
    "TlsError",
    "Wait",
    "assemble",
    "bind",
    "bind_all",
    "handler",
    "listener_text",
    "prepare",
    "running",
    "signals",
    "stream_filters",
    "system_dns",
    "tune_gc",
]
