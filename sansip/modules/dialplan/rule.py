"""A rule of a dialplan: which numbers it is for, and what it makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from sansip.module import Doc
from sansip.patterns import LONGEST, Pattern, Template
from sansip.rows import Table

__all__ = ["RULES", "Rule"]

_MOST_PLACE: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rule:
    """A row, and a table [[dialplan.rules]]. Raises ``ValueError`` that begins with the name of the field."""

    plan: Annotated[str, Doc("The plan that it belongs to: a domain, or any name that a route asks for.")] = (
        "default"
    )
    place: Annotated[int, Doc("Its turn: lower ones first, those of one place in the order of the file.")] = 0
    equal: Annotated[str, Doc("The number that it is for.")] = ""
    prefix: Annotated[str, Doc("Or what the number begins with; `replace` takes its place.")] = ""
    pattern: Annotated[str, Doc("Or a regular expression that the number fits.")] = ""
    length: Annotated[int, Doc("How many characters the number must have; 0: any number.")] = 0
    replace: Annotated[
        str, Doc("What it becomes; for a pattern with `\\1` for its first group, `\\0` for all that fits.")
    ] = ""
    refuse: Annotated[int, Doc("A status that calls for it are answered with, in place of `replace`.")] = 0
    attributes: Annotated[str, Doc("Any text for routes.")] = ""
    example: Annotated[str, Doc("A test: a number that people dial …")] = ""
    gives: Annotated[
        str, Doc("… and what the whole plan has to make of it; a status where it is refused.")
    ] = ""

    def __post_init__(self) -> None:
        if not self.plan:
            raise ValueError("plan must not be empty")
        if not 0 <= self.place <= _MOST_PLACE:
            raise ValueError(f"place is {self.place}; expected 0 to {_MOST_PLACE:,}")
        given = [name for name in ("equal", "prefix", "pattern") if getattr(self, name)]
        if len(given) != 1:
            named = " and ".join(given) or "none"
            raise ValueError(f"pattern: expected one of equal, prefix and pattern, found {named}")
        for name in ("equal", "prefix", "example"):
            if len(getattr(self, name)) > LONGEST:
                raise ValueError(f"{name} has more than {LONGEST} characters")
        if not 0 <= self.length <= LONGEST:
            raise ValueError(f"length is {self.length}; expected 0 to {LONGEST}")
        if self.refuse and not 300 <= self.refuse <= 699:
            raise ValueError(f"refuse is {self.refuse}; expected a status from 300 to 699")
        if self.refuse and self.replace:
            raise ValueError("replace: a number that is refused becomes no other")
        if self.gives and not self.example:
            raise ValueError("gives needs an example")
        if self.pattern:
            try:
                groups = Pattern(self.pattern).groups
            except ValueError as error:
                raise ValueError(f"pattern: {error}") from None
            try:
                Template(self.replace, groups)
            except ValueError as error:
                raise ValueError(f"replace: {error}") from None

    @property
    def words(self) -> str:
        """The rule in short, for errors and for `dialplan.try`."""
        kind = "equal" if self.equal else "prefix" if self.prefix else "pattern"
        return f"{kind} {getattr(self, kind)}"


RULES = Table("dialplan_rules", Rule, key=("plan", "place", "equal", "prefix", "pattern"))
