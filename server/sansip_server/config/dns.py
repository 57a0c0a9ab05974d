"""The ``[dns]`` table: which name servers are asked, and how.

Theory of operation: values that the file leaves out come from the machine (``/etc/resolv.conf``,
``/etc/hosts``), which are read once, when the server starts.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any, Literal

from sansip.transport.dns import DnsConfig
from sansip_sockets import system_dns

__all__ = ["DnsSettings", "dns_config", "parse_name_server"]

EXAMPLE = "192.0.2.53 or [2001:db8::53]:5353"


@dataclass(slots=True, kw_only=True)
class DnsSettings:
    """How the host of a URI is found (RFC 3263); see docs/dns.md."""

    # `own` asks name servers for NAPTR, SRV, A and AAAA records, and keeps their answers. `system` uses the
    # resolver of the machine, which knows addresses only.
    resolver: Literal["own", "system"] = "own"
    # Name servers, as an address, or an address and a port. Without any, those
    # of `/etc/resolv.conf`. At most four are asked.
    servers: list[str] = field(default_factory=list)
    # Take the names in `/etc/hosts` as they stand there, without asking.
    hosts: bool = True
    # Seconds to wait for a name server in the first round; each further round
    # waits twice as long. Without it the value in `/etc/resolv.conf`, or 1.
    timeout: float | None = None
    # How often each name server is tried. Without it the value in `/etc/resolv.conf`, or 2.
    rounds: int | None = None
    # Write names in random case and insist on it in replies: harder to forge.
    # A few old forwarders cannot do it.
    mix_case: bool = False
    # Address family to try first if a host has both.
    prefer: Literal["ipv6", "ipv4"] = "ipv6"


def dns_config(settings: DnsSettings) -> DnsConfig | None:
    """Return the core's settings, None for the machine's resolver.

    Raises ``ValueError`` for settings that cannot work.
    """
    if settings.resolver == "system":
        return None
    changes: dict[str, Any] = {"mix_case": settings.mix_case, "prefer": settings.prefer}
    if settings.servers:
        changes["servers"] = [parse_name_server(text) for text in settings.servers]
    if not settings.hosts:
        changes["hosts"] = {}
    if settings.timeout is not None:
        changes["timeout"] = settings.timeout
    if settings.rounds is not None:
        changes["rounds"] = settings.rounds
    return system_dns(**changes)


def parse_name_server(text: str) -> tuple[str, int]:
    """Return address and port. Raises ``ValueError`` with what was expected."""
    host, port = text, "53"
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        if rest:
            port = rest[1:] if rest[0] == ":" else ""
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        raise ValueError(f"{host or 'nothing'} is no IP address; expected {EXAMPLE}") from None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65_535):
        raise ValueError(f"{port or 'nothing'} is no port; expected {EXAMPLE}")
    return address, int(port)
