"""The request handle: what a route sees of a request, and what it may do with it.

Theory of operation: the handle wraps one received request with its server
transaction. Reading it reads the message; edits of ``request.message`` are
visible at once to whoever reads next, and each relayed branch is a copy. A
route decides by calling ``reply``, ``relay``, ``redirect``, ``register`` or
``drop``; what it leaves undecided is answered with 500, so that no caller
waits for a forgotten case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sansip.auth import Account
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.proxy import (
    PathValue,
    Refusal,
    ResponseContext,
    Target,
    check_hops,
    check_proxy_require,
    check_uri,
    inherited,
    is_looped,
    loop_hash,
    preprocess,
)
from sansip.proxy.assertions import drop_assertions
from sansip.proxy.dialog_mark import PARAMETER, Reading, Recording
from sansip.proxy.secure import NOT_ALLOWED, check_arrival, followable
from sansip.proxy.target import targets_of
from sansip.registrar import supports
from sansip.routing.admission import is_crowded, is_stranger, too_many
from sansip.routing.awaitables import ENDLESS, Relay
from sansip.routing.flows import FlowRoute, take_token
from sansip.routing.identity import authenticate, speaks_for, withhold
from sansip.routing.itself import answer_as_server, answer_options
from sansip.routing.lookup import absence, asked_for, borrows_gruu, locate, locate_at_hand, names_gruu
from sansip.routing.packages import wants_event_state
from sansip.routing.registration import path_value, register
from sansip.routing.shared import RETRY_AFTER
from sansip.routing.trust import TrustedPeer
from sansip.routing.within import read_mark
from sansip.sources import source_of
from sansip.transaction.refusals import refusal_tag
from sansip.transport import note_source
from sansip.transport.flow_token import MARK
from sansip.transport.nat import nat_signs
from sansip.wire import SipUri, response_to

if TYPE_CHECKING:
    from sansip.registrar import OnFull
    from sansip.routing.core import Core
    from sansip.transaction import ServerTransaction
    from sansip.transport import Flow, Listener
    from sansip.wire import OtherUri, Request, TelUri

__all__ = ["IncomingRequest"]

# RFC 3261 12.1, RFC 6665, RFC 3515: requests that make or refresh a dialog.
DIALOG_METHODS = frozenset(("INVITE", "SUBSCRIBE", "NOTIFY", "REFER", "UPDATE"))
# RFC 3261 17.2.1: seconds within which an INVITE has some answer.
_TRYING_WITHIN = 0.2


class IncomingRequest:
    """One request, as a route sees it.

    Attributes:
        message: the request; read it, edit it.
        method: its method.
        flow: where it came from (``transport``, ``host``, ``port``).
        now: the time, in the clock of whoever drives the stack.
        authenticated: whether ``authenticate`` found a user whose password was right.
        from_dialog: whether it is within a dialog that was set up through here, comes from one
            side of it and goes to the other: so says the Route value that this server
            wrote for it. Where it is not, ask ``routing.within.admits_within``.
        reading: how much that value proves (``proxy.dialog_mark``).
        unsure: whether ``locate`` found nobody because the shared location could not be asked.
        from_node: whether another node of ours sent it on, which has admitted it
            (``sansip.routing.vouching``).
    """

    __slots__ = (
        "_asked",
        "_cancelled",
        "_context",
        "_decided",
        "_hashed",
        "_leaves",
        "_marked",
        "_path",
        "_record",
        "_recording",
        "_returned",
        "_server",
        "_steps",
        "_tag",
        "_waited",
        "authenticated",
        "authentication_info",
        "core",
        "flow",
        "flows",
        "from_dialog",
        "from_node",
        "message",
        "method",
        "now",
        "reading",
        "slots",
        "unsure",
    )

    def __init__(
        self, core: Core, message: Request, flow: Flow, server: ServerTransaction | None, now: float
    ) -> None:
        self.core = core
        self.message = message
        self.method = message.method
        self.flow = flow
        self.now = now
        self.authenticated = False
        self.from_dialog = False
        self.from_node = False
        self.unsure = False
        self.reading = Reading.NONE
        self._server = server
        self._context: ResponseContext | None = None
        # The listener that our last Route value named: RFC 5658 3.
        self._leaves: Listener | None = None
        self._decided = False
        self._cancelled = False
        self._waited = False
        self._steps = 0
        # Which of our users it asked for as it was received (``lookup.asked_for``), or "".
        self._asked = ""
        self._hashed = ""
        # Whether it bears a Via of ours: it was here before, as a branch.
        self._returned = False
        self._record = False
        self._recording: Recording | None = None
        self._tag = ""
        # What our Route value says of CSeq (``proxy.sequence``).
        self._marked: str | None = None
        # What modules keep of it (``sansip.module.Slot``); None until the first does.
        self.slots: dict[Any, Any] | None = None
        # Makes Authentication-Info of the body of a 2xx, where that is wanted.
        self.authentication_info: Callable[[bytes], str] | None = None
        # What flow tokens of ours in Route say, where there are some.
        self.flows: FlowRoute | None = None
        # What goes into the Path of a REGISTER that is passed on.
        self._path: PathValue | None = None

    def attach(self, server: ServerTransaction) -> None:
        """Give the handle the transaction to answer through."""
        self._server = server

    # --- reading

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
        """Whether To has a tag: the sender believes in a dialog (RFC 3261 12.2)."""
        return self.message.to_tag is not None

    @property
    def over_flow(self) -> bool:
        """Whether a flow token of ours in Route says where it goes (RFC 5626 5.3.1): ``relay()`` obeys.

        Only who is in the dialog has such a token, or a peer that may have others
        (``sansip.routing.flows``).
        """
        return self.flows is not None and self.flows.target is not None

    @property
    def decided(self) -> bool:
        """Whether the request has been answered, relayed or dropped."""
        return self._decided

    @property
    def nat_signs(self) -> tuple[str, ...]:
        """What shows that the sender is behind a NAT (``sansip.transport.nat``), often nothing.

        Of ``"contact"``, ``"via"``, ``"port"`` and ``"sdp"``.
        """
        return nat_signs(self.message, self.flow)

    @property
    def behind_nat(self) -> bool:
        """Whether the sender names itself by an address that its packets do not come from."""
        signs = self.nat_signs
        return bool(signs) and signs != ("sdp",)

    def force_rport(self) -> None:
        """Have responses go to the port that the request came from, asked for or not (RFC 3581).

        Without effect on streams, and once the request is answered. See also
        ``ProxyConfig.force_rport``.
        """
        server = self._server
        if server is not None and not self.flow.conn and not server.last:
            server.flow = note_source(self.message, self.flow, "always")

    @property
    def cancelled(self) -> bool:
        """Whether the caller gave up while the route was waiting."""
        return self._cancelled or (self._context is not None and self._context.cancelled)

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
        """Whom the sender is trusted as, by address or certificate (``sansip.routing.trust``), or None."""
        trusted = self.core.trusted
        return trusted.of(self.flow) if len(trusted) else None

    @property
    def proven(self) -> bool:
        """Whether the sender has proved who it is: by a password, its address, or a mark of ours in Route."""
        if self.authenticated or self.from_dialog or self.over_flow or self.from_node:
            return True
        return self.trusted is not None

    @property
    def has_trusted_peers(self) -> bool:
        """Whether anybody is trusted by address: whether there is a trust domain (RFC 3325)."""
        return len(self.core.trusted) > 0

    # --- checking and preparing

    def take_route(self) -> None:
        """Take our own values off Route (RFC 3261 16.4). The stack has called it before the route."""
        message = self.message
        if self.method != "ACK":
            # RFC 5393 4.2.1: the hash covers the request as it was received.
            core = self.core
            asked = self._asked = asked_for(core, message)
            self._hashed = loop_hash(message, core.proxy.loop_secret, asked or message.uri_text)
            self._returned = core.listeners.may_have_written(message)
        if not message.has("route") and "maddr" not in message.uri_text:
            return
        listeners = self.core.listeners
        config = self.core.proxy.config
        tokens = config.dialog_tokens
        mark: str | None = None
        if (recorded := listeners.take_recorded(message)) is not None:
            self._leaves, mark = recorded
            self.from_dialog = not tokens or config.unmarked_dialogs
            if not message.has("route") and "maddr" not in message.uri_text:
                if tokens:
                    read_mark(self, mark)
                return

        def is_own(uri: SipUri) -> bool:
            nonlocal mark
            transport = uri.transport or ("tls" if uri.scheme == "sips" else "udp")
            if not listeners.is_own_address(uri.host, uri.port, transport):
                return False
            second = self._leaves is not None
            self._leaves = listeners.named(uri.host, uri.port, transport)
            self._marked = uri.params.get("c", self._marked)
            mark = uri.params.get(PARAMETER, mark)
            if not tokens or config.unmarked_dialogs:
                self.from_dialog = True
            if uri.user is not None and uri.user.startswith(MARK):
                self.flows = take_token(self, uri, self.flows, second=second)
            elif self.flows is not None:
                self.flows.pass_plain()
            return True

        listener = listeners[self.flow.listener]
        preprocess(message, is_own, (listener.transport, listener.port))
        if self.flows is not None:
            self.flows.settle(self)
        if tokens and mark is not None:
            read_mark(self, mark)
        if self.flows is not None and self.flows.bound and not (self.from_dialog or self.reading):
            # The mark that the token came with says whose it is, and until when.
            self.flows = None

    def screen(self) -> None:
        """Remove what the sender may not say, unless it is trusted (RFC 3325 5). The stack has called it."""
        trust = self.core.proxy.trust
        if trust.exists and not (self.from_node or trust.trusts(self.flow)):
            # RFC 3261 22.1: a CANCEL cannot be asked whose it is.
            stranger = self.method == "CANCEL" or not self.is_from_us
            drop_assertions(self.message, stranger=stranger)

    def validate(self) -> bool:
        """Check what a proxy must check (RFC 3261 16.3); answer and return False on a fault.

        Scheme (and that a sips URI came over TLS), Max-Forwards, loops (RFC 5393) and Proxy-Require.
        """
        message = self.message
        refusal = (
            check_uri(message)
            or (self._check_sips() if message.uri.scheme == "sips" else None)
            or check_hops(message)
            or check_proxy_require(message, self.core.proxy.config.extensions)
        )
        if refusal is None and self._returned and is_looped(message, self._hashed, self.core.listeners):
            # RFC 3261 16.3 step 4
            refusal = Refusal(482, "Loop Detected")
        if refusal is None:
            return True
        self.reply(refusal.status, refusal.reason, refusal.headers)
        return False

    def _check_sips(self) -> Refusal | None:
        if self.core.proxy.config.plain_sips or self.trusted is not None:
            # TLS ends in front of us.
            return None
        return check_arrival(self.flow.transport)

    @property
    def authenticates(self) -> bool:
        """Whether the server is set up to authenticate."""
        return self.core.authenticator is not None

    async def stage(self, name: str) -> bool:
        """Run the steps that modules have for stage ``name``; return whether one decided on the request."""
        for each in self.core.modules.stages[name]:
            await each(self)
            if self._decided:
                return True
        return False

    async def authenticate(self, realm: str | None = None) -> str | None:
        """Return the authenticated user's name, or None having answered 400, 401, 407, 403 or 503.

        See ``sansip.routing.identity``.
        """
        if self.takes_too_many_steps():
            await ENDLESS
        return await authenticate(self, realm)

    def speaks_for(self, user: str) -> bool:
        """Whether ``user`` is whom the request says it is from (To of a REGISTER, else From)."""
        return speaks_for(self, user)

    def record_route(self) -> None:
        """Stay on the path of the dialog that this request makes (RFC 3261 16.6 step 4).

        Without effect on methods that make no dialog, and where the
        configuration says not to.
        """
        self._record = self.method in DIALOG_METHODS and self.core.proxy.config.record_route

    def add_path(self) -> None:
        """Have requests for who registers here come back by this server (RFC 3327 5.2, RFC 5626 5.1).

        For a REGISTER that is relayed to another registrar. Where we are the first hop,
        our Path leads over the flow that the phone has to us. A registrar may refuse the
        Path of a phone that does not support it, see ``supports``.
        """
        if self.method == "REGISTER":
            self._path = path_value(self)

    def supports(self, tag: str) -> bool:
        """Whether the sender supports the extension ``tag``, such as ``"path"`` (RFC 3261 20.37)."""
        return supports(self.message, tag.lower())

    # --- deciding

    def reply(
        self,
        status: int,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        """Answer the request. A second final answer, and any answer to an ACK, is ignored.

        Nothing is kept of a failure, nor is it sent again, while the sender has proved
        nothing: see ``refuse``.
        """
        # RFC 3261 17.2.1: after a 487 the INVITE must not ring anew; 8.3: who redirects keeps state.
        alone = (status >= 400 and status != 487) or (status >= 200 and self.method == "OPTIONS")
        self._reply(status, reason, headers, body, alone and not self.proven)

    def _reply(
        self, status: int, reason: str | None, headers: Iterable[tuple[str, str]], body: bytes, alone: bool
    ) -> None:
        server = self._server
        if status >= 200 and self._decided and self._context is None:
            return
        if server is None:
            self._decided = True
            return
        # RFC 3261 17.1.1.2: who got a 100 does not repeat its INVITE, so its answer is repeated.
        alone = alone and self._context is None and not server.last
        if alone:
            self._tag = self._tag or refusal_tag(self.message, self.core.proxy.entropy)
        # RFC 3261 8.2.6.2: every answer but 100 gets our To tag.
        response = response_to(
            self.message, status, reason, to_tag=self.local_tag(), headers=headers, body=body
        )
        if self.core.server_name:
            response.append("Server", self.core.server_name)
        if self.authentication_info is not None and 200 <= status < 300:
            response.append("Authentication-Info", self.authentication_info(body))
        if status >= 200:
            # Only now: what raised before leaves the request to be answered.
            self._decided = True
        if self._context is not None and status >= 200:
            self._context.reply(response, self.now)
            return
        hooks = self.core.proxy.hooks
        if hooks.active and status != 100:
            hooks.answering(self, response)
        if alone or (status >= 200 and is_crowded(self.core) and is_stranger(self)):
            server.respond_once(response, self.now)
        else:
            server.respond(response, self.now)
        if hooks.active and status >= 200:
            hooks.done(self)

    def refuse(self, status: int, reason: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer with a failure and keep nothing of it (RFC 3261 8.2.7, 26.3.2.4).

        A flood of such requests must not fill the memory with transactions, and nobody
        else be sent the answer again and again. A retransmission is looked at anew and
        gets the same To tag; the ACK ends in the stack. ``reply`` does it by itself
        while the sender has proved nothing.
        """
        self._reply(status, reason, headers, b"", True)

    def local_tag(self) -> str:
        """The To tag of answers made here (RFC 3261 8.2.6.2)."""
        if not self._tag:
            self._tag = (
                self._context.local_tag() if self._context is not None else self.core.proxy.entropy.token()
            )
        return self._tag

    def take_tag(self, tag: str) -> None:
        """Answer with ``tag``: a CANCEL is answered with that of its INVITE (RFC 3261 9.2)."""
        self._tag = tag

    def drop(self) -> None:
        """Give no answer at all: for what looks hostile."""
        self._decided = True
        if self._server is not None:
            self._server.abandon(self.now)

    def relay(
        self,
        targets: Sequence[Target | SipUri | str] | Target | SipUri | str | None = None,
        *,
        stateless: bool = False,
        credentials: Account | Sequence[Account] | None = None,
        ring: float | None = None,
        answer: float | None = None,
    ) -> Relay:
        """Forward the request, to its Request-URI or to ``targets`` by their q.

        ``await`` the result to decide on a failure (see ``Relay``). Raises
        ``LocalProtocolError`` for an empty list of targets. A request for a sips URI goes to
        sips targets alone, or is answered with 480 (RFC 5630 5.3). An ACK is always
        forwarded without state (RFC 3261 16.11), and so is anything with ``stateless``.

        ``credentials``: accounts to answer challenges of the next hop with, beside
        those of the configuration; only where the next hop is one of their hosts.
        ``ring``: seconds after which targets that have not answered are given up and
        cancelled: a 408, for the route to decide on. ``answer``: seconds in which each target has
        to give any response, a 100 at least; one that does not is a 408, too.
        """
        if self.takes_too_many_steps():
            # Not an exception: a loop that catches it would go on.
            return Relay(None, endless=True)
        chosen = targets_of(targets)
        proxy = self.core.proxy
        message = self.message
        if (
            targets is None
            and ";gr" in message.uri_text
            and self.names_gruu
            and (found := locate_at_hand(self, message.uri))
        ):
            # RFC 5627 6.1: within a dialog, too, it leads to where its device is now.
            chosen = found
        elif targets is None and self.flows is not None and self.flows.target is not None:
            chosen = [self.flows.target]
        if message.max_forwards == 0:
            # RFC 3261 16.3 step 3 holds for a route that did not validate, too.
            self.reply(483)
            return Relay(None)
        server = self._server
        if message.uri.scheme == "sips" and not (chosen := followable(chosen)):
            # RFC 5630 5.3: what was to be secure must not leave for a sip URI.
            self.reply(480, None, [NOT_ALLOWED])
            return Relay(None)
        if server is not None and server.answered:
            # The caller gave up while the route was waiting: RFC 3261 9.2.
            return Relay(self._context)
        if "proxy-authorization" in message.keys:
            withhold(self)
        shifts = proxy.shifts
        marked = shifts.read(self._marked, message) if self._marked else 0
        if server is None or (stateless and not marked and self._path is None):
            if marked or len(shifts):
                added = shifts.of(message, marked)
                if added:
                    # Nothing comes back that would have to be translated.
                    shifts.apply(message, marked, added)
            record = self._recorded_as() if self._record else None
            proxy.forward_stateless(message, self.flow, chosen[0], record, self.now, self._leaves)
            if server is not None:
                server.abandon(self.now)
            self._decided = True
            return Relay(None)
        context = self._context
        if context is None:
            counted = None
            if not (self.in_dialog and (self.from_dialog or self.over_flow)):
                counted = (source_of(self.flow.host), self._asked)
                if too_many(self, *counted):
                    return Relay(None)
            budget = None
            if self._returned:
                budget = inherited(message, self.core.listeners, proxy.transactions)
            context = self._context = ResponseContext(
                proxy, message, server, self._hashed, self.flow.listener, budget
            )
            if counted is not None:
                proxy.pending.add(*counted)
                context.counted = counted
            if self._leaves is not None:
                context.leaves = self._leaves.id
            if proxy.hooks.active:
                context.handle = self
            server.user = context
        # Only now: what raised before leaves the request to be answered.
        self._decided = True
        recording = self._recorded_as()
        context.recording = recording
        context.record_route = recording if self._record else None
        context.path = self._path
        if credentials is not None or proxy.client.accounts or marked or len(shifts):
            self._authenticate_to(context, credentials, marked)
        if self._record:
            wanted = self.flows is not None and self.flows.wants_flow
            context.came = proxy.came_token(message, self.flow, wanted)
        context.relay(chosen, self.now, ring, answer)
        return Relay(context)

    def _authenticate_to(
        self, context: ResponseContext, credentials: Account | Sequence[Account] | None, marked: int
    ) -> None:
        """Have challenges of the next hop answered, and its view of CSeq kept."""
        given = [credentials] if isinstance(credentials, Account) else credentials
        context.accounts = given or ()
        context.marked = marked
        if self.method in DIALOG_METHODS and not self.in_dialog:
            context.record_if_raised = context.recording

    def _recorded_as(self) -> Recording | None:
        """Return what Record-Route says of the dialog that this makes or refreshes, None where it cannot."""
        if self.method in DIALOG_METHODS and self._recording is None:
            core = self.core
            proxy = core.proxy
            message = self.message
            marks = proxy.marks if proxy.config.dialog_tokens else None
            caller = proxy.trust.sender(message.from_.uri, self.flow.host)
            callee = proxy.trust.user(message.to.uri)
            self._recording = Recording(marks, message, core.unix(self.now), caller, callee)
        return self._recording

    def lead_to(self, target: Target) -> None:
        """Have ``relay()`` without targets go to ``target``."""
        self.flows = self.flows or FlowRoute()
        self.flows.target = target

    def redirect(self, targets: Sequence[Target | SipUri | str], status: int = 302) -> None:
        """Answer with where else to look (RFC 3261 8.3), Contact values with their q."""
        headers = []
        for target in targets_of(targets):
            q = "" if target.q == 1000 else f";q=0.{target.q:03d}"
            headers.append(("Contact", f"<{target.uri or self.message.uri}>{q}"))
        self.reply(status, None, headers)

    # --- location

    async def locate(self, uri: SipUri | TelUri | OtherUri | None = None) -> list[Target]:
        """Return the targets that the address-of-record or GRUU ``uri`` is registered at, best first.

        The Request-URI by default. Empty where nobody is registered: ``answer_absent``.
        """
        if self.takes_too_many_steps():
            await ENDLESS
        return await locate(self, self.message.uri if uri is None else uri)

    @property
    def names_gruu(self) -> bool:
        """Whether the Request-URI is a GRUU of this server: one device of a user (RFC 5627)."""
        return ";gr" in self.message.uri_text and names_gruu(self.core, self.message.uri)

    @property
    def borrows_gruu(self) -> bool:
        """Whether the sender would be called back at a GRUU of another user of ours (RFC 5627 6.2)."""
        return borrows_gruu(self)

    def answer_absent(self) -> None:
        """Answer a request for whom ``locate`` found nobody: 404, or 480 who is known but not there.

        503 with Retry-After where the location could not be asked (``unsure``).
        """
        if self.unsure:
            # RFC 3261 21.5.4, RFC 3263 4.3: other servers can say.
            self.reply(503, None, [("Retry-After", RETRY_AFTER)])
        else:
            self.reply(absence(self.core, self.message.uri))

    async def register(self, *, max_contacts: int | None = None, on_full: OnFull | None = None) -> None:
        """Act as registrar on a REGISTER and answer it (RFC 3261 10.3).

        ``max_contacts`` and ``on_full`` (``"refuse"``, ``"replace-oldest"``) take the place of
        those of the configuration, for this user. See ``sansip.routing.registration``.
        """
        if self.takes_too_many_steps():
            await ENDLESS
        await register(self, max_contacts, on_full)

    @property
    def wants_event_state(self) -> bool:
        """Whether it publishes event state, or asks for its sender's own, which no phone answers.

        See ``sansip.routing.packages``.
        """
        return wants_event_state(self)

    # --- answering for the server itself

    def answer_options(self) -> None:
        """Answer an OPTIONS for the server itself (RFC 3261 11.2)."""
        answer_options(self)

    def answer_as_server(self) -> None:
        """Answer a request whose Request-URI is the server itself, without a user."""
        answer_as_server(self)

    # --- called by the stepper and the stack

    def takes_too_many_steps(self) -> bool:
        """Count a step of the route; return whether it is one more than ``limits.route_steps``."""
        self._steps += 1
        return self._steps > self.core.limits.route_steps

    def waiting(self, now: float) -> None:
        """The route waits for the outside: RFC 3261 17.2.1 wants a 100 unless it ends within 200 ms.

        Not earlier, for most do, and a failure keeps no state where nothing was sent before.
        For other methods RFC 4320 4.1 wants it neither earlier nor later than the
        time after which a client's Timer E is T2.
        """
        server = self._server
        if server is None or server.last or self._waited:
            return
        self._waited = True
        proxy = self.core.proxy
        after = _TRYING_WITHIN if self.method == "INVITE" else proxy.trying_after
        proxy.timers.start(now, after, self, "trying")

    def timer_fired(self, _name: str, now: float) -> None:
        server = self._server
        if server is not None and not server.last and not server.answered:
            server.respond(response_to(self.message, 100, to_tag=None), now)

    def route_ended(self, now: float) -> None:
        self.now = now
        context = self._context
        if context is not None:
            context.keeps_outcome, context.outcome = False, None
            context.release_failure(now)
        if not self._decided and self.method != "ACK":
            self.core.route_failed(self, LocalProtocolError("the route decided nothing"))
            self.reply(500, "Nothing Decided")

    def route_failed(self, error: BaseException, now: float) -> None:
        self.now = now
        if isinstance(error, RemoteProtocolError) and self._context is None:
            # A header that the route read is malformed: the sender's mistake, not the route's.
            self.reply(error.status)
            return
        self.core.route_failed(self, error)
        if not self._decided or (self._context is not None and not self._context.done):
            self.reply(500)

    def cancel(self, now: float, reason: str | None) -> None:
        """The caller gave up (RFC 3261 9.2, 16.10)."""
        self.now = now
        self._cancelled = True
        if self._context is not None:
            self._context.cancel(now, reason)
        elif not self._decided:
            # RFC 3261 9.2: answered here, so the 487 is ours.
            self.reply(487)

    # The user of a server transaction until there is a response context.

    def ack_received(self, transaction: ServerTransaction, ack: Request, now: float) -> None:
        pass

    def server_failed(self, transaction: ServerTransaction, reason: str, now: float) -> None:
        pass
