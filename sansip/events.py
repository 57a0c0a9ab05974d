"""Events, which the core sends to the log and other watchers in ``Notify`` actions.

Theory of operation: events carry facts, not text; a log, a metric or a dashboard decides what to do with
them. The core makes them only for notable facts, never once per message of ordinary traffic.
"""

from __future__ import annotations

from dataclasses import dataclass

from sansip.bindings_changed import BindingsChanged

__all__ = [
    "AuthenticationFailed",
    "BindingsChanged",
    "CallBegan",
    "CallEnded",
    "CallOffered",
    "CallPlaced",
    "CallProgressed",
    "CallTransferred",
    "ConnectionRefused",
    "CredentialsRefused",
    "Event",
    "KeepaliveAnswered",
    "KeepaliveUnanswered",
    "LimitReached",
    "MessageRefused",
    "ModuleFailed",
    "NodeChanged",
    "NonceRefused",
    "RegistrationRefused",
    "RelayedCallEnded",
    "RouteFailed",
    "SourceBarred",
    "UpstreamChanged",
    "uri_in",
]


@dataclass(slots=True)
class MessageRefused:
    """A message could not be accepted as SIP. ``status`` is 0 where no answer was sent."""

    source: str
    status: int
    reason: str
    section: str


@dataclass(slots=True)
class RouteFailed:
    """The route raised ``error`` for a request; the sender got a 500.

    With its traceback; after a watcher has shown it, the watcher frees it by
    ``sansip.errors.without_frames``.
    """

    method: str
    uri: str
    error: BaseException


@dataclass(slots=True)
class LimitReached:
    """A limit of ``sansip.limits`` (``name``) made the core refuse something."""

    name: str
    source: str


@dataclass(slots=True)
class DestinationRefused:
    """A ``method`` request from ``source`` was not sent to ``place``, which is ``what``: a gateway of ours.

    No module chose that place for it. ``setting`` would open it to senders.
    """

    source: str
    method: str
    place: str
    what: str
    setting: str


@dataclass(slots=True)
class ConnectionRefused:
    """A connection was closed as soon as it was opened."""

    source: str
    reason: str


@dataclass(slots=True)
class AuthenticationFailed:
    """A sender at ``source`` (an address) failed to prove that it is ``username`` of ``realm``.

    ``until``: the Unix time until which its answers are not looked at, where they were not.
    """

    source: str
    username: str
    realm: str
    reason: str
    until: float | None = None


@dataclass(slots=True)
class SourceBarred:
    """``source`` is banned until Unix time ``until``: for ``username``, or "" for all users."""

    source: str
    username: str
    until: float
    reason: str


@dataclass(slots=True)
class NonceRefused:
    """``username`` of ``realm`` at ``source`` has to answer again, with a new nonce; phones do so unasked.

    ``everyday``: it is no news, for phones keep nonces, and those grow old.
    """

    source: str
    username: str
    realm: str
    reason: str
    everyday: bool = False


@dataclass(slots=True)
class RegistrationRefused:
    """``source`` may not register ``aor`` so; ``key`` names the setting that decided, "" where none did."""

    aor: str
    source: str
    reason: str
    key: str


@dataclass(slots=True)
class UpstreamChanged:
    """We are registered at another server as ``aor``, or no longer; ``reason`` is for people."""

    aor: str
    registered: bool
    reason: str


@dataclass(slots=True)
class CredentialsRefused:
    """Another server, ``host``, did not take our credentials, or asked in a realm that we have none for."""

    host: str
    realm: str
    reason: str


@dataclass(slots=True)
class NodeChanged:
    """Another node of the shared location "lives", "drains", is "cut off" from it, or is "gone".

    Or it is "unreachable" from here; a "twin", which has our name; or a "stranger", which
    has another key.
    """

    name: str
    state: str
    address: str = ""


@dataclass(slots=True)
class KeepaliveAnswered:
    """A phone answered its first OPTIONS, or one after ``failures`` rounds of silence; ``rtt`` in seconds."""

    aor: str
    contact: str
    rtt: float
    failures: int


@dataclass(slots=True)
class KeepaliveUnanswered:
    """A phone left ``failures`` keepalives in a row without an answer; ``removed``: it is unregistered."""

    aor: str
    contact: str
    failures: int
    removed: bool


@dataclass(slots=True)
class ModuleFailed:
    """The module ``module`` raised ``error`` in ``where``: a hook, a step, a command."""

    module: str
    where: str
    error: BaseException


@dataclass(slots=True)
class CallOffered:
    """Call ``number`` came in and waits for the program around the stack; ``sdp`` is the caller's offer.

    ``replaces``: the number of the call that is hung up when this one is accepted (RFC 3891), or 0.
    """

    number: int
    caller: str
    callee: str
    sdp: bytes
    replaces: int = 0


@dataclass(slots=True)
class CallPlaced:
    """A program around the stack calls ``callee``; the call is ``number``, before and after the answer."""

    number: int
    callee: str


@dataclass(slots=True)
class CallProgressed:
    """Call ``number`` of a program around the stack rings, or the like; ``sdp``: early media, or b""."""

    number: int
    status: int
    sdp: bytes


@dataclass(slots=True)
class CallTransferred:
    """The peer of call ``number`` had us call ``target`` (RFC 3515), as call ``new``: answered."""

    number: int
    new: int
    target: str


@dataclass(slots=True)
class CallBegan:
    """Two parties talk through us: ``caller`` and ``callee`` are URIs, ``number`` is the call's name here."""

    number: int
    caller: str
    callee: str


@dataclass(slots=True)
class CallEnded:
    """Call ``number`` is over after ``duration`` seconds; ``reason`` as in ``sansip.dialog.Ended``."""

    number: int
    reason: str
    duration: float


@dataclass(slots=True)
class RelayedCallEnded:
    """A call that was relayed is over: refused, given up, or hung up; ``why`` says what ended it.

    ``caller`` and ``callee`` are the lines From and To of its INVITE. ``seconds``: since its answer, None
    where there was none. ``by``: "caller", "callee", or "".
    """

    number: int
    call_id: str
    caller: str
    callee: str
    seconds: float | None
    why: str
    by: str

    def __str__(self) -> str:
        lasted = "not answered" if self.seconds is None else f"{self.seconds:.3f} s"
        by = f" by the {self.by}" if self.by else ""
        caller, callee = uri_in(self.caller), uri_in(self.callee)
        return f"call {self.number} from {caller} to {callee}: {lasted}, {self.why}{by}"


def uri_in(line: str) -> str:
    """Return the URI in a line From or To, for people: nobody checks it."""
    value = line.partition(":")[2].strip()
    _, bracket, behind = value.rpartition("<")
    return behind.partition(">")[0] if bracket else value.partition(";")[0]


Event = (
    MessageRefused
    | RouteFailed
    | LimitReached
    | AuthenticationFailed
    | ConnectionRefused
    | CredentialsRefused
    | NodeChanged
    | NonceRefused
    | SourceBarred
    | BindingsChanged
    | RegistrationRefused
    | RelayedCallEnded
    | UpstreamChanged
    | KeepaliveAnswered
    | KeepaliveUnanswered
    | ModuleFailed
    | CallBegan
    | CallOffered
    | CallPlaced
    | CallProgressed
    | CallTransferred
    | CallEnded
)
