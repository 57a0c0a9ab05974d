"""A rig with the module ``dispatcher`` and three servers, calls to them, and their answers to OPTIONS."""

from __future__ import annotations

from typing import Any

from sansip.module import Use
from sansip.modules.calls import Calls, CallsSettings
from sansip.modules.dispatcher import Destination, Dispatcher, DispatcherSettings
from sansip.rows import MemoryRows
from tests.answered import Answered
from tests.rig import ALICE, Out, Rig, only, reply, request

GATEWAYS = [("192.0.2.21", 5060), ("192.0.2.22", 5060), ("192.0.2.23", 5060)]
URIS = [f"sip:{host}" for host, _ in GATEWAYS]


class Farm(Answered):
    """A rig with a store, and with the module."""

    def __init__(
        self,
        settings: DispatcherSettings,
        route: Any = None,
        store: MemoryRows | None = None,
        **options: Any,
    ) -> None:
        uses = [Use(Dispatcher, settings), Use(Calls, CallsSettings())]
        super().__init__(route, store=store, modules=uses, **options)
        self.wait(0)
        self.wait(0.01)

    @property
    def dispatcher(self) -> Dispatcher:
        return self.stack.modules.get(Dispatcher)


def settings(*weights: int, **options: Any) -> DispatcherSettings:
    weights = weights or (1, 1, 1)
    limits = options.pop("max_calls", 0)
    destinations = [
        Destination(uri, weight=weight, max_calls=limits) for uri, weight in zip(URIS, weights, strict=False)
    ]
    return DispatcherSettings(destinations, **{"probe_interval": 0.0, **options})


def call(
    rig: Rig, number: int = 0, user: str = "4711", source: tuple[str, int] = ALICE, **options: Any
) -> list[Out]:
    names = {"branch": f"z9hG4bKc{number}", "from_tag": f"t{number}", "call_id": f"call{number}"}
    headers = [("Contact", "<sip:alice@192.0.2.1>")]
    uri = f"sip:{user}@biloxi.test"
    return rig.udp(request(uri=uri, to=f"<{uri}>", headers=headers, **names, **options), source)


def refused(rig: Rig, number: int, status: int = 486) -> Any:
    """Have a call be refused; return where it went."""
    invite = only(call(rig, number), "INVITE")
    rig.udp(reply(invite, status), invite.to)
    return invite.to


def probed(rig: Farm, statuses: dict[Any, int], seconds: float) -> None:
    """Let time pass; destinations answer OPTIONS as ``statuses`` says, others are silent."""
    end = rig.now + seconds
    while (deadline := rig.stack.next_deadline()) is not None and deadline <= end:
        for out in rig.wait(max(deadline - rig.now, 0.0)):
            if out.what == "OPTIONS" and out.to in statuses:
                rig.now += 0.02
                rig.udp(reply(out, statuses[out.to]), out.to)
    rig.wait(max(end - rig.now, 0.0))


def states(rig: Farm) -> list[str]:
    return [row["state"] for row in rig.command("dispatcher.list")]
