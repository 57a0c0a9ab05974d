"""Registration as a route does it.

Theory of operation: the registrar makes a plan, which changes the bindings of the address-of-record
(``change``). The 200 waits until the change is made, in the store as well if there is one. Before that, this
node does not tell the phone that it is registered. When the store fails, the phone gets a 503 and tries
again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.location import Outcome, Source
from sansip.proxy import PathValue
from sansip.registrar import delta_seconds, is_direct
from sansip.routing.awaitables import ENDLESS
from sansip.routing.change import Change, LocationFull, NotStored
from sansip.routing.loss import connection_lost
from sansip.routing.terms import tell_refusal, terms_of
from sansip.transport import Flow
from sansip.transport.nat import is_hidden
from sansip.wire.host import plain_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sansip.location import Binding
    from sansip.registrar import OnFull, Plan, Reply
    from sansip.routing.incoming import Incoming
    from sansip.wire import Request

__all__ = ["RETRY_AFTER", "Planning", "origin_of", "path_value", "register"]

# RFC 3261 20.33: seconds after which a phone may try again when the store failed.
RETRY_AFTER = "20"
# Seconds for which a flow token in our Path is good: as long as the phone asks to be
# registered, a day where it leaves that to the registrar, and a week at most.
_UNASKED, _LONGEST = 86_400, 604_800


async def register(request: Incoming, max_contacts: int | None = None, on_full: OnFull | None = None) -> None:
    """Act as registrar on a REGISTER and answer it (RFC 3261 10.3).

    ``max_contacts`` and ``on_full`` take the place of those in ``RegistrarConfig``.
    """
    if request.takes_too_many_steps():
        await ENDLESS
    core = request.core
    message = request.message
    registrar = core.registrar
    refused = registrar.check(message)
    aor = registrar.address_of_record(message, None, core.addresses) if refused is None else refused
    if not isinstance(aor, str):
        request.reply(aor.status, aor.reason, aor.headers)
        return
    if not request.serves(message.to.uri):
        # RFC 3261 10.3 step 5: not an address of the domain asked.
        request.reply(404)
        return
    planning = Planning(request, aor, max_contacts, on_full)
    failed: Exception | None = None
    try:
        await Change(core, aor, planning.plan, planning.owner, request.now)
    except (NotStored, LocationFull) as error:
        failed = error
    planning.conclude(failed)


class Planning:
    """The plan of one REGISTER, made as often as the bindings of ``aor`` have changed, and its answer."""

    __slots__ = ("_aor", "_flow", "_planned", "_received", "_request", "_terms")

    def __init__(
        self, request: Incoming, aor: str, max_contacts: int | None = None, on_full: OnFull | None = None
    ) -> None:
        self._request = request
        self._aor = aor
        self._flow, self._received = origin_of(request.message, request.flow)
        self._terms = terms_of(request, max_contacts, on_full)
        self._planned: Plan | None = None

    def plan(self, stands: Sequence[Binding], now: float) -> tuple[Binding, ...] | None:
        core = self._request.core
        planned = self._planned = core.registrar.plan(
            self._request.message,
            self._aor,
            stands,
            now,
            flow=self._flow,
            received=self._received,
            wall_offset=core.wall.offset,
            terms=self._terms,
        )
        return None if planned.update is None else planned.update.after

    def owner(self) -> str:
        # A REGISTER through an edge proxy comes over the proxy's flow.
        request = self._request
        return str(request.flow) if is_direct(request.message) else request.message.call_id

    def conclude(self, failed: Exception | None) -> None:
        """Answer the request: the change is made, or ``failed``."""
        request, flow, planned = self._request, self._flow, self._planned
        core = request.core
        if isinstance(failed, NotStored):
            # Never a false 200: a contact that the store did not take is not registered. RFC 3261 21.5.4.
            request.reply(503, None, [("Retry-After", RETRY_AFTER)])
            return
        outcome = Outcome.DONE if failed is None else Outcome.FULL
        assert planned is not None
        answer = core.registrar.reply(planned, outcome)
        if planned.update is not None and outcome is Outcome.DONE:
            core.registered(self._aor, len(planned.update.after))
            if isinstance(flow, Flow) and core.proxy.sender.connections.get(flow.conn) is None:
                # It ended while the store was asked.
                connection_lost(core, flow, request.now)
        if flow is not None and request.flow.conn:
            _watch_flow(request, answer)
        if answer.status != 200:
            tell_refusal(request, self._aor, answer)
        request.reply(answer.status, answer.reason, answer.headers)


def _watch_flow(request: Incoming, answer: Reply) -> None:
    """Have the connection of a phone watched that ``answer`` tells a Flow-Timer (RFC 5626 5.4)."""
    seconds = request.core.registrar.flow_timer
    if seconds and request.flow.conn and any(name == "Flow-Timer" for name, _ in answer.headers):
        request.core.proxy.sender.connections.watch(request.flow, seconds, request.now)


def origin_of(message: Request, flow: Flow) -> tuple[Flow | int | None, Source | None]:
    """Return the flow to keep with a binding, and the source where NAT shows.

    A stream is kept as its connection; a datagram needs the listener alone. A phone behind another proxy has
    no flow of its own to us.
    """
    if message.keys.count("via") > 1:
        return None, None
    received = None
    # RFC 4007 6: a link-local address leads nowhere without its zone, which no Contact has.
    # RFC 5626 6: with a flow its source is kept in any case, for that is the flow.
    if is_hidden(message, flow) or "%" in flow.host or "reg-id" in (message.first_line("contact") or ""):
        received = Source(flow.transport, plain_host(flow.host), flow.port)
    return (flow if flow.conn else flow.listener), received


def path_value(request: Incoming) -> PathValue:
    """Return the value that an edge proxy adds to the Path of a REGISTER (RFC 5626 5.1)."""
    core = request.core
    message = request.message
    if not is_direct(message):
        # RFC 5626 5.1: not the first hop, so neither a token nor ob.
        return PathValue()
    ob = "reg-id" in (message.first_line("contact") or "")
    tokens = core.proxy.tokens
    # A phone that names no flow may be where its Contact says once this one is gone.
    contacts = [] if ob else message.contacts
    place = tokens.place(contacts[0].uri) if isinstance(contacts, list) and contacts else b""
    token = tokens.for_path(request.flow, core.wall.unix(request.now) + _asked(message), only=ob, place=place)
    return PathValue(token, ob, core.registrar.flow_timer if ob else 0)


def _asked(message: Request) -> int:
    """Return the seconds that a REGISTER asks for, and for which a registrar may bind it (RFC 3261 10.3)."""
    asked = []
    field = message.get("expires")
    contacts = message.contacts
    for one in contacts if isinstance(contacts, list) else ():
        text = one.params.get("expires", field)
        asked.append(_UNASKED if text is None else delta_seconds(text))
    return min(max(asked, default=0), _LONGEST)
