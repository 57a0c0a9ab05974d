"""The cost of a call, a REGISTER and an OPTIONS in units that the machine's other work cannot change.

Theory of operation: the job of ``core.py`` is played twice through stacks of the same entropy and clock. The
first run records every input; the second gets the recorded inputs, so that only the stack is counted. It
counts Python calls and calls of C functions (the interpreter's own hook), allocations (``meter.c``, compiled
on the spot), machine instructions (callgrind), and the cache lines of 64 octets that a message touches
(``cold``: callgrind's caches, empty before each message). Between two messages a server's caches are filled
with other programs' data, so live processor time follows the lines, not the instructions; about 1,050 lines a
message are the harness's and the interpreter's own. The clock moves by 50 ms with each message, so that
transactions end as fast as others begin, and their end is counted too.

``hooked_call`` is the call with a module that overrides every hook and does nothing in them: at most
``HOOKS_ROOM`` more instructions.

``counts.toml`` holds the last counts for each build and each Python. CI fails if a count is more than
``ROOM`` above that: remove the cost, or record the reason for it.

    python -m benchmarks.counts                                 count, and compare
    python -m benchmarks.counts --shown                         print what is recorded
    python -m benchmarks.counts --record "why they changed"     count, and write it down
    python -m benchmarks.counts --only instructions             one kind (valgrind; a minute)
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import gc
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import sansip
from benchmarks.core import Idle, Load
from sansip.module import Use
from sansip.wire import reader
from sansip.wire.head import HAS_SCANNER
from sansip.wire.unread import LAZY

__all__ = ["JOBS", "KINDS", "ROOM", "Missing", "build_name", "count", "faults", "least", "recorded"]

HERE = Path(__file__).parent
RECORD = HERE / "counts.toml"
# The share of a recorded count that a change may add without a reason.
ROOM = 0.03
# Layouts of memory in which instructions are counted, before a figure is said to be above the record.
LAYOUTS = 10
# Where the code lies in memory decides whether two things share a line.
ROOMS = {"cold": 0.06}
KINDS = ("calls", "c_calls", "allocations", "instructions", "cold")
# Those that depend on the compiler of the interpreter.
OF_THE_MACHINE = ("instructions", "cold")
JOBS = ("call", "hooked_call", "REGISTER", "OPTIONS")
# What a module that overrides every hook, and does nothing in them, may add to a call.
HOOKS_ROOM = 0.25
# Rounds before the counting begins: then as many transactions end as begin, and caches are full.
WARM = 200
COUNTED = 100
# Of these, played one message at a time: each takes callgrind a second.
COLD_COUNTED = 5

Input = tuple[bytes, tuple[str, int]]
# By job, then by kind.
Figures = dict[str, dict[str, float]]


class Missing(Exception):
    """A tool that this kind of counting needs is not there."""


class Player(Load):
    """A stack whose clock moves fast, and the inputs it was given."""

    step = 0.05

    def __init__(self, name: str) -> None:
        super().__init__([Use(Idle)] if name == "hooked_call" else [])
        self.inputs: list[Input] = []

    def feed(self, data: bytes, source: tuple[str, int]) -> list[bytes]:
        self.inputs.append((data, source))
        return super().feed(data, source)

    def play(self, inputs: Iterable[Input]) -> None:
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


def job(name: str) -> tuple[list[Input], list[Input]]:
    """Return the inputs of job ``name``: to warm up with, and to count."""
    player = Player(name)
    player.register_callee(0)
    warm = 0
    for n in range(1, WARM + COUNTED + 1):
        if name in ("call", "hooked_call"):
            player.call(n)
        elif name == "REGISTER":
            player.register(n, 1 + n % 100, 6000 + n % 100)
        else:
            player.options(n)
        if n == WARM:
            warm = len(player.inputs)
    return player.inputs[:warm], player.inputs[warm:]


def build_name() -> str:
    """Return which build runs: ``compiled`` by mypyc, or ``pure``; ``-c`` with the scanner of heads in C."""
    name = "pure" if str(reader.__file__).endswith(".py") else "compiled"
    return f"{name}-c" if HAS_SCANNER else name


def python_name() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def machine_name() -> str:
    """Return the versions on which the number of instructions depends, in addition to our source."""
    interpreter = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{interpreter} {platform.python_compiler()} {platform.machine()}"


def count(kinds: Iterable[str], layout: int = 0) -> Figures:
    """Count ``kinds`` of each job, in processes of their own: earlier runs have no influence.

    ``layout``: the environment is so much longer, so that objects lie at other addresses.
    """
    figures: Figures = {name: {} for name in JOBS}
    with tempfile.TemporaryDirectory() as directory:
        for kind in kinds:
            program = [sys.executable, "-m", "benchmarks.counts", "--count", kind, "--meter", directory]
            environment = dict(
                os.environ,
                PYTHONHASHSEED="0",
                PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
                SANSIP_LAYOUT="x" * (1 + 1_000 * layout),
            )
            if kind in ("allocations", *OF_THE_MACHINE):
                compile_meter(Path(directory))
            if kind in OF_THE_MACHINE:
                by_callgrind = _instructions if kind == "instructions" else _cold_lines
                for name in JOBS:
                    figures[name][kind] = by_callgrind(program, environment, Path(directory), name)
                continue
            done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"counting {kind}: {done.stderr}")
            for name, figure in json.loads(done.stdout).items():
                figures[name][kind] = figure
    return figures


def least(kind: str, entry: dict[str, Any] | None = None) -> Figures:
    """Count ``kind``, those of the machine in several layouts of memory: the least is what the code needs.

    Dictionaries of classes and functions collide by address, which adds up to 15 % to a figure. With
    ``entry``, the record, it stops as soon as no figure is above it.
    """
    found = count([kind])
    if kind not in OF_THE_MACHINE:
        return found
    # A record is the least of half as many, so that the check, on another machine, comes as low.
    for layout in range(1, LAYOUTS if entry is not None else LAYOUTS // 2):
        if entry is not None and not faults(found, entry):
            break
        for name, figures in count([kind], layout).items():
            found[name][kind] = min(found[name][kind], figures[kind])
    return found


def compile_meter(directory: Path) -> Path:
    """Compile ``meter.c`` unless that has been done; raise Missing if it cannot be compiled."""
    target = directory / "meter.so"
    if target.exists():
        return target
    compiler = shutil.which("cc") or shutil.which("gcc")
    include = sysconfig.get_path("include")
    if compiler is None or not Path(include, "Python.h").exists():
        raise Missing("no C compiler, or no Python.h")
    command = [
        compiler,
        "-O2",
        "-Wall",
        "-Werror",
        "-shared",
        "-fPIC",
        f"-I{include}",
        str(HERE / "meter.c"),
        "-o",
    ]
    subprocess.run([*command, str(target)], check=True)
    return target


def _instructions(program: list[str], environment: dict[str, str], directory: Path, name: str) -> float:
    """Count machine instructions of one job by callgrind."""
    return round(max(_callgrind(program, environment, directory, name, [])) / COUNTED)


def _cold_lines(program: list[str], environment: dict[str, str], directory: Path, name: str) -> float:
    """Count the cache lines that the messages of one job touch, each message from empty caches."""
    # So large a last level that a line is missed once in a message.
    simulated = ["--cache-sim=yes", "--LL=268435456,1,64"]
    return round(sum(_callgrind(program, environment, directory, name, simulated)) / COLD_COUNTED)


def _callgrind(
    program: list[str], environment: dict[str, str], directory: Path, name: str, more: list[str]
) -> list[int]:
    """Run one job under callgrind; return the figure of each dump; with ``more``, of last-level misses."""
    if shutil.which("valgrind") is None:
        raise Missing("no valgrind")
    for old in directory.glob("callgrind.out*"):
        old.unlink()
    valgrind = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no"]
    valgrind += [f"--callgrind-out-file={directory}/callgrind.out", *more]
    done = subprocess.run(
        [*valgrind, *program, "--job", name], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"callgrind: {done.stderr}")
    return [
        # Ir alone, or Ir Dr Dw I1mr D1mr D1mw ILmr DLmr DLmw.
        sum(map(int, line.split()[7:10])) if more else int(line.split()[1])
        for path in sorted(directory.glob("callgrind.out*"))
        for line in path.read_text().splitlines()
        if line.startswith("totals:")
    ]


def _count_here(kind: str, meter: Path, only: str | None) -> Figures | dict[str, float]:
    """Count one kind in this process."""
    gc.disable()
    found: dict[str, float] = {}
    for name in JOBS if only is None else (only,):
        warm, counted = job(name)
        player = Player(name)
        player.play(warm)
        found[name] = round(_COUNTERS[kind](partial(player.play, counted), meter) / COUNTED, 2)
    return found


def _count_calls(event_wanted: str) -> Callable[[Callable[[], None], Path], int]:
    def count_events(play: Callable[[], None], meter: Path) -> int:
        events: Counter[str] = Counter()

        def note(frame: FrameType, event: str, argument: Any) -> None:
            events[event] += 1

        sys.setprofile(note)
        try:
            play()
        finally:
            sys.setprofile(None)
        return events[event_wanted]

    return count_events


def _count_allocations(play: Callable[[], None], meter: Path) -> int:
    library = ctypes.PyDLL(str(meter / "meter.so"))
    library.meter_end.restype = ctypes.c_ulonglong
    library.meter_begin()
    try:
        play()
    finally:
        number = library.meter_end()
    return int(number)


def _run_cold(play: Callable[[], None], meter: Path) -> int:
    """Play each message by itself: when callgrind begins to look, its caches are empty."""
    library = ctypes.PyDLL(str(meter / "meter.so"))
    if not library.meter_has_callgrind():
        raise Missing("meter.c was compiled without valgrind/callgrind.h")
    job_played: Any = play
    player, inputs = job_played.func.__self__, job_played.args[0]
    for one in inputs[: len(inputs) * COLD_COUNTED // COUNTED]:
        message = [one]
        library.meter_instructions_begin()
        player.play(message)
        library.meter_instructions_end(b"job")
    return 0


def _run_under_callgrind(play: Callable[[], None], meter: Path) -> int:
    library = ctypes.PyDLL(str(meter / "meter.so"))
    if not library.meter_has_callgrind():
        raise Missing("meter.c was compiled without valgrind/callgrind.h")
    library.meter_instructions_begin()
    try:
        play()
    finally:
        library.meter_instructions_end(b"job")
    return 0


_COUNTERS: dict[str, Callable[[Callable[[], None], Path], int]] = {
    "calls": _count_calls("call"),
    "c_calls": _count_calls("c_call"),
    "allocations": _count_allocations,
    "instructions": _run_under_callgrind,
    "cold": _run_cold,
}


def recorded(path: Path = RECORD) -> dict[str, Any]:
    """Return the content of ``counts.toml``: by build, then by Python."""
    return tomllib.loads(path.read_text()) if path.exists() else {}


def faults(counted: Figures, entry: dict[str, Any], room: float = ROOM) -> list[str]:
    """Return one line for each figure of ``counted`` that is above ``entry`` by more than ``room``."""
    found = []
    for name, figures in counted.items():
        if name not in entry and name == "hooked_call":
            # Not recorded for this build; ``hooks_fault`` judges it.
            continue
        for kind, figure in figures.items():
            before = entry.get(name, {}).get(kind)
            if before is None:
                found.append(f"{name}: no {kind} recorded")
            elif figure <= 0 < before:
                found.append(f"{name}: nothing was counted as {kind}")
            elif figure > before * (1 + ROOMS.get(kind, room)):
                found.append(f"{name}: {figure:g} {kind}, recorded {before:g} ({figure / before - 1:+.1%})")
    return found


def hooks_fault(counted: Figures, room: float = HOOKS_ROOM) -> list[str]:
    """Return a line where hooks that do nothing cost more instructions of a call than they may."""
    plain, hooked = (counted.get(name, {}).get("instructions") for name in ("call", "hooked_call"))
    if plain is None or hooked is None or hooked <= plain * (1 + room):
        return []
    return [f"a call with idle hooks: {hooked:g} instructions, {hooked / plain - 1:+.1%} (HOOKS_ROOM)"]


def write(entries: dict[str, Any], path: Path = RECORD) -> None:
    """Write ``counts.toml``."""
    lines = [
        "# Written by `python -m benchmarks.counts --record REASON`: what one of each costs. See counts.py."
    ]
    for build in sorted(entries):
        for python in sorted(entries[build]):
            entry = entries[build][python]
            lines += ["", f'[{build}."{python}"]']
            lines += [
                f"{key} = {json.dumps(entry[key], ensure_ascii=False)}"
                for key in ("date", "machine", "reason")
            ]
            for name in JOBS:
                if name not in entry:
                    continue
                figures = ", ".join(
                    f"{kind} = {figure:g}" if figure < 1e5 else f"{kind} = {figure:.0f}"
                    for kind, figure in entry[name].items()
                )
                lines.append(f"{name} = {{ {figures} }}")
    path.write_text("\n".join(lines) + "\n")


def show(figures: Figures, entry: dict[str, Any]) -> None:
    for kind in KINDS:
        for name in JOBS:
            figure, before = figures[name].get(kind), entry.get(name, {}).get(kind)
            if figure is None:
                continue
            change = "" if before is None else f"   recorded {before:12,.1f}  {figure / before - 1:+.1%}"
            print(f"{kind:13} {name:9} {figure:12,.1f}{change}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(KINDS), help="kinds, joined by commas")
    parser.add_argument("--shown", action="store_true", help="print what is recorded")
    parser.add_argument("--record", metavar="REASON", help="write down what is counted, and why it changed")
    parser.add_argument("--count", help=argparse.SUPPRESS)
    parser.add_argument("--meter", help=argparse.SUPPRESS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.count:
        json.dump(_count_here(options.count, Path(options.meter), options.job), sys.stdout)
        return 0
    if options.shown:
        print(RECORD.read_text(), end="")
        return 0
    build, python = build_name(), python_name()
    entries = recorded()
    entry = entries.get(build, {}).get(python, {})
    print(f"{build} build of {Path(sansip.__file__).parent}, {machine_name()}")
    figures: Figures = {name: {} for name in JOBS}
    for kind in options.only.split(","):
        for name, counted in least(kind, None if options.record else entry).items():
            figures[name] |= counted
    show(figures, entry)
    # In the compiled build a hook has each message read (``sansip.wire.unread``).
    hooks = hooks_fault(figures) if LAZY else []
    if options.record:
        merged = {name: {**entry.get(name, {}), **figures[name]} for name in JOBS}
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        said = {"date": today, "machine": machine_name(), "reason": options.record}
        entries.setdefault(build, {})[python] = said | merged
        write(entries)
        return 0
    if entry.get("machine") != machine_name():
        # Another compiler made this interpreter, so the number of machine instructions is not comparable.
        for kinds in figures.values():
            for kind in OF_THE_MACHINE:
                kinds.pop(kind, None)
    if not any("cold" in entry.get(name, {}) for name in JOBS):
        # A build that was recorded before they were counted.
        print("cold: nothing recorded for this build; record it")
        for kinds in figures.values():
            kinds.pop("cold", None)
    found = faults(figures, entry) + hooks
    for fault in found:
        print(f"more than {ROOM:.0%} above the record: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
