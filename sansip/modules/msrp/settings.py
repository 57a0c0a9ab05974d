"""The table [msrp]."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Annotated

from sansip.module import Doc

__all__ = ["MsrpSettings"]


@dataclass(slots=True)
class MsrpSettings:
    """The table [msrp]. Raises ``ValueError`` for settings that contradict each other."""

    host: Annotated[
        str, Doc("The name of this relay in the URIs that it hands out (RFC 4976 4.2: a name, no address).")
    ]
    listen: Annotated[
        list[str], Doc("Where clients and other relays connect, like msrps:0.0.0.0:2855 or msrp:…")
    ] = field(default_factory=list)
    realm: Annotated[str, Doc('The realm of passwords; "" is the first domain.')] = ""
    relays: Annotated[
        list[str],
        Doc(
            "Names of other relays that get URIs without a password for their clients, if they prove the "
            "name by a TLS certificate (RFC 4976 6.3). `tls.verify_clients` has to ask for it."
        ),
    ] = field(default_factory=list)
    plain_auth: Annotated[
        bool,
        Doc("Whether AUTH is taken without TLS, which RFC 4976 9.2 forbids. For a closed network."),
    ] = False
    expires: Annotated[int, Doc("Seconds that a URI is good for if the client names none.")] = 900
    min_expires: Annotated[int, Doc("The shortest time that a client may ask for.")] = 60
    max_expires: Annotated[int, Doc("The longest time that a client may ask for.")] = 3_600
    sessions_per_user: Annotated[int, Doc("URIs that one user has at once; the next AUTH gets a 403.")] = 100
    sessions: Annotated[int, Doc("URIs in all, about 1,000 octets each.")] = 20_000
    connections: Annotated[
        int,
        Doc("Connections that the relay opens to others, in all; limits.module_sockets is for all modules."),
    ] = 128
    connections_per_user: Annotated[
        int, Doc("Of these, opened for one user; a message that needs one more gets a 403.")
    ] = 20
    message_size: Annotated[
        int, Doc("Octets of one message, with all of its chunks; a longer one gets a 413.")
    ] = 1_073_741_824
    response_time: Annotated[
        float, Doc("Seconds for the response of the next hop to a chunk (RFC 4976 6.4.1: 30).")
    ] = 30.0
    probation: Annotated[
        float,
        Doc("Seconds for which a connection stays without a successful request (RFC 4976 6.1: 30)."),
    ] = 30.0
    failures: Annotated[int, Doc("Failed AUTH requests after which a connection is closed.")] = 5
    refused_networks: Annotated[
        list[str], Doc("Networks that the relay opens no connection to, whatever a client's path says.")
    ] = field(
        default_factory=lambda: [
            "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8"
        ]
    )  # fmt: skip

    def __post_init__(self) -> None:
        # RFC 4976 4.2
        if not self.host or " " in self.host or "/" in self.host:
            raise ValueError(f"host must be the name of this relay, got {self.host!r}")
        for name in self.relays:
            if not name or not name.isascii() or any(one in name for one in " /:*"):
                raise ValueError(f"relays: expected the name of a host, got {name!r}")
        if not 0 < self.min_expires <= self.expires <= self.max_expires:
            raise ValueError("min_expires, expires and max_expires must not decrease, and be above 0")
        for name in ("sessions_per_user", "sessions", "connections", "connections_per_user", "message_size",
                     "failures"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.response_time <= 0 or self.probation <= 0:
            raise ValueError("response_time and probation must be above 0")
        for network in self.refused_networks:
            ip_network(network)
