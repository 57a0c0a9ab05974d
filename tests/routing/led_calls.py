"""Calls that ``dispatcher`` or ``lcr`` leads: the plays, the farms, and what everybody sees of a play.

Theory of operation: a play acts on the rig of a farm: it dials, answers, waits. ``seen_of`` plays it as
octets (``quick``) or on the long way, and returns what phones, operators and gateways see of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sansip.actions import Ask
from sansip.module import Use
from sansip.modules.accounting import Accounting, AccountingSettings
from sansip.modules.accounting.module import Spooled
from sansip.proxy import ProxyConfig
from sansip.routing import TrustedPeer
from tests.modules.dispatcher import farm as dispatcher
from tests.modules.lcr import farm as lcr
from tests.rig import BOB_URI, Out, Rig, reply, request

__all__ = [
    "DRAWN",
    "FARMS",
    "ID",
    "PLAYS",
    "RIDING",
    "Play",
    "answer",
    "dial",
    "give_up",
    "invites",
    "seen_of",
]

# What is drawn by chance for each message: the two ways draw in another order.
DRAWN = re.compile(rb"(branch=z9hG4bK)[0-9a-f]{16}\.?[0-9a-f]*|(;tag=)[0-9a-f]{16,}")

# Names that are drawn, or tell two objects apart.
ID = re.compile(
    r"(?<=call )[0-9a-f]{16}|(?<='id': ')[^']*|(?<=id=')[^']*|[0-9a-f]{16}(?=\.)"
    r"|at 0x[0-9a-f]+|won=.*?(?=, gateway)"
)


class Seen:
    """What phones, operators and gateways see of one rig."""

    def __init__(self, rig: Any, commands: tuple[str, ...]) -> None:
        self.rig = rig
        self.commands = commands

    def now(self) -> Any:
        rig = self.rig
        left = []
        for out in rig.log:
            data = getattr(out.action, "data", b"")
            left.append((round(out.time, 9), out.what, out.to, DRAWN.sub(rb"\1\2", data)))
        said = [str(rig.command(name)) for name in self.commands]
        for number in range(4):
            names = [one for one in ("dispatcher.explain", "lcr.show") if one in rig.stack.modules.commands]
            said += [str(rig.command(one, call_id=f"call{number}")) for one in names]
        events = [ID.sub("", str(one)) for one in rig.events]
        said = [ID.sub("", one) for one in said]
        counts = len(rig.stack.transactions), rig.stack.proxy.pending.sources, rig.stack.proxy.pending.callees
        return left, said, events, counts


Play = Callable[[Any], None]


def invites(rig: Rig) -> list[Any]:
    return [out for out in rig.log if out.what == "INVITE"]


def dial(rig: Rig, number: int = 0, user: str = "4930123456", **options: Any) -> None:
    dispatcher.call(rig, number, user, **options)


def answer(rig: Rig, status: int, which: int = -1, **options: Any) -> None:
    if sent := invites(rig):
        one = sent[which]
        rig.udp(reply(one, status, **options), one.to)


def give_up(rig: Rig, number: int = 0) -> None:
    rig.udp(
        request(
            "CANCEL",
            uri="sip:4930123456@biloxi.test",
            to="<sip:4930123456@biloxi.test>",
            branch=f"z9hG4bKc{number}",
            from_tag=f"t{number}",
            call_id=f"call{number}",
        )
    )


def taken(rig: Rig) -> None:
    dial(rig)
    for status in (100, 180, 200):
        rig.now += 0.125
        answer(rig, status)
    rig.now += 2
    answer(rig, 200)
    dial(rig, 1)
    answer(rig, 200)


def failed_over(rig: Rig) -> None:
    dial(rig)
    rig.now += 0.25
    answer(rig, 100)
    answer(rig, 503)
    rig.now += 0.25
    answer(rig, 180)
    answer(rig, 200)
    rig.wait(40)
    for number in (1, 2, 3):
        dial(rig, number)
        answer(rig, 200)


def all_fail(rig: Rig) -> None:
    for number in (0, 1):
        dial(rig, number, source=(f"192.0.2.{100 + number}", 5060))
        for _ in range(5):
            answer(rig, 503 if number else 500)
        rig.wait(40)


def told_to_wait(rig: Rig) -> None:
    dial(rig)
    answer(rig, 503, headers=[("Retry-After", "60")])
    answer(rig, 486)
    dial(rig, 1)
    answer(rig, 200)


def silent(rig: Rig) -> None:
    """Past ``answer``, the next one is tried; the OPTIONS that decides is not answered either."""
    dial(rig)
    rig.wait(2.5)
    answer(rig, 200)
    rig.wait(40)
    dial(rig, 1)
    rig.wait(1)
    answer(rig, 100)
    rig.wait(5)
    answer(rig, 200)
    rig.wait(60)


def late(rig: Rig) -> None:
    dial(rig)
    rig.wait(0.75)
    answer(rig, 180)
    rig.wait(3)
    answer(rig, 200)


def unreachable(rig: Rig) -> None:
    dial(rig)
    rig.failed(invites(rig)[-1])
    answer(rig, 200)


def busy(rig: Rig) -> None:
    dial(rig)
    answer(rig, 180)
    rig.now += 1
    answer(rig, 486)
    dial(rig, 1)
    answer(rig, 603)


def given_up(rig: Rig) -> None:
    dial(rig)
    answer(rig, 180)
    rig.now += 1
    give_up(rig)
    answer(rig, 487)
    dial(rig, 1)
    give_up(rig, 1)
    rig.wait(0.2)
    answer(rig, 180)
    answer(rig, 487)
    rig.wait(40)


def acknowledged_in_advance(rig: Rig) -> None:
    """An ACK before there is an answer changes nothing: the silent one is passed over as soon."""
    for number in (0, 1):
        dial(rig, number)
        if number:
            answer(rig, 180)
        names = {"branch": f"z9hG4bKc{number}", "from_tag": f"t{number}", "call_id": f"call{number}"}
        uri = "sip:4930123456@biloxi.test"
        rig.udp(request("ACK", uri=uri, to=f"<{uri}>", to_tag="x", **names))
        rig.wait(400 if number else 2)
        answer(rig, 200)


def given_up_by_another(rig: Rig) -> None:
    """A CANCEL from another address ends nothing (RFC 3261 9.2), and holds nothing up."""
    dial(rig)
    uri = "sip:4930123456@biloxi.test"
    names = {"branch": "z9hG4bKc0", "from_tag": "t0", "call_id": "call0"}
    rig.udp(request("CANCEL", uri=uri, to=f"<{uri}>", **names), ("192.0.2.66", 5060))
    rig.wait(2)
    answer(rig, 200)


def rings_for_ever(rig: Rig) -> None:
    dial(rig)
    answer(rig, 180)
    rig.wait(400)


def repeated(rig: Rig) -> None:
    dial(rig)
    rig.wait(0.1)
    dial(rig)
    answer(rig, 183)
    dial(rig)
    answer(rig, 200)
    dial(rig)
    answer(rig, 200, tag="other")
    rig.wait(40)


def unusual_answers(rig: Rig) -> None:
    """Responses that are read, whatever comes later: the module still waits for the outcome."""
    dial(rig)
    answer(rig, 180, headers=[("Contact", "<sip:a@192.0.2.9>, <sip:b@192.0.2.9>")])
    answer(rig, 200, headers=[("Contact", "<sip:a@192.0.2.9>, <sip:b@192.0.2.9>")])
    dial(rig, 1)
    answer(rig, 302, headers=[("Contact", "<sip:a@192.0.2.9>")])


def many(rig: Rig) -> None:
    for number in range(4):
        dial(rig, number)
        answer(rig, 180)
    for which in range(min(4, len(invites(rig)))):
        answer(rig, 200, which)


def drained(rig: Rig) -> None:
    dial(rig)
    if "dispatcher.set" in rig.stack.modules.commands:
        rig.command("dispatcher.set", group="default", uri=dispatcher.URIS[0], state="draining")  # type: ignore[attr-defined]  # a farm
    else:
        rig.command("lcr.set", gateway="one", state="draining")  # type: ignore[attr-defined]  # a farm
    answer(rig, 503)
    answer(rig, 200)
    dial(rig, 1)
    answer(rig, 200)


def to_a_phone(rig: Rig) -> None:
    rig.register(BOB_URI)
    rig.udp(request(branch="z9hG4bKphone", call_id="phone"))
    answer(rig, 180)
    answer(rig, 200)


def from_a_gateway(rig: Rig) -> None:
    """It asked for that user: sending it back would go round."""
    for number, place in enumerate((dispatcher.GATEWAYS[0], lcr.PLACES["one"])):
        uri = "sip:4930123456@biloxi.test"
        headers = [("Contact", f"<sip:a@{place[0]}>")]
        names = {"branch": f"z9hG4bKc{number}", "from_tag": f"t{number}", "call_id": f"call{number}"}
        rig.udp(request(uri=uri, to=f"<{uri}>", headers=headers, source=place, **names), place)


PLAYS: tuple[Play, ...] = (
    taken,
    failed_over,
    all_fail,
    told_to_wait,
    silent,
    late,
    unreachable,
    busy,
    given_up,
    given_up_by_another,
    acknowledged_in_advance,
    rings_for_ever,
    repeated,
    unusual_answers,
    many,
    drained,
    to_a_phone,
    from_a_gateway,
)

LISTS = ("calls.list", "calls.count")


def balanced(**options: Any) -> Callable[[], Any]:
    more = options.pop("more", {})

    def made() -> Any:
        return dispatcher.Farm(dispatcher.settings(**options), **more)

    return made


class Booked(lcr.Farm):
    """A farm whose spool of accounting is empty."""

    def take(self, actions: list[Any]) -> list[Out]:
        asked = [one for one in actions if isinstance(one, Ask) and isinstance(one.question, Spooled)]
        outs = super().take([one for one in actions if one not in asked])
        for one in asked:
            outs += self.take(self.stack.answer(one.id, (), self.now))
        return outs


def rated(**options: Any) -> Callable[[], Any]:
    def made() -> Any:
        rates = lcr.table(
            "one,4930,0.01", "two,4930,0.02", "three,49,0.03", "four,49,0.01,,,,sip:carol@x.test"
        )
        return Booked(rates, **options)

    return made


FARMS: dict[str, Callable[[], Any]] = {
    "all calls": balanced(takes="calls"),
    "unregistered": balanced(),
    "few calls": balanced(takes="calls", max_calls=1),
    "by hash of the user": balanced(takes="calls", algorithm="hash", key="user"),
    "by hash of From": balanced(takes="calls", algorithm="hash", key="from"),
    "at random": balanced(takes="calls", algorithm="random"),
    "by calls": balanced(takes="calls", algorithm="least-calls"),
    "by latency": balanced(takes="calls", algorithm="least-latency"),
    "one attempt": balanced(takes="calls", attempts=1),
    "all at once": balanced(takes="calls", algorithm="parallel"),
    "kept URI": balanced(takes="calls", keep_uri=True),
    "quick to rest": balanced(takes="calls", eject_after=1),
    "from a trusted peer": balanced(takes="calls", more={"trusted": [TrustedPeer("192.0.2.1", "pbx")]}),
    "no marks": balanced(takes="calls", more={"proxy": ProxyConfig(dialog_tokens=False)}),
    "by price": rated(order="price"),
    "by prefix": rated(),
    "by quality": rated(order="quality"),
    "one call a gateway": rated(gateways={"one": {"max_calls": 1}}),
    "rewritten": rated(gateways={"one": {"strip": 2, "add": "00"}}),
    "beside accounting": rated(beside=[Use(Accounting, AccountingSettings(to="rows"))]),
}
RIDING = [name for name in FARMS if name not in ("all at once", "kept URI")]


def seen_of(play: Play, make: Callable[[], Any], *, quick: bool) -> Any:
    rig = make()
    if not quick:
        rig.stack.reception.openings = None
    play(rig)
    rig.wait(200.0)
    lists = tuple(one for one in (*LISTS, "dispatcher.list", "lcr.list") if one in rig.stack.modules.commands)
    return Seen(rig, lists).now()
