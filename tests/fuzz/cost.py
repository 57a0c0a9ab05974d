"""Fuzzing by the hour for what costs too much: ``tox -e soak``.

    python -m tests.fuzz.cost --seconds 3600 --seed 1 --record soak.md

Theory of operation: inputs of ``mutate`` are stretched, for a part of each is repeated until
the message is as large as messages may be; that is how what is quadratic shows. The
verdict of each is ``targets.price``. The cycle collector is off, and after each batch it
tells what only it could have freed; where there is something, the batch is tried
one by one. What is found is kept in WORK/findings, and the run goes on; it ends
with a table, and 1 where something was found.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import resource
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from sansip.limits import DEFAULT
from tests.fuzz.mutate import WORDS, change
from tests.fuzz.seeds import seeds
from tests.fuzz.targets.price import price, price_of
from tests.garbage import left_by

__all__ = ["Findings", "run", "stretched"]

BATCH = 100
SIZES = (1_000, 4_000, 15_000, 32_000, DEFAULT.message_size)


def stretched(seed: int) -> Iterator[bytes]:
    """Yield inputs without end, the same for the same ``seed``; most have a part that is repeated."""
    chance = random.Random(seed)
    known = seeds("stack")
    while True:
        data = bytearray(chance.choice(known))
        for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
            change(data, chance, known)
        for _ in range(chance.choice((0, 1, 1, 1, 2))):
            at = chance.randrange(len(data) + 1)
            part = bytes(data[at : at + chance.choice((1, 2, 3, 5, 9, 20, 60))])
            part = chance.choice((part, part, chance.choice(WORDS), part + b", ", part + b"\r\n")) or b","
            room = chance.choice(SIZES) - len(data)
            data[at:at] = part * max(0, room // len(part))
        yield bytes(data[: DEFAULT.message_size + 100])


class Findings:
    """The findings of a run, and the cost of all inputs."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.found: list[str] = []
        self.inputs = 0
        self.octets = 0
        self.dearest = (0.0, "")
        self.heaviest = (0.0, "")

    def note(self, data: bytes, why: str) -> None:
        """Keep an input, and why it was found."""
        name = hashlib.sha1(data, usedforsecurity=False).hexdigest()[:12]
        self.found.append(f"{name}: {why}")
        sys.stderr.write(f"# {self.found[-1]}\n")
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / name).write_bytes(data)

    def one(self, data: bytes) -> None:
        """Judge one input."""
        try:
            price(data)
        except Exception as error:
            self.note(data, repr(error)[:200])

    def each(self, batch: list[bytes]) -> None:
        """Judge one after the other."""
        for data in batch:
            self.one(data)

    def batch(self, batch: list[bytes]) -> None:
        """Judge a batch, and the objects that it left."""
        if left_by(partial(self.each, batch)):
            for data in batch:
                if left := left_by(partial(self.one, data)):
                    self.note(data, f"left for the cycle collector: {left}")
        self.inputs += len(batch)
        self.octets += sum(map(len, batch))
        # A sample of what they cost, for the record.
        sample = batch[0]
        name = hashlib.sha1(sample, usedforsecurity=False).hexdigest()[:12]
        cost = price_of(sample, look=True)
        self.dearest = max(self.dearest, (1e6 * price_of(sample).seconds / max(1, len(sample)), name))
        self.heaviest = max(self.heaviest, (cost.memory / max(1, len(sample)), name))


def run(inputs: Iterator[bytes], findings: Findings, until: float) -> None:
    """Judge ``inputs`` until that time, or their end."""
    while time.monotonic() < until and (batch := list(islice(inputs, BATCH))):
        findings.batch(batch)


def main() -> None:
    """Fuzz for a while; print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=3_600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("fuzz-cost"), help="where findings are kept")
    parser.add_argument("--record", type=Path, help="a file for the table, too")
    options = parser.parse_args()
    findings = Findings(options.work / "findings")
    run(stretched(options.seed), findings, time.monotonic() + options.seconds)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    out = ["| inputs | MB | seconds | dearest us/octet | heaviest octets/octet | peak MB | findings |"]
    out.append("|---:|---:|---:|---:|---:|---:|---:|")
    row = f"| {findings.inputs:,} | {findings.octets / 1e6:,.0f} | {options.seconds:,.0f} "
    row += f"| {findings.dearest[0]:.2f} | {findings.heaviest[0]:.0f} | {memory} | {len(findings.found)} |"
    out += [row, *(f"- {one}" for one in findings.found[:50])]
    out.append(f"(dearest and heaviest: of one input in {BATCH}, small ones included; seed {options.seed})")
    table = "\n".join(out) + "\n"
    sys.stdout.write(table)
    if options.record is not None:
        options.record.write_text(table)
    sys.exit(1 if findings.found else 0)


if __name__ == "__main__":
    main()
