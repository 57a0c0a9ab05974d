"""The table of the module ``lcr``: how long a million prefixes take to load, their memory, and a look-up.

Theory of operation: rates with random prefixes are written as CSV and packed by the helper process, as
`sansip serve` has them packed; the table is mapped, as in a worker. A look-up finds all prefixes of a number,
longest first: a binary search over the keys, then one place in each of three arrays. *one number* is looked
up again and again, so all that it touches is in the caches; *random numbers* go all over the table, and what
they cost more are lines of memory that were in no cache. With *offers* the records of all found prefixes
become objects, as for a call; those of the busiest prefixes are kept. All times are of the CPU. The goals of
issue 12: at most 10 s, 300 octets a prefix, 3 µs.

    python -m benchmarks.lcr --prefixes 1000000
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.counts import Missing, compile_meter
from sansip.modules.lcr.packed import PackedRates
from sansip.modules.lcr.rates import Rates
from sansip.modules.lcr.settings import Gateway, LcrSettings
from sansip_server.lcr.packed_file import read_packed
from sansip_server.lcr.packer import job_of

__all__ = ["instructions", "look_up", "packed_from", "table"]

GATEWAYS = ("one", "two")
# Numbers of one measurement, and how many measurements.
_NUMBERS, _TURNS = 20_000, 9
# Look-ups under callgrind.
_COUNTED = 500


def table(count: int, folder: Path) -> tuple[PackedRates, float]:
    """Return ``count`` random prefixes with a rate each, packed, and the CPU seconds that it took."""
    chance = random.Random(1)
    prefixes: set[str] = set()
    while len(prefixes) < count:
        prefixes.add(str(chance.randrange(10**9))[: chance.choice((5, 6, 7, 8))])
    file = folder / "rates.csv"
    with file.open("w") as lines:
        lines.write("gateway,prefix,price\n")
        for prefix in sorted(prefixes):
            lines.write(f"{chance.choice(GATEWAYS)},{prefix},0.{chance.randrange(10_000):04}\n")
    gateways = [Gateway(name, f"sip:192.0.2.{place}") for place, name in enumerate(GATEWAYS, 1)]
    begun = _children()
    return packed_from(LcrSettings(gateways, file=str(file))), _children() - begun


def packed_from(settings: LcrSettings) -> PackedRates:
    """Return the rates of the file of ``settings``, packed by the helper process."""
    job = job_of(settings)
    command = [sys.executable, "-m", "sansip_server.lcr.packer"]
    done = subprocess.run(command, input=json.dumps(asdict(job)), capture_output=True, text=True, check=True)
    packed = read_packed(Path(job.place), bytes.fromhex(json.loads(done.stdout)["digest"]))
    assert packed is not None
    return packed


def _children() -> float:
    """Return the CPU seconds of helper processes so far."""
    spent = os.times()
    return spent.children_user + spent.children_system


def look_up(ask: Callable[[str], object], numbers: Sequence[str]) -> float:
    """Return the µs of one look-up: the median of some turns."""
    turns = []
    for _ in range(_TURNS):
        begun = time.process_time()
        for number in numbers:
            ask(number)
        turns.append((time.process_time() - begun) / len(numbers) * 1e6)
    return statistics.median(turns)


def instructions(packed: PackedRates, folder: Path) -> float:
    """Return the machine instructions of a look-up for random numbers (callgrind). Raises ``Missing``."""
    if shutil.which("valgrind") is None:
        raise Missing("no valgrind")
    compile_meter(folder)
    (folder / "table").write_bytes(packed.data)
    command = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no"]
    command += [f"--callgrind-out-file={folder}/callgrind.out", sys.executable, "-m", "benchmarks.lcr"]
    environment = dict(os.environ, PYTHONHASHSEED="0", PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    subprocess.run([*command, "--count", str(folder)], env=environment, check=True, capture_output=True)
    lines = (line for path in folder.glob("callgrind.out*") for line in path.read_text().splitlines())
    return max(int(line.split()[1]) for line in lines if line.startswith("totals:")) / _COUNTED


def _count(folder: Path) -> None:
    """Look up under callgrind."""
    library = ctypes.PyDLL(str(folder / "meter.so"))
    packed = PackedRates((folder / "table").read_bytes())
    chance = random.Random(2)
    numbers = [str(chance.randrange(10**11, 10**12)) for _ in range(2 * _COUNTED)]
    gc.disable()
    for number in numbers[_COUNTED:]:
        packed.places(number)
    library.meter_instructions_begin()
    for number in numbers[:_COUNTED]:
        packed.places(number)
    library.meter_instructions_end(b"job")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--prefixes", type=int, default=1_000_000)
    parser.add_argument("--count", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.count:
        _count(Path(options.count))
        return
    with tempfile.TemporaryDirectory() as folder:
        packed, seconds = table(options.prefixes, Path(folder))
        octets = len(packed.data) / packed.prefixes
        print(
            f"{packed.prefixes:,} prefixes: loaded in {seconds:.1f} s of CPU time, {octets:.0f} octets each"
        )
        rates = Rates()
        rates.file = packed
        chance = random.Random(2)
        numbers = [str(chance.randrange(10**11, 10**12)) for _ in range(_NUMBERS)]
        gc.disable()
        for name, ask in (("prefixes", packed.places), ("prefixes and offers", rates.levels)):
            one, all_over = look_up(ask, numbers[:1] * _NUMBERS), look_up(ask, numbers)
            print(f"{name}: one number {one:.2f} µs, random numbers {all_over:.2f} µs")
        with contextlib.suppress(Missing):
            print(f"prefixes: {instructions(packed, Path(folder)):,.0f} instructions")


if __name__ == "__main__":
    main()
