"""The request handle: a route reads a request, and decides on it, by this object.

Theory of operation: a route decides by calling ``reply``, ``relay``, ``redirect``, ``register`` or ``drop``.
If it decides nothing, this node answers with 500, so no caller waits for a forgotten case. The readable parts
of a request, and its answer, are in ``incoming``; each verb does its work in its own file. Until there is a
response context the handle is the user of the server transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sansip.auth import Account
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.proxy import Target
from sansip.proxy.target import targets_of
from sansip.registrar import supports
from sansip.routing.arrival import validate
from sansip.routing.calling import bridge, carry, incoming
from sansip.routing.identity import authenticate, speaks_for
from sansip.routing.incoming import Incoming
from sansip.routing.itself import answer_as_server, answer_options
from sansip.routing.lookup import absence, borrows_gruu, locate, names_gruu
from sansip.routing.packages import wants_event_state
from sansip.routing.registration import RETRY_AFTER, path_value, register
from sansip.routing.relaying import DIALOG_METHODS, Relay, relay
from sansip.ua import CallEnded, CallRefused, IncomingCall
from sansip.wire import SipUri, response_to

if TYPE_CHECKING:
    from sansip.b2bua import Bridge, Policy
    from sansip.later import Later
    from sansip.registrar import OnFull
    from sansip.transaction import ServerTransaction
    from sansip.ua import Handler
    from sansip.wire import OtherUri, Request, Response, TelUri

__all__ = ["IncomingRequest"]

# RFC 3261 17.2.1: seconds within which an INVITE has some answer.
_TRYING_WITHIN = 0.2
# What the log says of a route that returned without a word, for the author of that route.
_UNDECIDED = (
    "the route decided nothing; it has to call reply, relay, redirect, register, answer_as_server or drop"
)


class IncomingRequest(Incoming):
    """One request, as a route sees it: the attributes of ``Incoming``, and the verbs."""

    __slots__ = ()

    # --- checking and preparing

    def validate(self) -> bool:
        """Check what a proxy must check (RFC 3261 16.3); answer and return False on a fault.

        Scheme (and that a sips URI came over TLS), Max-Forwards, loops (RFC 5393) and Proxy-Require.
        """
        return validate(self)

    @property
    def authenticates(self) -> bool:
        """Whether the server is set up to authenticate."""
        return self.core.authenticator is not None

    async def stage(self, name: str) -> bool:
        """Run the steps that modules have for stage ``name``; return whether one decided on the request."""
        for each in self.modules.stages_of(self.method)[name]:
            await each(self)
            if self.decided:
                return True
        return False

    async def authenticate(self, realm: str | None = None, *, as_server: bool = False) -> str | None:
        """Return the authenticated user's name, or None having answered 400, 401, 407, 403 or 503.

        ``as_server``: this node answers the request itself, so it asks with a 401. See
        ``sansip.routing.identity``.
        """
        return await authenticate(self, realm, as_server=as_server)

    def speaks_for(self, user: str) -> bool:
        """Whether ``user`` is the user that the request says it is from (To of a REGISTER, else From)."""
        return speaks_for(self, user)

    def record_route(self) -> None:
        """Stay on the path of the dialog that this request makes (RFC 3261 16.6 step 4).

        Without effect on methods that make no dialog, and where the
        configuration says not to.
        """
        self.record = self.method in DIALOG_METHODS and self.core.proxy.config.record_route

    def add_path(self) -> None:
        """Have requests for who registers here come back by this server (RFC 3327 5.2, RFC 5626 5.1).

        For a REGISTER that is relayed to another registrar. Where we are the first hop,
        our Path leads over the flow that the phone has to us. A registrar may refuse the
        Path of a phone that does not support it, see ``supports``.
        """
        if self.method == "REGISTER":
            self.path = path_value(self)

    def follow(self, accept: Callable[[SipUri], bool]) -> None:
        """Try the contacts of a 300, 301 or 302 that ``accept(uri)`` takes (RFC 3261 16.7 step 4).

        Call it before ``relay``. Contacts that it does not take go back to the caller. Each URI is tried
        once, and ``limits.branches`` bounds all targets of a request. A contact that ``accept`` raises at is
        not tried.
        """

        def accepted(uri: SipUri) -> bool:
            try:
                return bool(accept(uri))
            except Exception as error:
                self.core.route_failed(self.message, error)
                return False

        self.follows = accepted

    def supports(self, tag: str) -> bool:
        """Whether the sender supports the extension ``tag``, such as ``"path"`` (RFC 3261 20.37)."""
        return supports(self.message, tag.lower())

    # --- deciding: ``reply``, ``refuse`` and ``drop`` are in ``Incoming``

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

        ``credentials``: accounts to answer challenges of the next hop with, beside those of the
        configuration; only where the next hop is one of their hosts. ``ring``: seconds after which targets
        that have not answered are given up and cancelled: the result is a 408, and the route decides what
        follows. ``answer``: seconds in which each target has to give any response, a 100 at least; a target
        that gives none counts as a 408, too.
        """
        return relay(self, targets, stateless=stateless, credentials=credentials, ring=ring, answer=answer)

    def incoming(self, handler: Handler | None = None, *, user: str = "") -> IncomingCall | None:
        """Take an INVITE as a call for us, to ring, accept or reject (``sansip.ua.IncomingCall``).

        None where RFC 3261 8.2 has it refused, which has been done. Requests within the call do not come
        to the
        route: ``handler`` answers them (``sansip.ua.Handler``). ``user``: user part of our Contact. Raises
        ``LocalProtocolError`` for anything but an INVITE without a To tag.
        """
        return incoming(self, handler, user)

    def bridge(
        self,
        targets: Sequence[Target | SipUri | str] | Target | SipUri | str | None = None,
        policy: Policy | None = None,
        *,
        ring: float | None = None,
        answer: float | None = None,
    ) -> Bridge | None:
        """Answer an INVITE and call ``targets`` (by default its Request-URI) as one call with two dialogs.

        Equal q in parallel, lower ones after all higher failed; ``ring`` and ``answer`` as of ``relay``, for
        each of these groups. ``await`` the result for the bridge once the call is answered; it raises
        ``CallRefused`` if no target takes the call, and the caller has the failure already. Returns None if
        this node had to refuse the request: without hops or breadth left, or by RFC 3261 8.2. See
        docs/b2bua.md.
        """
        return bridge(self, targets, policy, ring, answer)

    def carry(
        self,
        targets: Sequence[Target | SipUri | str] | Target | SipUri | str | None = None,
        policy: Policy | None = None,
        *,
        within: float | None = None,
    ) -> Later[Response] | None:
        """Send a MESSAGE, OPTIONS, PUBLISH or INFO to ``targets`` as a request of our own.

        One target after the other, ``within`` seconds each; the answer goes back, and can be awaited. None
        where the request had to be refused, which has been done.
        """
        return carry(self, targets, policy, within)

    def redirect(self, targets: Sequence[Target | SipUri | str], status: int = 302) -> None:
        """Answer with where else to look (RFC 3261 8.3), Contact values with their q."""
        headers = []
        for target in targets_of(targets):
            q = "" if target.q == 1000 else f";q=0.{target.q:03d}"
            headers.append(("Contact", f"<{target.uri or self.message.uri}>{q}"))
        self.reply(status, None, headers)

    async def register(self, *, max_contacts: int | None = None, on_full: OnFull | None = None) -> None:
        """Act as registrar on a REGISTER and answer it (RFC 3261 10.3).

        ``max_contacts`` and ``on_full`` (``"refuse"``, ``"replace-oldest"``) take the place of
        those of the configuration, for this user. See ``sansip.routing.registration``.
        """
        await register(self, max_contacts, on_full)

    # --- location

    async def locate(self, uri: SipUri | TelUri | OtherUri | None = None) -> list[Target]:
        """Return the targets that the address-of-record or GRUU ``uri`` is registered at, best first.

        The Request-URI by default. Empty if no phone is registered: ``answer_absent``.
        """
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
        """Answer for a user that ``locate`` did not find: 404, or 480 where it is known but not there.

        503 with Retry-After where the location could not be asked (``unsure``).
        """
        if self.unsure:
            # RFC 3261 21.5.4, RFC 3263 4.3: other servers can say.
            self.reply(503, None, [("Retry-After", RETRY_AFTER)])
        else:
            self.reply(absence(self.core, self.message.uri))

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

    def attach(self, server: ServerTransaction) -> None:
        """Give the handle the transaction to answer through."""
        self.server = server

    def waiting(self, now: float) -> None:
        """The route waits for the outside: RFC 3261 17.2.1 wants a 100 unless it ends within 200 ms.

        It is not sent earlier, because most routes end in that time, and a failure needs no state if nothing
        was sent before. For other methods RFC 4320 4.1 wants the 100 exactly at the time after which a
        client's Timer E is T2.
        """
        server = self.server
        if server is None or server.last or self._waited:
            return
        self._waited = True
        proxy = self.core.proxy
        after = _TRYING_WITHIN if self.method == "INVITE" else proxy.trying_after
        proxy.timers.start(now, after, self, "trying")

    def timer_fired(self, _name: str, now: float) -> None:
        server = self.server
        if server is not None and not server.last and not server.answered:
            server.respond(response_to(self.message, 100, to_tag=None), now)

    def route_ended(self, now: float) -> None:
        self.now = now
        context = self._context if self.usual is None else self.usual.route_ended()
        if context is not None:
            context.keeps_outcome, context.outcome = False, None
            context.release_failure(now)
        if not self.decided and not self.taken and self.method != "ACK":
            self.core.route_failed(self.message, LocalProtocolError(_UNDECIDED))
            self.reply(500, "Nothing Decided")

    def route_failed(self, error: BaseException, now: float) -> None:
        self.now = now
        if isinstance(error, RemoteProtocolError) and self.context is None:
            # A header that the route read is malformed: the sender's mistake, not the route's.
            self.reply(error.status)
            return
        if isinstance(error, (CallEnded, CallRefused)) and self.decided:
            # The other side hung up, or did not answer: that ends a route as well as a return does.
            return
        self.core.route_failed(self.message, error)
        call = None if self.server is None else self.server.user
        if isinstance(call, IncomingCall):
            call.reject(500)
        if not self.decided or (self.context is not None and not self.context.done):
            self.reply(500)

    def cancel(self, now: float, reason: str | None) -> None:
        """The caller gave up (RFC 3261 9.2, 16.10)."""
        self.now = now
        self._cancelled = True
        if self.context is not None:
            self.context.cancel(now, reason)
        elif not self.decided:
            # RFC 3261 9.2: answered here, so the 487 is ours.
            self.reply(487)
        else:
            self.core.proxy.hooks.cancelled(self, now)

    # The user of a server transaction until there is a response context.

    def ack_received(self, transaction: ServerTransaction, ack: Request, now: float) -> None:
        pass

    def server_failed(self, transaction: ServerTransaction, reason: str, now: float) -> None:
        pass
