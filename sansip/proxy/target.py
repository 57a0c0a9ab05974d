"""Targets: where one request may be sent, and with what preference.

Theory of operation: a target set (RFC 3261 16.5) is a list of these, made by the
route from bindings, from a Request-URI, or from a load balancer. Equal ``q``
means tried in parallel, a lower ``q`` only after all higher ones failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import OtherUri, SipUri, TelUri, parse_uri

if TYPE_CHECKING:
    from sansip.transport.flow import Flow

__all__ = ["Target", "groups", "targets_of"]


@dataclass(slots=True)
class Target:
    """One member of a target set.

    Attributes:
        uri: becomes the Request-URI; None keeps the one received.
        q: preference in thousandths, 0 to 1000 (RFC 3261 20.10).
        path: Route values to add in front, from a binding's Path (RFC 3327 5.3).
        flow: the flow that the binding was registered over, used while it lives.
        bound: the flow comes first, whatever Route and URI say (RFC 5626 5.3).
        only: nothing else than the flow will do: 430 where it is gone (RFC 5626 5.3.1).
        instance: the registered device that this leads to, "" where nobody registered. Of
            one device one target at a time is tried, another where its flow failed (RFC 5626 7).
        alone: of several such targets that lead to one address the first is tried, and the
            others are left out: what a phone or another server named, in whatever number.
        binding: what it was made of; its holder is told when its flow is no more.
        address: socket address to use in place of the URI's (a phone behind a NAT).
        listener: number of the listener to send from, where it reaches; None: the
            one that the request came by. A phone behind a NAT hears only the one
            that it registered at.
    """

    uri: SipUri | TelUri | OtherUri | None = None
    q: int = 1000
    path: tuple[str, ...] = ()
    flow: Flow | None = None
    address: tuple[str, int] | None = None
    bound: bool = False
    only: bool = False
    instance: str = ""
    binding: Any = None
    listener: int | None = None
    alone: bool = False


def groups(targets: list[Target]) -> list[list[Target]]:
    """Return ``targets`` in the order to be tried: lists of equal q, highest first.

    RFC 3261 16.6: order by q; equal values in parallel. A URI that is already
    in the set is not tried twice (16.5).
    """
    if len(targets) == 1:
        return [targets]
    by_q: dict[int, list[Target]] = {}
    seen: set[tuple[str, tuple[str, ...], int]] = set()
    for target in targets:
        # Two flows of one instance share a URI and are still two targets.
        mark = (str(target.uri), target.path, id(target.flow))
        if mark not in seen:
            seen.add(mark)
            by_q.setdefault(target.q, []).append(target)
    return [by_q[q] for q in sorted(by_q, reverse=True)]


def targets_of(given: Sequence[Target | SipUri | str] | Target | SipUri | str | None) -> list[Target]:
    """Return the targets that a route named: none means the Request-URI itself.

    Raises ``LocalProtocolError`` for an empty list and for text that is no URI.
    """
    if given is None:
        return [Target()]
    if isinstance(given, (Target, SipUri, str)):
        given = [given]
    if not given:
        raise LocalProtocolError("relay and redirect need at least one target")
    try:
        return [
            item if isinstance(item, Target) else Target(parse_uri(item) if isinstance(item, str) else item)
            for item in given
        ]
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"a target of the route: {error.reason}") from None
