"""``[[upstream]]`` and ``[[trusted]]``: other servers, and how each side proves who it is.

Theory of operation: the tables are repeated, one for each peer. They become the core's own
``Account`` and ``TrustedPeer``. This file defines the names of the keys. Passwords come from
files or the environment, so that an operator can show the configuration file to anyone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from sansip.auth import HASHES, Account, hash_name
from sansip.modules.upstream import UpstreamRegistration
from sansip.routing import TrustedPeer
from sansip.transport.transports import TransportName
from sansip.wire.host import host_text
from sansip_server.faults import OperatorError, os_reason

__all__ = [
    "TrustedSettings",
    "UpstreamSettings",
    "accounts_of",
    "check_ha1",
    "guarded_of",
    "read_keys",
    "registrations_of",
    "trusted_of",
]


@dataclass(slots=True, kw_only=True)
class UpstreamSettings:
    """An account of this server at another one, whose challenges it answers for its users (RFC 3261 22.3)."""

    # Host names of the other server, as they stand in the URIs that lead there, IP
    # addresses, or networks (`192.0.2.0/28`). The server shows the password to no other host.
    hosts: list[str] = field(default_factory=list)
    # The exact realm of its challenges; the log says so when the realm of a challenge differs.
    realm: str = ""
    # The user name there.
    username: str = ""
    # File whose first line is the password, relative to this file.
    password_file: str | None = None
    # Environment variable that holds the password.
    password_env: str | None = None
    # HA1 in place of a password, as `"SHA-256:hexadecimal"` (`sansip ha1`), one for
    # each algorithm that the other server may ask for.
    ha1: list[str] = field(default_factory=list)
    # Algorithms to answer with, of those that the other server offers.
    algorithms: list[str] = field(default_factory=lambda: list(HASHES))
    # Register there as this address, `"sip:trunk@carrier.example"`, so that calls for it
    # come to us (Kamailio's `uac_reg`).
    register: str | None = None
    # URI of the registrar, if it is not the domain of that address; `;transport=tcp` and the like belong
    # here.
    registrar: str | None = None
    # The user here that such calls are for; the one of that address by default.
    contact_user: str = ""
    # Seconds to register for; the registrar has the last word.
    expires: int = 3_600
    # Whether users may call there by naming these hosts, with this account, past `lcr`, its limits and
    # quotas. Every user with a password then calls at your cost. Guarded are names, addresses and networks,
    # at the ports 5060 and 5061 or where SRV records lead, and the registrar; REFER within a call is refused.
    direct: bool = False

    def __post_init__(self) -> None:
        if not self.hosts or not self.realm or not self.username:
            raise ValueError("needs hosts, realm and username")
        given = [bool(self.password_file), bool(self.password_env), bool(self.ha1)]
        if sum(given) != 1:
            raise ValueError("needs one of password_file, password_env and ha1")
        for text in self.ha1:
            check_ha1(text)
        account = self.account("x")
        if self.register is not None:
            target = UpstreamRegistration(self.register, account, self.registrar).target
            if not account.serves(target.host):
                raise ValueError(f"hosts must have {target.host}, which is where register leads")
        elif self.registrar is not None:
            raise ValueError("registrar says where to register, and register (whose address) is missing")

    def account(self, password: str | None) -> Account:
        """Return the account; raise ValueError for one that could never be used."""
        keys = {name: key for name, _, key in (text.rpartition(":") for text in self.ha1)}
        if keys:
            password = None
        return Account(tuple(self.hosts), self.realm, self.username, password, keys, tuple(self.algorithms))


def check_ha1(text: str) -> None:
    """Raise ``ValueError`` unless ``text`` is an algorithm and its HA1."""
    name, _, key = text.rpartition(":")
    if hash_name(name or "?") is None or not key or set(key.lower()) - set("0123456789abcdef"):
        raise ValueError(f"expected ALGORITHM:HEXADECIMAL in ha1, as `sansip ha1` prints; found {text!r}")


@dataclass(slots=True, kw_only=True)
class TrustedSettings:
    """Peers that the server trusts by address or certificate, without a password; see docs/trust.md."""

    # An IP address or a network, like `10.0.0.0/8` or `2001:db8::/32`.
    address: str = ""
    # The domain that its certificate must name, like `partner.example` (RFC 5922), with an address or
    # instead of one. The peer has to come over TLS, and `tls.verify_clients` must ask for certificates.
    certificate: str = ""
    # Its source port; any when it is left out.
    port: int | None = None
    # The transport that it must come by. Over `udp` the server also trusts a stranger who can forge source
    # addresses on the way here.
    transport: TransportName | None = None
    # Its name for routes and the log (`request.trusted.name`).
    name: str = ""
    # Relay what it sends to domains that are not ours.
    relay: bool = False

    def __post_init__(self) -> None:
        self.peer()

    def peer(self) -> TrustedPeer:
        """Return the core's own; raise ValueError for text that is no network."""
        transports = () if self.transport is None else (self.transport,)
        return TrustedPeer(self.address, self.name, self.port or 0, transports, self.relay, self.certificate)


def trusted_of(settings: Sequence[TrustedSettings]) -> list[TrustedPeer]:
    """Return the peers to trust."""
    return [one.peer() for one in settings]


def accounts_of(settings: Sequence[UpstreamSettings]) -> list[Account]:
    """Return the accounts with their passwords read; raise OperatorError if one cannot be read."""
    return [one.account(_password(one)) for one in settings]


def registrations_of(
    settings: Sequence[UpstreamSettings], accounts: Sequence[Account]
) -> list[UpstreamRegistration]:
    """Return the registrations to make elsewhere; ``accounts`` are those of ``settings``."""
    return [
        UpstreamRegistration(one.register, account, one.registrar, one.contact_user, one.expires)
        for one, account in zip(settings, accounts, strict=True)
        if one.register is not None
    ]


def guarded_of(settings: Sequence[UpstreamSettings]) -> tuple[list[str], list[str]]:
    """Return URIs, and networks, of the servers that no user may name (``direct``)."""
    found: dict[str, None] = {}
    networks: dict[str, None] = {}
    for one in settings:
        if one.direct:
            continue
        if one.registrar is not None:
            found[one.registrar] = None
        for host in one.hosts:
            try:
                network = ip_network(host.strip("[]"), strict=False)
            except ValueError:
                found[f"sip:{host_text(host.lower())}"] = None
                continue
            if network.num_addresses == 1:
                found[f"sip:{host_text(str(network.network_address))}"] = None
            else:
                networks[str(network)] = None
    return list(found), list(networks)


def _password(settings: UpstreamSettings) -> str | None:
    whose = f"upstream {settings.username} in realm {settings.realm}"
    if settings.password_env is not None:
        password = os.environ.get(settings.password_env)
        if not password:
            raise OperatorError(
                f"{whose}: the environment has no {settings.password_env}; set it to the password"
            )
        return password
    if settings.password_file is None:
        return None
    path = Path(settings.password_file)
    try:
        password = path.read_text("utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else "not UTF-8"
        raise OperatorError(f"{whose}: cannot read password_file {path}: {reason}") from None
    if not password:
        raise OperatorError(f"{whose}: the first line of {path} is empty; write the password there")
    return password


def read_keys(path: Path, key: str) -> list[bytes]:
    """Return the secrets in ``path``, one a line, the newest first; raise OperatorError.

    ``key`` is the name of the setting. Lines that begin with ``#`` are comments.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise OperatorError(
            f"{key} {path}: {os_reason(error)}; make one with `openssl rand -hex 32 > {path}`"
        ) from None
    secrets = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith(b"#")]
    if not secrets:
        raise OperatorError(f"{key} {path}: holds no key; make one with `openssl rand -hex 32 > {path}`")
    for number, secret in enumerate(secrets, 1):
        if len(secret) < 16:
            raise OperatorError(f"{key} {path}: key {number} has {len(secret)} octets, needs 16 or more")
    return secrets
