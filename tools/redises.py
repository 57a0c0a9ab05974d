"""Redis servers for tests and benchmarks: one, a pair behind sentinels, a cluster.

Theory of operation: each is a ``Program`` in a folder of its own on loopback ports
that were free a moment ago; the machine's own Redis is not touched. Data survives a restart with
the same folder (``appendonly``).
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tools.peers import PeerError, Program, free_port

__all__ = ["HOST", "Sentinels", "cli", "cluster", "redis_server", "sentinels"]

HOST = "127.0.0.1"


def redis_server(directory: Path, port: int, options: Sequence[str] = ()) -> Program:
    """Start Redis on ``port`` and return once it takes connections."""
    directory.mkdir(exist_ok=True)
    command = ["redis-server", "--port", str(port), "--bind", HOST, "--dir", str(directory)]
    command += ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec", "--daemonize", "no"]
    # A replica is given its data at once: by default it waits five seconds for others.
    command += ["--repl-diskless-sync-delay", "0", *options]
    program = Program(command, directory / "redis.log", cwd=directory)
    try:
        program.wait_for(r"Ready to accept connections")
    except PeerError:
        program.stop()
        raise
    return program


def cli(port: int, *words: str) -> str:
    """Return the answer of ``redis-cli`` to ``words``."""
    done = subprocess.run(
        ["redis-cli", "-h", HOST, "-p", str(port), *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return done.stdout.strip()


class Sentinels:
    """A master with one replica and three sentinels, which ``sentinels`` yields."""

    def __init__(
        self, master: Program, replica: Program, ports: tuple[int, int], watchers: list[int]
    ) -> None:
        self.master = master
        self.replica = replica
        self.master_port, self.replica_port = ports
        self.watchers = watchers

    @property
    def url(self) -> str:
        """The value for the setting ``location``."""
        return f"redis+sentinel://{','.join(f'{HOST}:{port}' for port in self.watchers)}/mymaster/0"

    def wait_for_promotion(self, timeout: float = 30.0) -> None:
        """Return once the replica is the master that the sentinels name."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.CalledProcessError):
                named = cli(self.watchers[0], "sentinel", "get-master-addr-by-name", "mymaster")
                if named.endswith(str(self.replica_port)):
                    return
            time.sleep(0.1)
        raise self.replica.failure("was not promoted")

    def wait_for_replica(self, timeout: float = 30.0) -> None:
        """Return once the promoted server has a replica of its own."""
        _wait(lambda: "state=online" in cli(self.replica_port, "info", "replication"), timeout)


@contextlib.contextmanager
def sentinels(directory: Path) -> Iterator[Sentinels]:
    """Run a master, its replica and three sentinels that declare a master dead after a second."""
    master_port, replica_port, *watchers = [free_port() for _ in range(5)]
    with ExitStack() as stack:
        master = stack.enter_context(redis_server(directory / "master", master_port))
        replica = stack.enter_context(
            redis_server(directory / "replica", replica_port, ["--replicaof", HOST, str(master_port)])
        )
        replica.wait_for(r"MASTER <-> REPLICA sync: Finished|Finished with success")
        for number, port in enumerate(watchers):
            config = directory / f"sentinel{number}.conf"
            config.write_text(
                f"port {port}\nbind {HOST}\ndir {directory}\n"
                f"sentinel monitor mymaster {HOST} {master_port} 2\n"
                "sentinel down-after-milliseconds mymaster 1000\n"
                "sentinel failover-timeout mymaster 5000\n"
            )
            watcher = Program(["redis-sentinel", str(config)], directory / f"sentinel{number}.log")
            stack.enter_context(watcher).wait_for(r"\+monitor master mymaster")
        for port in watchers:
            _wait(lambda port=port: "num-other-sentinels\n2" in cli(port, "sentinel", "master", "mymaster"))
        yield Sentinels(master, replica, (master_port, replica_port), watchers)


@contextlib.contextmanager
def cluster(directory: Path, masters: int = 3, replicas: int = 1) -> Iterator[list[tuple[int, Program]]]:
    """Run a Redis Cluster; yield the port and program of each node, in any order of roles."""
    nodes: list[tuple[int, Program]] = []
    with ExitStack() as stack:
        for number in range(masters * (1 + replicas)):
            port, bus = free_port(), free_port()
            options = [
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                str(bus),
                "--cluster-node-timeout",
                "2000",
            ]
            program = redis_server(directory / f"node{number}", port, options)
            nodes.append((port, stack.enter_context(program)))
        hosts = [f"{HOST}:{port}" for port, _ in nodes]
        cli(nodes[0][0], "--cluster", "create", *hosts, "--cluster-replicas", str(replicas), "--cluster-yes")
        for port, _ in nodes:
            _wait(lambda port=port: "cluster_state:ok" in cli(port, "cluster", "info"))
            # Roles settle a moment after the slots.
            _wait(lambda port=port: cli(port, "cluster", "nodes").count("slave") == masters * replicas)
        for port, _ in nodes:
            _wait(lambda port=port: _replicated(port))
        yield nodes


def _replicated(port: int) -> bool:
    """Whether a master has a replica that is in step, or a replica a master."""
    said = cli(port, "info", "replication")
    return "state=online" in said or "master_link_status:up" in said


def _wait(done: object, timeout: float = 20.0) -> None:
    assert callable(done)
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() > deadline:
            raise PeerError(f"Redis did not get ready in {timeout:g} s")
        time.sleep(0.1)
