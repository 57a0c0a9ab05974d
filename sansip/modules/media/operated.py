"""What the module ``media`` is beside its hooks: its life, its functions for routes, its commands.

Theory of operation: relays and calls are kept here; ``module`` has the hooks that fill them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.errors import RemoteProtocolError
from sansip.module import CommandError, Gathered, Module, ModuleFault, Slot, command, function
from sansip.modules.calls import CallFinished, Calls, CallTakenBack
from sansip.modules.media.asking import RelayFailed
from sansip.modules.media.body import find, put
from sansip.modules.media.events import RelayChanged
from sansip.modules.media.moving import CannotMove, Moves, move
from sansip.modules.media.operators import RelayRow, SessionRow, plain, relay_row, session_row
from sansip.modules.media.profiles import Ways, Wish
from sansip.modules.media.relay import Admin
from sansip.modules.media.relays import Relays
from sansip.modules.media.sessions import Sessions
from sansip.modules.media.settings import MediaSettings
from sansip.modules.media.versions import doubt
from sansip.sdp import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sansip.module import Core
    from sansip.modules.media.relay import Relay
    from sansip.modules.media.session import Session
    from sansip.modules.media.settings import Profile
    from sansip.routing import IncomingRequest
    from sansip.wire import Message

__all__ = ["Operated"]


class Operated(Module):
    """The module without its hooks."""

    name = "media"
    # A call's media is at the worker that has the call; each worker has a socket to each relay, and pings it.
    over_workers = True
    Settings = MediaSettings
    # With it calls keep their relays over a restart, and can be moved at once.
    uses = (Calls,)
    events = (CallFinished, CallTakenBack)
    settings: MediaSettings

    _wish: Slot[Wish] = Slot()

    def __init__(self, settings: MediaSettings) -> None:
        super().__init__(settings)
        self._relays = Relays()
        self._sessions = Sessions()
        self._ways = Ways(settings)
        # Calls that are being moved now.
        self._moves = 0

    # --- its life

    def check(self, settings: MediaSettings) -> None:
        """The set of the default route has relays, and they can do what its profiles want."""
        sets = {one.set for one in settings.relays}
        if settings.relays and settings.profiles and settings.set not in sets:
            raise ModuleFault(
                f"media.set is {settings.set}, and there are {', '.join(sorted(sets))}; name one of them"
            )
        simple = [one.uri for one in settings.relays if one.kind == "rtpproxy" and one.set == settings.set]
        hard = [one for one in ("webrtc", "ipv4-ipv6") if one in settings.profiles]
        if simple and hard:
            raise ModuleFault(
                f"media.profiles: rtpproxy ({simple[0]}) cannot do {' or '.join(hard)};"
                ' leave that out, or use rtpengine ("ng:")'
            )
        for set_ in sets:
            if not any(one.weight for one in settings.relays if one.set == set_):
                raise ModuleFault(f"media.relays: all weights of set {set_} are 0; give one at least 1")

    def start(self, core: Core, now: float) -> None:
        self._calls = _calls_of(core)
        # A relay answers for a call that it knows: a restarted server needs other names.
        self._prefix = core.entropy.token()[:8]
        self._relayed = core.counter("relayed", "Offers that a relay took", ("uri",))
        self._without = core.counter("without", "Calls that needed a relay and got none", ("done",))
        self._took = core.histogram("seconds", "Seconds until a relay had answered for a message")
        self._relays.take(core, self.settings, self._tell, now)

    def configure(self, settings: MediaSettings, now: float) -> None:
        """Take other relays: calls stay where they are."""
        super().configure(settings, now)
        self._ways = Ways(settings)
        self._calls = _calls_of(self.core)
        self._relays.take(self.core, settings, self._tell, now)

    def figures(self) -> dict[str, Any]:
        """Return how many calls have a relay, and how many relays are up."""
        up = sum(one.state == "up" for one in self._relays)
        return {"now_sessions": len(self._sessions), "now_up": up, "now_relays": len(self._relays)}

    def doubts(self) -> list[str]:
        """Return which relays strangers can make listen to them, by their version."""
        found = [doubt(one) for one in self.settings.relays]
        return [f"media.relays: {text}" for text in found if text]

    def health(self) -> str:
        """Return which relays are down."""
        down = [f"{one.uri} ({one.breaker.why})" for one in self._relays if one.state == "down"]
        return f"media relays are down: {', '.join(down)}" if down else ""

    def announced(self, key: str, word: Any, now: float) -> None:
        """Take what the operator said of a relay by another worker."""
        relay = self._relays.get(key)
        if relay is not None:
            relay.admin = word

    def _tell(self, relay: Relay, now: float) -> None:
        self.core.notify(RelayChanged(relay.uri, relay.state, relay.breaker.why), now)

    # --- for routes

    @function
    def relay(
        self,
        request: IncomingRequest,
        profile: Profile | None = "always",
        set: str = "",
        record: bool | None = None,
        flags: Sequence[str] = (),
        **keys: Any,
    ) -> None:
        """Give the call of ``request``, an INVITE, a relay; call it before ``relay``.

        ``profile``: what it is for (``webrtc``, ``nat``, ``ipv4-ipv6``, ``always``); None: where the profiles
        of the settings want one. ``set``: of which set. ``flags`` and ``keys`` are added to rtpengine's,
        ``keys`` with ``_`` for ``-`` (``transport_protocol="RTP/AVP"``).
        """
        more = tuple((name.replace("_", "-"), value) for name, value in keys.items())
        self._wish.set(request, Wish(False, profile, set, record, tuple(flags), more))

    @function
    def skip(self, request: IncomingRequest) -> None:
        """Give the call of ``request`` no relay: its descriptions go on untouched."""
        self._wish.set(request, Wish(skip=True))

    @function
    def keep_codecs(self, request: IncomingRequest, names: Sequence[str], kind: str | None = None) -> None:
        """Remove all other codecs from the offer in ``request``: ``["PCMA", "opus/48000/2"]``."""
        self._edit(request.message, lambda one: one.keep_codecs(names, kind))

    @function
    def strip_codecs(self, request: IncomingRequest, names: Sequence[str], kind: str | None = None) -> None:
        """Remove these codecs from the offer in ``request``."""
        self._edit(request.message, lambda one: one.strip_codecs(names, kind))

    @function
    def order_codecs(self, request: IncomingRequest, names: Sequence[str], kind: str | None = None) -> None:
        """Put these codecs first in the offer in ``request``."""
        self._edit(request.message, lambda one: one.order_codecs(names, kind))

    def _edit(self, message: Message, change: Any) -> None:
        found = find(message)
        if found is None:
            return
        try:
            description = parse(found.sdp, most_media=self.core.limits.sdp_media)
            change(description)
        except RemoteProtocolError:
            # The callee judges what it gets (RFC 3264 6).
            return
        changed = description.to_bytes()
        if changed != found.sdp:
            put(message, found, changed)

    # --- operators

    @command(
        "media.list",
        everywhere=Gathered(key=("uri",), sums=("calls", "commands", "failures", "strays")),
    )
    def list_relays(self, now: float) -> list[RelayRow]:
        """Return the relays, with their state and figures."""
        return [relay_row(one, now) for one in self._relays]

    @command("media.set")
    def set_state(self, uri: str, state: Admin) -> RelayRow:
        """Set a relay ``active``, ``draining`` (calls leave it at their next re-INVITE) or ``disabled``."""
        relay = self._found("media.set", uri)
        relay.admin = state
        self.core.announce(uri, state)
        return relay_row(relay, 0.0)

    @command("media.calls", role="read", everywhere=True)
    def list_calls(self, limit: int = 100) -> list[SessionRow]:
        """Return calls that have a relay, and which."""
        found: list[SessionRow] = []
        for session in self._sessions:
            if len(found) >= max(1, min(limit, 1_000)):
                break
            found.append(session_row(session))
        return found

    @command("media.move", everywhere=Gathered(any=True))
    async def move(self, id: str, now: float, to: str = "", later: bool = False) -> SessionRow:
        """Move a call, by its id or Call-ID, to another relay, or to that one, by a re-INVITE to both sides.

        ``later``: with its next re-INVITE or UPDATE instead, to the best other relay.
        """
        session = self._session_of("media.move", id)
        if later:
            session.moving = True
            return session_row(session)
        relay = self._found("media.move", to) if to else None
        if relay is not None and relay is session.relay:
            raise CommandError(f"media.move: the call is at {to} already")
        self._moves += 1
        try:
            await move(
                Moves(self.core, self.settings, self._calls, self._relays, self._ways), session, relay, now
            )
        except CannotMove as error:
            raise CommandError(f"media.move: {error}") from None
        finally:
            self._moves -= 1
        return session_row(session)

    @command("media.query", role="read", everywhere=Gathered(any=True))
    async def query(self, id: str, now: float) -> dict[str, Any]:
        """Return what the relay says of a call: packets and octets of each side."""
        return await self._tell_relay("media.query", id, {"command": "query"}, now)

    @command("media.record", everywhere=Gathered(any=True))
    async def record(self, id: str, now: float, on: bool = True) -> SessionRow:
        """Begin, or end, the recording of a call."""
        asked = {"command": "start recording" if on else "stop recording"}
        await self._tell_relay("media.record", id, asked, now)
        session = self._session_of("media.record", id)
        session.recording = on
        return session_row(session)

    @command("media.dtmf", everywhere=Gathered(any=True))
    async def dtmf(self, id: str, digit: str, now: float, duration: int = 250) -> SessionRow:
        """Play a digit to the callee as if the caller pressed it. The call needs the flag ``inject-DTMF``."""
        session = self._session_of("media.dtmf", id)
        if len(digit) != 1 or digit not in "0123456789*#ABCD":
            raise CommandError(f"media.dtmf: {digit[:8]!r} is no digit; 0 to 9, *, # and A to D are")
        asked = {"command": "play DTMF", "from-tag": session.caller_tag, "code": digit, "duration": duration}
        await self._tell_relay("media.dtmf", id, asked, now)
        return session_row(session)

    @command("media.block_dtmf", everywhere=Gathered(any=True))
    async def block_dtmf(self, id: str, now: float, on: bool = True) -> SessionRow:
        """Have the relay drop the digits of a call, or pass them on again."""
        asked = {"command": "block DTMF" if on else "unblock DTMF"}
        await self._tell_relay("media.block_dtmf", id, asked, now)
        return session_row(self._session_of("media.block_dtmf", id))

    async def _tell_relay(self, name: str, id: str, asked: dict[str, Any], now: float) -> dict[str, Any]:
        session = self._session_of(name, id)
        relay = session.relay
        if relay is None or not relay.usable():
            raise CommandError(
                f"{name}: the relay of this call is {'not there' if relay is None else relay.state}"
            )
        try:
            reply, _ = await relay.protocol.command(relay, {"call-id": session.id, **asked}, now)
        except RelayFailed as error:
            raise CommandError(f"{name}: {error}") from None
        answer: dict[str, Any] = plain(reply)
        return answer

    def _found(self, name: str, uri: str) -> Relay:
        relay = self._relays.get(uri)
        if relay is None:
            raise CommandError(f"{name}: there is no relay {uri:.80}; `sansip ctl media.list` shows them")
        return relay

    def _session_of(self, name: str, id: str) -> Session:
        session = self._sessions.get(id) or next((one for one in self._sessions if one.call_id == id), None)
        if session is None:
            raise CommandError(f"{name}: no call {id:.80} has a relay; `sansip ctl media.calls` shows them")
        return session


def _calls_of(core: Core) -> Calls | None:
    """Return the module calls, where it is configured."""
    try:
        return core.module(Calls)
    except LookupError:
        return None
