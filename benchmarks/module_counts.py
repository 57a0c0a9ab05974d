"""What each of ``modules.py`` adds to a call, in units that the machine's other work cannot change.

Theory of operation: the calls of ``core.py`` through stacks without modules (``plain``) and with the modules
of ``modules.py``, in process. As in ``counts.py`` the inputs are recorded first, and played again to a stack
of the same entropy: only the stack is counted. ``cold`` are the lines of memory that the six messages of a
call touch, each message from empty caches: between two messages a server's caches are filled with other data.
Not ``accounting``: its writes, which are most of it, are a thread's behind the stack.

    python -m benchmarks.module_counts                          Python calls, allocations, instructions, lines
    python -m benchmarks.module_counts --only instructions --case lcr --keep callgrind.lcr
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.core import CALLEE, Load
from benchmarks.counts import _COUNTERS, COLD_COUNTED, COUNTED, WARM, compile_meter
from benchmarks.lcr import packed_from
from sansip.module import Use
from sansip.modules.calls import Calls, CallsSettings
from sansip.modules.dispatcher import Destination, Dispatcher, DispatcherSettings
from sansip.modules.lcr import Lcr
from sansip.modules.lcr.packed import PackedRates
from sansip.modules.lcr.settings import Gateway, LcrSettings

__all__ = ["CASES", "KINDS", "count", "counted"]

CASES = ("plain", "calls", "dispatcher", "lcr")
KINDS = ("calls", "allocations", "instructions", "cold")
# What is dialled with ``lcr``; its first six digits are one of the prefixes.
NUMBER = "1000000001"
PREFIXES = 10_000

Input = tuple[bytes, tuple[str, int]]


def uses(case: str) -> list[Use]:
    """Return the modules of ``case``, as ``modules.py`` configures them."""
    if case == "plain":
        return []
    found = [Use(Calls, CallsSettings())]
    places = [f"sip:{CALLEE[0]}:{port}" for port in (CALLEE[1], CALLEE[1] + 1)]
    if case == "dispatcher":
        farm = DispatcherSettings([Destination(place) for place in places], takes="calls", probe_interval=0.0)
        found.append(Use(Dispatcher, farm))
    elif case == "lcr":
        gateways = [Gateway(name, place) for name, place in zip(("one", "two"), places, strict=True)]
        found.append(Use(Lcr, LcrSettings(gateways, probe_interval=0.0)))
    return found


class Player(Load):
    """A stack with the modules of ``case``; its inputs are kept, and can be played."""

    # As in ``counts.py``: transactions end as fast as others begin.
    step = 0.05

    def __init__(self, case: str, rates: PackedRates | None = None) -> None:
        super().__init__(uses(case))
        self.case = case
        self.inputs: list[Input] = []
        self.stack.time_passed(self.now)
        if rates is not None:
            lcr = self.stack.modules.get(Lcr)
            lcr._rates.file = rates
            lcr._loading.begun = True

    def feed(self, data: bytes, source: tuple[str, int]) -> list[bytes]:
        if self.case == "lcr":
            data = data.replace(b"INVITE sip:user0@", f"INVITE sip:{NUMBER}@".encode())
        self.inputs.append((data, source))
        return super().feed(data, source)

    def play(self, inputs: list[Input]) -> None:
        """Give the stack ``inputs``, with no other work in between."""
        received, passed, deadline = (
            self.stack.datagram_received,
            self.stack.time_passed,
            self.stack.next_deadline,
        )
        now, step = self.now, self.step
        for data, source in inputs:
            now += step
            received(0, data, source, now)
            due = deadline()
            if due is not None and due <= now:
                passed(now)
        self.now = now


def rates_of(case: str, folder: Path) -> PackedRates | None:
    """Return the rates of ``case``: a prefix of ``NUMBER`` is one of two gateways'."""
    if case != "lcr":
        return None
    prefixes = [str(100_000 + number) for number in range(PREFIXES)]
    file = folder / "rates.csv"
    rows = (f"{gateway},{prefix},0.01\n" for prefix in prefixes for gateway in ("one", "two"))
    file.write_text("gateway,prefix,price\n" + "".join(rows))
    return packed_from(
        LcrSettings([Gateway("one", "sip:192.0.2.1"), Gateway("two", "sip:192.0.2.2")], file=str(file))
    )


def count(kind: str, case: str, meter: Path) -> float:
    """Count ``kind`` in this process, of one call."""
    gc.disable()
    with tempfile.TemporaryDirectory() as folder:
        rates = rates_of(case, Path(folder))
    recorder = Player(case, rates)
    recorder.register_callee(0)
    warm = 0
    for number in range(1, WARM + COUNTED + 1):
        recorder.call(number)
        if number == WARM:
            warm = len(recorder.inputs)
    player = Player(case, rates)
    player.play(recorder.inputs[:warm])
    play = partial(player.play, recorder.inputs[warm:])
    return _COUNTERS[kind](play, meter) / COUNTED


def counted(kind: str, case: str, directory: Path, keep: str = "") -> float:
    """Count ``kind`` of one call in a process of its own. ``keep``: where callgrind's file goes."""
    environment = dict(os.environ, PYTHONHASHSEED="0", PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    command = [sys.executable, "-m", "benchmarks.module_counts", "--count", kind, "--case", case]
    command += ["--meter", str(directory)]
    if kind not in ("instructions", "cold"):
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        return float(done.stdout)
    for old in directory.glob("callgrind.out*"):
        old.unlink()
    valgrind = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no"]
    valgrind += [f"--callgrind-out-file={directory}/callgrind.out"]
    # So large a last level that a line is missed once in a message.
    valgrind += ["--cache-sim=yes", "--LL=268435456,1,64"] if kind == "cold" else []
    subprocess.run(valgrind + command, env=environment, check=True, capture_output=True)
    totals = []
    for path in sorted(directory.glob("callgrind.out*")):
        for line in path.read_text().splitlines():
            if line.startswith("totals:"):
                words = line.split()
                # Ir alone, or Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw.
                totals.append(sum(map(int, words[7:10])) if kind == "cold" else int(words[1]))
                if keep and kind == "instructions" and totals[-1] == max(totals):
                    shutil.copy(path, keep)
    return sum(totals) / COLD_COUNTED if kind == "cold" else max(totals) / COUNTED


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(KINDS), help="kinds, joined by commas")
    parser.add_argument("--case", choices=CASES, action="append", help="may be repeated")
    parser.add_argument("--keep", default="", help="where to put what callgrind wrote of the last case")
    parser.add_argument("--count", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--meter", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.count:
        print(count(options.count, options.case[0], Path(options.meter)))
        return 0
    with tempfile.TemporaryDirectory() as directory:
        compile_meter(Path(directory))
        for kind in options.only.split(","):
            plain = None
            for case in options.case or CASES:
                found = counted(kind, case, Path(directory), options.keep)
                plain = found if plain is None else plain
                print(f"{kind:13} {case:10} {found:12,.1f}  {found - plain:+12,.1f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
