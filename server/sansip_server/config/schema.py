"""Which keys a configuration file has: one dataclass a table, one field a key.

Theory of operation: a field's type says what is accepted, its default what
holds without it, and the comment above it is its documentation (``reference``
collects those into docs/configuration.md). Tables that belong to the core
are the core's own dataclasses, so a new limit or timer is a new key without a
line here. ``rules`` has the rules that a type cannot express.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sansip.auth import AuthConfig
from sansip.limits import Limits
from sansip.modules.keepalive import KeepaliveConfig
from sansip.proxy import ProxyConfig
from sansip.registrar.config import RegistrarConfig
from sansip.transaction.timers import TimerValues
from sansip.transport.websocket import WebSocketConfig
from sansip_server.config.bearer import BearerSettings
from sansip_server.config.dns import DnsSettings
from sansip_server.config.http import HttpSettings
from sansip_server.config.listen import DEFAULT_LISTEN
from sansip_server.config.node import NodeSettings
from sansip_server.config.peers import TrustedSettings, UpstreamSettings
from sansip_server.config.redis import RedisSettings
from sansip_server.config.ua import UaSettings
from sansip_sockets.tls import TlsConfig

__all__ = ["LogSettings", "Settings"]


@dataclass(slots=True, kw_only=True)
class LogSettings:
    """The log, written to standard error."""

    # The least important message that is written.
    level: Literal["debug", "info", "warning", "error"] = "info"
    # `text` for people, `json` for one JSON object per line.
    format: Literal["text", "json"] = "text"


@dataclass(slots=True, kw_only=True)
class Settings:
    """The top level of the file; the tables follow it."""

    # Sockets to listen on, as `transport:address:port`. Transports are `udp`,
    # `tcp`, `tls`, `ws` (WebSocket) and `wss` (WebSocket in TLS); IPv6 addresses
    # stand in brackets; without a port it is the transport's own (5060, `tls`
    # 5061, `ws` 80, `wss` 443), and 0 lets the system choose. `0.0.0.0` and `[::]` mean each address that
    # the machine has when the server starts. A server behind NAT names the address that peers see:
    # `"udp:10.0.0.1:5060 advertise 203.0.113.5:5060"`. One port for several is
    # `"tcp+tls+ws+wss:0.0.0.0:5060"`. Behind load balancers that speak the PROXY protocol:
    # `"tcp:10.0.0.1:5060 proxy_protocol 10.0.0.7,10.0.1.0/24"`. Beyond loopback, `auth` must be given.
    listen: list[str] = field(default_factory=lambda: list(DEFAULT_LISTEN))
    # Domains whose users register here and are looked up here. The server's
    # own addresses are always served and mean the first domain, and so does
    # `localhost` if it listens on loopback. Without any, the addresses are the domains: there is one set
    # of users, and the realm in which the server asks for their passwords is the address that the phone
    # uses. The server does not relay requests for other domains for strangers.
    domains: list[str] = field(default_factory=list)
    # How the server decides who may register. `"digest"` asks for the password of a user in `store`
    # (`sansip user add`). `"none"` lets every phone that can reach the server register. Without the key
    # every phone may register too, but the server refuses to listen beyond loopback.
    auth: Literal["none", "digest"] | None = None
    # Users and registrations: an SQLite file, relative to this file and made when
    # it is missing, or a database server, `postgresql+psycopg://user@host/database`
    # (`pip install 'sansip[postgresql]'`) or `mysql+pymysql://user@host/database`
    # (`pip install 'sansip[mysql]'`). With it a registration survives a
    # restart, and is acknowledged only when it is on disk. Without it registrations
    # are in memory. See docs/stores.md.
    store: str | None = None
    # Least number of seconds between two batches of registrations, and between two of rows of modules: the
    # server writes those that come meanwhile together. A lone one does not wait. 0 is no pause. The default
    # is a twentieth of the time after which a phone sends its request again (T1).
    store_interval: float = 0.025
    # File with the password for a database server, relative to this file; without
    # it the password is PGPASSWORD's, ~/.pgpass's or the URL's.
    store_password_file: str | None = None
    # Seconds a statement may take, or another process may keep an SQLite file
    # locked, before registrations get 503. Less than `limits.answer_time`.
    store_timeout: float = 5.0
    # The meaning of "on disk" for a file: with `full` a registration survives a power failure, with
    # `normal` only the death of the process, at about a tenth of the cost of a lone registration.
    store_sync: Literal["full", "normal"] = "full"
    # One live location for several nodes, in Redis or Valkey: `redis://host:6379/0`,
    # `redis+sentinel://host1,host2,host3/mymaster/0` or `redis+cluster://host1,host2`;
    # `rediss` for TLS (`pip install 'sansip[redis]'`). Then Redis has the registrations, and `store` has
    # only the users. All nodes need the same `secret_file`. See docs/cluster.md.
    location: str | None = None
    # The Redis, named as in `location`, in which several nodes share the rows of modules, and the counts and
    # values that modules keep for all nodes together; the table `redis` says the rest. Without it they are in
    # `store`, or in memory if there is no store. An older program refuses to start on rows of a newer one.
    rows: str | None = None
    # Socket for `sansip ctl` (health, bindings, drain, …), relative to this file;
    # only the server's user may open it. Without it the socket lies beside the store's file
    # (`sansip.db.ctl`), or if there is no such file in a folder for sockets (`$XDG_RUNTIME_DIR/sansip`,
    # `/run/sansip`); `""` is none.
    control: str | None = None
    # Routing script: a Python file that defines `route(request)`, plain or
    # async, relative to this file. Without it, the default route is used
    # (`sansip/routing/default.py`).
    route: str | None = None
    # The Server field of answers that the server gives itself; `""` leaves it out.
    server_name: str = "sansip"
    # File with the key that marks the server's own Record-Route values, so that
    # dialogs which began before a restart go on after it; relative to this
    # file, and made when it is missing. Without it the key lies beside `store`
    # (`sansip.db.key`); without a store it is new at each start.
    secret_file: str | None = None
    # File with the keys of nonces, one a line, the newest first: the first makes nonces, all verify them. All
    # nodes that share users need the same file, so that a nonce of one is good on the others; the server
    # reads it again on SIGHUP. Without it they are made from the key in `secret_file`.
    nonce_file: str | None = None
    # File with the secrets of users with a time limit, one a line, the newest first
    # (`sansip user ephemeral`); read again on SIGHUP. With it a phone may give the
    # name `EXPIRY:USER` and the password that was made for it, and need not be in `store`.
    ephemeral_file: str | None = None
    # The runtime adapter that waits for sockets and timers. "auto" is `blocking`, which costs the least, if
    # the server listens on UDP only, and `asyncio` otherwise; the first line that the server prints says
    # which, and why.
    runtime: str = "auto"
    # Processes that serve the sockets together, one for each processor at best; `"auto"` is as many as the
    # server may use processors. With more than one a parent looks after them, and some settings are refused:
    # see docs/workers.md.
    workers: int | Literal["auto"] = 1
    # Use uvloop as asyncio's event loop; needs `pip install 'sansip[uvloop]'`.
    uvloop: bool = False
    # Move the server's memory into pages of 2 MB where Linux can (6.1 or newer): in a virtual machine a sixth
    # less CPU time for a call, for at most some MB more of memory.
    huge_pages: bool = True
    # While more than 2,250 datagrams come in a second, sleep so many seconds (0.001 at most) before each look
    # at the sockets, and serve together what has come: up to a third less CPU time for a call, whose set-up
    # takes two or three times that longer. 0 serves each datagram at once. For the runtimes `blocking` and
    # `asyncio`, without uvloop; the others serve at once.
    gather: float = 0.001
    # How long, in seconds, running transactions may take to finish after
    # SIGTERM; new dialogs get 503 meanwhile. 32 is the longest a transaction
    # waits for an answer (64*T1).
    drain_time: float = 32.0
    digest: AuthConfig = field(default_factory=AuthConfig)
    bearer: BearerSettings = field(default_factory=BearerSettings)
    dns: DnsSettings = field(default_factory=DnsSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    # On here, unlike in the library: operators expect phones behind NATs to ring.
    keepalive: KeepaliveConfig = field(default_factory=KeepaliveConfig)
    log: LogSettings = field(default_factory=LogSettings)
    node: NodeSettings = field(default_factory=NodeSettings)
    proxy: ProxyConfig = field(default_factory=ProxyConfig)
    redis: RedisSettings = field(default_factory=RedisSettings)
    registrar: RegistrarConfig = field(default_factory=RegistrarConfig)
    timers: TimerValues = field(default_factory=TimerValues)
    tls: TlsConfig = field(default_factory=TlsConfig)
    ua: UaSettings = field(default_factory=UaSettings)
    websocket: WebSocketConfig = field(default_factory=WebSocketConfig)
    upstream: list[UpstreamSettings] = field(default_factory=list)
    trusted: list[TrustedSettings] = field(default_factory=list)
    limits: Limits = field(default_factory=Limits)
    # The tables of modules, by name; this is not a key itself.
    modules: dict[str, Any] = field(default_factory=dict, init=False)
    # The file that this was read from; this is not a key.
    file: Path | None = field(default=None, init=False)
