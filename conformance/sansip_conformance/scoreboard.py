"""The scoreboard: sections against verdicts, as a table, as JSON, and beside another one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sansip_conformance.run import Verdict

__all__ = ["as_json", "by_section", "section_key"]


def section_key(section: str) -> tuple[int, list[int], str]:
    """Return a sort key: by RFC, then by section number."""
    match = re.match(r"RFC (\d+)(?: ([\w.]+))?", section)
    if match is None:
        return (0, [], section)
    numbers = [int(part) if part.isdigit() else 99 for part in (match[2] or "0").split(".")]
    return (int(match[1]), numbers, section)


def _shorten(section: str) -> str:
    """Return the section to two levels: ``RFC 3261 17.2``."""
    match = re.match(r"(RFC \d+)(?: (\w+(?:\.\d+)?))?", section)
    if match is None:
        return section
    return f"{match[1]} {match[2]}" if match[2] else match[1]


def by_section(verdicts: Iterable[Verdict]) -> dict[str, dict[str, int]]:
    """Return, for each section to two levels, how many traces passed, failed, were skipped.

    A trace counts once, under the first section it cites.
    """
    table: dict[str, dict[str, int]] = {}
    for verdict in verdicts:
        sections = verdict.trace.sections
        name = _shorten(sections[0]) if sections else "no section"
        row = table.setdefault(name, {"pass": 0, "fail": 0, "skip": 0})
        row[verdict.outcome] += 1
    return dict(sorted(table.items(), key=lambda item: section_key(item[0])))


def as_json(verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Return everything, for other programs."""
    verdicts = sorted(verdicts, key=lambda one: one.trace.id)
    totals = {"pass": 0, "fail": 0, "skip": 0}
    for one in verdicts:
        totals[one.outcome] += 1
    return {
        "schema": "sansip-conformance/1",
        "totals": totals,
        "sections": by_section(verdicts),
        "traces": [
            {
                "id": one.trace.id,
                "title": one.trace.title,
                "rfc": one.trace.sections,
                "level": one.trace.level,
                "outcome": one.outcome,
                "reason": one.reason,
                "where": one.where if one.outcome == "fail" else "",
                "broken": list(one.rfc) if one.outcome == "fail" else [],
                "seconds": round(one.seconds, 4),
            }
            for one in verdicts
        ],
    }
