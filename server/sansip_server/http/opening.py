"""From the table [http] to sockets that answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sansip.auth import Lookup
from sansip.transport.transports import WS, WSS
from sansip.wire import parse_uri
from sansip_server.config.http import parse_http_listen, sharing
from sansip_server.http.access import Access, Keys
from sansip_server.http.mounts import Mounts
from sansip_server.http.pages import Pages
from sansip_server.http.users import Users
from sansip_sockets.bind import listener_text
from sansip_sockets.http import HttpServer

if TYPE_CHECKING:
    from sansip_server.bearer import Bearer
    from sansip_server.config.listen import ListenAddress
    from sansip_server.config.schema import Settings
    from sansip_server.followers import Followers
    from sansip_server.management import Management
    from sansip_server.storage import Storage
    from sansip_sockets import BoundListener, Hub, TlsContexts

__all__ = ["open_http", "shared_with", "start_http"]


def open_http(settings: Settings, tls: TlsContexts, addresses: Sequence[ListenAddress]) -> HttpServer | None:
    """Open the sockets; None if no HTTP is configured. Raises ``BindError``.

    A port that a WebSocket listener among ``addresses`` has is opened with that listener.
    """
    if not settings.http.listen:
        return None
    listeners = map(parse_http_listen, settings.http.listen)
    own = [one for one in listeners if sharing(one, addresses) is None]
    return HttpServer(own, settings.limits, tls)


def start_http(
    server: HttpServer,
    hub: Hub,
    settings: Settings,
    domains: Iterable[str],
    management: Management,
    followers: Followers,
    storage: Storage | None = None,
    bearer: Bearer | None = None,
    told: Callable[[str], object] = click.echo,
) -> None:
    """Serve from now on; ``told`` gets a line for each socket.

    Raises ``OperatorError`` for keys that cannot be used.
    """
    keys = None if settings.http.keys is None else Keys(Path(settings.http.keys))
    access = Access(settings.http, domains, keys)
    # The limits in force: a reload changes them.
    server.limits = hub.driver.limits
    stack: Any = hub.driver.stack
    users = None
    if settings.auth == "digest" and storage is not None:
        users = Users(
            hub,
            settings.digest,
            storage.handlers[Lookup],
            lambda: list(stack.config.domains),
            lambda domain: str(stack.realm_of(parse_uri(f"sip:{domain}"))),
            bearer,
        )
    mounts = Mounts(stack, hub, access, users)
    server.start(hub, Pages(management, access, hub.driver.limits, followers, mounts).answer)
    opened = [str(listener) for listener in server.listeners]
    for text in opened + shared_with(hub.listeners.values()):
        told(f"listening on {text}")


def shared_with(listeners: Iterable[BoundListener]) -> list[str]:
    """Return the addresses of HTTP that are those of WebSocket ``listeners``."""
    return [
        listener_text({WS: "http", WSS: "https"}[one.transport], one.host, one.port)
        for one in listeners
        if one.config.http
    ]
