"""sansip_server.workers.merging: one answer to an operator from those of all workers."""

from __future__ import annotations

import json
from typing import Any

from sansip.module import Gathered
from sansip_server.workers.merging import merged


def reply(*items: Any, **result: Any) -> bytes:
    lines = [*({"item": item} for item in items), {"ok": True, "result": result}]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def refused(error: str) -> bytes:
    return json.dumps({"ok": False, "error": error}).encode() + b"\n"


def test_numbers_are_summed_and_what_is_alike_stays() -> None:
    """A figure that counts one worker alone misleads the operator."""
    one = reply(version="1", pid=7, uptime=3.0, calls=2, bindings=5, connections=3, limits={"aors": 9})
    two = reply(version="1", pid=8, uptime=1.0, calls=3, bindings=5, connections=4, limits={"aors": 9})
    [line] = merged("stats", {0: one, 1: two}, 2)
    assert line["result"] == {
        "version": "1", "pids": {"0": 7, "1": 8}, "uptime": 3.0, "calls": 5, "bindings": 5, "connections": 4,
        "limits": {"aors": 9},
    }  # fmt: skip


def test_health_is_that_of_the_worst() -> None:
    """A worker whose store fails must show, and so must one that is not there."""
    well = reply(status="ok", failing=[], uptime=3.0, parts={"store": {"ok": True, "name": "s"}})
    ill = reply(
        status="degraded", failing=["store"], uptime=1.0, parts={"store": {"ok": False, "error": "x"}}
    )
    [line] = merged("health", {0: well, 1: ill}, 2)
    assert line["result"]["status"] == "degraded"
    assert line["result"]["parts"]["store"]["error"] == "worker 1: x"
    [line] = merged("health", {0: well}, 2)
    assert line["result"]["failing"] == ["workers"]
    [line] = merged("health", {0: well, 1: well}, 2)
    assert line["result"]["status"] == "ok"


def test_lists_are_put_together() -> None:
    """A ban is known to all workers and shown once; a call is one worker's."""
    ban = {"keeper": "digest", "source": "192.0.2.1", "user": None, "until": 1.0}
    parts = merged("bans", {0: reply(ban, bans=1), 1: reply(ban | {"until": 1.1}, bans=1)}, 2)
    assert parts[0] == {"item": ban}
    assert parts[1]["result"] == {"bans": 1}
    calls = merged("calls", {0: reply({"number": 1, "with": "a"}, calls=1), 1: reply(calls=0)}, 2)
    assert calls[-1]["result"] == {"calls": 1}


def test_a_refusal_names_its_worker() -> None:
    """An operator must not read "done" where one worker did not do it."""
    [line] = merged("lift", {0: reply(lifted=0), 1: refused("no address")}, 2)
    assert line == {"ok": False, "error": "worker 1: no address"}
    # Only the worker of a call can hang it up.
    [line] = merged("hangup", {0: refused("no call 7"), 1: reply(number=7)}, 2)
    assert line["ok"]
    [line] = merged("hangup", {0: refused("no call 7"), 1: refused("no call 7")}, 2)
    assert line == {"ok": False, "error": "no call 7"}
    assert merged("x", {}, 2)[0]["error"] == "x: no worker answers"


def test_commands_of_modules() -> None:
    """Equal results are said once, numbers summed, and others listed."""
    assert merged("m.x", {0: reply(n=1), 1: reply(n=2)}, 2)[-1]["result"] == {"n": 3}
    assert merged("m.x", {0: reply(a="x"), 1: reply(a="x")}, 2)[-1]["result"] == {"a": "x"}
    assert merged("m.x", {0: reply(a="x"), 1: reply(a="y")}, 2)[-1]["result"] == {"a": ["x", "y"]}


def test_rows_with_one_key_are_one() -> None:
    """A destination that two workers list is one, with the requests of both."""
    how = Gathered(key=("uri",), sums=("requests",))
    one = reply({"uri": "a", "requests": 2, "latency": None}, items=1)
    two = reply(
        {"uri": "a", "requests": 3, "latency": 0.5}, {"uri": "b", "requests": 1, "latency": 1}, items=2
    )
    *items, last = merged("dispatcher.list", {0: one, 1: two}, 2, how)
    assert [line["item"] for line in items] == [
        {"uri": "a", "requests": 5, "latency": 0.5},
        {"uri": "b", "requests": 1, "latency": 1},
    ]
    assert last["result"] == {"items": 2}
    empty = reply(items=0, columns=["uri"])
    assert merged("dispatcher.list", {0: empty, 1: empty}, 2, how)[-1]["result"]["columns"] == ["uri"]


def test_a_page_of_all_workers() -> None:
    """The next page begins behind the last row: so a row must not be missing before it."""
    how = Gathered(key=("id",), order="number")
    replies = {
        worker: reply(*({"id": f"{n}", "number": n} for n in range(worker, 8, 2)), items=4)
        for worker in (0, 1)
    }
    *items, last = merged("calls.list", replies, 2, how, 3)
    assert [line["item"]["number"] for line in items] == [0, 1, 2]
    assert last["result"] == {"items": 3}


def test_what_one_worker_has() -> None:
    """A call is at one worker: the others do not know it, and that is no fault."""
    replies = {0: refused("there is no call x"), 1: reply(id="x")}
    assert merged("calls.show", replies, 2, Gathered(any=True))[-1]["result"] == {"id": "x"}
    [line] = merged("calls.show", {0: refused("no call"), 1: refused("no call")}, 2, Gathered(any=True))
    assert line == {"ok": False, "error": "no call"}
    replies = {0: reply(rates=3, seconds=1.0), 1: reply(rates=3, seconds=2.0)}
    assert merged("lcr.reload", replies, 2, Gathered(first=True))[-1]["result"]["seconds"] == 1.0
