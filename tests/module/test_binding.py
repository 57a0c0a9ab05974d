"""Modules that a route asks for by the types of its parameters."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Module, ModuleFault, Use, function
from sansip.routing import ask
from tests.rig import Rig, request, what


class Greeter(Module):
    name = "greeter"

    @function
    async def greeting(self, request: Any) -> str:
        return f"Hello {await ask('who')}"


def test_a_route_asks_for_a_module_by_type() -> None:
    """Typed, found by editors, and judged before the first request."""

    async def route(request: Any, greeter: Greeter) -> None:
        request.reply(200, await greeter.greeting(request))

    rig = Rig(route, modules=[Use(Greeter)])
    rig.udp(request("OPTIONS", "sip:biloxi.test"))
    (answer,) = rig.answer("Bob")
    assert answer.message.reason == "Hello Bob"


def test_a_route_that_wants_what_is_not_there() -> None:
    """File and line, and what to add."""

    def route(request: Any, greeter: Greeter) -> None: ...

    with pytest.raises(
        ModuleFault, match=r"test_binding.py:\d+: the route wants the module greeter; add \[greeter\]"
    ):
        Rig(route)

    def other(request: Any, greeting: str) -> None: ...

    with pytest.raises(ModuleFault, match="parameter greeting, whose type is no module"):
        Rig(other)

    def bound(request: Any, count: int = 3) -> None:
        request.reply(200)

    assert what(Rig(bound).udp(request("OPTIONS", "sip:biloxi.test"))) == ["200"]
