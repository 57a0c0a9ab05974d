"""How names are resolved: name servers and host names, as settings.

Theory of operation: the core reads no files. The program that starts the server reads ``/etc/resolv.conf``
and ``/etc/hosts`` and hands in their content (``sansip_sockets.system_dns``), or names other servers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

__all__ = ["DnsConfig"]


@dataclass(slots=True)
class DnsConfig:
    """Settings of the resolver. Raises ``ValueError`` for settings that cannot work.

    Attributes:
        servers: recursive name servers as (IP address, port), in order.
        hosts: host name to IP addresses; such a name is never asked about.
        timeout: seconds to wait for a server in the first round; each further
            round waits twice as long.
        rounds: how often each server is tried for one query.
        rotate: begin with another server each time, instead of the first.
        mix_case: write names in random case, and take only replies that repeat
            it: harder to forge, but a few old forwarders change the case.
        prefer: address family that is tried first where a host has both.
    """

    servers: list[tuple[str, int]] = field(default_factory=list)
    hosts: dict[str, list[str]] = field(default_factory=dict)
    timeout: float = 1.0
    rounds: int = 2
    rotate: bool = False
    mix_case: bool = False
    prefer: str = "ipv6"

    def __post_init__(self) -> None:
        self.servers = [(str(ip_address(host)), port) for host, port in self.servers]
        self.hosts = {
            name.lower().rstrip("."): [str(ip_address(address)) for address in addresses]
            for name, addresses in self.hosts.items()
        }
        if not 0.05 <= self.timeout <= 30:
            raise ValueError("dns timeout must be from 0.05 to 30 seconds")
        if not 1 <= self.rounds <= 10:
            raise ValueError("dns rounds must be from 1 to 10")
        if self.prefer not in ("ipv4", "ipv6"):
            raise ValueError('dns prefer must be "ipv4" or "ipv6"')
