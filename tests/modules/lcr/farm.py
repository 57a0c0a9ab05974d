"""A rig with the module ``lcr`` and four gateways, and calls to them, for the tests of the module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sansip.module import Use
from sansip.modules.calls import Calls, CallsSettings
from sansip.modules.lcr import Gateway, Lcr, LcrSettings
from sansip.modules.lcr.events import FindZone, LoadRates
from sansip.modules.lcr.packed import PackedRates
from sansip.modules.lcr.packing import Packing, pack
from sansip.rows import MemoryRows
from tests.answered import Answered
from tests.rig import Out, Rig, reply, request

NAMES = ("one", "two", "three", "four")
PLACES = {name: (f"192.0.2.{31 + number}", 5060) for number, name in enumerate(NAMES)}
HEAD = "gateway,prefix,price,priority,weight,stopper,caller"
# 2023-11-14T22:13:20Z, a Tuesday.
UNIX = 1_700_000_000.0


def table(*lines: str, head: str = HEAD, names: tuple[str, ...] = NAMES) -> PackedRates:
    """Pack lines, each filled up to the head's columns."""
    columns = head.count(",")
    rows = [head, *(line + "," * (columns - line.count(",")) for line in lines)]
    packing = Packing(names, "EUR", currencies=("USD",), zones=lambda name: ((0, 3_600),))
    return PackedRates(b"".join(pack([f"{row}\n" for row in rows], "rates.csv", packing)))


class Farm(Answered):
    """A rig with a store, with the module, and with rates in the place of a file."""

    def __init__(
        self,
        rates: PackedRates | Exception | None,
        route: Any = None,
        store: MemoryRows | None = None,
        gateways: dict[str, dict[str, Any]] | None = None,
        more: dict[str, Any] | None = None,
        beside: Sequence[Use] = (),
        **options: Any,
    ) -> None:
        self.rates: Any = rates
        made = [
            Gateway(name, f"sip:{place[0]}", **(gateways or {}).get(name, {}))
            for name, place in PLACES.items()
        ]
        given = {"probe_interval": 0.0, "file": "rates.csv", "currencies": {"USD": 0.5}, **(options or {})}
        uses = [Use(Lcr, LcrSettings(made, **given)), Use(Calls, CallsSettings()), *beside]
        super().__init__(route, store=store, modules=uses, wall_offset=UNIX - 100.0, **(more or {}))
        self.wait(0)
        self.wait(0.01)

    def answer_to(self, question: Any) -> Any:
        if isinstance(question, LoadRates):
            return self.rates
        if isinstance(question, FindZone):
            known = question.name == "Europe/Berlin"
            return ((0, 3_600),) if known else ValueError("a time zone of this machine, not 'Mars'")
        return super().answer_to(question)

    @property
    def lcr(self) -> Lcr:
        return self.stack.modules.get(Lcr)

    def row(self, gateway: str) -> Any:
        return next(one for one in self.command("lcr.list") if one["gateway"] == gateway)


def call(rig: Rig, user: str = "4930123456", number: int = 0, **options: Any) -> list[Out]:
    names = {"branch": f"z9hG4bKc{number}", "from_tag": f"t{number}", "call_id": f"call{number}"}
    uri = f"sip:{user}@biloxi.test"
    headers = [("Contact", "<sip:alice@192.0.2.1>")]
    return rig.udp(request(uri=uri, to=f"<{uri}>", headers=headers, **{**names, **options}))


def gateway_of(out: Out) -> str:
    return next(name for name, place in PLACES.items() if place == out.to)


def asked(
    rig: Rig, user: str = "4930123456", number: int = 0, status: int = 503, **options: Any
) -> list[str]:
    """Have every gateway fail; return those that were asked, in order."""
    found = []
    outs = call(rig, user, number, **options)
    while invites := [out for out in outs if out.what == "INVITE"]:
        (invite,) = invites
        found.append(gateway_of(invite))
        outs = rig.udp(reply(invite, status), invite.to)
    return found


def order(rig: Farm, number: str = "4930123456", **given: Any) -> list[str]:
    """Return the gateways of `lcr.explain`, in the order to be tried."""
    rows = rig.command("lcr.explain", number=number, **given)
    assert isinstance(rows, list), rows
    return [row["gateway"] for row in rows if row["place"]]
