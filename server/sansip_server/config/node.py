"""The table ``[node]``: this server among those that share one location."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sansip.location import NodeConfig
from sansip.transport.transports import PARAMETERS, TCP, TLS, UDP
from sansip.wire.host import host_text
from sansip_server.faults import OperatorError

if TYPE_CHECKING:
    from sansip.config import ListenerConfig

__all__ = ["NodeSettings", "check_node_address", "node_config", "node_name"]


@dataclass(slots=True, kw_only=True)
class NodeSettings:
    """This server among others that share ``location``. All of them need the same ``secret_file``."""

    # Its name, unlike that of any other; the host's own name without it. A name
    # that stays the same lets phones behind NATs be reached after a restart.
    name: str | None = None
    # The address at which the other nodes reach this one, as `10.0.0.1:5060` or
    # `10.0.0.1:5060;transport=tcp`; it must be one of `listen`. Without it, the first UDP or TCP address
    # there.
    address: str | None = None
    # Seconds between two signs of life in the shared location. After three missed ones
    # the others ask this node over SIP, and count it as dead if it does not answer.
    heartbeat: float = 2.0
    # How long, in seconds, after SIGTERM calls that run may still send requests
    # through this node (BYE, re-INVITE), and phones that registered over a connection
    # to it are served; all others get 503 meanwhile, so that they move. `drain_time`
    # comes on top. 0: no longer than transactions run.
    linger: float = 0.0


# The transports by which nodes reach each other.
_REACHED = (UDP, TCP, TLS)


class Shared(Protocol):
    """The part of the settings (``config.schema.Settings``) that this needs."""

    @property
    def location(self) -> str | None: ...
    @property
    def node(self) -> NodeSettings: ...


def check_node_address(text: str) -> None:
    """Raise ``ValueError`` unless ``text`` is ``host:port`` with or without ``;transport=``."""
    address, _, transport = text.partition(";transport=")
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal()) or transport not in ("", *_REACHED):
        raise ValueError(f"expected host:port or host:port;transport=tcp, like 10.0.0.1:5060; found {text!r}")


def node_name(settings: Shared) -> str:
    """Return the name of this node, "" if it shares nothing."""
    return "" if settings.location is None else settings.node.name or platform.node() or "node"


def node_config(settings: Shared, listeners: Sequence[ListenerConfig]) -> NodeConfig | None:
    """Return how the stack takes part in ``location``, or None without one. Raises ``OperatorError``."""
    if settings.location is None:
        return None
    node = settings.node
    # Written as in a URI: host:port, and the transport unless it is UDP.
    ours = [
        host_text(host, port) + PARAMETERS[one.transport]
        for one in listeners
        if one.transport in _REACHED
        for host, port in (
            (one.advertise_host or one.host, one.advertise_port or one.port),
            (one.host, one.port),
        )
        if host not in ("0.0.0.0", "::")
    ]
    if node.address is None:
        address = next((text for text in ours if not text.endswith(PARAMETERS[TLS])), None)
        if address is None:
            raise OperatorError(
                "node.address is needed: no UDP or TCP listener has an address to tell others"
            )
    else:
        address = node.address.removesuffix(";transport=udp")
        if address not in ours:
            raise OperatorError(
                f"node.address {node.address} is none of listen: other nodes would send to nobody, or in"
                f" circles; expected one of {', '.join(dict.fromkeys(ours)) or 'udp, tcp or tls there'}"
            )
    return NodeConfig(address, node.heartbeat, node.linger)
