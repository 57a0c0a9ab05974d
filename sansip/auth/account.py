"""Accounts at other servers: whose challenges are answered, and with what.

Theory of operation: an account names the servers that may ask for it and the one realm that they may ask in.
Both must fit: a server that gets a digest meant for another one could try it against a list of passwords, or
pass it on to the real server. A password may be replaced by its HA1, one for each algorithm.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

from sansip.auth.algorithms import HASHES, ha1, hash_name

__all__ = ["Account"]


@dataclass(slots=True)
class Account:
    """A user name at another operator's server (Kamailio's ``uac`` credentials).

    Attributes:
        hosts: the servers that may ask: host names as written in the URI that leads there, IP addresses, or
            networks (``"192.0.2.0/28"``).
        realm: the realm that they ask in, exactly as in their challenge.
        username: the user name there.
        password: the password; None where ``keys`` has the HA1.
        keys: HA1 (``sansip.auth.ha1``) by hash name, ``{"SHA-256": "…"}``.
        algorithms: hashes that are answered with; others are ignored.

    Raises ``ValueError`` for an account that could never be used.
    """

    hosts: tuple[str, ...]
    realm: str
    username: str
    password: str | None = field(default=None, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    algorithms: tuple[str, ...] = tuple(HASHES)
    _names: set[str] = field(init=False, repr=False)
    _networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.hosts or not self.realm or not self.username:
            raise ValueError("an account needs at least one host, a realm and a username")
        if not self.password and not self.keys:
            raise ValueError(f"the account {self.username} in realm {self.realm} has no password and no HA1")
        for algorithm in (*self.algorithms, *self.keys):
            if hash_name(algorithm) is None:
                raise ValueError(f"unknown digest algorithm {algorithm!r}; known are {', '.join(HASHES)}")
        self.keys = {hash_name(name) or name: key.lower() for name, key in self.keys.items()}
        self._names, self._networks = set(), []
        for host in self.hosts:
            try:
                self._networks.append(ipaddress.ip_network(host.strip("[]"), strict=False))
            except ValueError:
                if "/" in host:
                    raise ValueError(f"{host!r} is neither a host name nor a network") from None
                self._names.add(host.lower().rstrip("."))

    def serves(self, host: str) -> bool:
        """Whether the server ``host`` (a name in lower case, or an IP address) may ask."""
        if host.rstrip(".") in self._names:
            return True
        if not self._networks:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._networks if network.version == address.version)

    def key(self, algorithm: str | None) -> str | None:
        """Return HA1 for ``algorithm`` (None is MD5, RFC 7616 3.3), or None where there is none."""
        name = hash_name(algorithm)
        if name is None or name not in {hash_name(one) for one in self.algorithms}:
            return None
        if self.password is not None:
            return ha1(self.username, self.realm, self.password, name)
        return self.keys.get(name)
