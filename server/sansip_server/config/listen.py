"""Listener addresses: ``transport:host:port``, with what to advertise instead.

Theory of operation: ``udp:10.0.0.1:5060 advertise 203.0.113.5:5060`` binds
the first address and writes the second into Via, Record-Route and Contact,
for a server behind NAT. IPv6 addresses stand in brackets, as in a SIP URI (RFC 3261 25.1). The
port may be left out, and 0 lets the system choose.

``tcp+tls+ws+wss:0.0.0.0:5060`` is one port for all of them, told apart by the first
octets of a connection. ``tcp:10.0.0.1:5060 proxy_protocol 10.0.0.7,10.0.1.0/24``
takes connections of these load balancers only, each with a PROXY header.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

from sansip.transport.transports import DEFAULT_PORTS, ON_TCP, TRANSPORTS

__all__ = [
    "DEFAULT_LISTEN",
    "TRANSPORTS",
    "ListenAddress",
    "check_domain",
    "check_origin",
    "check_path",
    "parse_listen",
    "show_host",
]

# The transports that the first octets of a connection tell apart.
SHARING = ON_TCP
_OPTIONS = frozenset(("advertise", "proxy_protocol"))
# Only this machine can reach these, so registration may be open.
DEFAULT_LISTEN = ("udp:127.0.0.1:5060", "tcp:127.0.0.1:5060", "udp:[::1]:5060", "tcp:[::1]:5060")

EXAMPLE = "udp:127.0.0.1:5060 or tcp:[::1]:5060"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """One socket to listen on. ``host`` is an IP address without brackets.

    ``transport`` may be several, joined by ``+``. ``proxies`` are networks.
    """

    transport: str
    host: str
    port: int
    advertise_host: str | None = None
    advertise_port: int | None = None
    proxies: tuple[str, ...] = ()

    @property
    def transports(self) -> tuple[str, ...]:
        """The transports of the socket."""
        return tuple(self.transport.split("+"))

    @property
    def loopback(self) -> bool:
        """True when only this machine can reach the socket, and no proxy in front brings others."""
        return ipaddress.ip_address(self.host).is_loopback and not self.proxies

    @property
    def wildcard(self) -> bool:
        """True for 0.0.0.0 and ::, which receive on every address but are not addresses themselves."""
        return ipaddress.ip_address(self.host).is_unspecified

    @property
    def ipv6(self) -> bool:
        """True when the socket is of the IPv6 family."""
        return ":" in self.host

    def __str__(self) -> str:
        return f"{self.transport}:{show_host(self.host)}:{self.port}"


def show_host(host: str) -> str:
    """Return ``host`` as it stands before a port: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def parse_listen(text: str, kinds: Collection[str] | None = None) -> ListenAddress:
    """Return the listener that ``text`` describes; ``kinds``, where given, are those of a module.

    Raises ValueError with a sentence that names the fault and an example.
    """
    words = text.split()
    options = dict(zip(words[1::2], words[2::2], strict=False))
    if len(words) % 2 == 0 or len(words) != 2 * len(options) + 1 or options.keys() - _OPTIONS:
        raise ValueError(
            "expected transport:host:port, or that and `advertise host:port` or"
            f" `proxy_protocol address,network`, like {EXAMPLE}"
        )
    transport, colon, address = words[0].partition(":")
    transport = transport.lower()
    if kinds is None:
        _check_transports(transport if colon else "")
    elif transport not in kinds or not colon or "proxy_protocol" in options:
        raise ValueError(
            f"expected {' or '.join(kinds)} and an address, like {next(iter(kinds))}:127.0.0.1:2855"
        )
    host, port = _split_host_port(address)
    if host.lower() == "localhost":
        host = "127.0.0.1"
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        hint = (
            f"write IPv6 in brackets, [{host}]"
            if ":" in host
            else "a socket is bound to an address, not a name"
        )
        raise ValueError(f"{host or 'nothing'} is no IP address ({hint}); expected {EXAMPLE}") from None
    if getattr(parsed, "scope_id", None):
        raise ValueError(f"{host}: an address with a zone cannot stand in SIP messages; use a global one")
    # RFC 3261 19.1.2, RFC 7118 5; a shared port is that of its first transport.
    listen_port = DEFAULT_PORTS.get(transport.partition("+")[0]) if port is None else port
    if listen_port is None:
        raise ValueError(f"expected a port, like {transport}:{show_host(host)}:2855")
    proxies = _check_proxies(options["proxy_protocol"], transport) if "proxy_protocol" in options else ()
    if "advertise" not in options:
        return ListenAddress(transport, str(parsed), listen_port, proxies=proxies)
    public_host, public_port = _split_host_port(options["advertise"])
    if public_port == 0:
        raise ValueError("the advertised port cannot be 0; peers have to reach it")
    public_host = _check_host(public_host)
    return ListenAddress(
        transport, str(parsed), listen_port, public_host, public_port or listen_port or None, proxies
    )


def _check_transports(text: str) -> None:
    """Raise ValueError unless ``text`` is a transport, or several that can share a port."""
    several = text.split("+")
    for transport in several:
        if transport not in TRANSPORTS:
            known = " or ".join((", ".join(list(TRANSPORTS)[:-1]), list(TRANSPORTS)[-1]))
            if transport == "tls-sctp":
                # RFC 4168 4
                raise ValueError(
                    f"TLS over SCTP is not spoken here; take tls for it, or sctp without: {EXAMPLE}"
                )
            raise ValueError(f"expected transport:host:port with transport {known}, like {EXAMPLE}")
    if len(several) > 1 and (len(set(several)) < len(several) or set(several) - SHARING):
        raise ValueError(
            "a port is shared by different ones of tcp, tls, ws and wss, like tcp+tls:127.0.0.1:5060"
        )


def _check_proxies(text: str, transport: str) -> tuple[str, ...]:
    """Return the networks of ``proxy_protocol``, or raise ValueError."""
    if set(transport.split("+")) - SHARING:
        raise ValueError(
            f"proxy_protocol is for tcp, tls, ws and wss; {transport} has no connection to announce"
        )
    proxies = []
    for one in text.split(","):
        try:
            proxies.append(str(ipaddress.ip_network(one.strip("[]"))))
        except ValueError as error:
            raise ValueError(
                f"proxy_protocol: {error}; expected addresses or networks, like 10.0.0.0/8"
            ) from None
    return tuple(proxies)


def _split_host_port(text: str) -> tuple[str, int | None]:
    """Split ``host[:port]``; an IPv6 host must be in brackets to have a port."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket:
            raise ValueError(f"the bracket of {text} is never closed; expected {EXAMPLE}")
        if ":" not in host:
            raise ValueError(f"only IPv6 addresses stand in brackets; expected {EXAMPLE}")
        if not rest:
            return host, None
        if not rest.startswith(":"):
            raise ValueError(f"expected a port after {text[: len(host) + 2]}, like {EXAMPLE}")
        return host, _port(rest[1:])
    if text.count(":") > 1:
        return text, None
    host, colon, port = text.partition(":")
    return host, _port(port) if colon else None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise ValueError(f"{text or 'nothing'} is no port; expected a number from 0 to 65535")
    return int(text)


def _check_host(host: str) -> str:
    """Return an address or a domain name fit for a Via, lower case, or raise ValueError."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        if HOST_NAME.fullmatch(host) and len(host) <= 253 and not host.replace(".", "").isdigit():
            return host.lower()
        raise ValueError(f"{host or 'nothing'} is neither an IP address nor a host name") from None


def check_domain(text: str) -> str:
    """Return the domain ``text`` as the core compares it, or raise ValueError."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return _check_host(bare).rstrip(".")
    except ValueError:
        raise ValueError(
            "expected a domain name or an IP address, without scheme and port, like example.org"
        ) from None


def check_origin(text: str) -> str:
    """Return the origin ``text`` of a web page (RFC 6454 6.2), or raise ValueError."""
    scheme, separator, host = text.rstrip("/").partition("://")
    if scheme.lower() not in ("http", "https") or not separator or not host or "/" in host:
        raise ValueError("expected an origin, scheme and host without a path, like https://phone.example.org")
    return text


def check_path(text: str) -> str:
    """Return the path ``text`` of an HTTP request, or raise ValueError."""
    if not text.startswith("/") or "?" in text:
        raise ValueError("expected a path that begins with /, like /ws")
    return text
