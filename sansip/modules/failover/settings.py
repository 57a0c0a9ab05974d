"""Settings that modules share which try one server after the other, and ask which of them live."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from sansip.errors import RemoteProtocolError
from sansip.module import Doc
from sansip.modules.failover.health import Thresholds
from sansip.modules.failover.prober import Plan
from sansip.modules.failover.probing import Probe
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.module import Core

__all__ = ["FailoverSettings", "place_of"]


def place_of(text: str) -> SipUri:
    """Return the URI of a server. Raises ``ValueError`` for what nothing could be sent to."""
    try:
        uri = parse_uri(text)
    except RemoteProtocolError as error:
        raise ValueError(f"uri {text!r} is no SIP URI: {error.reason}") from None
    if not isinstance(uri, SipUri):
        raise ValueError(f"uri {text!r} is no SIP URI")
    if uri.user is not None or uri.headers:
        raise ValueError(f"uri {text!r}: write it without a user and without header fields")
    return uri


@dataclass(slots=True, kw_only=True)
class FailoverSettings:
    """How servers are tried, and asked for life."""

    answer: Annotated[
        float, Doc("Seconds in which a server gives any response; then the next one is tried.")
    ] = 2.0
    attempts: Annotated[int, Doc("Servers that one request is sent to at the most.")] = 4
    probe_interval: Annotated[
        float, Doc("Seconds between two OPTIONS to a server; 0: only after a failure.")
    ] = 10.0
    probe_timeout: Annotated[float, Doc("Seconds that an OPTIONS waits for its answer.")] = 2.0
    probe_from: Annotated[
        str, Doc("The URI in From of OPTIONS; the name of the module and the domain without.")
    ] = ""
    not_alive: Annotated[list[int], Doc("Answers to OPTIONS of one that must not get requests.")] = field(
        default_factory=lambda: [408, 500, 502, 503, 504]
    )
    down_after: Annotated[int, Doc("Unanswered OPTIONS in a row until a server is down.")] = 2
    up_after: Annotated[int, Doc("Answered OPTIONS in a row until it is up again.")] = 2
    eject_after: Annotated[
        int, Doc("Callers in a row whose requests get 5xx or no answer until it rests; 0: never for that.")
    ] = 5
    rest: Annotated[
        float, Doc("Seconds that a server rests after failures where OPTIONS cannot wake it.")
    ] = 30.0
    longest_rest: Annotated[float, Doc("Seconds that Retry-After of a 503 may have it rest.")] = 300.0

    def __post_init__(self) -> None:
        for name in ("probe_interval", "answer", "probe_timeout", "rest", "longest_rest"):
            value = getattr(self, name)
            if not 0 <= value < 1e6 or (value == 0 and name != "probe_interval"):
                raise ValueError(f"{name} must be a number of seconds above 0, got {value:g}")
        for name in ("attempts", "down_after", "up_after"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.eject_after < 0:
            raise ValueError(f"eject_after must be 0 or more, got {self.eject_after}")
        for status in self.not_alive:
            if not 300 <= status <= 699:
                raise ValueError(f"not_alive: {status} is no status from 300 to 699")

    @property
    def thresholds(self) -> Thresholds:
        """The bounds by which ``Health`` judges."""
        return Thresholds(self.down_after, self.up_after, self.eject_after, self.rest, self.longest_rest)

    def plan(self, core: Core, module: str) -> Plan:
        """Return how servers are asked, in the name of ``module`` where no sender is set."""
        sender = self.probe_from or f"sip:{module}@{core.domains[0] if core.domains else 'invalid'}"
        return Plan(self.probe_interval, Probe(sender, self.probe_timeout, self.not_alive), self.thresholds)
