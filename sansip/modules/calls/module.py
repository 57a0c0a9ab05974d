"""The module ``calls``: a record of each call that is relayed, and actions on it.

Theory of operation: the record is made when the first copy of an INVITE leaves. It follows the responses, and
then the requests of each dialog that a 2xx began; the BYE that is answered ends it. If no message ends a
record, time ends it: an INVITE that the caller left (``limits.ring_time``), a session that neither side
refreshes (RFC 4028), a call longer than ``max_duration``. So every record ends, whichever messages are lost,
and all counts of it end with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from sansip.module import CommandError, Module, Slot, command, function
from sansip.modules.calls.call import Call, Talk
from sansip.modules.calls.counts import Counts
from sansip.modules.calls.events import CallAnswered, CallFinished, CallRang, CallTakenBack, CallTried
from sansip.modules.calls.keeping import KEPT, Keeping
from sansip.modules.calls.row import Row, row_of
from sansip.modules.calls.session import REFRESHES, Asked, ask, complete, interval_of, too_small
from sansip.modules.calls.settings import CallsSettings, judge
from sansip.modules.calls.spiral import parent_of
from sansip.modules.calls.states import TABLE, Happening
from sansip.modules.calls.strangers import Strangers
from sansip.modules.calls.supervision import Supervision, due
from sansip.modules.calls.talks import Talks, contact_of
from sansip.modules.calls.together import Together
from sansip.modules.calls.watch import Watch
from sansip.sources import source_of

if TYPE_CHECKING:
    from sansip.later import Later
    from sansip.module import Core
    from sansip.module.base import Waits
    from sansip.proxy.branch import Branch
    from sansip.routing import IncomingRequest
    from sansip.transport import Flow
    from sansip.wire import Request, Response

__all__ = ["Calls"]

# Seconds beyond ``limits.ring_time`` after which an INVITE that was never answered is forgotten.
_SLACK: Final = 64.0
# Seconds in which the ACK of a 2xx has to come by: twice 64*T1 (RFC 3261 13.3.1.4).
_UNACKED: Final = 64.0
# Seconds until the rows are asked for again.
_AGAIN: Final = 1.0
# RFC 5057 5.1, RFC 3261 15.1.1: after these to a BYE neither side has the dialog. Any other failure may be
# of the request (a stale CSeq, an extension), and the callee talks on.
_GONE: Final = (404, 408, 410, 481)


class Calls(Module):
    """Keeps a record of each call: its sides and times; counts calls, limits them, hangs them up."""

    name = "calls"
    methods = frozenset(("INVITE", "ACK", "UPDATE"))
    Settings = CallsSettings
    tables = (KEPT,)
    settings: CallsSettings

    # The call of a request, in hooks and routes.
    _of: Slot[Call] = Slot()
    _asked: Slot[Asked] = Slot()
    # Of a request: the To tags whose 2xx got their Session-Expires here.
    _completed: Slot[set[str]] = Slot()

    def __init__(self, settings: CallsSettings) -> None:
        super().__init__(settings)
        self._calls: dict[str, Call] = {}
        self._talks = Talks()
        self._counts = Counts()
        self._watch = Watch()
        self._number = 0
        self._strangers = Strangers()

    # --- its life

    def check(self, settings: CallsSettings) -> None:
        """Raise ``ModuleFault`` for settings that cannot be used."""
        judge(settings)

    def start(self, core: Core, now: float) -> None:
        node = core.place
        self._keeping = Keeping(core, node)
        self._together = Together(core, node, self._counts, self.settings.lease) if core.shares else None
        if self._together is not None:
            core.timers.start(now, self.settings.lease / 3, self, "renew")
        if self.settings.keep:
            core.run(self._restore(), now)
        self._supervision = Supervision(core, self._over, self._end, self._look_again)
        self._tried = core.counter("tried", "Calls whose INVITE was relayed")
        self._answered = core.counter("answered", "Calls that were answered")
        self._ended = core.counter("ended", "Calls that ended, by who ended them", ("by",))

    async def _restore(self) -> None:
        """Take the calls of the process before."""
        core = self.core
        try:
            # Where rows are shared other nodes have calls there, too.
            found = await self._keeping.restore((core.place,) if core.shares else ())
        except Exception as error:
            self._keeping.trouble = f"the calls of the process before cannot be read: {error}"
            core.timers.start(core.ua.now, _AGAIN, self, "restore")
            return
        self._keeping.trouble = ""
        for call in found:
            self._take_back(call, core.ua.now)

    def _take_back(self, call: Call, now: float) -> None:
        self._number += 1
        call.number = self._number
        self._calls[call.id] = call
        self._talks.take_back(call)
        keys, call.keys = call.keys, set()
        for key in keys:
            self._counts.add(call, key)
            if self._together is not None:
                self._together.restored(key)
        if not call.talks:
            self._end(call, "", "no dialog of it is known", now)
        else:
            self._look_again(call, now)
        self.core.tell(CallTakenBack(call), now)

    def configure(self, settings: CallsSettings, now: float) -> None:
        """Take other settings; a call that goes on is kept from its next refresh on."""
        super().configure(settings, now)
        if settings.keep and not self._keeping.loaded:
            self.core.run(self._restore(), now)
        if self._together is not None:
            self._together.lease = settings.lease

    def timer_fired(self, name: object, now: float) -> None:
        if name == "restore":
            self.core.run(self._restore(), now)
        elif self._together is not None:
            self._together.renew(now)
            self.core.timers.start(now, self.settings.lease / 3, self, "renew")

    def health(self) -> str:
        """Return what keeps calls from their rows, and from the counts of all nodes."""
        keeping = self._keeping
        if self.settings.keep and not keeping.loaded and not keeping.trouble:
            return "the calls of the process before are not read yet"
        return keeping.trouble or ("" if self._together is None else self._together.trouble)

    def figures(self) -> dict[str, Any]:
        """Return how many calls there are, in which state."""
        found = {"now_calling": 0, "now_ringing": 0, "now_answered": 0}
        for call in self._calls.values():
            found[f"now_{call.state}"] += 1
        return found

    def __len__(self) -> int:
        """Return how many calls there are that have not ended."""
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls.values())

    # --- for routes and other modules

    @function
    def of(self, request: IncomingRequest) -> Call | None:
        """Return the call of a request: of an INVITE once ``limit`` or a relay made it, or of its dialog."""
        call = self._of.get(request)
        if call is None and request.in_dialog:
            call, _, _ = self._talks.side_of(request.message)
        return call

    @function
    def count(self, key: str) -> int:
        """Return how many calls count for ``key`` now."""
        return self._counts.of(key)

    @function
    async def limit(self, request: IncomingRequest, key: str, most: int) -> bool:
        """Count the call of ``request`` for ``key``; False, and not counted, where ``most`` others are.

        It counts from then on until the call ends, in any way. If calls come at the same time, exactly
        ``most`` pass. Where nodes share a Redis (``rows``) they count together; while it cannot be reached,
        each counts for itself.
        """
        if not self.hold(request, key, most):
            return False
        call = self._of.get(request)
        if self._together is None or call is None or await self._together.admits(call, key, most):
            return True
        self._counts.drop(call, key)
        return False

    @function
    def hold(self, request: IncomingRequest, key: str, most: int | None = None) -> bool:
        """Do what ``limit`` does, at once, among the calls of this process."""
        call = self._begin(request)
        return call is not None and not call.over and self._counts.add(call, key, most)

    @function
    def release(self, request: IncomingRequest, key: str) -> None:
        """Count the call of ``request`` for ``key`` no longer: it went elsewhere."""
        call = self._of.get(request)
        if call is not None:
            self._counts.drop(call, key)
            if self._together is not None:
                self._together.changed(key, request.now)

    @function
    def hang_up(self, call: Call, why: str, now: float) -> None:
        """End ``call``: a BYE to both sides, or a CANCEL and a 487 while it rings."""
        if not call.over:
            self._supervision.hang_up(call, why, now)

    # --- the INVITE

    def _begin(self, request: IncomingRequest) -> Call | None:
        """Return the record of an INVITE that makes a dialog, a new one where there is none; else None."""
        call = self._of.get(request)
        if call is not None or request.method != "INVITE" or request.in_dialog:
            return call
        server = request.server
        if request.cancelled or server is None or server.answered:
            # The caller gave up while a route waited: there will be no call.
            return None
        call = parent_of(request, self.core.listeners, self.core.proxy.transactions.clients, self._of)
        if call is None:
            stranger = source_of(request.flow.host) if request.is_stranger else None
            if len(self._calls) >= self.settings.most:
                return None
            if not self._strangers.take(stranger, self.settings.most_of_stranger):
                return None
            message, arrived = request.message, request.arrived
            self._number += 1
            call = Call(
                self.core.entropy.token(),
                message.call_id,
                message.from_tag or "",
                str(message.from_.uri),
                str(message.to.uri),
                message.uri_text if arrived is None else arrived.uri_text,
                request.flow.host,
                request.now,
                number=self._number,
                stranger=stranger,
            )
            call.request = request
            self._calls[call.id] = call
            self._watch.look(call, request.now + self.core.limits.ring_time + _SLACK, len(self._calls))
        self._of.set(request, call)
        return call

    def request_received(self, request: IncomingRequest) -> bool:
        """Refuse a session that is too short (RFC 4028 8.1); take note of the ACK of a 2xx."""
        method = request.method
        if method == "ACK":
            self._acknowledged(request)
            return False
        if (method == "INVITE" or method == "UPDATE") and too_small(request.message, self.settings.min_se):
            request.reply(422, None, [("Min-SE", str(self.settings.min_se))])
            return True
        return False

    def branch_leaving(self, request: IncomingRequest, branch: Branch, message: Request) -> None:
        """Note that a request of a call leaves; give it a session timer."""
        method = request.method
        if method == "INVITE" and not request.in_dialog:
            call = self._begin(request)
            if call is not None:
                call.target = message.uri_text
                if not call.tried:
                    call.tried = True
                    self._tried.add()
                    self.core.tell(CallTried(call), request.now)
        elif request.in_dialog:
            call, talk, side = self._talks.leaving(message)
            if call is not None and talk is not None and side is not None:
                other = talk.callee if side is talk.caller else talk.caller
                if request.from_dialog or message.uri_text == other.target:
                    # It goes to the other side; who aims it elsewhere ends nobody's call.
                    self._of.set(request, call)
                    side.cseq = max(side.cseq, message.cseq.number)
        if method in REFRESHES:
            self._asked.set(request, ask(message, self.settings.session_expires, self.settings.min_se))

    def response_received(self, request: IncomingRequest, branch: Branch, response: Response) -> None:
        """Take a 2xx: it begins a dialog of the call, or refreshes one."""
        if response.status >= 300 or response.status < 200 or request.method not in REFRESHES:
            return
        asked = self._asked.get(request)
        if asked is not None and complete(response, asked):
            tags = self._completed.get(request) or set()
            if len(tags) < self.core.limits.early_dialogs:
                self._completed.set(request, tags | {response.to_tag or ""})
        call = self._of.get(request)
        if call is None or call.over:
            return
        if request.in_dialog:
            self._refreshed(call, request, response, request.now)
            return
        if call.request is not None or call.state == "answered":
            # Whether the caller hears of it is not certain yet: ``response_leaving`` is.
            transaction, most = branch.transaction, self.core.limits.early_dialogs
            if len(call.answers) < most:
                flow = None if transaction is None else transaction.flow
                call.answers[response.to_tag or ""] = (branch.target, flow)

    def response_leaving(self, request: IncomingRequest, response: Response) -> Waits:
        """Follow the responses that the caller gets to its INVITE; hold the 2xx until its call is kept."""
        if request.method != "INVITE" or request.in_dialog:
            return None
        call = self._of.get(request)
        if call is None:
            return None
        now, status = request.now, response.status
        if status < 200:
            if status != 100 and call.rang is None and call.state == "calling":
                self._move(call, "rings", now)
        elif status < 300:
            self._accepted(call, request, response, now)
            if self.settings.keep and not call.over:
                return _until(self._keeping.put(call, now))
        elif call.request is request:
            call.status = status
            by = "caller" if status == 487 and request.cancelled else "callee"
            if request.context is None or call.given_up:
                by = "server"
            self._end(call, by, call.given_up or f"{status} {response.reason}", now)
        return None

    def request_ended(self, request: IncomingRequest) -> None:
        """Let go of the request of a call that is answered."""
        call = self._of.get(request)
        if call is not None and call.request is request and not call.over:
            call.request = None
            if call.state != "answered":
                # Its answer was lost on the way to the caller (RFC 3261 17.2.4), or it was dropped.
                self._end(call, "server", "no answer left", request.now)

    def _accepted(self, call: Call, request: IncomingRequest, response: Response, now: float) -> None:
        first = call.state in ("calling", "ringing")
        if call.tried:
            target, flow = call.answers.pop(response.to_tag or "", (None, None))
            self._add_talk(call, request, response, flow)
            if first and target is not None:
                call.won = target
                call.target = str(target.uri or call.target)
        if first:
            call.status = response.status
            self._move(call, "answers", now)
        if not call.talks:
            # Answered here, or we are not on the path of its dialog: nothing more will be seen of it.
            self._end(call, "", "goes on without this server", now)
        elif call.given_up:
            # An operator ended it, and the 2xx crossed the CANCEL (RFC 3261 9.1).
            call.request = None
            self._supervision.hang_up(call, call.given_up, now)
        else:
            self._look_again(call, now)

    def _add_talk(self, call: Call, request: IncomingRequest, response: Response, flow: Flow | None) -> None:
        if call.over:
            return
        flows, proven = (request.flow, flow), not request.is_stranger
        talk = self._talks.begin(call, self.core.listeners, request.message, response, flows, proven)
        if talk is not None:
            talk.unacked = request.now + _UNACKED
            self._expects(talk, request, response, request.now)

    def _acknowledged(self, request: IncomingRequest) -> None:
        """The ACK of a 2xx came: by the caller's own Route value, for the callee knows the tags, too."""
        if not (request.from_dialog or not self.core.proxy.config.dialog_tokens):
            return
        _, talk, side = self._talks.side_of(request.message)
        if talk is not None and side is talk.caller:
            talk.unacked = None

    # --- within a dialog

    def _refreshed(self, call: Call, request: IncomingRequest, response: Response, now: float) -> None:
        talk, side = self._talks.side_in(call, request.message)
        if side is None or talk is None:
            return
        other = talk.callee if side is talk.caller else talk.caller
        # RFC 3261 12.2.1.2, 12.2.2, RFC 3311 5.2: both ends may have a new remote target.
        side.target = contact_of(request.message) or side.target
        other.target = contact_of(response) or other.target
        self._expects(talk, request, response, now)
        self._look_again(call, now)
        if self.settings.keep:
            self._keeping.put(call, now)

    def _expects(self, talk: Talk, request: IncomingRequest, response: Response, now: float) -> None:
        """Note when the session ends unless it is refreshed."""
        seconds = interval_of(response)
        # RFC 4028 11: no peer has us look at its call more often than the least that is let through.
        length = max(seconds or 0, self.settings.min_se)
        talk.expires = None if seconds is None else now + length
        talk.alone = length if (response.to_tag or "") in (self._completed.get(request) or ()) else 0.0

    def branch_ended(self, request: IncomingRequest, branch: Branch, status: int) -> None:
        """End a dialog whose BYE is answered, or one that a side does not know any more."""
        if not request.in_dialog:
            return
        method = request.method
        if method == "BYE":
            if not (200 <= status < 300 or status in _GONE):
                return
        elif not (status == 481 and method in REFRESHES):
            return
        call = self._of.get(request)
        if call is None or call.over:
            return
        talk, side = self._talks.side_in(call, request.message)
        if talk is None:
            return
        by = "caller" if side is talk.caller else "callee"
        self._over(call, talk, by, "hung up" if method == "BYE" else f"{status} to {method}", request.now)

    def _over(self, call: Call, talk: Talk, by: str, why: str, now: float) -> None:
        """One dialog of ``call`` has ended; with the last one the call has."""
        if len(call.talks) > 1:
            self._talks.end(call, talk)
        else:
            self._end(call, by, why, now)

    # --- states

    def _move(self, call: Call, happening: Happening, now: float) -> bool:
        """Take ``call`` to its next state; return whether that is another one."""
        before, call.state = call.state, TABLE[call.state, happening]
        if call.state == before:
            return False
        if call.state == "ringing":
            call.rang = now
            self.core.tell(CallRang(call), now)
        elif call.state == "answered":
            call.answered = now
            self._answered.add()
            self.core.tell(CallAnswered(call), now)
        return True

    def _end(self, call: Call, by: str, why: str, now: float) -> None:
        if call.over:
            return
        self._move(call, "ends", now)
        call.ended, call.ended_by, call.why = now, by, why
        call.request = None
        self._calls.pop(call.id, None)
        self._strangers.give_back(call.stranger)
        self._talks.forget(call)
        keys = tuple(call.keys)
        self._counts.forget(call)
        if self._together is not None:
            for key in keys:
                self._together.changed(key, now)
        if call.tried:
            self._ended.add(by or "nobody seen")
            self.core.notify(CallFinished(call), now)
        self._keeping.drop(call, now)

    # --- time

    def _look_again(self, call: Call, now: float) -> None:
        self._watch.look(call, due(call, self.settings, now), len(self._calls))

    def next_due(self) -> float | None:
        """Return when the next call is looked at."""
        return self._watch.next_due()

    def time_passed(self, now: float) -> None:
        """End calls whose time is over; probe calls that may be dead."""
        for call in self._watch.passed(now):
            self._supervision.look(call, self.settings, now)

    # --- commands

    @command("calls.list")
    def list_calls(
        self, now: float, after: int = 0, limit: int = 100, key: str = "", user: str = ""
    ) -> list[Row]:
        """Return calls that go on, the oldest first; ``after``: the last number of the page before.

        ``key``: only those that count for it; ``user``: only those whose caller's or callee's URI has it.
        """
        rows: list[Row] = []
        for call in self._calls.values():
            if call.number <= after:
                continue
            if (key and key not in call.keys) or (user and user not in f"{call.caller} {call.callee}"):
                continue
            rows.append(row_of(call, self.core.unix, now))
            if len(rows) >= max(1, min(limit, 1_000)):
                break
        return rows

    @command("calls.show")
    def show(self, id: str, now: float) -> Row:
        """Return one call, by its id or its Call-ID."""
        return row_of(self._found("calls.show", id), self.core.unix, now)

    @command("calls.hangup")
    def hangup(self, id: str, now: float, reason: str = "hung up by the operator") -> Row:
        """Hang up a call, by its id or its Call-ID: a BYE to both sides, or an end of its ringing."""
        call = self._found("calls.hangup", id)
        row = row_of(call, self.core.unix, now)
        # It goes into a quoted string (RFC 3326).
        self._supervision.hang_up(
            call, "".join(c for c in reason if c.isprintable() and c not in '"\\')[:80], now
        )
        return row

    @command("calls.total", role="read")
    async def total(self, key: str) -> int:
        """Return how many calls count for ``key``, on all nodes that share a Redis."""
        return self._counts.of(key) if self._together is None else await self._together.total(key)

    @command("calls.count")
    def counts(self) -> dict[str, int]:
        """Return how many calls count for each key."""
        return dict(sorted(self._counts.all().items()))

    def _found(self, command: str, name: str) -> Call:
        call = self._calls.get(name) or next(
            (one for one in self._calls.values() if one.call_id == name), None
        )
        if call is None:
            raise CommandError(f"{command}: there is no call {name:.80}; `sansip ctl calls.list` shows them")
        return call


async def _until(kept: Later[None]) -> None:
    await kept
