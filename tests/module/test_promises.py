"""Promises to authors of modules (docs/modules.md) that no other test of this folder holds.

Each test is one promise; the others are in the file of their subject (``test_mounts``, ``test_departure``).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sansip.config import ListenerConfig, StackConfig
from sansip.events import ModuleFailed
from sansip.module import Core, Module, Slot, Use, command
from sansip.module.base import HOOKS, PASS
from sansip.routing import IncomingRequest
from sansip.rows import Table
from sansip.testing import ModuleBench, Network, check_module
from sansip_server import module_commands

ROOT = Path(__file__).parents[2]


def test_the_core_names_no_module() -> None:
    """A module is one class; adding one touches nothing else, so nothing in the core imports one."""
    for path in sorted((ROOT / "sansip").rglob("*.py")):
        if "modules" in path.relative_to(ROOT).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("sansip.modules"), path
            elif isinstance(node, ast.Import):
                assert not any(one.name.startswith("sansip.modules") for one in node.names), path


class Odd(Module):
    """Returns a value that no hook returns, or raises in an unusual place."""

    name = "odd"
    where = ""
    told = 0
    events = (int,)

    def message_arrived(self, message: Any, flow: Any, now: float) -> Any:
        return 5 if self.where == "message_arrived" else PASS

    def request_received(self, request: Any) -> Any:
        return None

    def branch_leaving(self, request: Any, branch: Any, message: Any) -> Any:
        return True if self.where == "branch_leaving" else None

    def response_received(self, request: Any, branch: Any, response: Any) -> Any:
        return "x" if self.where == "response_received" else None

    def response_leaving(self, request: Any, response: Any) -> Any:
        return [1] if self.where == "response_leaving" else None

    def next_due(self) -> Any:
        if self.where == "next_due":
            raise ValueError("no time")
        return "soon" if self.where == "next_due odd" else None

    def time_passed(self, now: float) -> None: ...

    def event_received(self, event: int, now: float) -> None:
        self.told += 1
        self.core.notify(event + 1, now)

    def figures(self) -> dict[str, Any]:
        raise ValueError("no figures")

    def health(self) -> str:
        raise ValueError("no health")


class Odder(Odd):
    """Another that tells of each event."""

    name = "odder"


def odd(where: str) -> ModuleBench[Odd]:
    bench = ModuleBench(Odd)
    bench.module.where = where
    return bench


@pytest.mark.parametrize(
    ("where", "hook", "answer"),
    [
        ("message_arrived", "message_arrived", "500 Server Internal Error"),
        ("response_leaving", "response_leaving", "404 Not Found"),
        ("next_due", "next_due", "404 Not Found"),
        ("next_due odd", "next_due", "404 Not Found"),
    ],
)
def test_a_hook_that_returns_nonsense(where: str, hook: str, answer: str) -> None:
    """It is the module's failure, by name, and fails closed or open as the hook does; time goes on."""
    bench = odd(where)
    assert bench.call("nobody") == [answer]
    bench.perform(bench.stack.time_passed(bench.now))
    found = {one.where for one in bench.failures}
    assert found == ({"time_passed"} if where == "next_due odd" else {hook})
    bench.module.where = ""
    assert bench.call("nobody") == ["404 Not Found"]


@pytest.mark.parametrize(
    ("where", "answer"),
    [("branch_leaving", "500"), ("response_received", "486"), ("response_leaving", "486")],
)
def test_a_hook_of_a_relay_that_returns_nonsense(where: str, answer: str) -> None:
    """The same on the way there and back: nothing leaves unchecked, an answer always comes."""
    from tests.rig import BOB, BOB_URI, Rig, reply, request

    rig = Rig(lambda request: request.relay(BOB_URI), modules=[Use(Odd)])
    rig.stack.modules.get(Odd).where = where
    sent = rig.udp(request("INVITE", "sip:bob@biloxi.test"))
    answers = [one.what for one in sent if one.what == answer]
    if not answers:
        invite = next(one for one in sent if one.what == "INVITE")
        answers = [one.what for one in rig.udp(reply(invite, 486), BOB) if one.what == answer]
    assert answers == [answer]


def test_events_that_lead_to_events() -> None:
    """Two modules that tell each other of each event end somewhere, at once, and are named."""
    bench = ModuleBench(Odd, others=[Use(Odder)])
    bench.stack.tell(1, bench.now)
    told = bench.module.told + bench.stack.modules.get(Odder).told
    assert told <= 300
    bench.perform(bench.stack.time_passed(bench.now))
    assert [one.where for one in bench.failures] == ["event_received"]
    bench.stack.tell(1, bench.now)
    assert bench.module.told > told / 2


def test_figures_and_health_that_raise() -> None:
    """An operator's question about the other modules is answered."""
    bench = ModuleBench(Odd, others=[Use(Counted)])
    modules = bench.stack.modules
    assert module_commands.figures(modules) == {"counted.calls": 0}
    assert module_commands.troubles(modules) == {
        "odd": {"ok": False, "error": "health: ValueError: no health"}
    }


@dataclass
class Row:
    key: str
    value: int


ROWS = Table("counted", Row, key=("key",))


class Counted(Module):
    """Keeps a row for each call."""

    name = "counted"
    tables = (ROWS,)
    seen: Slot[int] = Slot()

    def start(self, core: Core, now: float) -> None:
        self.calls = 0

    def figures(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def request_received(self, request: IncomingRequest) -> bool:
        self.calls += 1
        self.seen.set(request, self.calls)
        self.core.run(self.core.rows(ROWS).put(Row(request.message.call_id, self.calls)), request.now)
        return False

    def request_ended(self, request: IncomingRequest) -> None:
        # Typed state of a request: a hook that has the request has it.
        assert self.seen.get(request) is not None

    @command("counted.list")
    async def list_rows(self) -> list[Row]:
        return await self.core.rows(ROWS).all()


def test_a_network_with_modules() -> None:
    """Several servers on virtual time have one set of rows, without a store and without a socket."""
    network = Network(modules=[Use(Counted)])
    places = ("192.0.2.10", "192.0.2.11")
    servers = []
    for host in places:
        servers.append(network.server(StackConfig([ListenerConfig(0, "udp", host, 5060)], ["example.com"])))
        phone = network.endpoint(f"phone{host[-1]}", f"192.0.2.{host[-1]}", server=servers[-1])
        phone.request("OPTIONS", f"sip:{host}")
        phone.expect("200")
    results: list[Any] = []
    for server in servers:
        server._perform(
            server.stack.command("counted.list", {}, network.now, lambda result, now: results.append(result))
        )
        network.run(1)
    assert [len(one) for one in results] == [2, 2]


def test_the_contract() -> None:
    """``check_module`` finds a module whose hooks break others, and passes one that keeps the contract."""
    check_module(Counted)

    class Deaf(Module):
        """Keeps every answer back."""

        name = "deaf"

        def request_received(self, request: IncomingRequest) -> bool:
            return True

    with pytest.raises(AssertionError, match="was not answered"):
        check_module(Deaf)


def test_each_hook_is_documented() -> None:
    """docs/modules.md has a row for each hook that authors are meant to write."""
    page = (ROOT / "docs" / "modules.md").read_text()
    for hook in HOOKS:
        if hook not in ("next_due", "time_passed"):
            assert f"| `{hook}(" in page, hook
    for name in dir(Core):
        if not name.startswith("_") and name not in ("counted", "failed", "rest", "end", "table", "teller"):
            assert name in page, f"core.{name} is not in docs/modules.md"
    assert ModuleFailed.__name__ in page
