"""A rig with the module ``calls``, a call of Alice's to Bob, and what either says within it."""

from __future__ import annotations

from typing import Any

from sansip.module import Module, Use
from sansip.modules.calls import CallAnswered, CallFinished, CallRang, Calls, CallsSettings, CallTried
from tests.rig import BOB, BOB_URI, Out, Rig, only, reply, request

CONTACT = ("Contact", "<sip:alice@192.0.2.1>")


def bench(route: Any = None, **settings: Any) -> tuple[Rig, Calls]:
    rig = Rig(route, modules=[Use(Calls, CallsSettings(**settings)), Use(Listening)])
    rig.register(BOB_URI)
    return rig, rig.stack.modules.get(Calls)


def invite(rig: Rig, *, headers: Any = (), **options: Any) -> Out:
    """Send an INVITE of Alice's; return what reaches Bob."""
    return only(rig.udp(request(headers=[CONTACT, *headers], **options)), "INVITE")


def within(rig: Rig, method: str, by: str = "caller", **options: Any) -> bytes:
    """Return a request within the dialog, of either side."""
    cseq = options.pop("cseq", 2)
    headers = options.pop("headers", [])
    if by == "caller":
        return request(
            method,
            BOB_URI,
            branch=f"z9hG4bK{method}{cseq}",
            to_tag=options.pop("to_tag", "bob"),
            cseq=cseq,
            headers=[("Route", rig.route()), *headers],
            **options,
        )
    return request(
        method,
        "sip:alice@192.0.2.1",
        source=BOB,
        branch=f"z9hG4bKb{method}{cseq}",
        sender="<sip:bob@biloxi.test>",
        from_tag="bob",
        to="<sip:alice@biloxi.test>",
        to_tag="alice",
        cseq=cseq,
        headers=[("Route", rig.callees_route()), *headers],
        **options,
    )


def talking(rig: Rig, **options: Any) -> None:
    """Set a call up."""
    arrived = invite(rig, **options)
    rig.udp(reply(arrived, 200, headers=options.pop("answer", ())), BOB)
    rig.udp(within(rig, "ACK", cseq=1))


class Listening(Module):
    """Another module, which hears of calls."""

    name = "listening"
    events = (CallTried, CallRang, CallAnswered, CallFinished)

    def start(self, core: Any, now: float) -> None:
        self.heard: list[type] = []

    def event_received(self, event: Any, now: float) -> None:
        self.heard.append(type(event))


def events(rig: Rig) -> list[type]:
    return rig.stack.modules.get(Listening).heard
