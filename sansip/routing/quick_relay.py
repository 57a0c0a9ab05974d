"""Requests that the default route would relay at once: within a dialog, and to the one phone of a user.

Theory of operation: no module, password or other node has a say, so what the route would decide follows from
the request, the settings and the location service. Then there is no handle and no coroutine: the steps of the
route (RFC 3261 16.3 to 16.6) are taken here in its order, and the same parts of the proxy send. The default
route is the reference: where anything is not plain this does nothing at all, and the route decides; otherwise
the actions are the same (``tests/proxy/test_usual.py`` plays both).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.errors import RemoteProtocolError
from sansip.proxy.assertions import OF_STRANGERS
from sansip.proxy.beginning import relay_usual
from sansip.proxy.dialog_mark import Reading, leads_to_guarded
from sansip.proxy.loop import Arrived, loop_hash
from sansip.proxy.recording import Recording, recording_of
from sansip.proxy.stateless import forward_stateless
from sansip.proxy.target import Target
from sansip.routing.lookup import target_of
from sansip.routing.reaching import BEGIN_NOTHING
from sansip.routing.relaying import DIALOG_METHODS
from sansip.sources import source_of
from sansip.ua.tags import MARK as TAG_MARK
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.routing.core import Core
    from sansip.transport import Flow
    from sansip.wire import Request

__all__ = ["QuickRelay"]

# Fields by which the route would decide otherwise, or that may have to be taken away.
_DECIDING: Final = frozenset(("authorization", "max-breadth", "proxy-authorization", "proxy-require"))
# They are answered here, or by rules of their own; an ACK or BYE without a To tag as well.
_OTHERS: Final = frozenset(("CANCEL", "PUBLISH", "REGISTER", "SUBSCRIBE"))
_NO_FIRST: Final = _OTHERS | {"ACK", "BYE"}
# To the Request-URI as it is.
_AS_ASKED: Final = Target()
# The same, to a gateway as well.
_CHOSEN: Final = Target(chosen=True)


class QuickRelay:
    """The quick way through one stack, whose parts are ``core``."""

    __slots__ = ("_core",)

    def __init__(self, core: Core) -> None:
        self._core = core

    def relays(self, request: Request, key: str, back: Flow, flow: Flow, now: float) -> bool:
        """Relay ``request`` and return True; or do nothing.

        It is new, not over a limit, came by ``flow``, is answered along ``back``, and the default route is to
        decide on it. ``key``: that of its transaction.
        """
        core = self._core
        proxy = core.proxy
        first = request._first
        text = request.uri_text
        uri = request.uri
        modules = core.modules
        if (
            type(uri) is not SipUri
            or uri.scheme != "sip"
            or proxy.hooks.active
            or modules.stack_hooks.request_received
            or not _DECIDING.isdisjoint(first)
            or (proxy.trust.exists and not OF_STRANGERS.isdisjoint(first))
            # RFC 3261 16.4: an maddr of ours; 19.1.1: fields; RFC 5627: a GRUU.
            or ((";" in text or "?" in text) and not _is_plain(text))
            # RFC 3261 16.3 step 3
            or request.max_forwards == 0
            or proxy.client.auth.accounts
            or proxy.shifts.steps
        ):
            return False
        stages = modules.stages
        if stages["screen"]:
            return False
        method = request.method
        # RFC 3261 16.3 step 4: it may be a loop.
        if method != "ACK" and core.listeners.may_have_written(request):
            return False
        tag = request.to_tag
        try:
            if tag is not None:
                return not tag.startswith(TAG_MARK) and self._relays_within(request, key, back, flow, now)
            if (
                method in _NO_FIRST
                or stages["identify"]
                or stages["translate"]
                or stages["prepare"]
                or stages["relay"]
                or "route" in first
            ):
                return False
            return self._relays_first(request, uri, key, back, flow, now)
        except RemoteProtocolError:
            # The route has an answer to what is malformed.
            return False

    # --- within a dialog

    def _relays_within(self, request: Request, key: str, back: Flow, flow: Flow, now: float) -> bool:
        """Relay a request of a dialog whose mark is ours and whole (``routing.within``)."""
        core = self._core
        proxy = core.proxy
        method = request.method
        keys = request.keys
        if method in DIALOG_METHODS or method in _OTHERS or not proxy.config.dialog_tokens:
            return False
        # RFC 3261 16.4: one Route value, just as we record.
        line = request.first_line("route")
        if line is None or keys.count("route") > 1 or request.from_tag is None:
            return False
        recorded = core.listeners.recorded_by(line)
        if recorded is None:
            return False
        listener, mark = recorded
        arrived = None
        if method != "ACK":
            # As it was received (RFC 5393 4.2.1).
            arrived = Arrived(request.uri, request.uri_text, request.identity(), (line,))
        at = keys.index("route")
        if not request.drop_line("route"):
            return False
        trust = proxy.trust
        # If this node asks no user for a password, a name proves nothing.
        who = trust.sender(request.from_.uri, flow.host) if trust.authenticates else ""
        if proxy.marks.read(mark, request, who, core.wall.unix(now)) is Reading.WHOLE:
            core.ua.now = now
            target = _AS_ASKED
            if proxy.client.guarded.active and (method in BEGIN_NOTHING or leads_to_guarded(mark)):
                target = _CHOSEN
            if arrived is None:
                forward_stateless(proxy, request, flow, target, None, now, listener)
                return True
            if self._send(request, key, back, flow, target, listener.id, arrived, now):
                return True
        request.restore_line(at, "route", line)
        return False

    # --- to a user of ours

    def _relays_first(
        self, request: Request, uri: SipUri, key: str, back: Flow, flow: Flow, now: float
    ) -> bool:
        """Relay a request that begins something to the one phone of a user of ours."""
        core = self._core
        proxy = core.proxy
        if uri.user is None or core.nodes is not None or not core.listeners.serves(uri.host, uri.port):
            return False
        trust = proxy.trust
        sender = request.from_.uri
        if core.authenticator is not None and trust.owns(sender):
            # RFC 3261 22: it has to prove that.
            return False
        aor = core.addresses.of(uri)
        bindings = core.location.lookup(aor, now)
        if len(bindings) != 1:
            return False
        source = source_of(flow.host)
        limits, pending = core.limits, proxy.pending
        if (
            (limits.pending_per_source and pending.sources.get(source, 0) >= limits.pending_per_source)
            or (limits.pending_per_callee and pending.callees.get(aor, 0) >= limits.pending_per_callee)
            or proxy.transactions.crowded_by(1)
        ):
            return False
        recording = None
        if request.method in DIALOG_METHODS:
            marks = proxy.marks if proxy.config.dialog_tokens else None
            caller, callee = "", ""
            if trust.authenticates:
                caller, callee = trust.sender(sender, flow.host), trust.user(request.to.uri)
            guarded = proxy.client.guarded
            sent = guarded.active and guarded.sent(flow)
            recording = recording_of(marks, request, core.wall.unix(now), caller, callee, guarded=sent)
        core.ua.now = now
        arrived = Arrived(uri, request.uri_text, request.identity(), ())
        counted = (source, aor)
        target = target_of(bindings[0])
        return self._send(request, key, back, flow, target, flow.listener, arrived, now, counted, recording)

    def _send(
        self,
        request: Request,
        key: str,
        back: Flow,
        flow: Flow,
        target: Target,
        leaves: int,
        arrived: Arrived,
        now: float,
        counted: tuple[str, str] | None = None,
        recording: Recording | None = None,
    ) -> bool:
        proxy = self._core.proxy
        asked = "" if counted is None else counted[1]
        server = proxy.transactions.open_server(key, request.method, back, None)
        usual = None
        try:
            usual = relay_usual(
                proxy,
                request,
                flow,
                server,
                target,
                leaves=leaves,
                hashed=loop_hash(arrived, proxy.loop_secret, asked),
                budget=None,
                counted=counted,
                recording=recording,
                records=recording is not None and proxy.config.record_route,
                wants_flow=False,
                now=now,
            )
        finally:
            if usual is None:
                # As if it had never been.
                server.terminate(None, now)
        if usual is None:
            return False
        # No route waits for the outcome.
        usual.watched = False
        return True


def _is_plain(text: str) -> bool:
    """Whether a URI has nothing that decides more than where it leads."""
    text = text.lower()
    return not ("?" in text or "%" in text or ";maddr" in text or ";gr" in text)
