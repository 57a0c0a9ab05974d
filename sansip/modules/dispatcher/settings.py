"""The table [dispatcher], and its destinations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TypeAlias

from sansip.module import Doc
from sansip.module.table_file import RowsFile
from sansip.modules.failover.settings import FailoverSettings, place_of
from sansip.wire import SipUri

__all__ = ["ALGORITHMS", "Algorithm", "Destination", "DispatcherSettings"]

Algorithm: TypeAlias = Literal[
    "round-robin", "random", "priority", "srv", "hash", "least-calls", "least-latency", "parallel"
]
ALGORITHMS: Final[tuple[Algorithm, ...]] = (
    "round-robin",
    "random",
    "priority",
    "srv",
    "hash",
    "least-calls",
    "least-latency",
    "parallel",
)


@dataclass(frozen=True, slots=True)
class Destination:
    """One server that requests of a group may go to; in TOML a table [[dispatcher.destinations]].

    Raises ``ValueError`` for what could not be sent to.
    """

    uri: Annotated[str, Doc("Where it listens: a SIP URI without a user.")]
    group: Annotated[str, Doc("The group that it belongs to.")] = "default"
    weight: Annotated[int, Doc("Its share of the requests, beside the weights of the others. 0: none.")] = 1
    priority: Annotated[int, Doc("For priority and srv: lower ones are tried first.")] = 0
    max_calls: Annotated[int, Doc("Calls that it takes at once; 0: any number.")] = 0
    probe: Annotated[bool, Doc("Whether it is asked by OPTIONS if it lives.")] = True

    def __post_init__(self) -> None:
        place_of(self.uri)
        if not self.group:
            raise ValueError("group must not be empty")
        if not 0 <= self.weight <= 1_000_000:
            raise ValueError(f"weight must be 0 to 1,000,000, got {self.weight}")
        if self.max_calls < 0:
            raise ValueError(f"max_calls must be 0 or more, got {self.max_calls}")

    @property
    def parsed(self) -> SipUri:
        return place_of(self.uri)


@dataclass(slots=True)
class DispatcherSettings(FailoverSettings):
    """The table [dispatcher]."""

    destinations: list[Destination] = field(default_factory=list)
    file: Annotated[
        str,
        RowsFile("destinations", ("group", "uri")),
        Doc("A CSV file with more destinations, relative to the configuration; the columns are their keys."),
    ] = ""
    group: Annotated[str, Doc("The group of the default route; other groups are for routes.")] = "default"
    takes: Annotated[
        Literal["unregistered", "calls", "everything", "nothing"],
        Doc(
            "What the default route sends to `group`: requests for users who are not registered here, all"
            " but REGISTER, all (a load balancer before registrars), or nothing."
        ),
    ] = "unregistered"
    strangers: Annotated[
        bool,
        Doc(
            "Whether `unregistered` takes requests of senders who have proved nothing, where the server asks"
            " for passwords."
        ),
    ] = False
    direct: Annotated[
        bool,
        Doc(
            "Whether senders may name a destination by its own address or name, past this module and its"
            " limits, and past quotas. Leave it off: else each user with a password calls there at your cost."
        ),
    ] = False
    refer: Annotated[
        bool,
        Doc(
            "Whether a REFER within a call reaches its destination. Leave it on for servers that transfer"
            " calls themselves, like Asterisk; turn it off for gateways, which call anybody at your cost."
        ),
    ] = True
    algorithm: Annotated[Algorithm, Doc("How one of the group is chosen.")] = "round-robin"
    key: Annotated[
        Literal["call-id", "from", "to", "user"], Doc("For hash: what stays with one destination.")
    ] = "call-id"
    keep_uri: Annotated[
        bool, Doc("Leave the Request-URI as it came, and lead there by a Route; else its host is replaced.")
    ] = False
    failover: Annotated[list[int], Doc("Statuses after which the next destination is tried.")] = field(
        default_factory=lambda: [408, 500, 502, 503, 504]
    )

    def __post_init__(self) -> None:
        # Its slots make this another class than the one that ``super()`` would look up.
        FailoverSettings.__post_init__(self)
        for status in self.failover:
            if not 300 <= status <= 699:
                raise ValueError(f"failover: {status} is no status from 300 to 699")
        seen = set()
        for one in self.destinations:
            if (one.group, one.uri) in seen:
                raise ValueError(f"destination {one.uri} stands twice in group {one.group}")
            seen.add((one.group, one.uri))
