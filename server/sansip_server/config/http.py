"""The [http] table: where operators and web pages ask, and who may."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from sansip.transport.transports import WS, WSS
from sansip_server.config.listen import ListenAddress
from sansip_sockets.http import HttpListener

__all__ = ["HttpSettings", "is_loopback", "parse_http_listen", "sharing"]

_LISTEN = re.compile(r"(https?):(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+):(\d{1,5})")


@dataclass(slots=True)
class HttpSettings:
    """HTTP for operators: JSON-RPC, health, figures (docs/http.md). The bounds are `limits.http_…`.

    Attributes:
        listen: addresses, `http:127.0.0.1:8080` or `https:[::]:8443` (with the certificate of `[tls]`).
            Without `keys` only addresses of this machine, and only the role read. The address of a
            `ws` (for https: `wss`) in `listen`, also of a shared port, is one port for both.
        keys: file with the JWK set (RFC 7517) that tokens are checked by, relative to this file;
            `sansip token` makes it. Read again when it has changed.
        audience: what the `aud` of a token must be.
        issuer: what its `iss` must be; `""` is any.
        hosts: names that the Host field may have, beside addresses, `localhost` and `domains`.
        origins: web pages that may ask, as their origin, like `https://admin.example.org`.
    """

    listen: list[str] = field(default_factory=list)
    keys: str | None = None
    audience: str = "sansip"
    issuer: str = ""
    hosts: list[str] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)


def parse_http_listen(text: str) -> HttpListener:
    """Return the listener that ``text`` means. Raises ``ValueError``."""
    found = _LISTEN.fullmatch(text)
    if found is None or int(found[3]) > 65_535:
        raise ValueError(f"expected an address, like http:127.0.0.1:8080; found {text!r}")
    return HttpListener(found[1], found[2].strip("[]"), int(found[3]))


def sharing(listener: HttpListener, addresses: Iterable[ListenAddress]) -> ListenAddress | None:
    """Return the listener of SIP over WebSocket whose port ``listener`` is on, too."""
    host = "127.0.0.1" if listener.host == "localhost" else listener.host
    transport = WSS if listener.transport == "https" else WS
    for address in addresses:
        if transport in address.transports and (address.host, address.port) == (host, listener.port):
            return address
    return None


def is_loopback(listener: HttpListener) -> bool:
    """Whether only this machine reaches ``listener``."""
    try:
        return listener.host == "localhost" or ipaddress.ip_address(listener.host).is_loopback
    except ValueError:
        return False
