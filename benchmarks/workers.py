"""CPU time per call, or registration, of several workers beside one process, at the same rate for each.

Theory of operation: two processors are all there is, and SIPp needs some of them, so calls per second at full
load cannot be had. What can: the CPU time that all processes of the server spend on a call. If N workers at N
times the rate spend on a call what one process spends, they carry N times its calls on N processors. The
factor printed is that: N times the cost of one process, divided by that of N workers.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from statistics import median

from benchmarks.calls import WORKLOADS, Result, measure, parser_of

__all__ = ["factor", "main"]


def factor(workers: int, alone: float, together: float) -> float:
    """Return how many processes N workers are worth, by the CPU time of a call of each."""
    return workers * alone / together


def _line(result: Result) -> str:
    return (
        f"{result.server:<12} {result.rate:>4}/s  {result.cpu_us:>7.0f} µs  kernel {result.system_us:>5.0f}"
        f"  idle {result.idle_share:.4f}  waited {result.wait_share:.3f}  failed {result.failed}"
        f"  again {result.retransmissions}"
    )


def _arguments(words: list[str] | None) -> Namespace:
    parser = parser_of((__doc__ or "").split("\n")[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=sorted(WORKLOADS), default="calls", help="workload")
    parser.add_argument("--cores", default="0,1", help="processors of the server's workers")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    arguments = _arguments(words)
    # The kernel chooses a worker by the caller's port.
    arguments.port_each = True
    count, rate, core, given = (
        arguments.workers,
        arguments.rate,
        arguments.server_core,
        arguments.serve_option,
    )
    found: dict[str, list[Result]] = {"one process": [], f"{count} workers": []}
    for _ in range(arguments.rounds):
        for name, results in found.items():
            alone = name == "one process"
            arguments.rate = rate if alone else rate * count
            arguments.server_core = core if alone else arguments.cores
            arguments.serve_option = given if alone else [*given, "--workers", str(count)]
            result = measure(name, arguments.only, arguments)
            print(_line(result), flush=True)
            results.append(result)
    one, many = (median(each.cpu_us for each in results) for results in found.values())
    worth = factor(count, one, many)
    print(f"medians: {one:.0f} and {many:.0f} µs each: {count} workers are {worth:.2f} processes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
