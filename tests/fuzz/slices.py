"""Fuzzing by the hour: every target in turn, each slice a process with a limit of time and memory.

    python -m tests.fuzz.slices --minutes 60 --work /tmp/fuzz > fuzzing.txt

Theory of operation: libFuzzer (atheris) is told how long an input may take and
how large the process may become; a slice that meets a limit, or raises, ends with
an input in WORK/findings. What a slice finds new is kept in WORK/TARGET, where the
next slice goes on; ``--keep`` copies the smallest inputs that reach all that was
reached into tests/fuzz/corpus. One row of a table is printed a target.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.seeds import CORPUS, seeds
from tests.fuzz.targets import TARGETS

# An input that takes longer is a hang, by the clock, so a busy machine is allowed for;
# a process that grows beyond this leaks.
TIMEOUT = 100
MEMORY_MB = 700
MOST_KEPT = 40
MOST_ATTEMPTS = 10


@dataclass(slots=True)
class Slice:
    """The report of libFuzzer on one run: inputs, seconds, edges covered, peak memory, findings."""

    inputs: int = 0
    seconds: int = 0
    edges: int = 0
    memory: int = 0
    findings: int = 0

    def add(self, other: Slice) -> None:
        """Count another run of the same target."""
        self.inputs += other.inputs
        self.seconds += other.seconds
        self.edges = max(self.edges, other.edges)
        self.memory = max(self.memory, other.memory)
        self.findings += other.findings


def run_slice(target: str, work: Path, seconds: int, seed: int) -> Slice:
    """Fuzz ``target`` for ``seconds``."""
    corpus, findings = work / target, work / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    if not corpus.exists():
        corpus.mkdir()
        for number, data in enumerate(seeds(target)):
            (corpus / f"seed-{number}").write_bytes(data[:4096])
    before = len(list(findings.iterdir()))
    began = time.monotonic()
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.fuzz.atheris_run", target,
            f"-max_total_time={seconds}", f"-seed={seed}",
            f"-timeout={TIMEOUT}", f"-rss_limit_mb={MEMORY_MB}",
            "-max_len=4096", "-print_final_stats=1", f"-artifact_prefix={findings}/{target}-", str(corpus),
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
    )  # fmt: skip
    (work / f"{target}.log").write_text(done.stdout)
    edges = re.findall(r"cov: (\d+)", done.stdout)
    inputs = re.search(r"number_of_executed_units:\s*(\d+)", done.stdout)
    memory = re.search(r"peak_rss_mb:\s*(\d+)", done.stdout)
    return Slice(
        int(inputs[1]) if inputs else 0,
        round(time.monotonic() - began),
        max(map(int, edges), default=0),
        int(memory[1]) if memory else 0,
        len(list(findings.iterdir())) - before,
    )


def keep(target: str, work: Path) -> None:
    """Copy the smallest inputs that reach what the whole corpus reaches, as many as are worth keeping."""
    small = work / f"{target}-small"
    shutil.rmtree(small, ignore_errors=True)
    small.mkdir()
    subprocess.run(
        [sys.executable, "-m", "tests.fuzz.atheris_run", target, "-merge=1", str(small), str(work / target)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    known = {data[:4096] for data in seeds(target)}
    found = sorted((path for path in small.iterdir() if path.read_bytes() not in known), key=_size)
    (CORPUS / target).mkdir(parents=True, exist_ok=True)
    # libFuzzer names a file by what is in it.
    for path in found[:: max(1, len(found) // MOST_KEPT)][:MOST_KEPT]:
        shutil.copy(path, CORPUS / target / path.name[:12])


def _size(path: Path) -> tuple[int, str]:
    return path.stat().st_size, path.name


def main() -> None:
    """Share the minutes out among the targets, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("targets", nargs="*", default=list(TARGETS), help="the default is all of them")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--slices", type=int, default=2, help="how often each target has its turn")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    share = max(1, int(options.minutes * 60 / len(options.targets) / options.slices))
    table: dict[str, Slice] = {target: Slice() for target in options.targets}
    for turn in range(options.slices):
        for target in options.targets:
            left = share
            # A finding ends a process, and not the slice.
            for attempt in range(MOST_ATTEMPTS):
                one = run_slice(target, options.work, left, options.seed + turn + 1000 * attempt)
                table[target].add(one)
                sys.stderr.write(f"# {target}: {one}\n")
                left -= one.seconds
                if left < 5:
                    break
    if options.keep:
        for target in options.targets:
            keep(target, options.work)
    out = ["| target | inputs | seconds | edges | peak MB | findings |", "|---|---:|---:|---:|---:|---:|"]
    for target, one in table.items():
        out.append(
            f"| {target} | {one.inputs:,} | {one.seconds:,} | {one.edges:,} | {one.memory} | {one.findings} |"
        )
    sys.stdout.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
