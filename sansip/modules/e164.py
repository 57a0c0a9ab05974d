"""The module ``e164``: numbers as people dial them, in their international form, with country and carrier.

Theory of operation: the outer half knows the numbering plans of the world (the library ``phonenumbers``). The
module asks it once for each number, and keeps the last answers.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from sansip.module import CommandError, Doc, Module, Slot, command, function, step
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.routing import IncomingRequest

__all__ = ["E164", "E164Settings", "FindNumber", "Number"]

# Numbers whose answers are kept.
_KEPT: Final = 10_000
# Characters of a number. → it is none
_LONGEST: Final = 32
_MARKS: Final = frozenset("0123456789-.() ")


@dataclass(frozen=True, slots=True)
class FindNumber:
    """The question to the outside. Answer: a ``Number``, or None where ``text`` is none of ``region``."""

    text: str
    region: str


@dataclass(frozen=True, slots=True)
class Number:
    """What the numbering plans say of a number.

    Attributes:
        e164: in international form, with a plus.
        valid: whether its country has such numbers.
        country: the country code, like 49.
        region: two letters (ISO 3166), "" where several countries share the code and it is not clear.
        kind: ``fixed_line``, ``mobile``, ``toll_free``, ``premium_rate`` and so on.
        carrier: that its block was given to, "" where that is not known. Numbers move with their owners.
    """

    e164: str
    valid: bool
    country: int
    region: str
    kind: str
    carrier: str


@dataclass(slots=True)
class E164Settings:
    """The table [e164]. Raises ``ValueError`` for a region that is none."""

    region: Annotated[str, Doc("The country whose people dial, two letters (ISO 3166), like `DE`.")] = ""
    rewrite: Annotated[
        Literal["valid", "nothing"],
        Doc("What the default route puts into international form: valid numbers of the region, or nothing."),
    ] = "valid"
    within: Annotated[float, Doc("Seconds that a call waits for the answer of the library.")] = 1.0

    def __post_init__(self) -> None:
        if self.region and not (len(self.region) == 2 and self.region.isascii() and self.region.isupper()):
            raise ValueError(f"region is {self.region!r:.20}; expected two capital letters like DE")
        if not 0.05 <= self.within <= 10:
            raise ValueError(f"within must be 0.05 to 10 seconds, got {self.within:g}")


class E164(Module):
    """Puts numbers into international form, and knows their country, kind and carrier."""

    name = "e164"
    Settings = E164Settings
    over_workers = True
    settings: E164Settings
    found: Slot[Number] = Slot()

    def __init__(self, settings: E164Settings) -> None:
        super().__init__(settings)
        self._known: OrderedDict[tuple[str, str], Number | None] = OrderedDict()

    def start(self, core: Core, now: float) -> None:
        self._rewritten = core.counter("rewritten", "Numbers that got their international form")

    def figures(self) -> dict[str, Any]:
        """Return how many numbers are kept."""
        return {"known": len(self._known)}

    # --- in routes

    @function
    async def find(self, text: str, region: str = "") -> Number | None:
        """Return what is known of a number that somebody in ``region`` dials, None where it is none."""
        key = (text, region or self.settings.region)
        if not text or len(text) > _LONGEST or not _MARKS.issuperset(text.removeprefix("+")):
            return None
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        number: Number | None = await self.core.ask(FindNumber(*key), self.settings.within)
        self._known[key] = number
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return number

    @function
    def of(self, request: IncomingRequest) -> Number | None:
        """Return what the default route has found of the number of ``request``."""
        return self.found.get(request)

    @step("translate")
    async def internationalise(self, request: IncomingRequest) -> None:
        """Put the number that was dialled into international form."""
        uri = request.uri
        if not isinstance(uri, SipUri) or self.settings.rewrite == "nothing":
            return
        number = await self.find(request.user or "")
        if number is None or not number.valid:
            return
        self.found.set(request, number)
        if number.e164 != request.user:
            self._rewritten.add()
            request.message.set_uri(uri.replace(user=number.e164))

    # --- operators

    @command("e164.try")
    async def try_number(self, number: str, region: str = "") -> Number:
        """Return what is known of a number."""
        found = await self.find(number, region)
        if found is None:
            raise CommandError(
                f"e164.try: {number!r:.40} is no number of {region or self.settings.region or 'any country'};"
                " expected digits, with a plus or of the region"
            )
        return found
