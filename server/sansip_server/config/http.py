"""The [http] table: the addresses at which operators and web pages ask, and who may ask."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from sansip.auth import HASHES, AuthConfig, hash_name
from sansip.transport.transports import WS, WSS
from sansip_server.config.listen import ListenAddress
from sansip_server.config.peers import check_ha1
from sansip_sockets.http import HttpListener

__all__ = ["HttpSettings", "HttpUser", "is_loopback", "parse_http_listen", "sharing"]

_LISTEN = re.compile(r"(https?):(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z.-]+):(\d{1,5})")


@dataclass(slots=True, kw_only=True)
class HttpUser:
    """A user who may ask over HTTP with a password (Digest, RFC 7616)."""

    # The user name.
    name: str = ""
    # The user's role: `"read"` or `"operate"`.
    role: Literal["read", "operate"] = "read"
    # HA1 in place of the password, as `"SHA-256:hexadecimal"`; `sansip ha1 NAME sansip --algorithm SHA-256`
    # prints it. All users need the same algorithms.
    ha1: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.name or not self.ha1:
            raise ValueError("needs name and ha1")
        for text in self.ha1:
            check_ha1(text)

    @property
    def keys(self) -> dict[str, str]:
        """HA1 by the name of its hash."""
        pairs = (text.rpartition(":") for text in self.ha1)
        return {hash_name(name) or name: key.lower() for name, _, key in pairs}


@dataclass(slots=True)
class HttpSettings:
    """HTTP for operators: JSON-RPC, health, figures (docs/http.md). The bounds are `limits.http_…`.

    Attributes:
        listen: addresses, `http:127.0.0.1:8080` or `https:[::]:8443` (with the certificate of `[tls]`).
            Without `keys` they may only be addresses of this machine, and give only the role read. The
            address of a `ws` (for https: `wss`) in `listen`, also of a shared port, is one port for both.
        keys: file with the JWK set (RFC 7517) that checks tokens, relative to this file;
            `sansip token` makes it. The server reads it again when it has changed.
        realm: the text that browsers show when they ask for the password of one of `[[http.users]]`; a
            part of HA1.
        audience: the `aud` that a token must have.
        issuer: the `iss` that a token must have; `""` is any.
        hosts: names that the Host field may have, beside addresses, `localhost` and `domains`.
        origins: web pages that may ask, as their origin, like `https://admin.example.org`.
    """

    listen: list[str] = field(default_factory=list)
    keys: str | None = None
    realm: str = "sansip"
    audience: str = "sansip"
    issuer: str = ""
    hosts: list[str] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    users: list[HttpUser] = field(default_factory=list)

    @property
    def proves(self) -> bool:
        """Whether there are any tokens or passwords that prove a role."""
        return self.keys is not None or bool(self.users)

    def digest(self) -> AuthConfig:
        """Return the settings of the challenge: the algorithms that all users have, the strongest first."""
        shared = [name for name in HASHES if all(name in user.keys for user in self.users)]
        return AuthConfig(tuple(shared), qop=("auth", "auth-int"), other_nodes=False)


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
