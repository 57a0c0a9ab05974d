"""Running traces: one verdict each.

Theory of operation: a verdict is "pass", "fail" or "skip" with a reason, the line of the step
that failed, and the section that it cites. No trace and no server can stop a run before its end.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from sansip.module import ModuleFault
from sansip_conformance.live import LiveWorld, at_hosts, host_for
from sansip_conformance.player import Player, TraceFailedError
from sansip_conformance.serving import Servers
from sansip_conformance.syntax import read_file, read_text
from sansip_conformance.target import Target, reason_to_skip
from sansip_conformance.trace import Trace
from sansip_conformance.world import CoreWorld

__all__ = ["Verdict", "load_suites", "play_live", "play_on_core", "run_live", "run_on_core", "select"]


@dataclass(slots=True)
class Verdict:
    """The verdict on one trace. ``outcome`` is "pass", "fail" or "skip"."""

    trace: Trace
    outcome: str
    reason: str = ""
    line: int = 0
    rfc: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def where(self) -> str:
        """``file:line`` of the step that failed."""
        return f"{self.trace.path}:{self.line or self.trace.line}"


def load_suites() -> list[Trace]:
    """Return every trace that comes with the package, and those made from the torture tables."""
    from sansip_conformance.torture import torture_traces

    traces: list[Trace] = []
    folder = resources.files("sansip_conformance").joinpath("traces")
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.name.endswith(".trace"):
            if isinstance(entry, Path):
                traces += read_file(entry)
            else:
                traces += read_text(entry.read_text("utf-8"), entry.name)
    return traces + torture_traces()


def select(traces: Iterable[Trace], wanted: Iterable[str]) -> list[Trace]:
    """Return those of ``traces`` whose suite, id, or cited section begins with one of ``wanted``.

    All of them when nothing is wanted. Raises ValueError for a word that fits nothing.
    """
    traces = list(traces)
    words = list(wanted)
    if not words:
        return traces
    chosen: dict[str, Trace] = {}
    for word in words:
        fitting = [
            one
            for one in traces
            if one.suite == word
            or one.id == word
            or one.suite.startswith(word)
            or one.id.startswith(word)
            or any(_cites(section, word) for section in one.sections)
        ]
        if not fitting:
            raise ValueError(
                f"no suite, trace or section is called {word}; `sansip conformance list` shows them"
            )
        chosen.update((one.id, one) for one in fitting)
    return list(chosen.values())


def _cites(section: str, word: str) -> bool:
    plain = section.lower().replace(" ", "")
    asked = word.lower().replace(" ", "")
    return plain == asked or (plain.startswith(asked) and not plain[len(asked)].isdigit())


def play_on_core(trace: Trace, seed: int = 0) -> Verdict:
    """Play one trace against the core on virtual time."""
    began = time.perf_counter()
    for need in trace.needs:
        return Verdict(trace, "skip", f"needs {need}")
    try:
        world = CoreWorld(trace, seed)
    except ModuleFault as fault:
        # A package that a module needs is not installed, and other traces go on.
        return Verdict(trace, "skip", str(fault))
    except ValueError as error:
        return Verdict(trace, "fail", str(error), trace.line)
    verdict = judge(trace, lambda: _play(trace, world))
    verdict.seconds = time.perf_counter() - began
    return verdict


def _play(trace: Trace, world: CoreWorld) -> None:
    Player(trace, world).play()
    left = world.finish()
    if left is not None:
        raise TraceFailedError(trace.line, left, trace.rfc)


def judge(trace: Trace, play: Callable[[], None]) -> Verdict:
    """Turn the exceptions of ``play`` into a verdict."""
    try:
        play()
    except TraceFailedError as failure:
        return Verdict(trace, "fail", failure.reason, failure.line, failure.rfc or trace.rfc)
    except Exception as error:
        # No message of a peer may make the core raise: this is a bug of the core, or of the suite.
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {error}"
        return Verdict(trace, "fail", reason, trace.line, trace.rfc)
    return Verdict(trace, "pass")


def run_on_core(traces: Iterable[Trace], seed: int = 0) -> Iterator[Verdict]:
    """Play ``traces`` one after the other on the core."""
    for trace in traces:
        yield play_on_core(trace, seed)


def play_live(trace: Trace, target: Target | Servers, *, slow: bool = False) -> Verdict:
    """Play one trace against a running server, or one of ``Servers`` started for it."""
    began = time.perf_counter()
    asked = Target({"udp": ("127.0.0.1", 0)}, own=True, slow=slow) if isinstance(target, Servers) else target
    why = reason_to_skip(trace, asked)
    if why is not None:
        return Verdict(trace, "skip", why)

    def play() -> None:
        hosts = None
        if isinstance(target, Servers):
            setup = trace.setup
            if setup.names or "192.0.2." in setup.route:
                # The server must know the addresses of the endpoints.
                hosts = [host_for("127.0.0.1") for _ in setup.endpoints]
                setup = at_hosts(setup, hosts)
            chosen = target.target(setup, slow)
        else:
            chosen = target
        world = LiveWorld(trace, chosen, hosts)
        player = Player(trace, world)
        try:
            player.play()
        finally:
            world.clean_up(player.story.registered)
            world.close()

    verdict = judge(trace, play)
    verdict.seconds = time.perf_counter() - began
    return verdict


def run_live(
    traces: Iterable[Trace], target: Target | Servers, *, slow: bool = False, parallel: int = 8
) -> Iterator[Verdict]:
    """Play ``traces`` against a running server, ``parallel`` at a time, in any order."""
    with ThreadPoolExecutor(parallel) as pool:
        waiting = [pool.submit(play_live, trace, target, slow=slow) for trace in traces]
        for future in as_completed(waiting):
            yield future.result()
