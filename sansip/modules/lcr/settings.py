"""The table [lcr], and its gateways."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import Annotated, Final, Literal, TypeAlias

from sansip.module import Doc
from sansip.module.settings import FileName
from sansip.modules.failover.settings import FailoverSettings, place_of
from sansip.modules.lcr.number import prefix_key
from sansip.wire import SipUri

__all__ = ["Gateway", "LcrSettings", "Ordering"]

Ordering: TypeAlias = Literal["prefix", "price", "priority", "quality"]
_MOST_GATEWAYS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway to telephone networks; in TOML a table [[lcr.gateways]].

    Raises ``ValueError`` for what could not be sent to.
    """

    name: Annotated[str, Doc("The name that rates have for it.")]
    uri: Annotated[str, Doc("Where it listens: a SIP URI without a user.")]
    strip: Annotated[int, Doc("Digits of the number that are taken away in front.")] = 0
    add: Annotated[str, Doc("Digits that are then put in front, with a + where it wants one.")] = ""
    max_calls: Annotated[int, Doc("Calls that it takes at once; 0: any number.")] = 0
    max_rate: Annotated[float, Doc("New calls that it takes in a second; 0: any number.")] = 0.0
    probe: Annotated[bool, Doc("Whether it is asked by OPTIONS if it lives.")] = True

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 64 or not self.name.isprintable() or "," in self.name:
            raise ValueError(f"name is {self.name!r:.80}; expected 1 to 64 characters without a comma")
        place_of(self.uri)
        if not 0 <= self.strip <= 64:
            raise ValueError(f"strip must be 0 to 64, got {self.strip}")
        try:
            prefix_key(self.add.removeprefix("+"))
        except ValueError as error:
            raise ValueError(f"add is {self.add!r:.40}; expected {error}, and + in front") from None
        if self.max_calls < 0:
            raise ValueError(f"max_calls must be 0 or more, got {self.max_calls}")
        if self.max_rate and not 1 <= self.max_rate <= 1e6:
            raise ValueError(f"max_rate must be 0, or 1 to 1,000,000, got {self.max_rate:g}")

    @property
    def parsed(self) -> SipUri:
        return place_of(self.uri)


@dataclass(slots=True)
class LcrSettings(FailoverSettings):
    """The table [lcr]. Raises ``ValueError`` for settings that could not work."""

    gateways: list[Gateway] = field(default_factory=list)
    file: Annotated[str, FileName(), Doc("The file of rates (CSV); none: only rows.")] = ""
    packed: Annotated[
        str,
        FileName(),
        Doc("Where the packed rates are kept, for all workers; `file` and `.packed` without."),
    ] = ""
    order: Annotated[
        Ordering,
        Doc(
            "`prefix`: the longest prefix, then priority, then price; `price`: the price alone; `priority`:"
            " the priority alone; `quality`: the best measured quality, then the price."
        ),
    ] = "prefix"
    currency: Annotated[str, Doc("The currency of rates that name none, and of sums.")] = "EUR"
    currencies: Annotated[
        dict[str, float], Doc("What one unit of another currency is worth in `currency`.")
    ] = field(default_factory=dict)
    call_length: Annotated[int, Doc("Seconds of the call that prices are compared for.")] = 180
    zone: Annotated[str, Doc("The time zone of schedules that name none, like `Europe/Berlin`.")] = "UTC"
    most_rows: Annotated[int, Doc("Rates that may be added by command, beside the file.")] = 100_000
    takes: Annotated[
        Literal["unregistered", "nothing"],
        Doc(
            "What the default route sends to gateways: requests for numbers that are not registered here, or"
            " nothing."
        ),
    ] = "unregistered"
    strangers: Annotated[
        bool,
        Doc("Whether senders who have proved nothing get to gateways, where the server asks for passwords."),
    ] = False
    direct: Annotated[
        bool,
        Doc(
            "Whether senders may name a gateway by its own address or name, past this module with its limits,"
            " and past quotas. Leave it off: else each user with a password calls there at your cost."
        ),
    ] = False
    refer: Annotated[
        bool,
        Doc(
            "Whether a REFER within a call reaches its gateway. A gateway that obeys it calls the number in"
            " Refer-To at your cost, past rates, limits and quotas."
        ),
    ] = False
    failover: Annotated[
        list[int], Doc("Statuses after which the next gateway is tried, beside 408 and all 5xx.")
    ] = field(default_factory=list)
    # In the place of the other module's, and like that no positional argument.
    attempts: Annotated[int, Doc("Gateways that one request is sent to at the most.")] = field(
        default=8, kw_only=True
    )
    quality_calls: Annotated[
        int, Doc("Calls of a gateway until its quality is known; before, it counts as the best.")
    ] = 20
    quality_life: Annotated[float, Doc("Seconds until a measured call counts half.")] = 3_600.0
    quality_step: Annotated[float, Doc("Qualities that differ by less are equal, and the price decides.")] = (
        0.05
    )
    good_length: Annotated[float, Doc("Mean seconds of a call (ACD) that are as good as any more.")] = 180.0
    bad_delay: Annotated[float, Doc("Mean seconds until it rings (PDD) that are as bad as any more.")] = 10.0

    def __post_init__(self) -> None:
        # Its slots make this another class than the one that ``super()`` would look up.
        FailoverSettings.__post_init__(self)
        for name in ("attempts", "down_after", "up_after", "call_length", "quality_calls"):
            if not 1 <= getattr(self, name) <= 86_400:
                raise ValueError(f"{name} must be 1 to 86,400, got {getattr(self, name)}")
        for name in ("quality_life", "good_length", "bad_delay"):
            if not 0.001 <= getattr(self, name) < 1e9:
                raise ValueError(f"{name} must be a number of seconds above 0, got {getattr(self, name):g}")
        if not 0.001 <= self.quality_step <= 1:
            raise ValueError(f"quality_step must be 0.001 to 1, got {self.quality_step:g}")
        if self.most_rows < 0:
            raise ValueError(f"most_rows must be 0 or more, got {self.most_rows}")
        for status in self.failover:
            # RFC 3261 21.6: no other place would do; 486: the phone was found, and is busy.
            if not 300 <= status <= 599 or status == 486:
                raise ValueError(f"failover: {status} is no status from 300 to 599 but 486")
        for name, value in {self.currency: 1.0, **self.currencies}.items():
            if not (len(name) == 3 and name.isascii() and name.isalpha() and name.isupper()):
                raise ValueError(f"currency {name!r:.20}: expected three capital letters (ISO 4217)")
            if not (isfinite(value) and 1e-9 <= value <= 1e9):
                raise ValueError(f"currencies.{name} must be a number above 0, got {value:g}")
        if self.file and self.packed == self.file:
            raise ValueError("packed must be another file than file")
        if len(self.gateways) > _MOST_GATEWAYS:
            raise ValueError(f"there are at most {_MOST_GATEWAYS:,} gateways, got {len(self.gateways):,}")
        seen = set()
        for one in self.gateways:
            if one.name in seen:
                raise ValueError(f"gateway {one.name} stands twice")
            seen.add(one.name)

    def fails(self, status: int) -> bool:
        """Whether another gateway is tried after ``status``."""
        return status == 408 or 500 <= status <= 599 or status in self.failover

    def value_of(self, currency: str) -> float | None:
        """Return what one unit of ``currency`` is worth in ours, None where nobody says."""
        return 1 if currency == self.currency else self.currencies.get(currency)
