"""The cost of the core alone: whole calls and registrations through ``Stack``, no sockets.

Theory of operation: the messages of N distinct calls are prepared, then fed in
the order in which a proxy would see them; the callee's answers are made from the messages that
the stack forwarded. They are written as the SIPp of ``calls.py`` writes them: a transport in Contact and in
the URIs of ACK and BYE, all values of Via on one line, spaces before a length. Another spelling may take
another way through the stack. Only the time inside the stack counts. ``--profile`` prints a profile of it;
``--hooks`` compares calls without and with a module that overrides every hook and does nothing in
them, turn by turn. ``--gap 0.0002`` pauses so many seconds before each message, as a server waits
for its next one: by then the data that the message needs has left the caches, and a tight loop
cannot show that cost. ``benchmarks/counts.py`` counts the same job in units that the machine's
other work cannot touch.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import json
import pstats
import statistics
import time
from collections.abc import Sequence
from typing import Any

from sansip import ListenerConfig, SendDatagram, Stack, StackConfig
from sansip.events import BindingsChanged
from sansip.module import PASS, Module, Use, Verdict

CALLER, CALLEE = ("127.0.0.1", 7000), ("127.0.0.1", 6000)

REGISTER = """REGISTER sip:biloxi.test SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-{n}-r;rport
Max-Forwards: 70
From: <sip:user{user}@biloxi.test>;tag={n}r
To: <sip:user{user}@biloxi.test>
Call-ID: reg-{n}@127.0.0.1
CSeq: 1 REGISTER
Contact: <sip:user{user}@127.0.0.1:{port}>
Expires: 3600
User-Agent: benchmark/1.0
Content-Length: 0

"""
INVITE = """INVITE sip:user0@biloxi.test SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:7000;branch=z9hG4bK-{n}-i;rport
Max-Forwards: 70
From: "Caller" <sip:caller@biloxi.test>;tag={n}a
To: <sip:user0@biloxi.test>
Call-ID: {n}-12345@127.0.0.1
CSeq: 1 INVITE
Contact: <sip:caller@127.0.0.1:7000;transport=UDP>
User-Agent: benchmark/1.0
Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE
Subject: performance
Content-Type: application/sdp
Content-Length:   129

v=0
o=user1 53655765 2353687637 IN IP4 127.0.0.1
s=-
c=IN IP4 127.0.0.1
t=0 0
m=audio 6000 RTP/AVP 0
a=rtpmap:0 PCMU/8000
"""
OPTIONS = """OPTIONS sip:biloxi.test SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:7000;branch=z9hG4bK-{n}-o;rport
Max-Forwards: 70
From: <sip:caller@biloxi.test>;tag={n}o
To: <sip:biloxi.test>
Call-ID: o-{n}@127.0.0.1
CSeq: 1 OPTIONS
Content-Length: 0

"""
IN_DIALOG = """{method} sip:user0@127.0.0.1:6000;transport=UDP SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:7000;branch=z9hG4bK-{n}-{method};rport
Route: {route}
Max-Forwards: 70
From: "Caller" <sip:caller@biloxi.test>;tag={n}a
To: <sip:user0@biloxi.test>;tag={n}b
Call-ID: {n}-12345@127.0.0.1
CSeq: {cseq} {method}
Content-Length: 0

"""


def wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def answer(request: bytes, status: str, tag: str, contact: bool) -> bytes:
    """Return the response of a phone: the fields that SIPp copies from the request, and as it does."""
    head = request.split(b"\r\n\r\n")[0].decode().split("\r\n")

    def last(name: str) -> list[str]:
        values = [line.partition(": ")[2] for line in head[1:] if line.startswith(f"{name}: ")]
        return [f"{name}: {', '.join(values)}"] if values else []

    kept = [line for name in ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq") for line in last(name)]
    kept = [f"{line};tag={tag}" if line.startswith("To:") and ";tag=" not in line else line for line in kept]
    if contact:
        kept.append("Contact: <sip:user0@127.0.0.1:6000;transport=UDP>")
    return "\r\n".join([f"SIP/2.0 {status}", *kept, "Content-Length: 0", "", ""]).encode()


class Load:
    """A stack, and the time spent inside it.

    ``gap``: seconds to sleep before each message. ``step``: seconds by which its clock moves with each.
    """

    gap = 0.0
    step = 0.0002

    def __init__(self, modules: Sequence[Use] = ()) -> None:
        config = StackConfig(
            [ListenerConfig(0, "udp", "127.0.0.1", 5060)], ["biloxi.test"], modules=list(modules)
        )
        self.stack = Stack(config, b"0123456789abcdef")
        self.now = 1000.0
        self.spent = 0.0
        self.profile: cProfile.Profile | None = None

    def feed(self, data: bytes, source: tuple[str, int]) -> list[bytes]:
        self.now += self.step
        if self.gap:
            time.sleep(self.gap)
        if self.profile is not None:
            self.profile.enable()
        begun = time.perf_counter()
        actions = self.stack.datagram_received(0, data, source, self.now)
        deadline = self.stack.next_deadline()
        if deadline is not None and deadline <= self.now:
            actions += self.stack.time_passed(self.now)
        self.spent += time.perf_counter() - begun
        if self.profile is not None:
            self.profile.disable()
        return [action.data for action in actions if isinstance(action, SendDatagram)]

    def register(self, n: int, user: int, port: int) -> None:
        (reply,) = self.feed(wire(REGISTER.format(n=n, user=user, port=port)), ("127.0.0.1", port))
        assert reply.startswith(b"SIP/2.0 200"), reply

    def register_callee(self, n: int) -> None:
        """Register user 0, as ``calls.py`` does for its callees."""
        uri = f"sip:user0@{CALLEE[0]}:{CALLEE[1]}"
        text = REGISTER.format(n=n, user=0, port=CALLEE[1]).replace(f"<{uri}>", f"<{uri};transport=udp>")
        (reply,) = self.feed(wire(text), CALLEE)
        assert reply.startswith(b"SIP/2.0 200"), reply
        assert b";transport=udp>" in reply

    def options(self, n: int) -> None:
        (reply,) = self.feed(wire(OPTIONS.format(n=n)), CALLER)
        assert reply.startswith(b"SIP/2.0 200"), reply

    def call(self, n: int) -> None:
        _, invite = self.feed(wire(INVITE.format(n=n)), CALLER)
        self.feed(answer(invite, "180 Ringing", f"{n}b", True), CALLEE)
        (ok,) = self.feed(answer(invite, "200 OK", f"{n}b", True), CALLEE)
        line = next(line for line in ok.decode().split("\r\n") if line.startswith("Record-Route:"))
        route = line.partition(": ")[2]
        self.feed(wire(IN_DIALOG.format(method="ACK", n=n, cseq=1, route=route)), CALLER)
        (bye,) = self.feed(wire(IN_DIALOG.format(method="BYE", n=n, cseq=2, route=route)), CALLER)
        self.feed(answer(bye, "200 OK", f"{n}b", False), CALLEE)


class Idle(Module):
    """Overrides every hook, and does nothing."""

    name = "idle"
    events = (BindingsChanged,)

    def message_arrived(self, message: Any, flow: Any, now: float) -> Verdict:
        return PASS

    def stray_received(self, response: Any, flow: Any, now: float) -> bool:
        return False

    def request_received(self, request: Any) -> bool:
        return False

    def branch_leaving(self, request: Any, branch: Any, message: Any) -> None: ...

    def response_received(self, request: Any, branch: Any, response: Any) -> None: ...

    def branch_ended(self, request: Any, branch: Any, status: int) -> None: ...

    def response_leaving(self, request: Any, response: Any) -> None: ...

    def request_ended(self, request: Any) -> None: ...

    def event_received(self, event: Any, now: float) -> None: ...

    def next_due(self) -> float | None:
        return None


def compare_hooks(calls: int) -> None:
    """Print the cost that the hooks of an idle module add to a call."""
    gc.disable()
    plain, hooked = Load(), Load([Use(Idle)])
    for load in (plain, hooked):
        load.register_callee(0)
        for n in range(1000):
            load.call(n)
    costs: list[tuple[float, float]] = []
    chunk = max(1, calls // 40)
    for begin in range(1000, 1000 + calls, chunk):
        took = []
        for load in (plain, hooked):
            load.spent = 0.0
            for n in range(begin, begin + chunk):
                load.call(n)
            took.append(load.spent / chunk * 1e6)
        costs.append((took[0], took[1]))
    without, with_hooks = (min(cost[side] for cost in costs) for side in (0, 1))
    ratio = statistics.median(cost[1] / cost[0] for cost in costs)
    print(f"least:  call {without:6.1f} µs   with every hook of an idle module {with_hooks:6.1f} µs")
    print(f"median of the ratios of {len(costs)} turns: {ratio:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--hooks", action="store_true")
    parser.add_argument("--gap", type=float, default=0.0, help="seconds to pause before each message")
    options = parser.parse_args()
    if options.hooks:
        compare_hooks(options.calls)
        return
    load = Load()
    load.gap = options.gap
    gc.disable()
    load.register_callee(0)
    registrations = []
    chunk = max(1, options.calls // 20)
    for begin in range(1, options.calls + 1, chunk):
        load.spent = 0.0
        for n in range(begin, begin + chunk):
            load.register(n, 1 + n % 1000, 6000 + n % 1000)
        registrations.append(load.spent / chunk * 1e6)
    load.register_callee(2 * options.calls)
    load.gap = 0.0
    for n in range(1000):
        load.call(n)
    load.gap = options.gap
    if options.profile:
        load.profile = cProfile.Profile()
    calls = []
    for begin in range(1000, 1000 + options.calls, chunk):
        load.spent = 0.0
        for n in range(begin, begin + chunk):
            load.call(n)
        calls.append(load.spent / chunk * 1e6)
    # The least of twenty is the cost of the code; the rest is the machine's other work.
    registration, call = min(registrations), min(calls)
    middle = statistics.median(registrations), statistics.median(calls)
    if load.profile is not None:
        pstats.Stats(load.profile).sort_stats("tottime").print_stats(45)
    if options.json:
        print(json.dumps({"register_us": round(registration, 1), "call_us": round(call, 1)}))
    else:
        print(f"least:  registration {registration:6.1f} µs   call {call:6.1f} µs (six messages in)")
        print(f"median: registration {middle[0]:6.1f} µs   call {middle[1]:6.1f} µs")


if __name__ == "__main__":
    main()
