"""A user agent's request on its way, and who asked for it (RFC 3261 8.1, 13.2, 22.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.client.attempt import Attempt
from sansip.client.life import OVER
from sansip.client.via import same_branch
from sansip.transport.flow import Flow
from sansip.transport.next_hop import NextHop
from sansip.wire import response_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sansip.auth import Account
    from sansip.client.outlet import Outlet
    from sansip.clock import Timer
    from sansip.transaction import ClientTransaction
    from sansip.transaction.base import ClientUser
    from sansip.transport import Listener
    from sansip.wire import Request, Response

__all__ = ["Sending"]

# RFC 3261 8.1.1.5: a sequence number is less than this.
_END = 1 << 31


class Sending(Attempt):
    """One request of a user agent. Made by ``Client.send``.

    Attributes:
        asker: the object that gets its responses and its end.
        made: whether ``final``, the first final response, was made here, because no answer came.
    """

    __slots__ = (
        "_barred",
        "_chosen",
        "_ending",
        "_more",
        "_patience",
        "_pinned",
        "_reached",
        "_request",
        "_token",
        "asker",
        "made",
    )

    def __init__(
        self,
        client: Outlet,
        request: Request,
        asker: Any,
        prefer: int | None,
        token: str = "",
        *,
        chosen: bool = True,
    ) -> None:
        super().__init__(client, prefer)
        # The first transaction has a branch that is made of it.
        self._token = token
        # Whether this node chose the place, and no peer of it; whether it is one that only modules choose.
        self._chosen = chosen
        self._barred = False
        # An ``Asker``, which is above this file.
        self.asker = asker
        self.made = False
        self._base = self._request = request
        # The flow that it must go over.
        self._pinned: Flow | None = None
        self._reached: Flow | None = None
        # A 2xx may follow the final response.
        self._more = False
        self._ending: Timer | None = None
        # Runs until the asker waits no longer.
        self._patience: Timer | None = None

    @property
    def request(self) -> Request:
        """The request as it was sent last: its CSeq, Contact and credentials. Once sent, with our Via."""
        return self._request

    @property
    def flow(self) -> Flow | None:
        """Where the last response came from, or (before the first) the request was sent; None before that."""
        if self._reached is None and self.transaction is not None:
            return self.transaction.flow
        return self._reached

    def begin(
        self, hop: NextHop | Flow, accounts: Sequence[Account] | None, within: float | None, now: float
    ) -> None:
        """Send it. Only for ``Client.send``."""
        if within is not None:
            self._patience = self.client.timers.start(now, within, self, "within")
        if isinstance(hop, Flow):
            self._pinned = hop
            hop = NextHop(hop.transport, hop.host, hop.port, True, True)
        guarded = self.client.guarded
        if guarded.active and not self._chosen and (guard := guarded.names(hop)) is not None:
            guarded.refused(guard, "this server", self._request.method, hop.host, hop.port)
            self.refuse(403, now)
            return
        if accounts or self._chosen or not (guarded.active and guarded.beside(hop)):
            self._answers = self.client.auth.answers(hop.host, accounts)
        self.locate(hop, now)

    def resume(self, transaction: ClientTransaction, branch: str, provisional: bool) -> None:
        """Take over the request, which was sent as octets alone. Only for ``BriefRequest``."""
        base = self._base
        assert base is not None
        # As it was sent, with our Via.
        self._request = base.copy()
        base.remove("Via")
        flow = transaction.flow
        hop = NextHop(flow.transport, flow.host, flow.port, True, True)
        self._pinned = flow
        self._answers = self.client.auth.answers(hop.host, None)
        self._go_on(transaction, hop, branch, provisional, None)

    # --- sending

    def _new_branch(self) -> str:
        token, self._token = self._token, ""
        return same_branch(self.client.entropy, token) if token else super()._new_branch()

    def _way(self, transport: str, ip: str) -> tuple[Listener | None, Flow | None]:
        pinned = self._pinned
        guarded = self.client.guarded
        if guarded.active:
            assert self._place is not None
            assert self._hop is not None
            _, ip, port = self._place
            if self._chosen:
                if not self._hop.numeric:
                    guarded.learn(self._hop.host, ip, port)
            elif not (pinned is not None and pinned.reliable) and (guard := guarded.bars(ip, port)):
                guarded.refused(guard, "this server", self._request.method, ip, port)
                self._barred = True
                return None, None
        if pinned is not None:
            return self.client.listeners[pinned.listener], pinned
        return self.client.listeners.reach(transport, ip, self._prefer), None

    def _prepare(
        self, transport: str, listener: Listener, alive: Flow | None, may_switch: bool, now: float
    ) -> Request | None:
        assert self._base is not None
        copy = self._request = self._base.copy()
        self.asker.leaving(self, copy, listener, now)
        if self._answers is not None:
            self._answers.apply(copy)
        return copy

    def _no_way(self, now: float) -> None:
        self._fail(403 if self._barred else 503, now)

    def _repeat(self, now: float) -> bool:
        base = self._base
        assert base is not None
        number = self.asker.next_cseq(self) or base.cseq.number + 1
        if number >= _END:
            return False
        # RFC 3261 22.2: the same Call-ID, From and To, and a higher CSeq.
        base.set_line("cseq", f"CSeq: {number} {base.method}")
        self.asker.resent(self, base, now)
        return True

    # --- what becomes of it

    def remainder(self) -> ClientUser:
        return self

    def _progress(self, response: Response, now: float) -> None:
        self.asker.provisional(self, response, now)

    def _finish(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        self.state = OVER
        self._reached = transaction.flow
        if response.status < 300 and transaction.method == "INVITE":
            # RFC 3261 13.2.2.4: of other branches of a fork, until Timer M ends.
            self._more = True
        self._tell(response, self.final is None, now)

    def _fail(self, status: int, now: float) -> None:
        if self._cancel_reason is not None:
            status = 487
        self.made = True
        self.final = response_to(self._request, status, to_tag=self.client.entropy.token())
        # The asker has not got this object yet where nothing was sent.
        if self._id:
            self._tell(self.final, True, now)
        else:
            self.client.timers.start(now, 0.0, self, "failed")

    def _tell(self, response: Response, first: bool, now: float) -> None:
        if first:
            self.final = response
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self.asker.final(self, response, now)
        if self._more:
            if self._ending is None:
                self._ending = self.client.timers.start(
                    now, self.client.transactions.values.t1x64, self, "ended"
                )
        elif first:
            self.asker.ended(self, now)

    def _give_up_current(self, now: float) -> None:
        # Its 2xx may cross the CANCEL.
        self._more = self._more or self._base is None or self._base.method == "INVITE"
        super()._give_up_current(now)

    def timer_fired(self, name: str, now: float) -> None:
        if name == "within":
            self._patience = None
            self.feed("give up", None, now)
        elif name == "failed":
            assert self.final is not None
            self._tell(self.final, True, now)
        elif name == "ended":
            self.asker.ended(self, now)
        else:
            super().timer_fired(name, now)
