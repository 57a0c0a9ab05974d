"""The module ``lcr``: calls to telephone numbers leave by the gateway that asks least, or is best.

Theory of operation: ``send`` looks the number up (``rates``), sorts the offers (``choice``), and relays to
the first gateway that may get the call; where it fails to the next, in the same transaction. Each gateway is
asked once, and gets the number as it was dialled, rewritten for it alone. A request keeps the offers that it
began with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from sansip.module import PASS, function, step
from sansip.modules.failover.attempt import caller_of, is_over, judge, sender_among
from sansip.modules.failover.trail import Decision, Step
from sansip.modules.lcr.choice import Candidate, asks_who, named
from sansip.modules.lcr.gateways import Outlet
from sansip.modules.lcr.number import dialled
from sansip.modules.lcr.operated import Operated
from sansip.modules.lcr.settings import LcrSettings
from sansip.modules.lcr.view import uri_at
from sansip.proxy import Target
from sansip.proxy.trust import identity_of
from sansip.routing.leading import PlainCall

if TYPE_CHECKING:
    from sansip.module.base import Outcome, Stage
    from sansip.routing import IncomingRequest
    from sansip.routing.lead import Lead
    from sansip.routing.relaying import Relay
    from sansip.transport import Flow
    from sansip.wire import Response

__all__ = ["Lcr"]

# Seconds of Retry-After if no gateway can be asked.
_RETRY: Final = 10


class Lcr(Operated):
    """Sends calls to telephone numbers to gateways: by prefix and price, or by quality."""

    name = "lcr"

    # --- choosing

    @function
    def number(self, request: IncomingRequest) -> str:
        """Return the telephone number that ``request`` is for, without a plus; "" where it is for none."""
        return _dialled(request)

    @function
    def has_rate(self, request: IncomingRequest) -> bool:
        """Whether any rate is for the number of ``request``, whether it holds now or not."""
        number = _dialled(request)
        return bool(number) and self._rates.knows(number)

    @function
    def comes_from(self, request: IncomingRequest) -> str:
        """Return the name of the gateway that sent ``request``, by its address; "" for any other sender."""
        return self._sender_at(request.flow)

    def _sender_at(self, flow: Flow) -> str:
        found = sender_among(self._gateways.outlets.values(), flow)
        return "" if found is None else found.gateway.name

    @function
    async def send(self, request: IncomingRequest) -> bool:
        """Send ``request`` to the gateways for its number in turn; return whether one took it.

        False: none could be asked, and the request is undecided; or all failed, and the best failure goes
        back unless the route decides otherwise.
        """
        number = _dialled(request)
        if not number:
            return False
        await self._loading.until_begun()
        taken, passed = self._choose(number, request)
        return await self._try(request, number, taken, passed)

    def _choose(self, number: str, request: IncomingRequest) -> tuple[list[Candidate], list[Candidate]]:
        levels = self._rates.levels(number)
        caller = self._caller(request) if asks_who(levels) else ""
        return self._chosen(levels, caller, self.core.unix(request.now), request.now)

    async def _try(
        self,
        request: IncomingRequest,
        number: str,
        taken: Sequence[Candidate],
        passed: Sequence[Candidate],
    ) -> bool:
        settings = self.settings
        decision = Decision(request.message.call_id, request.method, "", settings.order, number)
        self._trail.add(decision)
        decision.passed_over += [Step(named(one), one.why) for one in passed]
        rest = iter(sorted(taken, key=self._is_suspected))
        if await self._go_on(request, number, rest, request.uri, caller_of(request), decision, 0):
            return True
        if not request.decided:
            self._unrouted.add("no gateway" if taken else "no rate")
        return False

    async def _go_on(
        self,
        request: IncomingRequest,
        number: str,
        rest: Iterator[Candidate],
        original: Any,
        caller: str,
        decision: Decision,
        attempts: int,
    ) -> bool:
        """Try what is left of the candidates; ``attempts``: how many gateways were asked already."""
        settings = self.settings
        # RFC 4320 4.1: no answer to other requests comes early, so silence says nothing of them.
        answer = settings.answer if request.method == "INVITE" else None
        for one in rest:
            if is_over(request):
                return True
            outlet = self._gateways.get(one.offer.gateway)
            why = "gone" if outlet is None else outlet.health.obstacle(request.now, caller)
            if attempts >= settings.attempts:
                why = f"lcr.attempts is {settings.attempts}"
            if outlet is None or why:
                decision.passed_over.append(Step(named(one), why))
                continue
            if why := await self._admit(request, outlet):
                decision.passed_over.append(Step(named(one), why))
                continue
            if is_over(request):
                # The caller gave up while the limit was asked for.
                self._calls.release(request, outlet.key)
                return True
            attempts += 1
            target = Target(uri_at(outlet, original, number, one.offer), chosen=True)
            if (call := self._calls.of(request)) is not None:
                self._measuring.note(call, outlet, one.offer, request.now)
            since = request.now
            outcome = await request.relay(target, answer=answer)
            if self._judge(request, outlet, one, outcome, (caller, since), decision):
                return True
        return False

    def _is_suspected(self, one: Candidate) -> bool:
        outlet = self._gateways.get(one.offer.gateway)
        return outlet is not None and bool(outlet.health.suspected)

    async def _admit(self, request: IncomingRequest, outlet: Outlet) -> str:
        """Count the request for the gateway; return why it takes no more."""
        gateway = outlet.gateway
        if request.method == "INVITE":
            if gateway.max_calls:
                if not await self._calls.limit(request, outlet.key, gateway.max_calls):
                    return f"has {gateway.max_calls} calls, its max_calls"
            else:
                self._calls.hold(request, outlet.key)
            if gateway.max_rate and not await self.core.limit(f"rate {gateway.name}", gateway.max_rate):
                self._calls.release(request, outlet.key)
                return f"has {gateway.max_rate:g} calls a second, its max_rate"
        self._takes_call(outlet)
        return ""

    def _takes_call(self, outlet: Outlet) -> None:
        outlet.requests += 1
        self._sent.add(outlet.gateway.name)

    def _judge(
        self,
        request: IncomingRequest,
        outlet: Outlet,
        one: Candidate,
        outcome: Response | None,
        sent: tuple[str, float],
        decision: Decision,
    ) -> bool:
        """Note the result of an attempt; return whether it was the last one."""
        said = "sent" if outcome is None else f"{outcome.status} {outcome.reason}"
        decision.tried.append(Step(named(one), said))
        if outcome is None:
            return True
        settings, gateway = self.settings, outlet.gateway
        failed, news = judge(
            request,
            outcome,
            outlet.health,
            _Fails(settings),
            sent,
            gateway.probe,
            settings.thresholds,
        )
        if news == "suspected":
            self._prober.ask(outlet, request.now)
        elif news:
            self._tell(outlet, news, request.now)
        self._share(outlet)
        if failed:
            outlet.failed += 1
            self._failures.add(gateway.name)
            self._calls.release(request, outlet.key)
            call = self._calls.of(request)
            if call is not None:
                self._measuring.failed(call, request.now)
        return not failed

    def _caller(self, request: IncomingRequest | PlainCall) -> str:
        """Return who calls, as the patterns of rates see it: user and domain, and nothing else that it sends.

        "" for a sender who has proved nothing, where the server asks for passwords: a name chooses no price.
        """
        if request.authenticates and not request.proven:
            return ""
        uri = request.from_uri if isinstance(request, PlainCall) else request.message.from_.uri
        user, host = identity_of(uri)
        return f"sip:{user}@{host}" if host else f"tel:{user}" if user else str(uri)

    # --- calls that nobody reads

    def rides(self) -> bool:
        """Whether calls pass as octets: to its gateways they do so by ``leads``."""
        return True

    def leads(self, stage: Stage, call: PlainCall) -> Lead | Outcome | None:
        """Send a plain INVITE on as ``call_gateways`` would, where that can be done at once."""
        if stage != "select":
            return PASS
        found = self._leader.lead(call)
        return PASS if isinstance(found, bool) else found

    async def _follow(
        self,
        request: IncomingRequest,
        relay: Relay,
        number: str,
        at: tuple[Outlet, Candidate],
        rest: Iterator[Candidate],
        sent: tuple[str, float],
        decision: Decision,
    ) -> None:
        """Judge the gateway that a lead has asked; try ``rest`` where it failed."""
        original = request.uri
        outcome = await relay
        if not self._judge(request, *at, outcome, sent, decision):
            await self._go_on(request, number, rest, original, sent[0], decision, 1)

    # --- the default route

    @step("select")
    async def call_gateways(self, request: IncomingRequest) -> None:
        """Send a request for a number that is not registered here to a gateway."""
        if self.settings.takes != "unregistered" or not _dialled(request):
            return
        await self._loading.until_begun()
        if not self.has_rate(request):
            return
        if self.comes_from(request):
            # It asked us for that number: sending it back, or to another carrier, would go round.
            return
        if request.authenticates and not request.proven and not self.settings.strangers:
            # Who has proved nothing calls phones here, and no gateway that somebody pays for.
            return
        if request.method == "REFER":
            # RFC 3515 2.4.2: the gateway would call the party in Refer-To, past prices, limits and quotas.
            request.reply(403, "No REFER To Gateways")
            return
        request.record_route()
        if not await self.send(request) and not request.decided:
            # RFC 3261 21.5.4
            request.reply(503, None, [("Retry-After", str(_RETRY))])


class _Fails:
    """The statuses after which the next gateway is tried."""

    __slots__ = ("_settings",)

    def __init__(self, settings: LcrSettings) -> None:
        self._settings = settings

    def __contains__(self, status: object) -> bool:
        return isinstance(status, int) and self._settings.fails(status)


def _dialled(request: IncomingRequest) -> str:
    return dialled(request.user or "")
