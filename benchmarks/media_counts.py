"""What a media relay adds to a call, in units that the machine's other work cannot change.

Theory of operation: the calls of ``core.py``, whose 200 has a description too, through stacks without modules
(``plain``), with ``[media]`` where no call needs a relay (``idle``), and where each call has one (``relay``):
three commands, which are answered at once; and the same with ``[calls]`` (``kept``). As in ``counts.py`` the
inputs are recorded first, and played again to a stack of the same entropy: only the stack is counted.

    python -m benchmarks.media_counts                       Python calls, and instructions (valgrind)
    python -m benchmarks.media_counts --only calls --profile relay
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import os
import pstats
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import core
from benchmarks.core import CALLEE, CALLER, IN_DIALOG, INVITE, Load, wire
from benchmarks.counts import _COUNTERS, COUNTED, WARM, compile_meter
from sansip import SendDatagram
from sansip.actions import Action
from sansip.module import Use
from sansip.modules.calls import Calls, CallsSettings
from sansip.modules.media import Media, MediaSettings, RelaySettings

MODES = ("plain", "idle", "relay", "kept")
SDP = INVITE.partition("\n\n")[2].replace("\n", "\r\n").encode()
# As rtpengine writes it.
MADE = SDP.replace(b"audio 6000", b"audio 30000") + b"a=sendrecv\r\na=rtcp:30001\r\n"

Input = tuple[int, bytes, tuple[str, int]]


def uses(mode: str) -> list[Use]:
    """Return the modules of ``mode``."""
    found = [Use(Calls, CallsSettings())] if mode == "kept" else []
    if mode != "plain":
        relay = RelaySettings("ng:127.0.0.1:2223")
        profile = "always" if mode in ("relay", "kept") else "webrtc"
        found.append(Use(Media, MediaSettings([relay], profiles=[profile], probe_interval=0.0)))  # type: ignore[list-item]  # one of two
    return found


def answer_of(command: bytes) -> bytes:
    """Return what a relay answers."""
    cookie = command.partition(b" ")[0]
    if b"7:command4:ping" in command:
        return cookie + b" d6:result4:ponge"
    if b"7:command6:delete" in command:
        return cookie + b" d6:result2:oke"
    return cookie + b" d3:sdp%d:%b6:result2:oke" % (len(MADE), MADE)


class Player(Load):
    """A stack with a relay; its inputs are kept, and can be played."""

    # 150 calls a second, as in ``media.py``: what is done by time alone counts as it does there.
    step = 0.001

    def __init__(self, mode: str) -> None:
        super().__init__(uses(mode))
        self.mode = mode
        self.inputs: list[Input] = []
        self._out: list[bytes] = []
        # The first ping of the relay.
        self._perform(self.stack.time_passed(self.now))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            if not isinstance(action, SendDatagram):
                continue
            if action.listener >= 0:
                self._out.append(action.data)
            else:
                self._give(action.listener, answer_of(action.data), ("127.0.0.1", 2223))

    def _give(self, listener: int, data: bytes, source: tuple[str, int]) -> None:
        self.inputs.append((listener, data, source))
        self._perform(self.stack.datagram_received(listener, data, source, self.now))

    def feed(self, data: bytes, source: tuple[str, int]) -> list[bytes]:
        self.now += self.step
        self._out = []
        self._give(0, data, source)
        deadline = self.stack.next_deadline()
        if deadline is not None and deadline <= self.now:
            self._perform(self.stack.time_passed(self.now))
        return self._out

    def call(self, n: int) -> None:
        invite = self.feed(wire(INVITE.format(n=n)), CALLER)[-1]
        self.feed(core.answer(invite, "180 Ringing", f"{n}b", True), CALLEE)
        ok = core.answer(invite, "200 OK", f"{n}b", True)
        body = b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%b" % (len(SDP), SDP)
        (ok,) = self.feed(ok.replace(b"Content-Length: 0\r\n\r\n", body), CALLEE)
        assert self.mode not in ("relay", "kept") or (b"audio 30000" in invite and b"audio 30000" in ok)
        route = next(one for one in ok.decode().split("\r\n") if one.startswith("Record-Route: "))
        names = {"n": n, "route": route.partition(": ")[2]}
        self.feed(wire(IN_DIALOG.format(method="ACK", cseq=1, **names)), CALLER)
        (bye,) = self.feed(wire(IN_DIALOG.format(method="BYE", cseq=2, **names)), CALLER)
        self.feed(core.answer(bye, "200 OK", f"{n}b", False), CALLEE)

    def play(self, inputs: list[Input]) -> None:
        """Give the stack ``inputs``, with no other work in between."""
        received, passed, deadline = (
            self.stack.datagram_received,
            self.stack.time_passed,
            self.stack.next_deadline,
        )
        now, step = self.now, self.step
        for listener, data, source in inputs:
            if listener >= 0:
                now += step
            received(listener, data, source, now)
            due = deadline()
            if due is not None and due <= now:
                passed(now)
        self.now = now


def count(kind: str, mode: str, meter: Path) -> float:
    """Count ``kind`` in this process, of one call."""
    gc.disable()
    recorder = Player(mode)
    first = len(recorder.inputs)
    recorder.register_callee(0)
    warm = 0
    for n in range(1, WARM + COUNTED + 1):
        recorder.call(n)
        if n == WARM:
            warm = len(recorder.inputs)
    player = Player(mode)
    player.play(recorder.inputs[first:warm])
    play = partial(player.play, recorder.inputs[warm:])
    if kind == "profile":
        profile = cProfile.Profile()
        profile.runcall(play)
        pstats.Stats(profile).sort_stats("tottime").print_stats(60)
        return 0.0
    return _COUNTERS[kind](play, meter) / COUNTED


def instructions(mode: str, directory: Path) -> float:
    """Count machine instructions of one call by callgrind."""
    for old in directory.glob("callgrind.out*"):
        old.unlink()
    command = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no"]
    command += [f"--callgrind-out-file={directory}/callgrind.out", sys.executable, "-m"]
    command += [
        "benchmarks.media_counts",
        "--count",
        "instructions",
        "--mode",
        mode,
        "--meter",
        str(directory),
    ]
    environment = dict(os.environ, PYTHONHASHSEED="0", PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    subprocess.run(command, env=environment, check=True)
    totals = [
        int(line.split()[1])
        for path in sorted(directory.glob("callgrind.out*"))
        for line in path.read_text().splitlines()
        if line.startswith("totals:")
    ]
    return max(totals) / COUNTED


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="calls,instructions", help="kinds, joined by commas")
    parser.add_argument("--profile", choices=MODES, help="print a profile of this one instead")
    parser.add_argument("--count", help=argparse.SUPPRESS)
    parser.add_argument("--mode", help=argparse.SUPPRESS)
    parser.add_argument("--meter", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.count:
        count(options.count, options.mode, Path(options.meter))
        return 0
    if options.profile:
        count("profile", options.profile, Path())
        return 0
    with tempfile.TemporaryDirectory() as directory:
        for kind in options.only.split(","):
            if kind != "calls":
                compile_meter(Path(directory))
            before = 0.0
            for mode in MODES:
                if kind == "instructions":
                    found = instructions(mode, Path(directory))
                else:
                    found = count(kind, mode, Path(directory))
                print(f"{kind:13} {mode:6} {found:12,.0f}  {found - before:+12,.0f}", flush=True)
                before = found
    return 0


if __name__ == "__main__":
    sys.exit(main())
