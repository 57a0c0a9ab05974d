"""The base of the request handle: the readable parts of a request, and its answer.

Theory of operation: the handle wraps one received request with its server transaction. Reading it reads the
message; edits of ``request.message`` are visible at once to all later readers. Each verb of a route (relay,
register, authenticate, ...) is a function of its own file that takes an ``Incoming``, and keeps here what the
other verbs need of it. The whole handle, with all verbs, is ``sansip.routing.request.IncomingRequest``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from sansip.proxy.dialog_mark import Reading
from sansip.routing.flow_route import FlowRoute
from sansip.routing.room import is_exempt
from sansip.transaction.refusals import refusal_tag
from sansip.transport import note_source
from sansip.transport.nat import nat_signs
from sansip.wire import SipUri, response_to

if TYPE_CHECKING:
    from sansip.proxy import PathValue, ResponseContext, Target
    from sansip.proxy.loop import Arrived
    from sansip.proxy.recording import Recording
    from sansip.proxy.usual import Usual
    from sansip.proxy.waiting import Waits
    from sansip.routing.core import Core
    from sansip.routing.trust import TrustedPeer
    from sansip.transaction import ServerTransaction
    from sansip.transaction.base import ServerUser
    from sansip.transport import Flow, Listener
    from sansip.wire import OtherUri, Request, Response, TelUri

__all__ = ["Incoming"]


class Incoming:
    """One request: its content, its source, and its answer.

    Attributes:
        message: the request; read it, edit it.
        method: its method.
        flow: where it came from (``transport``, ``host``, ``port``).
        now: the time, in the clock of the program that drives the stack.
        authenticated: whether ``authenticate`` found a user whose password was right.
        from_dialog: whether it is within a dialog that was set up through here, comes from one
            side of it and goes to the other: so says the Route value that this server
            wrote for it. Where it is not, ask ``routing.within.admits_within``.
        taken: whether a module decides on it, when it will (``Module.request_received``).
        decided: whether it has been answered, relayed or dropped.
        reading: how much that value proves (``proxy.dialog_mark``).
        side: the name of the sender's side of its dialog (``proxy.sides``), "" where it has none.
        to_guarded: whether that value says that the dialog is with the very server, which only modules send
            to, that the request leads to.
        unsure: whether ``locate`` found no binding because the shared location could not be asked.
        from_node: whether another node of ours sent it on, which has admitted it
            (``sansip.routing.vouching``).
        flows: the content of our flow tokens in Route, if there are any.
        waits: its messages that wait for modules; None until one does.
        slots: the values that modules keep for it (``sansip.module.Slot``); None until the first does.
        authentication_info: makes Authentication-Info of the body of a 2xx, where that is wanted.

    The verbs keep these values of it:
        server: the transaction to answer through; None for the ACK of a 2xx.
        context: its branches and their answers, once it is relayed.
        arrived: the values that decide its routing, as it was received; None for an ACK.
        hashed: the hash of that (RFC 5393 4.2.1), "" until it is needed (``arrival.routing_hash``).
        asked: the user of ours that it asked for (``lookup.asked_for``), or ""; known with ``hashed``.
        returned: whether it has a Via of ours: it was here before, as a branch.
        leaves: the listener that our last Route value named (RFC 5658 3).
        marked: the CSeq offset in our Route value (``proxy.sequence``).
        record: whether ``record_route`` was called, and ``recording`` what it writes.
        path: the value that this node adds to the Path of a REGISTER that it passes on.
        follows: the test of a contact in a 3xx that ``follow`` was given, or None.
    """

    __slots__ = (
        "_cancelled",
        "_context",
        "_steps",
        "_tag",
        "_unmade",
        "_waited",
        "arrived",
        "asked",
        "authenticated",
        "authentication_info",
        "core",
        "decided",
        "flow",
        "flows",
        "follows",
        "from_dialog",
        "from_node",
        "hashed",
        "leaves",
        "marked",
        "message",
        "method",
        "modules",
        "now",
        "path",
        "reading",
        "record",
        "recording",
        "returned",
        "server",
        "side",
        "slots",
        "taken",
        "to_guarded",
        "unsure",
        "usual",
        "waits",
    )

    # What makes it, while nobody has looked at it (``sansip.routing.unmade``); used nowhere else.
    _unmade: Any

    def __init__(
        self, core: Core, message: Request, flow: Flow, server: ServerTransaction | None, now: float
    ) -> None:
        self.core = core
        # Those that it began with, and ends by, whatever is reloaded meanwhile.
        self.modules = core.modules
        self.message = message
        self.method = message.method
        self.flow = flow
        self.now = now
        self.authenticated = False
        self.from_dialog = False
        self.from_node = False
        self.unsure = False
        self.reading = Reading.NONE
        self.side = ""
        self.to_guarded = False
        self.flows: FlowRoute | None = None
        self.slots: dict[Any, Any] | None = None
        self.waits: Waits | None = None
        self.authentication_info: Callable[[bytes], str] | None = None
        self.server = server
        self._context: ResponseContext | None = None
        # What stands for the context as long as nothing unusual happens.
        self.usual: Usual | None = None
        self.arrived: Arrived | None = None
        self.asked = ""
        self.hashed = ""
        self.returned = False
        self.leaves: Listener | None = None
        self.marked: str | None = None
        self.record = False
        self.recording: Recording | None = None
        self.path: PathValue | None = None
        self.follows: Callable[[SipUri], bool] | None = None
        self.decided = False
        self.taken = False
        self._cancelled = False
        self._steps = 0
        self._waited = False
        self._tag = ""

    # --- reading

    @property
    def context(self) -> ResponseContext | None:
        """The response context, once the request is relayed; None where it is over."""
        return self._context if self.usual is None else self.usual.context

    @property
    def uri(self) -> SipUri | TelUri | OtherUri:
        """The Request-URI."""
        return self.message.uri

    @property
    def user(self) -> str | None:
        """The user part of the Request-URI, without escapes; the number of a tel URI; None without one."""
        uri = self.message.uri
        if isinstance(uri, SipUri):
            return uri.user_decoded
        return getattr(uri, "number", None)

    @property
    def host(self) -> str:
        """The host of the Request-URI; "" where it has none."""
        return getattr(self.message.uri, "host", "")

    @property
    def in_dialog(self) -> bool:
        """Whether To has a tag: the sender claims that there is a dialog (RFC 3261 12.2)."""
        return self.message.to_tag is not None

    @property
    def over_flow(self) -> bool:
        """Whether a flow token of ours in Route says where it goes (RFC 5626 5.3.1): ``relay()`` obeys.

        Only a side of the dialog has such a token, or a peer that may have others (``sansip.routing.flows``).
        """
        return self.flows is not None and self.flows.target is not None

    @property
    def nat_signs(self) -> tuple[str, ...]:
        """The signs that the sender is behind a NAT (``sansip.transport.nat``), often none.

        Some of ``"contact"``, ``"via"``, ``"port"`` and ``"sdp"``.
        """
        return nat_signs(self.message, self.flow)

    @property
    def behind_nat(self) -> bool:
        """Whether the sender names itself by an address that its packets do not come from."""
        signs = self.nat_signs
        return bool(signs) and signs != ("sdp",)

    @property
    def cancelled(self) -> bool:
        """Whether the caller gave up while the route was waiting."""
        context = self._context if self.usual is None else self.usual.became
        return self._cancelled or (context is not None and context.cancelled)

    def serves(self, uri: SipUri | TelUri | OtherUri | None = None) -> bool:
        """Whether ``uri`` (the Request-URI by default) is in a domain of this server."""
        uri = self.message.uri if uri is None else uri
        return isinstance(uri, SipUri) and self.core.listeners.serves(uri.host, uri.port)

    @property
    def is_from_us(self) -> bool:
        """Whether From names a user of this server's domains, however it is written."""
        return self.core.proxy.trust.owns(self.message.from_.uri)

    @property
    def trusted(self) -> TrustedPeer | None:
        """The trusted name of the sender, by address or certificate (``sansip.routing.trust``), or None."""
        trusted = self.core.trusted
        return trusted.of(self.flow) if trusted.peers else None

    @property
    def is_trusted(self) -> bool:
        """Whether the sender is in our trust domain (RFC 3325)."""
        return self.trusted is not None

    @property
    def proven(self) -> bool:
        """Whether the sender has proved who it is: by a password, its address, or a mark of ours in Route."""
        if self.authenticated or self.from_dialog or self.over_flow or self.from_node:
            return True
        return self.trusted is not None

    @property
    def is_stranger(self) -> bool:
        """Whether the sender is unknown: no password, no dialog through here, no trusted address."""
        return not (
            self.authenticated
            or self.from_dialog
            or self.over_flow
            or self.from_node
            or is_exempt(self.core, self.flow)
        )

    @property
    def has_trusted_peers(self) -> bool:
        """Whether any peer is trusted by address: whether there is a trust domain (RFC 3325)."""
        return len(self.core.trusted) > 0

    # --- answering

    def reply(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        """Answer the request. A second final answer, and any answer to an ACK, is ignored.

        While the sender has proved nothing, this node keeps no state of a failure, and does not send it
        again: see ``refuse``.
        """
        # RFC 3261 17.2.1: after a 487 the INVITE must not ring anew; 8.3: a redirect server keeps state.
        alone = (status >= 400 and status != 487) or (status >= 200 and self.method == "OPTIONS")
        self._reply(status, reason, headers, body, alone and not self.proven)

    def _reply(
        self, status: int, reason: str | None, headers: Iterable[tuple[str, str]], body: bytes, alone: bool
    ) -> None:
        server = self.server
        if status >= 200 and self.decided and self.context is None:
            return
        if server is None:
            self.decided = True
            return
        # RFC 3261 17.1.1.2: a client that got a 100 does not repeat its INVITE, so we repeat the answer.
        alone = alone and self.context is None and not server.last
        if alone:
            if not self._tag:
                # The ACK has the key without the method, which it got where a CANCEL or another had it.
                key = server.key.removesuffix(f" {self.method}")
                self._tag = refusal_tag(key, self.message.call_id, self.core.proxy.entropy)
        # RFC 3261 8.2.6.2: every answer but 100 gets our To tag.
        response = response_to(
            self.message, status, reason, to_tag=self.local_tag(), headers=headers, body=body
        )
        if self.core.server_name:
            response.append("Server", self.core.server_name)
        if self.authentication_info is not None and 200 <= status < 300:
            response.append("Authentication-Info", self.authentication_info(body))
        if status >= 200:
            # Only now: after an exception before this line, the request can still be answered.
            self.decided = True
        if self.context is not None and status >= 200:
            self.context.reply(response, self.now)
            return
        alone = alone or (status >= 200 and self.core.proxy.transactions.crowded and self.is_stranger)
        hooks = self.core.proxy.hooks
        if not hooks.active or status == 100:
            self._send(server, alone, response, self.now)
            return
        if self.modules.hooks.answering(self, response, partial(self._send, server, alone), self.now):
            self._send(server, alone, response, self.now)
        elif self.waits is not None and self.waits.blocked(None) is not None:
            self.waiting(self.now)

    def waiting(self, now: float) -> None:
        """It waits for the outside before it is answered."""

    def _send(self, server: ServerTransaction, alone: bool, response: Response, now: float) -> None:
        if alone:
            server.respond_once(response, now)
        else:
            server.respond(response, now)
        hooks = self.core.proxy.hooks
        if hooks.active and response.status >= 200:
            self.modules.hooks.done(self, now)

    def refuse(self, status: int, reason: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer with a failure and keep no state (RFC 3261 8.2.7, 26.3.2.4).

        A flood of such requests must not fill the memory with transactions, and must not make this node send
        the answer to a third party again and again. A retransmission is looked at anew and gets the same To
        tag; the ACK ends in the stack. ``reply`` does it by itself while the sender has proved nothing.
        """
        self._reply(status, reason, headers, b"", True)

    def hand_over(self, user: ServerUser) -> None:
        """Leave the answer to ``user``, who gives it by ``respond``, now or later."""
        self.decided = True
        if self.server is not None:
            self.server.user = user

    def respond(self, response: Response, now: float) -> None:
        """Send ``response``, which a user agent made. Modules see it as they see any answer."""
        server = self.server
        if server is None:
            return
        status = response.status
        if self.core.server_name and not response.has("server"):
            response.append("Server", self.core.server_name)
        # RFC 7616 3.5
        if (
            self.authentication_info is not None
            and 200 <= status < 300
            and not response.has("authentication-info")
        ):
            response.append("Authentication-Info", self.authentication_info(response.body))
        hooks = self.core.proxy.hooks
        if hooks.active and status != 100 and not server.answered:
            self.now = now
            if self.modules.hooks.answering(self, response, partial(self._send, server, False), now):
                self._send(server, False, response, now)
        else:
            # As it is, or once more: modules have seen it.
            server.respond(response, now)

    def local_tag(self) -> str:
        """The To tag of answers made here (RFC 3261 8.2.6.2)."""
        if not self._tag:
            self._tag = (
                self.context.local_tag() if self.context is not None else self.core.proxy.entropy.token()
            )
        return self._tag

    def take_tag(self, tag: str) -> None:
        """Answer with ``tag``: a CANCEL is answered with that of its INVITE (RFC 3261 9.2)."""
        self._tag = tag

    def drop(self) -> None:
        """Give no answer at all: for what looks hostile."""
        self.decided = True
        if self.server is not None:
            self.server.abandon(self.now)

    def force_rport(self) -> None:
        """Have responses go to the port that the request came from, asked for or not (RFC 3581).

        Without effect on streams, and once the request is answered. See also
        ``ProxyConfig.force_rport``.
        """
        server = self.server
        if server is not None and not self.flow.conn and not server.last:
            server.flow = note_source(self.message, self.flow, "always")

    def follow_up(self, context: ResponseContext) -> None:
        """Stand for a request that was relayed in ``context``, without a handle."""
        self._context = context
        self.decided = True

    def leave_context(self) -> None:
        """Let go of the response context, which is done and knows this handle."""
        context, self._context = self._context, None
        if context is not None and context.cancelled:
            self._cancelled = True

    def rest(self) -> None:
        """Drop the values that can be made again: the handle is kept for half a minute, as thousands are.

        A module may want to see a further 2xx to its INVITE.
        """
        self.arrived = None
        self.message.rest()

    # --- for the verbs

    def lead_to(self, target: Target) -> None:
        """Have ``relay()`` without targets go to ``target``."""
        self.flows = self.flows or FlowRoute()
        self.flows.target = target

    def takes_too_many_steps(self) -> bool:
        """Count a step of the route; return whether it is one more than ``limits.route_steps``."""
        self._steps += 1
        return self._steps > self.core.limits.route_steps
