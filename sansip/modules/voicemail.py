"""Calls that nobody took go to a voicemail server (what Kamailio's WITH_VOICEMAIL does).

Theory of operation: in the default route the phones of a user are tried first; where the best failure is
one of ``statuses``, or nobody answers in ``after`` seconds, the call goes on to the voicemail server in the
same transaction, and the caller notices nothing. The Request-URI has the server's host and keeps its user,
the mailbox. A decline is the user's own word, and goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from sansip.errors import RemoteProtocolError
from sansip.module import Doc, Module, step
from sansip.proxy import Target
from sansip.transport.transports import DEFAULT_PORTS, UDP
from sansip.wire import SipUri, parse_uri
from sansip.wire.host import plain_host

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.routing import IncomingRequest

__all__ = ["Voicemail", "VoicemailSettings"]


@dataclass(slots=True)
class VoicemailSettings:
    """The table [voicemail]. Raises ``ValueError`` for settings that could not work."""

    uri: Annotated[str, Doc("The voicemail server: a SIP URI without a user.")] = ""
    statuses: Annotated[
        list[int], Doc("Failures of a user's phones after which the server gets the call.")
    ] = field(default_factory=lambda: [408, 480, 486])
    after: Annotated[
        float, Doc("Seconds that phones may ring; 0: as long as a call may (`limits.ring_time`).")
    ] = 30.0
    direct: Annotated[
        bool,
        Doc(
            "Whether senders may name the server by its own address or name, past this module and its"
            " limits, and past quotas. Leave it off: else each user with a password calls there at your cost."
        ),
    ] = False
    absent: Annotated[
        bool,
        Doc("Whether it gets calls for users who have no phone registered, too; it knows who has a mailbox."),
    ] = True

    def __post_init__(self) -> None:
        try:
            uri = parse_uri(self.uri)
        except RemoteProtocolError as error:
            raise ValueError(f"uri {self.uri!r} is no SIP URI: {error.reason}") from None
        if not isinstance(uri, SipUri) or uri.user is not None or uri.headers:
            raise ValueError(f"uri is {self.uri!r}; expected one without a user, like sip:10.0.0.9:5080")
        for status in self.statuses:
            if not 300 <= status <= 699:
                raise ValueError(f"statuses: {status} is no status from 300 to 699")
        if not 0 <= self.after < 1e6:
            raise ValueError(f"after must be 0 or a number of seconds, got {self.after:g}")


class Voicemail(Module):
    """Sends calls that no phone of a user took to a voicemail server."""

    name = "voicemail"
    Settings = VoicemailSettings
    # It holds nothing from one transaction to the next.
    over_workers = True
    settings: VoicemailSettings

    def start(self, core: Core, now: float) -> None:
        self._sent = core.counter("calls", "Calls sent to the voicemail server", ("why",))
        self._guard(now)

    def configure(self, settings: VoicemailSettings, now: float) -> None:
        """Send calls to another server from now on."""
        super().configure(settings, now)
        self._guard(now)

    def _guard(self, now: float) -> None:
        open_ = self.settings.direct
        self.core.guard([] if open_ else [(self._uri, "the voicemail server")], "voicemail.direct", now)

    @property
    def _uri(self) -> SipUri:
        uri = parse_uri(self.settings.uri)
        assert isinstance(uri, SipUri)
        return uri

    def _takes(self, request: IncomingRequest) -> bool:
        uri = request.uri
        if request.method != "INVITE" or not isinstance(uri, SipUri) or uri.user is None:
            return False
        # The server itself calls phones; a call of its own must not come back to it.
        return plain_host(self._uri.host) != request.flow.host or self._port != request.flow.port

    @property
    def _port(self) -> int:
        return self._uri.port or DEFAULT_PORTS[UDP]

    @step("relay")
    async def ring_first(self, request: IncomingRequest) -> None:
        """Try the phones, then the voicemail server."""
        if not self._takes(request):
            return
        original = request.uri
        targets = await request.locate()
        if not targets:
            return
        outcome = await request.relay(targets, ring=self.settings.after or None)
        if outcome is None or request.cancelled or outcome.status not in self.settings.statuses:
            return
        self._send(request, original, str(outcome.status))

    @step("select", rank=80)
    async def take_absent(self, request: IncomingRequest) -> None:
        """Take calls for users who have no phone registered."""
        if self.settings.absent and self._takes(request):
            request.record_route()
            self._send(request, request.uri, "absent")

    def _send(self, request: IncomingRequest, original: object, why: str) -> None:
        assert isinstance(original, SipUri)
        self._sent.add(why)
        request.relay(Target(self._uri.replace(user=original.user), chosen=True))
