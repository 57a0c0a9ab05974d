"""Targets: where one request may be sent, and with what preference.

Theory of operation: a target set (RFC 3261 16.5) is a list of these, made by the
route from bindings, from a Request-URI, or from a load balancer. Equal ``q``
means tried in parallel, a lower ``q`` only after all higher ones failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import OtherUri, SipUri, TelUri, parse_uri

if TYPE_CHECKING:
    from sansip.transport.dns import Place
    from sansip.transport.flow import Flow

__all__ = ["Target", "TargetQueue", "groups", "targets_of"]


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
        instance: the registered device that this leads to, "" where no device registered. The proxy tries one
            target of a device at a time, and another one if the flow failed (RFC 5626 7).
        alone: the proxy tries only the first of several such targets that lead to one address. A phone or
            another server named these targets, and may name any number of them.
        binding: the binding that it was made of; its holder is told when its flow is gone.
        address: socket address to use in place of the URI's (a phone behind a NAT).
        chosen: this node chose the place, and no sender: it may be a gateway (``client.guarded``).
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
    chosen: bool = False


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
            # A URI in text is the route's own; an object may come from a sender.
            Target(parse_uri(item), chosen=True)
            if isinstance(item, str)
            else item
            if isinstance(item, Target)
            else Target(item)
            for item in given
        ]
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"a target of the route: {error.reason}") from None


@dataclass(slots=True)
class TargetQueue:
    """The targets of one request that wait to be tried, and who may take which.

    Groups of equal q are tried one after the other (RFC 3261 16.6). The proxy tries one flow of a phone at a
    time (RFC 5626 7); the others are spare. Of the targets that strangers named, only one goes to each place.

    Attributes:
        most: how many are taken in all, for all relays of the route.
        pending: the groups that wait.
    """

    most: int
    pending: list[list[Target]] = field(default_factory=list)
    _taken: int = 0
    # Instance -> its targets that are tried where the flow of one failed.
    _spare: dict[str, list[Target]] | None = None
    # The target that goes ``alone`` to each place; None for one target.
    _places: dict[Place, object] | None = None

    def put(self, targets: list[Target]) -> None:
        """Have ``targets`` (at least one) tried next, in the order of their q.

        Raises ``LocalProtocolError`` where ``most`` have been taken.
        """
        targets = targets[: self.most - self._taken]
        if not targets:
            raise LocalProtocolError("more targets for one request than limits.branches")
        self._taken += len(targets)
        self._places = None
        if len(targets) > 1:
            self._places = {}
            targets = self._one_each(targets)
        self.pending = groups(targets) + self.pending

    def begin_with_one(self) -> None:
        """Count the one target that was tried already."""
        self._taken += 1

    def _one_each(self, targets: list[Target]) -> list[Target]:
        """Return ``targets`` with one for each instance (RFC 5626 7), the first; keep the others."""
        spare: dict[str, list[Target]] = {}
        chosen = []
        for target in targets:
            if not target.instance:
                chosen.append(target)
            elif target.instance in spare:
                spare[target.instance].append(target)
            else:
                spare[target.instance] = []
                chosen.append(target)
        self._spare = spare
        return chosen

    def claim(self, holder: object, place: Place) -> bool:
        """Whether ``holder`` has ``place`` to itself, of those that go alone."""
        return self._places is None or self._places.setdefault(place, holder) is holder

    def take(self, most: int) -> list[Target]:
        """Return the next group; targets that exceed ``most`` in parallel are tried after it."""
        group = self.pending.pop(0)
        if len(group) > most:
            self.pending.insert(0, group[most:])
            group = group[:most]
        return group

    def has_spare(self, instance: str) -> bool:
        """Whether there is another flow of ``instance``."""
        return self._spare is not None and bool(self._spare.get(instance))

    def take_spare(self, instance: str) -> Target:
        """Return another flow of ``instance``, which has one."""
        assert self._spare is not None
        target = self._spare[instance].pop(0)
        # It takes the place of another: whose it is has been seen to.
        target.alone = False
        return target

    def put_first(self, targets: list[Target]) -> None:
        """Have ``targets``, at most ``room``, tried next: the contacts of a 3xx (RFC 3261 16.7 step 4)."""
        # Each redirection is an answer that a server sent: one request for each.
        self._places = {}
        self._taken += len(targets)
        self.pending = groups(targets) + self.pending

    @property
    def room(self) -> int:
        """How many more targets are taken."""
        return self.most - self._taken

    def clear(self) -> None:
        """Nothing more is tried."""
        self.pending = []

    def forget_spare(self) -> None:
        """No other flow of a phone is tried."""
        self._spare = None
