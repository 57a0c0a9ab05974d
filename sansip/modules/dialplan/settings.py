"""The table [dialplan]."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from sansip.module import Doc
from sansip.module.table_file import RowsFile
from sansip.modules.dialplan.plan import plans_of, tested
from sansip.modules.dialplan.rule import Rule

__all__ = ["DialplanSettings"]

# Rules in all. → refused
MOST: Final = 20_000


@dataclass(slots=True)
class DialplanSettings:
    """The rules. Raises ``ValueError`` where a test of a rule fails."""

    rules: list[Rule] = field(default_factory=list)
    rules_file: Annotated[
        str,
        RowsFile("rules"),
        Doc("A file with more rules (CSV): a line of column names, then a rule a line."),
    ] = ""
    plan: Annotated[str, Doc("The plan of the default route, for domains without a plan of their name.")] = (
        "default"
    )

    def __post_init__(self) -> None:
        if len(self.rules) > MOST:
            raise ValueError(f"rules: there are {len(self.rules):,}; expected at most {MOST:,}")
        faults = tested(plans_of(self.rules))
        if faults:
            more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
            raise ValueError(f"rules: {'; '.join(faults[:5])}{more}")
