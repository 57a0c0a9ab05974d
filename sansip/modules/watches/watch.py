"""One subscription of ours: what another server says of one resource to one of our users.

Theory of operation: a watch waits for its turn, sends a SUBSCRIBE, and is a ``Subscriber`` of the dialog
that the first NOTIFY begins (``sansip.dialog``). When that ends, the watch waits and subscribes anew outside
of the dialog, so by RFC 3263 another server of the domain may take it: after the time that the notifier
names, and longer after each failure in a row; and never after ``rejected`` or ``noresource``. What was told
last stands until it is known that no more comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from sansip.client import Asker
from sansip.dialog import Notified, Respond, Send, Subscribing, SubscriptionEnded, Tell
from sansip.dialog.dialog import needs_sips_contact
from sansip.dialog.subscription import ENDING
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.ua.contact import contact_of
from sansip.ua.drafting import drafted, through
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sansip.client import Sending
    from sansip.clock import Timer
    from sansip.dialog import Effect
    from sansip.dialog.subscriber import Subscriber
    from sansip.module import Core
    from sansip.modules.watches.settings import WatchesSettings
    from sansip.routing import IncomingRequest
    from sansip.transport import Listener
    from sansip.ua.tags import Tags
    from sansip.wire import Request, Response

__all__ = ["Hears", "Home", "Watch", "may_be_watched"]

# Told of each new state.
Hears = Callable[["Watch", float], None]

# Seconds until a SUBSCRIBE that failed is sent anew: the first time, and at the most.
_AGAIN: Final = (10.0, 600.0)
# The same after an answer that a person gave, or that will not change soon.
_REFUSED: Final = 3_600.0
# RFC 6665 4.1.3 in place of a status.
_REASONS: Final = {404: "noresource", 410: "noresource", 604: "noresource", 403: "rejected", 603: "rejected"}


def may_be_watched(address: str) -> bool:
    """Whether a SUBSCRIBE can be sent to ``address``, which a user or an operator wrote."""
    try:
        uri = parse_uri(address)
    except RemoteProtocolError:
        return False
    # RFC 3261 19.1.5: header fields in a URI would be the user's words in a request of ours.
    return isinstance(uri, SipUri) and uri.user is not None and not uri.headers


class Home(Protocol):
    """What keeps the watches (``home``), as they see it."""

    core: Core
    tags: Tags
    by_tag: dict[str, Watch]

    @property
    def settings(self) -> WatchesSettings: ...
    def ask_turn(self, watch: Watch, now: float) -> None: ...
    def forget(self, watch: Watch) -> None: ...


class Watch(Asker):
    """One watch.

    Attributes:
        watcher: the address-of-record for which this server subscribes.
        uri: the resource.
        event: the package.
        type: the media type that is asked for.
        state: "" before anything is known, then "pending", "active" or "terminated".
        reason: why it was terminated (RFC 6665 4.1.3).
        body: the newest state, empty where there is none.
        hears: who is told; when nobody is left, the subscription ends.
        closed: nobody listens any longer, and the last NOTIFY is awaited.
    """

    __slots__ = (
        "_first",
        "_home",
        "_interval",
        "_subscribing",
        "_tag",
        "_timer",
        "_tries",
        "_usage",
        "body",
        "closed",
        "event",
        "hears",
        "queued",
        "reason",
        "state",
        "status",
        "type",
        "uri",
        "watcher",
    )

    def __init__(self, home: Home, watcher: str, uri: str, event: str, type: str) -> None:
        self._home = home
        self.watcher = watcher
        self.uri = uri
        self.event = event
        self.type = type
        self.state = self.reason = ""
        # The status of the last SUBSCRIBE.
        self.status = 0
        self.body = b""
        self.hears: list[Hears] = []
        self.closed = False
        # Whether it waits for its turn to send.
        self.queued = False
        self._interval = home.settings.expires
        self._tries = 0
        self._tag = ""
        # The SUBSCRIBE outside of a dialog, until Timer N; and what its NOTIFY began.
        self._first: Sending | None = None
        self._subscribing: Subscribing | None = None
        self._usage: Subscriber | None = None
        self._timer: Timer | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is known by."""
        return self.watcher, self.uri, self.event

    # --- its life

    def begin(self, now: float) -> None:
        """Its turn has come: subscribe."""
        self.queued = False
        if self.closed:
            self._home.forget(self)
            return
        home, core = self._home, self._home.core
        entropy = core.entropy
        call_id = entropy.token() + entropy.token()
        self._tag = home.tags.make(call_id)
        home.by_tag[self._tag] = self
        headers = [("Event", self.event), ("Accept", self.type), ("Expires", str(self._interval))]
        if home.settings.server:
            headers.append(through(home.settings.server))
        try:
            # RFC 4662 7.4: without Supported: eventlist no list is served to a list, so lists elsewhere that
            # name each other make no circle.
            request, hop = drafted(
                "SUBSCRIBE", self.uri, headers, b"", self.watcher, "", core.ua.config, "", call_id, self._tag
            )
        except LocalProtocolError as error:
            core.failed("subscribe", error)
            self._over("noresource", None, now)
            return
        # A user chose the place: it must be no gateway.
        self._first = core.ua.client.send(request, self, now, hop=hop, chosen=False)
        self._look(now)

    def close(self, now: float) -> None:
        """Nobody listens any longer: end the subscription."""
        self.closed = True
        usage = self._usage
        if usage is not None:
            self._perform(usage.unsubscribe(now), now)
            self._look(now)
        elif self._first is None and self._subscribing is None and not self.queued:
            self._stop_timer()
            self._home.forget(self)

    def reopen(self) -> bool:
        """Somebody listens again; return whether it goes on. False while its end is under way."""
        if self.closed and self._usage is not None:
            return False
        self.closed = False
        return True

    def _over(self, reason: str, retry_after: int | None, now: float, wait: float = 0.0) -> None:
        """The subscription has ended, or did not begin. ``retry_after`` None: it is not to be tried again."""
        home = self._home
        home.by_tag.pop(self._tag, None)
        self._tag = ""
        self._first = self._subscribing = self._usage = None
        if self.closed:
            self._stop_timer()
            home.forget(self)
            return
        if retry_after is None:
            self._stop_timer()
        elif reason in ("deactivated", "timeout") and not self._tries and not wait:
            # RFC 6665 4.1.3: at once, and nobody need be told; once in a row.
            self._tries = 1
            self._start_timer(0.0, now)
            return
        else:
            again = min(_AGAIN[0] * 2.0**self._tries, _AGAIN[1])
            self._tries = min(self._tries + 1, 10)
            self._start_timer(max(wait, float(retry_after), again), now)
        self.state, self.reason, self.body = "terminated", reason, b""
        self._tell(now)

    def _tell(self, now: float) -> None:
        if self.state:
            for hears in tuple(self.hears):
                hears(self, now)

    # --- time

    def _look(self, now: float) -> None:
        """Come back when something is due."""
        due: float | None = None
        if self._usage is not None:
            due = self._usage.next_due()
        elif self._subscribing is not None:
            due = self._subscribing.until
        if due is None:
            self._stop_timer()
        else:
            self._start_timer(max(0.0, due - now), now)

    def _start_timer(self, seconds: float, now: float) -> None:
        self._stop_timer()
        self._timer = self._home.core.timers.start(now, seconds, self, "due")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def timer_fired(self, _name: str, now: float) -> None:
        """Do the work that is due."""
        self._timer = None
        if self._usage is not None:
            self._perform(self._usage.time_passed(now), now)
            if self._usage is not None:
                self._look(now)
        elif self._subscribing is not None:
            # RFC 6665 4.1.2.4: Timer N, and no NOTIFY.
            self._over("timeout", 0, now)
        elif self._first is None:
            self._home.ask_turn(self, now)

    # --- NOTIFY

    def notified(self, request: IncomingRequest) -> None:
        """Take a NOTIFY that has the tag of this watch."""
        message, now = request.message, request.now
        usage = self._usage
        request.decided = True
        if usage is None:
            subscribing = self._subscribing
            if subscribing is None or not subscribing.matches(message, now):
                request.decided = False
                request.reply(481)
                return
            try:
                usage = self._usage = subscribing.begin(message, now)
            except RemoteProtocolError as error:
                request.decided = False
                request.reply(error.status or 400, error.reason)
                return
            self._subscribing = None
        elif message.from_tag != usage.dialog.id.remote_tag or not usage.matches(message):
            # RFC 6665 4.1.2.4: of a fork, of which one is enough here.
            request.decided = False
            request.reply(481)
            return
        self._perform(usage.received(message, request, now), now)
        if self._usage is not None and self.closed and usage.interval:
            # Nobody listened any longer before it began.
            self._perform(usage.unsubscribe(now), now)
        if self._usage is not None:
            self._look(now)

    def _perform(self, effects: Sequence[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, Respond):
                effect.owner.respond(effect.response, now)
            elif isinstance(effect, Send):
                self._home.core.ua.client.send(effect.request, self, now, chosen=False)
            elif isinstance(effect, Tell) and isinstance(effect.event, Notified):
                self._take(effect.event.request, effect.event.state, now)
            elif isinstance(effect, Tell) and isinstance(effect.event, SubscriptionEnded):
                self._ended(effect.event, now)

    def _take(self, message: Request, state: str, now: float) -> None:
        if state == "terminated":
            # ``_ended`` follows.
            return
        self._tries = 0
        kind = (message.get("content-type") or "").partition(";")[0].strip().lower()
        body = message.body if kind == self.type and len(message.body) <= self._home.settings.size else b""
        before = (self.state, self.reason, self.body)
        self.state, self.reason = ("pending" if state == "pending" else "active"), ""
        # RFC 6665 4.1.3: a NOTIFY without a body says nothing of the state; a pending one hides it.
        if self.state == "pending":
            self.body = b""
        elif body or message.body:
            self.body = body
        if before != (self.state, self.reason, self.body):
            self._tell(now)

    def _ended(self, ended: SubscriptionEnded, now: float) -> None:
        message = ended.message
        status = getattr(message, "status", 0)
        if status:
            self.status = status
            self._refused(status, message, now)
        else:
            self._over(ended.reason or "timeout", ended.retry_after, now)

    def _refused(self, status: int, response: Any, now: float) -> None:
        """A SUBSCRIBE got ``response``, received or made."""
        if status == 423 and self._tries < 3:
            self._lengthen(response)
            self._over("timeout", 0, now)
            return
        wait = _REFUSED if status in ENDING or status in _REASONS or status == 421 else 0.0
        if status == 481:
            # RFC 6665 4.1.2.2: the notifier forgot it; a new one may be accepted.
            wait = 0.0
        try:
            asked = response.typed("retry-after")
        except RemoteProtocolError:
            asked = None
        after = 0 if asked is None else min(asked.seconds, 3_600)
        self._tries = max(self._tries, 1) if status != 481 else self._tries
        self._over(_REASONS.get(status, "timeout"), after, now, wait)

    def _lengthen(self, response: Any) -> bool:
        """Take the shortest time that a 423 allows (RFC 6665 4.1.2.1); return whether it names one."""
        least = response.get("min-expires") or ""
        named = least.isdecimal() and len(least) < 7
        if named:
            self._interval = min(max(self._interval, int(least)), 86_400)
        return bool(named)

    # --- its SUBSCRIBEs on their way (``sansip.client.Asker``)

    def leaving(self, sending: Sending, request: Request, listener: Listener, now: float) -> None:
        if self._usage is None:
            secure = needs_sips_contact(request, received=False)
            request.set("Contact", f"<{contact_of(listener, secure=secure)}>")
            values = self._home.core.ua.client.transactions.values
            self._subscribing = Subscribing(request, now, values, [("Accept", self.type)])

    def final(self, sending: Sending, response: Response, now: float) -> None:
        usage = self._usage
        if sending is not self._first and usage is None:
            # Of a dialog that is over.
            return
        self.status = response.status
        if usage is not None:
            self._perform(usage.response_received(sending.request, response, now), now)
            if self._usage is not None and not sending.made and response.status == 423:
                if self._lengthen(response):
                    usage.interval = self._interval
            elif self._usage is not None and response.status in (408, 503) and not self.closed:
                # Nobody answers there any longer: another server of the domain may (RFC 3263 4.3).
                self._tries = max(self._tries, 1)
                self._over("timeout", 0, now)
                return
            if self._usage is not None:
                self._look(now)
            return
        self._first = None
        if response.status >= 300:
            self._refused(response.status, response, now)
        elif self._subscribing is not None:
            self._look(now)

    def next_cseq(self, sending: Sending) -> int | None:
        return None if self._usage is None else self._usage.dialog.next_cseq()

    def resent(self, sending: Sending, request: Request, now: float) -> None:
        if self._usage is not None:
            self._usage.resent(request)
