"""A rate: what a gateway asks for calls to the numbers that begin with a prefix, and when it holds.

Theory of operation: as a row, and as a line of a file, a rate is text and numbers that people write. As an
``Offer`` (``offer``) it is what a look-up computes with.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

from sansip.module import Doc
from sansip.modules.lcr.money import money
from sansip.modules.lcr.number import prefix_key
from sansip.modules.lcr.offer import Offer
from sansip.modules.lcr.schedule import Zones, parse_schedule
from sansip.patterns import Pattern
from sansip.rows import Table

__all__ = ["BOUNDS", "RATES", "Rate", "moment", "offer_of"]

_LATEST: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Rate:
    """A row, and a line of a file of rates; a file's first line has these names, in any order."""

    gateway: Annotated[str, Doc("the name of a gateway")]
    prefix: Annotated[str, Doc("digits that the number begins with; none: every number")] = ""
    price: Annotated[str, Doc("what a minute costs")] = "0"
    currency: Annotated[str, Doc("three letters; the default is that of `[lcr]`")] = ""
    setup: Annotated[str, Doc("what a call costs beside its minutes")] = "0"
    minimum: Annotated[int, Doc("seconds that a call costs at least")] = 0
    increment: Annotated[int, Doc("seconds by which it is charged")] = 1
    valid_from: Annotated[str, Doc("the first moment, `2027-01-01` or `2027-01-01T06:00+01:00`; UTC")] = ""
    valid_to: Annotated[str, Doc("the moment at which it ends")] = ""
    schedule: Annotated[str, Doc("when it holds, `Mo-Fr 08:00-18:00; Sa 09:00-13:00 @Europe/Berlin`")] = ""
    caller: Annotated[str, Doc("a regular expression that the URI in From fits")] = ""
    priority: Annotated[int, Doc("lower ones first, 0 to 65535")] = 0
    weight: Annotated[int, Doc("the share among equals, 1 to 65535")] = 1
    stopper: Annotated[bool, Doc("no shorter prefix is looked at")] = False
    enabled: Annotated[bool, Doc("false: it is not used")] = True
    strip: Annotated[int, Doc("digits to take away in front; -1: as the gateway says")] = -1
    add: Annotated[str, Doc("digits to put in front; `-`: as the gateway says")] = "-"

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        return self.prefix, self.gateway, self.caller, self.schedule, self.valid_from


RATES = Table("lcr_rates", Rate, key=("prefix", "gateway", "caller", "schedule", "valid_from"))


def moment(text: str) -> int:
    """Return the Unix time of a date, or of a date with a time; 0 for none. Raises ``ValueError``."""
    if not text:
        return 0
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a date like 2027-01-01 or 2027-01-01T06:00+01:00") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    unix = int(found.timestamp())
    if not 0 < unix < _LATEST:
        raise ValueError("a date after 1970")
    return unix


def offer_of(rate: Rate, currency: str, zone: str, zones: Zones) -> Offer:
    """Return ``rate`` as a look-up has it. Raises ``ValueError`` that names field and expectation."""
    where = ""
    try:
        where = "prefix"
        prefix_key(rate.prefix)
        where = "price"
        price = money(rate.price)
        where = "setup"
        setup = money(rate.setup)
        where = "valid_from"
        begins = moment(rate.valid_from)
        where = "valid_to"
        ends = moment(rate.valid_to)
        where = "schedule"
        schedule = parse_schedule(rate.schedule, zone, zones) if rate.schedule else None
        where = "caller"
        caller = Pattern(rate.caller) if rate.caller else None
        for name, least, most in BOUNDS:
            where = name
            if not least <= getattr(rate, name) <= most:
                raise ValueError(f"{least} to {most:,}")
        where = "add"
        if rate.add != "-":
            prefix_key(rate.add.removeprefix("+"))
    except ValueError as error:
        raise ValueError(f"{where} is {getattr(rate, where)!r:.80}; expected {error}") from None
    return Offer(
        rate.prefix,
        rate.gateway,
        price,
        rate.currency or currency,
        setup,
        rate.minimum,
        rate.increment,
        begins,
        ends,
        schedule,
        caller,
        rate.priority,
        rate.weight,
        rate.stopper,
        rate.enabled,
        rate.strip,
        rate.add,
    )


# The least and the most of whole numbers.
BOUNDS: Final = (
    ("minimum", 0, 86_400),
    ("increment", 1, 86_400),
    ("priority", 0, 65_535),
    ("weight", 1, 65_535),
    ("strip", -1, 64),
)
