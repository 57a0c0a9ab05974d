"""From the table [http] to sockets that answer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sansip_server.config.http import parse_http_listen
from sansip_server.http.access import Access, Keys
from sansip_server.http.pages import Pages
from sansip_sockets.http import HttpServer

if TYPE_CHECKING:
    from sansip_server.config.schema import Settings
    from sansip_server.management import Management
    from sansip_sockets import Hub, TlsContexts

__all__ = ["open_http", "start_http"]


def open_http(settings: Settings, tls: TlsContexts) -> HttpServer | None:
    """Open the sockets; None where none are wanted. Raises ``BindError``."""
    listeners = [parse_http_listen(text) for text in settings.http.listen]
    return HttpServer(listeners, settings.limits, tls) if listeners else None


def start_http(
    server: HttpServer, hub: Hub, settings: Settings, domains: Iterable[str], management: Management
) -> None:
    """Serve from now on. Raises ``OperatorError`` for keys that cannot be used."""
    keys = None if settings.http.keys is None else Keys(Path(settings.http.keys))
    access = Access(settings.http, domains, keys)
    # Those in force: a reload changes them.
    server.limits = hub.driver.limits
    server.start(hub, Pages(management, access, hub.driver.limits).answer)
    for listener in server.listeners:
        click.echo(f"listening on {listener}")
