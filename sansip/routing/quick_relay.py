"""Requests that the default route would relay at once: within a dialog, and to the one phone of a user.

Theory of operation: no module, password or other node has a say, so what the route would decide follows from
the request, the settings and the location service. Then there is no handle and no coroutine: the steps of the
route (RFC 3261 16.3 to 16.6) are taken here in its order, and the same parts of the proxy send. The default
route is the reference: where anything is not plain this does nothing at all, and the route decides; otherwise
the actions are the same (``tests/proxy/test_usual.py`` plays both).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.client.guarded import BEGIN_NOTHING
from sansip.errors import RemoteProtocolError
from sansip.proxy.assertions import OF_STRANGERS
from sansip.proxy.beginning import relay_usual
from sansip.proxy.dialog_mark import Reading
from sansip.proxy.loop import Arrived, loop_hash
from sansip.proxy.recording import Recording, recording_of
from sansip.proxy.sides import side_of
from sansip.proxy.stateless import forward_stateless
from sansip.proxy.target import Target
from sansip.routing.gate import settle
from sansip.routing.lookup import target_of
from sansip.routing.relaying import DIALOG_METHODS
from sansip.routing.request import IncomingRequest
from sansip.sources import source_of
from sansip.ua.tags import MARK as TAG_MARK
from sansip.wire import SipUri
from sansip.wire.unread import LAZY

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
        if core.modules.stack_hooks.request_received or not self._is_open(request):
            return False
        method = request.method
        # RFC 3261 16.3 step 4: it may be a loop.
        if method != "ACK" and core.listeners.may_have_written(request):
            return False
        tag = request.to_tag
        try:
            if tag is not None:
                return not tag.startswith(TAG_MARK) and self._relays_within(request, key, back, flow, now)
            if not self._may_begin(request):
                return False
            return self._relays_first(request, key, back, flow, None, now)
        except RemoteProtocolError:
            # The route has an answer to what is malformed.
            return False

    def decides(self, handle: IncomingRequest, now: float) -> bool:
        """Relay the request of ``handle`` and return True; or do nothing.

        As ``relays``; modules have seen it, and the steps before the route were taken (``arrival``).
        """
        request = handle.message
        if (
            handle.decided
            or handle.returned
            or handle.flows is not None
            or handle.follows is not None
            or handle.marked is not None
            # Modules have not seen it, and it had no Route value of ours: ``relays`` has looked at all this.
            or (handle.leaves is None and not self._core.modules.stack_hooks.request_received)
            or not self._is_open(request)
        ):
            return False
        try:
            if request.to_tag is not None:
                return self._goes_on(handle, now)
            if handle.leaves is not None or not self._may_begin(request):
                return False
            return self._relays_first(request, "", handle.flow, handle.flow, handle, now)
        except RemoteProtocolError:
            return False

    def _is_open(self, request: Request) -> bool:
        """Whether the route would relay ``request`` or refuse it, and ask nobody."""
        core = self._core
        proxy = core.proxy
        first = request._first
        text = request.uri_text
        uri = request.uri
        modules = core.modules
        return not (
            type(uri) is not SipUri
            or uri.scheme != "sip"
            or (proxy.hooks.active and not LAZY)
            or not _DECIDING.isdisjoint(first)
            or (proxy.trust.exists and not OF_STRANGERS.isdisjoint(first))
            # RFC 3261 16.4: an maddr of ours; 19.1.1: fields; RFC 5627: a GRUU.
            or ((";" in text or "?" in text) and not _is_plain(text))
            # RFC 3261 16.3 step 3
            or request.max_forwards == 0
            or proxy.client.auth.accounts
            or proxy.shifts.steps
            or modules.stages_of(request.method)["screen"]
        )

    def _may_begin(self, request: Request) -> bool:
        """Whether a request without To tag is for a phone of ours, and no module has a step for it."""
        method, modules = request.method, self._core.modules
        stages = modules.stages_of(method)
        return not (
            method in _NO_FIRST
            or stages["identify"]
            or stages["translate"]
            or stages["prepare"]
            or (stages["relay"] and method not in modules.plain)
            or "route" in request._first
        )

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
            if proxy.client.guarded.active and (
                method in BEGIN_NOTHING or proxy.marks.leads_to_gateway(mark, request)
            ):
                target = _CHOSEN
            if arrived is None:
                forward_stateless(proxy, request, flow, target, None, now, listener)
                return True
            handle = self._handle(request, flow, now)
            if handle is not None:
                handle.from_dialog = True
                handle.reading = Reading.WHOLE
                handle.side = side_of(mark)
                handle.leaves = listener
            if self._send(request, key, back, flow, target, listener.id, arrived, now, handle):
                return True
        request.restore_line(at, "route", line)
        return False

    def _goes_on(self, handle: IncomingRequest, now: float) -> bool:
        """Relay a request of a dialog, without our Route value, whose mark is whole."""
        request, leaves = handle.message, handle.leaves
        method = handle.method
        if (
            method in DIALOG_METHODS
            or method in _OTHERS
            or leaves is None
            or not handle.from_dialog
            or handle.reading is not Reading.WHOLE
            or "route" in request._first
        ):
            return False
        proxy = self._core.proxy
        if proxy.client.guarded.active:
            # The mark says where it may go.
            return False
        self._core.ua.now = now
        if method == "ACK":
            handle.decided = True
            forward_stateless(proxy, request, handle.flow, _AS_ASKED, None, now, leaves)
            return True
        arrived = handle.arrived
        if arrived is None:
            return False
        return self._send(request, "", handle.flow, handle.flow, _AS_ASKED, leaves.id, arrived, now, handle)

    # --- to a user of ours

    def _relays_first(
        self,
        request: Request,
        key: str,
        back: Flow,
        flow: Flow,
        handle: IncomingRequest | None,
        now: float,
    ) -> bool:
        """Relay a request that begins something to the one phone of a user of ours."""
        core = self._core
        proxy = core.proxy
        uri = request.uri
        assert type(uri) is SipUri
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
        plain = core.modules.plain.get(request.method)
        if plain is not None and (handle is not None or proxy.hooks.active or not plain.may(aor)):
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
        arrived = None if handle is None else handle.arrived
        if arrived is None:
            arrived = Arrived(uri, request.uri_text, request.identity(), ())
            handle = self._handle(request, flow, now)
        counted = (source, aor)
        target = target_of(bindings[0])
        return self._send(
            request, key, back, flow, target, flow.listener, arrived, now, handle, counted, recording, plain
        )

    def _handle(self, request: Request, flow: Flow, now: float) -> IncomingRequest | None:
        """Return the object that modules get for ``request``, None where none looks at it."""
        core = self._core
        return IncomingRequest(core, request, flow, None, now) if core.proxy.hooks.active else None

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
        handle: IncomingRequest | None,
        counted: tuple[str, str] | None = None,
        recording: Recording | None = None,
        plain: Any = None,
    ) -> bool:
        proxy = self._core.proxy
        asked = "" if counted is None else counted[1]
        hashed = loop_hash(arrived, proxy.loop_secret, asked)
        records = recording is not None and proxy.config.record_route
        opened = None if handle is None else handle.server
        server = opened or proxy.transactions.open_server(key, request.method, back, handle)
        seen = None
        if handle is not None:
            handle.server = server
            if proxy.hooks.active:
                seen = handle
                handle.arrived, handle.hashed, handle.asked = arrived, hashed, asked
                handle.recording, handle.record = recording, records
        usual = None
        try:
            usual = relay_usual(
                proxy,
                request,
                flow,
                server,
                target,
                leaves=leaves,
                hashed=hashed,
                budget=None,
                counted=counted,
                recording=recording,
                records=records,
                wants_flow=False,
                now=now,
                handle=seen,
                proven=counted is None,
            )
        finally:
            if usual is None:
                if handle is not None:
                    # The route begins from the beginning.
                    handle.recording, handle.record = None, False
                if opened is None:
                    # As if it had never been.
                    server.terminate(None, now)
        if usual is None:
            return False
        if plain is not None:
            usual.tell_failure(partial(plain.begin, self._core), now)
        settle(usual, now)
        return True


def _is_plain(text: str) -> bool:
    """Whether a URI has nothing that decides more than where it leads."""
    text = text.lower()
    return not ("?" in text or "%" in text or ";maddr" in text or ";gr" in text)
