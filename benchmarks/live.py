"""What a running ``sansip serve`` executes for a call, a REGISTER or an OPTIONS.

Theory of operation: SIPp offers the load of ``calls.py`` to the installed ``sansip serve``, so the pumps, the
event loop and the log are in the figures, which ``counts.py`` has not. ``calls`` of functions: the server has
a hook of the interpreter in it from one signal to another, and writes down what it counted.
``instructions``: it runs under callgrind, which makes it fifty times slower, hence the low rate. A first load
warms it up, but for registrations, which it would make refreshes. How many datagrams one wake-up serves
depends on the rate and on the machine's other work, so two runs differ by a few percent.

    python -m benchmarks.live                            both runtimes, all workloads
    python -m benchmarks.live --only calls --runtime asyncio --functions 40
    python -m benchmarks.live --kind instructions
    python -m benchmarks.live --only calls --transport tcp
    python -m benchmarks.live --only calls --relay      each call has a media relay: Debian's rtpengine
    python -m benchmarks.live --only calls --module dispatcher --module lcr     as ``modules.py`` has them
    python -m benchmarks.live --redis                   the bindings are in a Redis of its own
    python -m benchmarks.live --kind system             system calls (strace)
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks import calls, media, modules
from tools.peers import Program, free_port

__all__ = ["Asked", "counted", "instructions", "system_calls"]

# A second.
RATES = {"calls": 50, "instructions": 30, "system": 100}


def _serve_counted(out: Path, words: list[str]) -> None:
    """Be ``sansip``; count calls of functions between SIGUSR1 and SIGUSR2, and write them to ``out``."""
    from sansip_server.cli import main

    events: Counter[tuple[str, str, str]] = Counter()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            code = frame.f_code
            events["Python", code.co_qualname, code.co_filename] += 1
        elif event == "c_call":
            events["C", getattr(argument, "__qualname__", repr(argument)), ""] += 1

    def begin(number: int, frame: FrameType | None) -> None:
        sys.setprofile(note)

    def end(number: int, frame: FrameType | None) -> None:
        sys.setprofile(None)
        out.with_suffix(".part").write_text(json.dumps([[*key, count] for key, count in events.items()]))
        out.with_suffix(".part").rename(out)

    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    sys.argv = ["sansip", *words]
    main(prog_name="sansip")


@dataclass
class Asked:
    """What is counted: runtime, rate, module and its prefixes, a media relay, bindings in Redis.

    ``transport``: that of SIPp.
    """

    runtime: str
    rate: int
    module: str = "plain"
    prefixes: int = 1_000
    relay: bool = False
    redis: bool = False
    transport: str = "udp"


class _Run:
    """One server and its load. ``before``: the words in front of those of ``sansip``."""

    def __init__(
        self, stack: ExitStack, directory: Path, before: list[str], asked: Asked, workload: str
    ) -> None:
        options = calls.parser_of("").parse_args([])
        # Modules have a gateway at each of the two.
        options.rate, options.seconds, options.sipps = asked.rate, 6, 1 if asked.module == "plain" else 2
        options.transport = asked.transport
        ports = [free_port() for _ in range(2)]
        port = free_port()
        words = [
            "serve",
            "--runtime",
            asked.runtime,
            "--listen",
            f"udp:{calls.HOST}:{port}",
            "--domain",
            calls.DOMAIN,
        ]
        if asked.transport != "udp":
            words += ["--listen", f"{asked.transport}:{calls.HOST}:{port}"]
        ends = calls.ends_of(options, directory)
        if asked.relay:
            program, ng = media.rtpengine(directory, options.sipp_core)
            stack.enter_context(program)
            settings = directory / "media.toml"
            settings.write_text(media.tables(ng))
            words += ["--config", str(settings)]
        else:
            words += modules.configured(modules.CASES[asked.module], ports, asked.prefixes, directory)
        if asked.redis:
            words += calls.shared(options, directory, stack)
        if ends is not None:
            with (directory / "sansip.toml").open("a") as config:
                config.write(ends.table)
        self.server = stack.enter_context(Program([*before, *words], directory / "log", cwd=directory))
        self.server.wait_for(r"^ready$", 300)
        self._stack = stack
        number = modules.dialled(asked.module)
        self._load = calls.Load(options, workload, port, directory, ports, number, ends)
        self._load.prepare(stack)
        if workload != "registrations":
            self.play()

    def play(self) -> int:
        """Offer the load once; return how many were completed.

        Raises RuntimeError where messages were sent again: then the figures are those of another job.
        """
        load = self._load
        del load.files[len(load.callees) :]
        load.run(self._stack)
        completed, failed, again = load.totals()
        if again:
            raise RuntimeError(f"{again} messages were sent again, {failed} failed: offer less by --rate")
        return completed


def counted(asked: Asked, workload: str) -> Counter[tuple[str, str, str]]:
    """Return calls of functions for each call or request: by language, name and file."""
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        directory = Path(temporary)
        out = directory / "counted.json"
        before = [sys.executable, "-m", "benchmarks.live", "--serve", str(out)]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(calls.ROOT), *sys.path]))
        run = _Run(stack, directory, before, asked, workload)
        run.server.process.send_signal(signal.SIGUSR1)
        completed = run.play()
        run.server.process.send_signal(signal.SIGUSR2)
        while not out.exists():
            time.sleep(0.05)
        found: Counter[tuple[str, str, str]] = Counter()
        for kind, name, file, number in json.loads(out.read_text()):
            found[kind, name, file] = number / completed
        return found


def instructions(asked: Asked, workload: str) -> float:
    """Return machine instructions outside of the kernel for each call or request."""
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        directory = Path(temporary)
        before = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no"]
        before += [f"--callgrind-out-file={directory}/callgrind.out", sys.executable, "-m", "sansip_server"]
        os.environ["PYTHONHASHSEED"] = "0"
        run = _Run(stack, directory, before, asked, workload)

        def control(*words: str) -> None:
            subprocess.run(
                ["callgrind_control", *words, str(run.server.pid)], check=True, capture_output=True
            )

        control("-i", "on")
        completed = run.play()
        control("-i", "off")
        control("-d")
        totals = [
            int(line.split()[1])
            for path in directory.glob("callgrind.out*")
            for line in path.read_text().splitlines()
            if line.startswith(("totals:", "summary:"))
        ]
        return max(totals) / completed


def system_calls(asked: Asked, workload: str) -> Counter[tuple[str, str, str]]:
    """Return system calls for each call or request, by name."""
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        directory = Path(temporary)
        run = _Run(stack, directory, [sys.executable, "-m", "sansip_server"], asked, workload)
        out = directory / "strace.out"
        words = ["strace", "-f", "-c", "-o", str(out), "-p", str(run.server.pid)]
        tracer = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        completed = run.play()
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)
        rows = [line.split() for line in out.read_text().splitlines()]
        found = [
            (row[-1], row[3]) for row in rows if len(row) >= 5 and row[3].isdigit() and row[-1] != "total"
        ]
        return Counter({("system", name, ""): int(count) / completed for name, count in found})


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        _serve_counted(Path(sys.argv[2]), sys.argv[3:])
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kind", choices=list(RATES), default="calls")
    parser.add_argument("--only", choices=sorted(calls.WORKLOADS), action="append", help="may be repeated")
    parser.add_argument("--runtime", action="append", help="may be repeated; default: asyncio and blocking")
    parser.add_argument("--module", choices=list(modules.CASES), action="append", help="may be repeated")
    parser.add_argument("--prefixes", type=int, default=1_000, help="rates of lcr; default: 1,000")
    parser.add_argument(
        "--relay", action="store_true", help="each call has a media relay (rtpengine) and no other module"
    )
    parser.add_argument("--redis", action="store_true", help="the bindings are in Redis")
    parser.add_argument("--transport", choices=["udp", "tcp", "tls"], default="udp")
    parser.add_argument("--functions", type=int, default=0, help="print so many functions of each")
    parser.add_argument("--rate", type=int, help="a second; default: 50, and 30 for instructions")
    options = parser.parse_args()
    rate = options.rate or RATES[options.kind]
    needed = ["sipp"] + ["valgrind"] * (options.kind == "instructions") + ["rtpengine"] * options.relay
    needed += ["strace"] * (options.kind == "system") + ["redis-server"] * options.redis
    missing = [name for name in needed if shutil.which(name) is None]
    if missing:
        print(f"not installed: {', '.join(missing)} (apt-get install sip-tester valgrind)", file=sys.stderr)
        return 2
    runtimes = options.runtime or ["asyncio", "blocking"]
    for workload, runtime, module in product(
        options.only or list(calls.WORKLOADS), runtimes, options.module or ["plain"]
    ):
        asked = Asked(
            runtime, rate, module, options.prefixes, options.relay, options.redis, options.transport
        )
        name = f"{workload:14} {runtime:9} {module:11}"
        if options.kind == "instructions":
            print(f"{name} {instructions(asked, workload) / 1000:8.1f} k instructions each", flush=True)
            continue
        if options.kind == "system":
            made = system_calls(asked, workload)
            each = ", ".join(f"{number:.2f} {call}" for (_, call, _), number in made.most_common(9))
            print(f"{name} {sum(made.values()):8.1f} system calls: {each}", flush=True)
            continue
        found = counted(asked, workload)
        sums: Counter[str] = Counter()
        for (kind, _, _), number in found.items():
            sums[kind] += number
        print(f"{name} {sums['Python']:8.1f} Python calls, {sums['C']:.1f} of C functions", flush=True)
        for (kind, function, file), number in found.most_common(options.functions):
            print(f"  {number:8.2f} {kind:6} {function:48} {Path(file).name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
