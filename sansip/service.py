"""Services of one stack for its parts and routes: ask questions, check trust, send events.

Theory of operation: parts stand in layers, and some need a service of a layer above them: an answer from the
outside, a realm, the operator's trust in a peer, a receiver of events. This file connects each such need with
the part that meets it. ``routing.core.Core`` writes down what routes may ask; ``sansip.assembly`` makes the
parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sansip.actions import Notify
from sansip.bindings_changed import BindingsChanged
from sansip.clock import Wall
from sansip.entropy import Entropy
from sansip.events import RouteFailed
from sansip.inside import Inside
from sansip.module import Modules
from sansip.proxy.trust import identity_of
from sansip.questions import Questions
from sansip.routing import Trusted
from sansip.routing.changes import Changes
from sansip.routing.parts import Parts
from sansip.transport import Flow, Resolve
from sansip.transport.dns import DnsLookup, Locator, Resolver
from sansip.transport.flow_token import FlowTokens
from sansip.wire import OtherUri, Request, SipUri, TelUri
from sansip.wire.host import host_key, host_text

__all__ = ["Service"]


class Service(Parts):
    """One stack, as its own parts see it."""

    changes: Changes | None
    locator: Locator | None
    modules: Modules
    prover: Entropy
    questions: Questions
    # Hosts of this server, whose users have a realm by their name or by another.
    realms: dict[str | bytes, str]
    resolver: Resolver | None
    tokens: FlowTokens
    trusted: Trusted
    wall: Wall

    @property
    def wall_offset(self) -> float | None:
        """Unix time minus the clock given as ``now``; an adapter sets it, and None is not known."""
        return self.wall.offset

    @wall_offset.setter
    def wall_offset(self, offset: float | None) -> None:
        self.wall.offset = offset

    @property
    def parts(self) -> Parts:
        """This stack, for ways that ask it at every message."""
        return self

    def resolve(self, subject: Any, callback: Callable[[Any, float], None], now: float) -> None:
        self.ask(subject, callback, now)

    def ask(
        self, subject: Any, callback: Callable[[Any, float], None], now: float, within: float | None = None
    ) -> None:
        """Put ``subject`` to the outside; ``callback(result, now)`` gets the answer.

        ``within``: seconds to wait for it, at the most ``limits.answer_time``.

        If name servers are configured, they get the questions that they can answer.
        """
        if self.resolver is not None and self.locator is not None:
            if type(subject) is Resolve:
                self.locator.locate(subject, callback, now)
                return
            if type(subject) is DnsLookup:
                self.resolver.lookup(subject.name, subject.kind, callback, now)
                return
        if isinstance(subject, Inside):
            subject.put(callback, now)
            return
        self.questions.ask(subject, callback, now, within)

    def realm_of(self, uri: SipUri | TelUri | OtherUri) -> str:
        """Return the realm of the user at ``uri``: its domain if that is ours, else the first domain."""
        return self.realm_at(identity_of(uri)[1])

    def realm_at(self, host: str) -> str:
        """Return the realm of the users at ``host``."""
        realm = self.realms.get(host_key(host))
        return self.realms[""] if realm is None else realm

    def flow_token(self, flow: Flow, expires_at: float) -> str:
        """Return the user part of a URI of ours that leads over ``flow`` and nowhere else.

        RFC 5626 5.2: a request with ``<sip:TOKEN@OUR-ADDRESS;lr>`` in its first Route goes over that flow, or
        gets 430 once it is gone or ``expires_at`` has passed. This node believes it from trusted peers
        (``StackConfig.trusted``); other senders get a 403. It is good with every stack that has the same
        ``secret``; a token of a connection is good in this stack only.
        """
        return self.tokens.for_path(flow, self.wall.unix(expires_at))

    def believes(self, flow: Flow) -> bool:
        """Whether the peer of ``flow`` is one that the operator trusts, or another node of ours."""
        if len(self.trusted) and self.trusted.of(flow) is not None:
            return True
        return self.nodes is not None and self.nodes.lives_at(host_text(flow.host, flow.port))

    def is_trusted(self, flow: Flow) -> bool:
        """Whether the operator trusts the peer of ``flow``."""
        return self.trusted.of(flow) is not None

    def registered(self, aor: str, count: int) -> None:
        """The registrar changed the bindings of ``aor``; now there are ``count``."""
        self.out.append(Notify(BindingsChanged(aor, count, "registered")))

    def removed(self, aor: str) -> None:
        """An administrator removed the bindings of ``aor``."""
        self.out.append(Notify(BindingsChanged(aor, 0, "removed")))

    def dropped(self, aor: str, count: int, reason: str) -> None:
        """Bindings of ``aor`` went, for ``reason``; there are ``count`` left."""
        self.out.append(Notify(BindingsChanged(aor, count, reason)))

    def route_failed(self, request: Request, error: BaseException) -> None:
        """The route raised ``error`` as it decided on ``request``."""
        self.out.append(Notify(RouteFailed(request.method, request.uri_text, error)))

    def start(self, now: float) -> None:
        """Start the modules: at the first input, when everything is restored."""
        self.unstarted = False
        self.modules.start(now)

    def notify(self, event: Any) -> None:
        """Tell the log and other watchers of ``event`` (``sansip.events``)."""
        self.out.append(Notify(event))

    def tell(self, event: Any, now: float) -> None:
        """Tell the log, and the modules that want to hear of it, of ``event``."""
        self.notify(event)
        self.modules.event(event, now)

    def secret(self, purpose: str) -> Entropy:
        """Return the key for ``purpose``; the same wherever ``StackConfig.secret`` is."""
        return self.prover.derived(purpose)
