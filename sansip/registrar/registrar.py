"""A registrar: REGISTER requests in, updates of the location service out (RFC 3261 10.3).

Theory of operation: a plan is a pure function of the request, the bindings
that stand, and the time. It goes through the RFC's steps in the RFC's order
and ends in an update and a 200 that describes the bindings after it, or in no
update and an error; the caller commits the update and sends the answer.
No step changes anything, so a request is done whole or not at all, and two
requests cannot mix.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Sequence

from sansip.errors import RemoteProtocolError
from sansip.limits import DEFAULT, Limits
from sansip.location import (
    Addresses,
    Binding,
    LocationUpdate,
    MemoryLocation,
    Outcome,
    Source,
    address_of_record,
)
from sansip.wire import Request, SipUri, Star, uri_equal
from sansip.wire.fields import header_line

from .admission import Terms, check_contacts, check_sips, refuses_path
from .capacity import fit
from .config import RegistrarConfig
from .contact import ContactChange, agent_of, contact_value, delta_seconds, read_contact
from .date import sip_date
from .gruu import Gruus, Told
from .merge import Origin, check_removal_of_all, merge
from .outbound import is_direct, supports, take_flows
from .reply import Plan, Reply

__all__ = ["Registrar"]

# RFC 3261 10.3 step 7: requests of an hour or more are never too brief.
_HOUR = 3_600
# The terms of an unknown sender.
_NO_TERMS = Terms()
# Where each host is a domain of its own.
_PLAIN = Addresses()


class Registrar:
    """Registrations of one server. Holds policy only; bindings are the location service's.

    Attributes:
        config: the policy.
        constant_lines: the lines that stand in each 200 behind its Contacts, each with its CRLF.
        extensions: option tags supported here, for Supported in the server's answers.
        capable: these and what modules offer, for OPTIONS.
        flow_timer: seconds within which a phone with a flow shall send keepalives, 0 for its own choice.
        gruus: the object that makes and reads GRUUs; None where there are none.
        limits: those of the stack.
        lost_flow: what to do with the bindings of a connection that is lost.
    """

    __slots__ = (
        "_date",
        "_gruus",
        "_offered",
        "_outbound",
        "_supported",
        "capable",
        "config",
        "constant_lines",
        "default_expires",
        "extensions",
        "flow_timer",
        "gruus",
        "limits",
        "lost_flow",
        "max_expires",
        "min_expires",
    )

    def __init__(
        self,
        config: RegistrarConfig | None = None,
        limits: Limits = DEFAULT,
        gruus: Gruus | None = None,
    ) -> None:
        self._gruus = gruus
        # Who offers it -> option tags of the server as a user agent (RFC 3261 11.2).
        self._offered: dict[object, frozenset[str]] = {}
        self.limits = limits
        self.configure(config or RegistrarConfig())

    def configure(self, config: RegistrarConfig) -> None:
        """Go by ``config`` from now on; present bindings keep their values."""
        self.config = config
        self.default_expires: int = config.default_expires
        self.min_expires: int = config.min_expires
        self.max_expires: int = config.max_expires
        self.lost_flow = config.lost_flow
        self.flow_timer = config.flow_timer
        self.gruus = self._gruus if config.gruu else None
        # Option tags that a phone or an edge proxy may require of us.
        path = self.config.path != "ignore"
        # RFC 5626 6: it rests on Path.
        self._outbound = self.config.outbound and path
        tags = {
            "path": path,
            "outbound": self._outbound,
            "gruu": self.gruus is not None,
        }
        self.extensions = frozenset(tag for tag, known in tags.items() if known)
        self.capable = self.extensions.union(*self._offered.values())
        # RFC 5627 5.2: gruu is not told in answers to a REGISTER.
        self._supported = ", ".join(sorted(self.extensions - {"gruu"}))
        self._date = (0, "")
        lines = [("Service-Route", value) for value in config.service_route]
        if self._supported:
            lines.append(("Supported", self._supported))
        self.constant_lines = "".join([f"{header_line(name, value)}\r\n" for name, value in lines])

    def offer(self, owner: object, tags: frozenset[str]) -> None:
        """Support ``tags`` in an OPTIONS, which replace those of ``owner`` before."""
        self._offered[owner] = tags
        if not tags:
            del self._offered[owner]
        self.capable = self.extensions.union(*self._offered.values())

    @property
    def most_contacts(self) -> int:
        """How many contacts a user may have whose REGISTERs come without terms of their own."""
        return self._most(_NO_TERMS)

    def check(self, request: Request) -> Reply | None:
        """Step 2: refuse what needs extensions that are not known on both sides (420).

        It comes before any challenge: a phone should not be asked for its
        password only to be refused.
        """
        try:
            keys = request.keys
            if "require" in keys:
                # RFC 3261 8.2.2.3: Unsupported lists exactly those not understood.
                unknown = [tag for tag in request.require if tag.lower() not in self.extensions]
                if unknown:
                    return _bad_extension(unknown)
            # RFC 3327 5.3: a proxy put itself on the path of a phone that does not know of it.
            if self.config.path == "strict" and "path" in keys and not supports(request, "path"):
                return _bad_extension(["path"])
        except RemoteProtocolError as error:
            return _refuse(error)
        return None

    def address_of_record(
        self, request: Request, domains: Container[str] | None = None, addresses: Addresses = _PLAIN
    ) -> str | Reply:
        """Step 5: whose bindings ``request`` is about: a canonical address-of-record, or a refusal.

        ``domains`` holds the lower-case hosts that are ours; None accepts all. ``addresses``: which
        address-of-record a URI means.
        """
        try:
            uri = request.to.uri
            if not isinstance(uri, SipUri):
                # RFC 3261 10.2: the address-of-record must be a SIP or SIPS URI (RFC 4475 3.3.4).
                return Reply(400, "Address-of-record Must Be A SIP URI")
            if domains is not None and uri.host not in domains:
                return Reply(404, "Not Found")
            return addresses.of(uri)
        except RemoteProtocolError as error:
            return _refuse(error)

    def plan(
        self,
        request: Request,
        aor: str,
        current: Sequence[Binding],
        now: float,
        *,
        flow: Hashable = None,
        received: Source | None = None,
        wall_offset: float | None = None,
        terms: Terms | None = None,
    ) -> Plan:
        """Steps 6 to 8 (and 2 once more): how ``request`` changes the bindings ``current`` of ``aor``.

        ``current`` is the result of ``lookup(aor, now)``. Never raises because of a peer's message.
        """
        refusal = self.check(request)
        if refusal is not None:
            return Plan(None, refusal)
        return self._guarded(request, aor, current, now, flow, received, wall_offset, terms or _NO_TERMS)

    def reply(self, plan: Plan, outcome: Outcome | BaseException) -> Reply:
        """Return the answer to send, given what became of ``plan.update``.

        After ``Outcome.CONFLICT`` look up and plan again; a caller that gives up answers with this.
        """
        if outcome is Outcome.DONE:
            return plan.reply
        if outcome is Outcome.FULL:
            return self._too_many("Too Many Registrations", "limits.aors")
        # RFC 3261 10.3 step 7: when the commit fails, the request fails with a 500.
        return Reply(500, "Server Internal Error")

    def register(
        self,
        request: Request,
        location: MemoryLocation,
        now: float,
        *,
        domains: Container[str] | None = None,
        flow: Hashable = None,
        received: Source | None = None,
        wall_offset: float | None = None,
    ) -> Reply:
        """Steps 2 and 5 to 8 at once, against a location service in memory."""
        refusal = self.check(request)
        if refusal is not None:
            return refusal
        aor = self.address_of_record(request, domains)
        if isinstance(aor, Reply):
            return aor
        current = location.lookup(aor, now)
        plan = self._guarded(request, aor, current, now, flow, received, wall_offset, _NO_TERMS)
        if plan.update is None:
            return plan.reply
        return self.reply(plan, location.apply(plan.update, now))

    def _guarded(
        self,
        request: Request,
        aor: str,
        current: Sequence[Binding],
        now: float,
        flow: Hashable,
        received: Source | None,
        wall_offset: float | None,
        terms: Terms,
    ) -> Plan:
        try:
            return self._plan(request, aor, current, now, flow, received, wall_offset, terms)
        except RemoteProtocolError as error:
            return Plan(None, _refuse(error))

    def _plan(
        self,
        request: Request,
        aor: str,
        current: Sequence[Binding],
        now: float,
        flow: Hashable,
        received: Source | None,
        wall_offset: float | None,
        terms: Terms,
    ) -> Plan:
        path = self._path(request)
        flows = False
        after: Sequence[Binding] | None = None
        # RFC 3261 10.3 step 6: without Contact the bindings are only fetched.
        if "contact" in request.keys:
            contacts = request.contacts
            expires = request.get("expires")
            call_id, cseq = request.call_id, request.cseq.number
            if isinstance(contacts, Star):
                # 10.3 step 6: "*" means all, so it stands alone (the parser sees to
                # that) and goes with Expires: 0 only.
                if expires is None or delta_seconds(expires) != 0:
                    return Plan(None, Reply(400, "Contact * Needs Expires 0"))
                check_removal_of_all(current, call_id, cseq)
                after = [] if current else None
            else:
                # More could not stand anyway, and each is compared with all the others.
                if len(contacts) > self.limits.bindings_per_aor:
                    return Plan(None, self._too_many("Too Many Contacts", "limits.bindings_per_aor"))
                # 10.3 step 7: the contact's own expires, else the field, else our default.
                default = self.config.default_expires if expires is None else delta_seconds(expires)
                changes = [self._grant(read_contact(value, default)) for value in contacts]
                for _, granted in changes:
                    if granted < 0:
                        headers = [("Min-Expires", str(self.config.min_expires))]
                        return Plan(None, Reply(423, "Interval Too Brief", headers))
                if refuses_path(request, terms, self.config.path_from) and any(g for _, g in changes):
                    return Plan(None, Reply(403, "Edge Proxy Not Trusted", [], "registrar.path_from"))
                check_contacts(changes, terms, received, bool(path))
                check_sips(request, changes, path)
                flows = take_flows(request, changes, self._outbound)
                if self.gruus is not None:
                    self._check_loops(request, aor, changes)
                origin = Origin(
                    # One copy of the text serves all bindings.
                    current[0].aor if current else aor,
                    call_id,
                    cseq,
                    now,
                    path,
                    flow,
                    received,
                    agent_of(request),
                )
                after = merge(current, changes, origin, self.config.repeat_time)
                if after is not None and len(after) > (most := self._most(terms)):
                    after = fit(
                        after,
                        len(current),
                        most,
                        stays=lambda one: one.cseq == cseq and one.call_id == call_id,
                        is_dead=terms.is_dead,
                        replace_oldest=(terms.on_full or self.config.on_full) == "replace-oldest",
                    )
                    if after is None:
                        return Plan(None, self._too_many("Too Many Contacts", "registrar.max_contacts"))
        if after is None:
            return Plan(None, self._ok(request, aor, current, now, path, wall_offset, flows))
        bindings = tuple(after) if len(after) < 2 else tuple(sorted(after, key=_rank))
        size = self.limits.binding_size
        for binding in bindings:
            if binding.refreshed_at == now and _size(binding) > size:
                return Plan(None, Reply(400, "Binding Too Large", [], "limits.binding_size"))
        update = LocationUpdate(aor, tuple(current), bindings)
        return Plan(update, self._ok(request, aor, bindings, now, path, wall_offset, flows))

    def _most(self, terms: Terms) -> int:
        """Return how many contacts may stand."""
        wanted = terms.max_contacts or self.config.max_contacts or self.limits.bindings_per_aor
        return min(wanted, self.limits.bindings_per_aor)

    def _path(self, request: Request) -> tuple[str, ...]:
        """Return the path vector to store with each contact, topmost first (RFC 3327 5.3)."""
        if self.config.path == "ignore" or "path" not in request.keys:
            return ()
        # Read for its errors: every call would be lost if the Path could not be a Route later.
        request.typed("path")
        return tuple(request.values("path"))

    def _grant(self, change: ContactChange) -> tuple[ContactChange, int]:
        """Pair ``change`` with the interval granted, -1 when it is too brief (10.3 step 7)."""
        requested, config = change.requested, self.config
        if 0 < requested < config.min_expires and requested < _HOUR:
            return change, config.min_expires if config.raise_brief else -1
        return change, min(requested, config.max_expires)

    def _ok(
        self,
        request: Request,
        aor: str,
        bindings: Sequence[Binding],
        now: float,
        path: tuple[str, ...],
        wall_offset: float | None,
        flows: bool,
    ) -> Reply:
        """Step 8: the 200, with every binding in it."""
        config = self.config
        shown = config.show_received
        if self.gruus is not None and supports(request, "gruu"):
            told = Told(self.gruus, aor, now, wall_offset)
            headers = [
                ("Contact", contact_value(b, now, show_received=shown, gruus=told.of(b.instance)))
                for b in bindings
            ]
        else:
            headers = [("Contact", contact_value(b, now, show_received=shown)) for b in bindings]
        # RFC 3327 5.3: Path is copied into the 200, if the phone knows what it is (RFC 3261 8.2.4).
        if path and supports(request, "path"):
            headers += [("Path", value) for value in path]
        headers += [("Service-Route", value) for value in config.service_route]
        if self._supported:
            headers.append(("Supported", self._supported))
        if flows and supports(request, "outbound"):
            # RFC 5626 6: so that the phone knows that all on the way did their part.
            headers.append(("Require", "outbound"))
            if config.flow_timer and is_direct(request):
                headers.append(("Flow-Timer", str(config.flow_timer)))
        # RFC 3261 10.3 step 8: a 200 should tell the time (20.17).
        if wall_offset is not None and config.date:
            headers.append(("Date", self.date_at(int(now + wall_offset))))
        return Reply(200, "OK", headers)

    def _check_loops(self, request: Request, aor: str, changes: Sequence[tuple[ContactChange, int]]) -> None:
        """Refuse the contact of an instance that leads back here (RFC 5627 5.1)."""
        for change, granted in changes:
            if change.instance is None or not granted:
                continue
            uri = change.uri
            if not isinstance(uri, SipUri):
                raise _refused("A Device's Contact Must Be A SIP URI")
            if uri_equal(uri, request.to.uri) or str(uri) == aor:
                raise _refused("Contact Is The Address-of-record")
            if "gr" in uri.params and self.gruus is not None:
                gruu = self.gruus.read(uri)
                named = None if gruu is None else uri.replace(user=gruu.user, params={})
                if named is not None and address_of_record(named) == aor:
                    raise _refused("Contact Is A GRUU Of The Address-of-record")

    def date_at(self, second: int) -> str:
        """Return the value of Date at Unix time ``second``."""
        # A busy server sends thousands of answers within one second.
        if self._date[0] != second:
            self._date = (second, sip_date(second))
        return self._date[1]

    def _too_many(self, reason: str, key: str) -> Reply:
        """A limit, ``key``, is reached: 503, without a change."""
        wait = self.config.retry_after
        return Reply(503, reason, [] if wait is None else [("Retry-After", str(wait))], key)


def _rank(binding: Binding) -> tuple[int, float]:
    return binding.rank


def _size(binding: Binding) -> int:
    """Characters of a binding that a peer chose."""
    size = len(binding.contact) + len(binding.params) + len(binding.call_id)
    if binding.instance is not None:
        size += len(binding.instance)
    return size + sum(map(len, binding.path)) if binding.path else size


def _bad_extension(tags: list[str]) -> Reply:
    return Reply(420, "Bad Extension", [("Unsupported", ", ".join(tags))])


def _refused(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(reason, status=403, section="RFC 5627 5.1", field="Contact")


def _refuse(error: RemoteProtocolError) -> Reply:
    return Reply(error.status, error.reason)
