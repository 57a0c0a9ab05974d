"""The CPU time of other processes, to the nanosecond.

Theory of operation: ``/proc/PID/stat`` tells hundredths of a second for each process, which loses up to 10 ms
of each of Kamailio's dozen processes and is 8 µs a call in a run of 4 s. The clock of a process
(clock_getcpuclockid(3)) has nanoseconds, ended threads included; only the part of the kernel and that of
ended children are in ``stat``.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["cpu_seconds", "idle_share", "processes", "system_seconds", "waited_seconds"]

TICK = os.sysconf("SC_CLK_TCK")
# A server that says that it is ready still has things to do once: some 40 ms of CPU time, which is 100 µs for
# each of 2,000 requests if it counts as idling. It is over when so many windows in a row take less than this
# share.
_WINDOW = 0.1
_WINDOWS = 4
_CALM = 0.02
_PATIENCE = 10.0
# clock_getcpuclockid(3) of Linux: the number of the process turned over, and CPUCLOCK_SCHED.
_SCHED = 2


def processes(group: int) -> Iterator[tuple[Path, list[str]]]:
    """Yield directory and status fields, from the state on, of each process of process group ``group``.

    So of those of its session: workers have a group of their own.
    """
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if group in (int(fields[2]), int(fields[3])):
                yield entry, fields


def cpu_seconds(group: int) -> float:
    """Return user and system time of a process group so far, ended threads and children included."""
    total = 0.0
    for entry, fields in processes(group):
        # proc(5): cutime and cstime are fields 16 and 17; the state is field 3.
        with contextlib.suppress(OSError):
            total += time.clock_gettime((~int(entry.name) << 3) | _SCHED)
            total += (int(fields[13]) + int(fields[14])) / TICK
    return total


def system_seconds(group: int) -> float:
    """Return the part of it that the kernel spent, to a hundredth of a second for each process."""
    # proc(5): stime and cstime are fields 15 and 17.
    return sum(int(fields[12]) + int(fields[14]) for _, fields in processes(group)) / TICK


def waited_seconds(group: int) -> float:
    """Return how long a process group was ready to run and had to wait for its core."""
    total = 0
    for directory, _ in processes(group):
        for task in directory.glob("task/*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(task.read_text().split()[1])
    return total / 1e9


def idle_share(group: int, seconds: float) -> float:
    """Return the share of a processor that a process group takes while it idles for ``seconds``.

    What it does once after its start does not count: this waits until that is over.
    """
    until = time.monotonic() + _PATIENCE
    calm = 0
    while calm < _WINDOWS and time.monotonic() < until:
        calm = calm + 1 if _share(group, _WINDOW) < _CALM else 0
    return _share(group, seconds)


def _share(group: int, seconds: float) -> float:
    begun, spent = time.monotonic(), cpu_seconds(group)
    time.sleep(seconds)
    return (cpu_seconds(group) - spent) / (time.monotonic() - begun)
