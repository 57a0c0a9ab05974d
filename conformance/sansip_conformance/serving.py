"""A server for one setup: a process that runs the core on a runtime.

Theory of operation: ``main``, in a process of its own, reads a setup as
JSON from standard input, serves it, and writes ``ready PORT``. Separate
processes keep the runtimes apart.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from sansip.config import ListenerConfig
from sansip.rows import MemoryRows, Read, Scan, Write
from sansip.stack import Stack
from sansip.transport import Resolve
from sansip_conformance.setup import stack_config
from sansip_conformance.target import Target
from sansip_conformance.trace import Setup, User

__all__ = ["Servers", "load_runtime"]


def load_runtime(name: str) -> Callable[..., int]:
    """Return the front door of runtime ``name``. Raises ValueError when it is not installed."""
    for entry in entry_points(group="sansip.runtimes"):
        if entry.name == name:
            try:
                return entry.load()  # type: ignore[no-any-return]  # Any by design
            except ImportError as error:
                raise ValueError(
                    f"runtime {name} cannot be loaded: {error}; pip install 'sansip[{name}]'"
                ) from None
    if name == "asyncio":
        from sansip_asyncio import run

        return run
    names = sorted({"asyncio", *(entry.name for entry in entry_points(group="sansip.runtimes"))})
    raise ValueError(f"there is no runtime {name!r} here; expected {' or '.join(names)}")


class Servers:
    """Server processes, one for each setup that traces ask for. Close it when done."""

    def __init__(self, runtime: str, uvloop: bool = False) -> None:
        load_runtime(runtime)
        self._runtime = runtime
        self._uvloop = uvloop
        self._running: dict[str, tuple[subprocess.Popen[str], Target]] = {}
        self._lock = threading.Lock()

    def target(self, setup: Setup, slow: bool) -> Target:
        """Return a server that runs with ``setup``; start one if there is none."""
        shown: dict[str, Any] = {
            "transports": setup.transports,
            "domains": setup.domains,
            "config": setup.config,
            "modules": setup.modules,
            "route": setup.route,
            "server": setup.server,
            "names": setup.names,
            "users": [[one.name, one.password, one.realm] for one in setup.users],
        }
        key = json.dumps(shown, sort_keys=True)
        with self._lock:
            known = self._running.get(key)
            if known is not None and known[0].poll() is None:
                return known[1]
            number = len(self._running) + 1
            host = f"127.{77 + os.getpid() % 100}.251.{number % 250 + 1}"
            process = subprocess.Popen(
                [sys.executable, "-c", "from sansip_conformance.serving import main; main()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(
                json.dumps(shown | {"host": host, "runtime": self._runtime, "uvloop": self._uvloop}) + "\n"
            )
            process.stdin.flush()
            said = process.stdout.readline().split()
            if said[:1] != ["ready"]:
                process.wait(5)
                raise ValueError("the server did not start; its words are above")
            address = (host, int(said[1]))
            target = Target(dict.fromkeys(setup.transports, address), own=True, slow=slow)
            target.addresses.setdefault("udp", address)
            self._running[key] = (process, target)
            return target

    def close(self) -> None:
        """End every server that was started."""
        for process, _ in self._running.values():
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self._running.clear()


def main() -> None:
    """Serve the setup on standard input until killed."""
    given = json.loads(sys.stdin.readline())
    setup = Setup(
        server=given["server"],
        transports=given["transports"],
        domains=given["domains"],
        config=given["config"],
        modules=given["modules"],
        route=given["route"],
        users=[User(*one) for one in given["users"]],
    )
    listeners = [
        ListenerConfig(number, transport, given["host"], 5060)
        for number, transport in enumerate(setup.transports)
    ]
    run = load_runtime(given["runtime"])

    def build(bound: list[ListenerConfig]) -> Stack:
        return Stack(stack_config(setup, bound), os.urandom(32))

    def on_ready(server: Any) -> None:
        sys.stdout.write("ready 5060\n")
        sys.stdout.flush()

    names: dict[str, list[str]] = given["names"]

    def resolve(question: Resolve) -> list[tuple[str, int]]:
        if question.host not in names:
            raise LookupError(f"no such host: {question.host}")
        found = []
        for text in names[question.host]:
            host, _, port = text.rpartition(":")
            found.append((host, int(port)))
        return found

    options: dict[str, Any] = {"uvloop": True} if given["uvloop"] else {}
    if names:
        options["handlers"] = {Resolve: resolve}
    if setup.modules:
        # Rows of modules, as long as this process lives.
        rows, lock = MemoryRows(), threading.Lock()

        def answer(question: Read | Scan | Write) -> Any:
            with lock:
                return rows.answer(question)

        options["handlers"] = {**options.get("handlers", {}), Read: answer, Scan: answer, Write: answer}
    raise SystemExit(run(build, listeners, on_ready=on_ready, drain_time=0.1, **options))
