"""The table [media], and its relays."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Annotated, Final, Literal, TypeAlias

from sansip.module import Doc

__all__ = ["PROFILES", "MediaSettings", "Profile", "RelaySettings", "Without"]

Profile: TypeAlias = Literal["nat", "webrtc", "ipv4-ipv6", "always"]
PROFILES: Final[tuple[Profile, ...]] = ("nat", "webrtc", "ipv4-ipv6", "always")
Without: TypeAlias = Literal["refuse", "go on"]

_URI: Final = re.compile(r"(ng|ng\+ws|ng\+wss|rtpproxy):(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """One relay; in TOML a table [[media.relays]]. Raises ``ValueError`` for what could not be reached."""

    uri: Annotated[
        str,
        Doc(
            "How it takes commands: `ng:ADDRESS:PORT` (rtpengine over UDP), `ng+ws:` and `ng+wss:` (over"
            " WebSocket), `rtpproxy:` (rtpproxy over UDP)."
        ),
    ]
    set: Annotated[str, Doc("The set that it belongs to; routes choose one.")] = "default"
    weight: Annotated[int, Doc("Its share of the calls, beside the weights of the others. 0: none.")] = 1
    name: Annotated[str, Doc("For `ng+wss`: the name in its certificate; its address without.")] = ""
    version: Annotated[
        str,
        Doc(
            "What `rtpengine --version` says, or the version of its package: `sansip check` warns of one"
            " that strangers can make listen to them."
        ),
    ] = ""

    def __post_init__(self) -> None:
        match = _URI.fullmatch(self.uri)
        if match is None:
            raise ValueError(
                f"relay {self.uri!r}: write ng:ADDRESS:PORT, ng+ws:ADDRESS:PORT, ng+wss:ADDRESS:PORT or"
                " rtpproxy:ADDRESS:PORT, with a numeric address"
            )
        try:
            ip_address(self.host)
        except ValueError:
            raise ValueError(f"relay {self.uri!r}: {self.host} is no address") from None
        if not 0 < self.port < 65_536:
            raise ValueError(f"relay {self.uri!r}: {self.port} is no port")
        if not 0 <= self.weight <= 1_000_000:
            raise ValueError(f"weight must be 0 to 1,000,000, got {self.weight}")
        if not self.set:
            raise ValueError("set must not be empty")

    @property
    def kind(self) -> str:
        """``ng``, ``ng+ws``, ``ng+wss`` or ``rtpproxy``."""
        return self.uri.partition(":")[0]

    @property
    def host(self) -> str:
        match = _URI.fullmatch(self.uri)
        assert match is not None
        return match[2] or match[3]

    @property
    def port(self) -> int:
        return int(self.uri.rpartition(":")[2])


@dataclass(slots=True)
class MediaSettings:
    """The table [media]."""

    relays: list[RelaySettings] = field(default_factory=list)
    profiles: Annotated[
        list[Profile],
        Doc(
            "Which calls get a relay by themselves: `nat` where a side is behind a NAT, `webrtc` where one"
            " side is a browser and the other is not, `ipv4-ipv6` where they have other address families,"
            " `always`. Empty: only calls that a route gives one."
        ),
    ] = field(default_factory=lambda: list(PROFILES[:3]))
    set: Annotated[str, Doc("The set of relays that calls get where no route chooses.")] = "default"
    without: Annotated[
        Without,
        Doc(
            "What becomes of a call that needs a relay while none can be had: `refuse` (503), or `go on` with"
            " the session description as it came."
        ),
    ] = "refuse"
    retry: Annotated[float, Doc("Seconds until a command is sent again over UDP, with the same cookie.")] = (
        0.25
    )
    deadline: Annotated[
        float, Doc("Seconds in which a relay answers a command; then the next one gets it.")
    ] = 1.0
    attempts: Annotated[int, Doc("Relays that are asked for one call at the most.")] = 3
    probe_interval: Annotated[float, Doc("Seconds between two pings of a relay; 0: none.")] = 10.0
    rest: Annotated[
        float, Doc("Seconds until a relay that failed is tried again, by a ping; doubled each time.")
    ] = 1.0
    longest_rest: Annotated[float, Doc("The most seconds between two such pings.")] = 60.0
    strict_source: Annotated[
        bool, Doc("Whether rtpengine drops packets that come from elsewhere than a side's own address.")
    ] = True
    recrypt: Annotated[
        bool, Doc("Whether rtpengine encrypts anew between two sides with SDES, where it knows how.")
    ] = True
    record: Annotated[bool, Doc("Whether the relay records every call.")] = False
    most: Annotated[int, Doc("Calls that have a relay at one time; further ones get none.")] = 100_000
    longest: Annotated[
        float,
        Doc(
            "Seconds after which the relay of a call without a record in `[calls]` is forgotten: its BYE was"
            " lost, and the relay ends a call without packets by itself."
        ),
    ] = 43_200.0

    def __post_init__(self) -> None:
        for name in ("retry", "deadline", "rest", "longest_rest", "longest"):
            value = getattr(self, name)
            if not 0 < value < 1e6:
                raise ValueError(f"{name} must be a number of seconds above 0, got {value:g}")
        if not 0 <= self.probe_interval < 1e6:
            raise ValueError(f"probe_interval must be 0 or a number of seconds, got {self.probe_interval:g}")
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {self.attempts}")
        if self.most < 1:
            raise ValueError(f"most must be at least 1, got {self.most}")
        seen = set()
        for one in self.relays:
            if one.uri in seen:
                raise ValueError(f"relay {one.uri} stands twice")
            seen.add(one.uri)

    @property
    def tries(self) -> int:
        """How often a command is sent within ``deadline``."""
        return max(1, round(self.deadline / self.retry))
