"""State machines as total tables: the rule first, the code after.

Theory of operation: a machine is a list of rows ``(state, input): (effect, next state)``. ``total`` checks at
import that there is exactly one row for every pair of a live state and an input, so no combination is
forgotten: a pair without an effect is written down as ``IGNORE`` or ``IMPOSSIBLE``. The same tables feed the
property tests and the pictures in ``docs/transactions.md``.

An effect is the name of a method of the machine's class; binding by name keeps
a table readable as data and lets it be printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

__all__ = ["IGNORE", "IMPOSSIBLE", "TERMINATED", "Machine", "Row", "total"]

# No effect, and the state stays: the RFC says to absorb or discard it.
IGNORE: Final = "ignore"
# No timer or user of the state can produce this input; treated as IGNORE.
IMPOSSIBLE: Final = "impossible"
# The common last state: it has no rows, for the object is gone by then.
TERMINATED: Final = "terminated"

# (name of the effect method, next state)
Row: TypeAlias = tuple[str, str]
# state -> input -> row
Machine: TypeAlias = dict[str, dict[str, Row]]


def total(
    name: str,
    states: Iterable[str],
    inputs: Iterable[str],
    rows: Mapping[tuple[str, str], Row | str],
) -> Machine:
    """Return ``rows`` as a nested mapping, having proved that it is total.

    A row given as ``IGNORE`` or ``IMPOSSIBLE`` keeps the state. Raises
    ``TypeError`` (at import, so a test run cannot start) when a row is missing
    or names an unknown state or input.
    """
    states, inputs = tuple(states), tuple(inputs)
    known = set(states) | {TERMINATED}
    machine: Machine = {state: {} for state in states}
    for (state, given), row in rows.items():
        if state not in machine or given not in inputs:
            raise TypeError(f"{name}: row ({state}, {given}) names an unknown state or input")
        if isinstance(row, str):
            row = (row, state)
        if row[1] not in known:
            raise TypeError(f"{name}: row ({state}, {given}) leads to the unknown state {row[1]}")
        machine[state][given] = row
    missing = [(state, given) for state in states for given in inputs if given not in machine[state]]
    if missing:
        raise TypeError(f"{name}: no row for {missing}")
    return machine
