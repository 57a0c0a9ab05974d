"""Live values and counts of modules on two nodes with a real Redis, which dies and comes back."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from tests.interop.test_shared_rows import Node
from tools.peers import free_port
from tools.redises import HOST, cluster, redis_server, sentinels

CODE = """
from dataclasses import dataclass
from sansip.module import Module, command
from sansip.rows import Table


@dataclass
class Load:
    trunk: str
    calls: int


LOADS = Table("quiet_hours_load", Load, key=("trunk",))


class QuietHours(Module):
    name = "quiet_hours"

    @command("quiet_hours.add")
    async def add(self, trunk: str, ttl: float = 60.0) -> int:
        load = await self.core.shared(LOADS).change(
            (trunk,), lambda load: Load(trunk, 1 + (load.calls if load else 0)), ttl=ttl)
        return load.calls

    @command("quiet_hours.show")
    async def show(self, trunk: str) -> int:
        load = await self.core.shared(LOADS).get(trunk)
        return load.calls if load else 0

    @command("quiet_hours.allow")
    async def allow(self, key: str, count: int, per: float) -> bool:
        return await self.core.limit(key, count, per)
"""


def allowed(node: Node, key: str, count: int, per: float) -> bool:
    """Whether ``node`` allows one more."""
    said = node.ctl("quiet_hours.allow", f"key={key}", f"count={count}", f"per={per}").strip().lower()
    assert said in ("true", "false")
    return said == "true"


@pytest.mark.needs("redis-server", "redis-cli")
def test_two_nodes(tmp_path: Path) -> None:
    """No change is lost, no more than so many are allowed by both together; without Redis each goes on."""
    port = free_port()
    nodes = [Node(tmp_path / name, port, CODE) for name in ("one", "two")]
    for node in nodes:
        node.config.write_text(node.config.read_text().replace("refresh = 0.1\n", ""))
    with redis_server(tmp_path / "redis", port) as redis, nodes[0].serve(), nodes[1].serve():
        # From both at once, a process of `ctl` for each.
        threads = [
            threading.Thread(target=node.ctl, args=("quiet_hours.add", "trunk=a")) for node in nodes * 8
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [node.ctl("quiet_hours.show", "trunk=a").strip() for node in nodes] == ["16", "16"]
        assert [allowed(node, "k", 3, 600) for node in nodes * 3] == [True] * 3 + [False] * 3
        assert allowed(nodes[0], "quick", 1, 0.5)
        time.sleep(0.6)
        assert allowed(nodes[1], "quick", 1, 0.5)
        nodes[0].ctl("quiet_hours.add", "trunk=short", "ttl=0.3")
        time.sleep(0.5)
        assert nodes[1].ctl("quiet_hours.show", "trunk=short").strip() == "0"
        redis.process.kill()
        redis.process.wait()
        said = nodes[0].ctl("quiet_hours.add", "trunk=a")
        assert "OSError" in said, said
        assert allowed(nodes[0], "k", 3, 600)
        health = json.loads(nodes[0].ctl("health", "--json"))
        assert "values" in health["failing"]
        log = (nodes[0].folder / "log").read_text()
        assert log.count("live values of modules fail, and each node counts for itself") == 1
        with redis_server(tmp_path / "again", port):
            end = time.monotonic() + 10
            while nodes[0].ctl("quiet_hours.add", "trunk=a").strip() != "1":
                assert time.monotonic() < end
            assert allowed(nodes[0], "new", 3, 600)
            assert (
                "works again: live values and counts are those of all nodes"
                in (nodes[0].folder / "log").read_text()
            )


def two_nodes(tmp_path: Path, url: str) -> list[Node]:
    """Two nodes whose values are in the Redis at ``url``."""
    nodes = [Node(tmp_path / name, 0, CODE) for name in ("one", "two")]
    for node in nodes:
        text = node.config.read_text().replace("refresh = 0.1\n", "")
        node.config.write_text(text.replace(f"redis://{HOST}:0/0", url))
    return nodes


@pytest.mark.needs("redis-server", "redis-cli", "redis-sentinel")
def test_behind_sentinels(tmp_path: Path) -> None:
    """The master dies: both nodes find the promoted replica by themselves, and agree again on its values."""
    with sentinels(tmp_path) as redis:
        nodes = two_nodes(tmp_path, redis.url)
        with nodes[0].serve(), nodes[1].serve():
            assert nodes[0].ctl("quiet_hours.add", "trunk=a").strip() == "1"
            assert nodes[1].ctl("quiet_hours.add", "trunk=a").strip() == "2"
            redis.master.process.kill()
            redis.master.process.wait()
            redis.wait_for_promotion()
            end = time.monotonic() + 20
            while not nodes[0].ctl("quiet_hours.add", "trunk=b").strip().isdecimal():
                assert time.monotonic() < end
            while nodes[1].ctl("quiet_hours.show", "trunk=a").strip() != "2":
                assert time.monotonic() < end
            before = int(nodes[1].ctl("quiet_hours.show", "trunk=b"))
            assert int(nodes[1].ctl("quiet_hours.add", "trunk=b")) == before + 1
            # Counts as well, once each node has found the new master.
            while not json.loads(nodes[0].ctl("health", "--json"))["parts"]["values"]["ok"]:
                assert time.monotonic() < end
                allowed(nodes[0], "settle", 1_000, 1)
            assert [allowed(node, "k", 3, 600) for node in nodes * 3] == [True] * 3 + [False] * 3


@pytest.mark.needs("redis-server", "redis-cli")
def test_in_a_cluster(tmp_path: Path) -> None:
    """Keys of all slots: each value and each count is on the server that its key leads to."""
    with cluster(tmp_path) as redises:
        url = f"redis+cluster://{','.join(f'{HOST}:{port}' for port, _ in redises[:2])}"
        nodes = two_nodes(tmp_path, url)
        with nodes[0].serve(), nodes[1].serve():
            for trunk in "abcdefgh":
                assert nodes[0].ctl("quiet_hours.add", f"trunk={trunk}").strip() == "1"
                assert nodes[1].ctl("quiet_hours.add", f"trunk={trunk}").strip() == "2"
                assert [allowed(node, trunk, 1, 600) for node in nodes] == [True, False]
