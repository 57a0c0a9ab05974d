"""One reply to an operator from the replies of all workers.

Theory of operation: each worker does a command by itself. Lists are put together, numbers are summed, and a
server is as well as the worker that is worst off. A value that is the same everywhere, like a limit, stays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sansip.module import Gathered

__all__ = ["ALL", "ONE", "merged"]

# Numbers are summed, lists put together.
ALL = Gathered()

# Commands about what all workers hold alike: one of them does it for all.
ONE = frozenset({"commands", "remove"})
# Figures that are the same in all workers.
_ALIKE = frozenset({"version", "bindings", "addresses_of_record", "limits"})
# Each worker counts the incoming ones of all.
_SEEN_BY_ALL = "connections"
# What tells one ban from another.
_NAMES = ("keeper", "source", "user")
_STATES = ("ok", "draining", "degraded")


def merged(
    name: str,
    replies: Mapping[int, bytes],
    count: int,
    how: Gathered = ALL,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Return the lines of the reply to command ``name``; ``replies`` by worker, ``count``: how many serve.

    ``how`` a module's command is gathered; ``limit``: how many rows at the most.
    """
    parts = {number: [json.loads(line) for line in reply.splitlines()] for number, reply in replies.items()}
    good = {number: lines for number, lines in parts.items() if lines and lines[-1].get("ok")}
    if not good:
        failed = next((lines[-1] for lines in parts.values() if lines), None)
        return [failed or {"ok": False, "error": f"{name}: no worker answers"}]
    if len(good) < len(parts) and not how.any and name not in ("hangup", "health", "stats"):
        failing = {number: lines[-1] for number, lines in parts.items() if lines and number not in good}
        for number, line in failing.items():
            line["error"] = f"worker {number}: {line.get('error')}"
            return [line]
    if how.first:
        good = dict([next(iter(good.items()))])
    items = _rows(good, how) if how.key else _items(good)
    if how.order:
        items.sort(key=lambda row: row[how.order])
        items = items[:limit]
    results = {number: lines[-1]["result"] for number, lines in good.items()}
    if name == "health":
        result: Any = _health(results, count)
    elif name == "stats":
        result = _stats(results)
    else:
        result = _same(list(results.values()))
        if how.key and isinstance(result, dict) and "items" in result:
            result = {"items": len(items)} if items else result
        elif items and isinstance(result, dict) and len(result) == 1:
            result = dict.fromkeys(result, len(items))
    return [*({"item": item} for item in items), {"ok": True, "result": result}]


def _items(replies: Mapping[int, list[dict[str, Any]]]) -> list[Any]:
    """Return the items of all, each once."""
    found: dict[str, Any] = {}
    for lines in replies.values():
        for line in lines[:-1]:
            item = line["item"]
            # Each worker has a ban of its own, which ends a moment before or after that of another.
            same = [item.get(name) for name in _NAMES] if "keeper" in item else item
            found.setdefault(json.dumps(same, sort_keys=True), item)
    return list(found.values())


def _rows(replies: Mapping[int, list[dict[str, Any]]], how: Gathered) -> list[Any]:
    """Return the rows of all; those with the same key are one."""
    found: dict[str, dict[str, Any]] = {}
    for lines in replies.values():
        for line in lines[:-1]:
            row = line["item"]
            known = found.setdefault(json.dumps([row[name] for name in how.key]), row)
            if known is row:
                continue
            for name, value in row.items():
                if name in how.sums:
                    known[name] += value
                elif known[name] is None:
                    known[name] = value
    return list(found.values())


def _same(results: list[Any]) -> Any:
    """Return what ``results`` say together: equal ones once, numbers summed, else the list of them."""
    first = results[0]
    if all(one == first for one in results):
        return first
    if all(isinstance(one, dict) for one in results):
        keys = dict.fromkeys(key for one in results for key in one)
        return {key: _same([one[key] for one in results if key in one]) for key in keys}
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in results):
        return sum(results)
    return results


def _health(results: Mapping[int, dict[str, Any]], count: int) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "workers": {
            "ok": len(results) == count,
            "name": f"{len(results)} of {count}",
            "error": None if len(results) == count else "the others are being started again",
        }
    }
    for number, result in results.items():
        for name, part in result["parts"].items():
            known = parts.get(name)
            if known is None or (known["ok"] and not part["ok"]):
                told = {} if part["ok"] else {"error": f"worker {number}: {part.get('error')}"}
                parts[name] = part | told
    failing = [name for name, part in parts.items() if not part["ok"]]
    states = [result["status"] for result in results.values()]
    status = max([*states, "degraded" if failing else "ok"], key=_STATES.index)
    if "draining" in states:
        status = "draining"
    uptime = max(float(result["uptime"]) for result in results.values())
    return {"status": status, "failing": failing, "uptime": uptime, "parts": parts}


def _stats(results: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
    first = next(iter(results.values()))
    told: dict[str, Any] = {}
    for name, value in first.items():
        values = [result.get(name) for result in results.values()]
        if name in _ALIKE:
            told[name] = value
        elif name == "pid":
            told["pids"] = {str(number): result["pid"] for number, result in results.items()}
        elif name in ("uptime", _SEEN_BY_ALL):
            told[name] = max((result[name] for result in results.values()), key=float)
        elif isinstance(value, int | float):
            told[name] = sum(one or 0 for one in values)
        elif isinstance(value, dict):
            told[name] = _same(values) if all(isinstance(one, dict) for one in values) else value
        else:
            told[name] = value
    return told
