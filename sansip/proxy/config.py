"""Policy of forwarding, as an operator sets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ProxyConfig"]


@dataclass(slots=True)
class ProxyConfig:
    """Policy of forwarding.

    Attributes:
        record_route: stay on the path of dialogs (RFC 3261 16.6 step 4).
        tcp_above: octets from which a request to a UDP next hop goes over TCP
            instead (RFC 3261 18.1.1); 0 never does. Only where a TCP listener
            exists, and UDP is used after all where TCP is refused.
        failover_time: seconds of silence after which the next address of a target is tried, where it has one
            (RFC 3263 4.3); without it, or with 0, only Timer B or F (32 s) ends the wait. It does not count
            once a provisional response came. With the default an INVITE over UDP was sent three times by
            then.
        force_rport: which senders to answer at the source port of a request that came without rport, over UDP
            (RFC 3581): ``"private"``, those whose sent-by is a private address and not their source;
            ``"always"``, all senders; ``"never"``.
        same_hop: believe a response only from the address that its request was sent to, and a
            CANCEL only from the one that its INVITE came from (RFC 3261 9.2, 18.1.2); their
            ports may differ. Off is for next hops that answer from another address.
        via_maddr: which senders get their responses at the maddr of their Via instead of at their source (RFC
            3261 18.2.2), over UDP. ``"ignore"``: none, because a stranger could name a third host there.
            ``"trusted"``: peers that are trusted by their address.
        dialog_tokens: mark our Record-Route values, so that by Route
            only requests of dialogs set up through here are relayed, and only to the
            other side.
        dialog_life: seconds that a mark is good for. A route set lasts as long as its dialog, so no call or
            subscription outlives this, and neither does a mark that somebody noted down.
        unmarked_dialogs: relay by Route without the mark as well: for a server that
            strangers cannot reach, where a hand-made request may be a test.
        plain_sips: take requests for sips URIs that did not come over TLS (RFC 3261 26.2.2), from any sender:
            for a server with TLS in front of it, at a load balancer or a web server that is not in
            ``[[trusted]]``.
        one_branch: of several Contacts at one address and port, of a user or in a redirection,
            try the newest alone: a copy for each could make this server send many packets to
            a third party. ``False`` for phones behind a gateway that has one address for all,
            names no Path, and is not in ``[[trusted]]``.
        recurse: try the contacts of a 300, 301 or 302 instead of sending it back (RFC 3261 16.7 step 4). A
            server that redirects then decides where your users' calls go, and who pays for them.
        extensions: option tags that Proxy-Require may name.
    """

    record_route: bool = True
    force_rport: Literal["private", "always", "never"] = "private"
    same_hop: bool = True
    via_maddr: Literal["ignore", "trusted"] = "ignore"
    tcp_above: int = 1300
    failover_time: float = 3.0
    dialog_tokens: bool = True
    dialog_life: float = 604_800.0
    unmarked_dialogs: bool = False
    plain_sips: bool = False
    one_branch: bool = True
    recurse: bool = False
    extensions: frozenset[str] = frozenset()
