"""The shared location behind sentinels, and in a cluster: masters that die lose nothing.

What was acknowledged is looked for afterwards in what Redis says, not in what we remember.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sansip.location import (
    Heartbeat,
    NodeState,
    SharedRead,
    SharedRecord,
    SharedWrite,
)
from sansip_server.stores.redis_location import RedisLocation
from tests.interop.conftest import TARGET
from tests.interop.redis_records import VERSIONS, binding, make
from tests.interop.test_cluster import Node
from tests.interop.test_kill import load
from tools.peers import free_port
from tools.redises import HOST, cli, cluster, redis_server, sentinels

pytestmark = [
    pytest.mark.needs("redis-server", "redis-cli", "redis-sentinel"),
    pytest.mark.skipif(TARGET != "sansip", reason="it is sansip's store"),
]


# --- behind sentinels


def still_there(location: RedisLocation, acknowledged: set[int]) -> None:
    """Every acknowledged registration of ``load`` stands, with all its values."""
    numbers = sorted(acknowledged)
    reads = [SharedRead(f"sip:user{number}@biloxi.test") for number in numbers]
    for number, record in zip(numbers, location.read(reads, 0.0), strict=True):
        assert isinstance(record, SharedRecord)
        assert [(one.cseq, one.q) for one in record.bindings] == [(number, number % 1000)], (
            "acknowledged, and lost"
        )
        assert record.bindings[0].path == ("<sip:edge.biloxi.test;lr>",)


@pytest.mark.timeout(120)
def test_the_master_dies_under_load(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """Sentinels promote the replica: what was acknowledged with wait_replicas = 1 is all there.

    While nobody is master registrations get 503; with a new master but no replica,
    too. When the old one is back as a replica they are taken again, without a restart.
    """
    acknowledged: set[int] = set()
    with sentinels(tmp_path) as redis:
        node = Node(tmp_path, "n1", redis.url, redis="wait_replicas = 1\nwait_time = 0.2")
        try:
            sent = load(node.v4, 1, 1.0, acknowledged)
            assert acknowledged
            killer = threading.Timer(0.5, redis.master.process.kill)
            killer.start()
            sent = load(node.v4, sent, 3.0, acknowledged)
            killer.join()
            redis.wait_for_promotion()
            before = len(acknowledged)
            location = make(redis.url)
            still_there(location, acknowledged)
            # A master without a replica: no phone gets 200.
            sent = load(node.v4, sent, 0.3, acknowledged)
            assert len(acknowledged) == before
            # The sentinels would do this in a quarter of a minute.
            again = ["--replicaof", HOST, str(redis.replica_port)]
            with redis_server(tmp_path / "master", redis.master_port, again):
                redis.wait_for_replica()
                load(node.v4, sent, 1.0, acknowledged)
                assert len(acknowledged) > before
                still_there(location, acknowledged)
            location.close()
            # Said once each, however many phones were turned away meanwhile.
            assert (node.said("fails: "), node.said("refuses writes")) == (1, 1)
            assert (node.said("works again after"), node.said("takes writes again")) == (1, 1)
            assert "Traceback" not in node.program.output()
        finally:
            node.program.stop()
    record_property("acknowledged", len(acknowledged))


@pytest.mark.timeout(90)
def test_redis_is_killed_under_load(tmp_path: Path) -> None:
    """``kill -9`` of a lone Redis with an append-only file: it has written before it answers."""
    acknowledged: set[int] = set()
    number = free_port()
    # With everysec Redis answers up to 2 s before it writes, where a disk is busy with an fsync.
    options = ["--appendfsync", "always"]
    redis = redis_server(tmp_path / "redis", number, options)
    node = Node(tmp_path, "n1", f"redis://{HOST}:{number}/0")
    location = make(f"redis://{HOST}:{number}/0")
    sent = 1
    try:
        for kills in range(3):
            killer = threading.Timer(0.4 + 0.1 * kills, redis.process.kill)
            killer.start()
            before = len(acknowledged)
            sent = load(node.v4, sent, 0.8, acknowledged)
            killer.join()
            redis.process.wait()
            assert len(acknowledged) > before
            redis = redis_server(tmp_path / "redis", number, options)
            still_there(location, acknowledged)
            node.program.wait_for(rf"(?s)(works again after.*){{{kills + 1}}}")
        assert "Traceback" not in node.program.output()
    finally:
        location.close()
        node.program.stop()
        redis.stop()


# --- a cluster


@pytest.mark.timeout(120)
def test_a_master_of_a_cluster_dies_under_load(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Its replica is promoted: registrations go on without a restart, and what was replicated is all there.

    A cluster replicates after its answer (docs/cluster.md), so what is counted on is
    what was acknowledged before a WAIT, and what was acknowledged by the new masters.
    """
    acknowledged: set[int] = set()
    with cluster(tmp_path) as redises:
        url = f"redis+cluster://{','.join(f'{HOST}:{port}' for port, _ in redises[:3])}"
        node = Node(tmp_path, "n1", url)
        location = make(url)
        try:
            sent = load(node.v4, 1, 1.0, acknowledged)
            masters = [one for one in redises if "role:master" in cli(one[0], "info", "replication")]
            for port, _ in masters:
                cli(port, "wait", "1", "1000")
            replicated = set(acknowledged)
            assert len(replicated) > 20
            # Not the one that the nodes' signs of life are on, nor its opposite: any.
            port, program = masters[0]
            program.process.kill()
            program.process.wait()
            others = [one for one, _ in redises if one != port]
            deadline = time.monotonic() + 30.0
            while not all("cluster_state:ok" in cli(one, "cluster", "info") for one in others):
                assert time.monotonic() < deadline, "nobody was promoted"
                sent = load(node.v4, sent, 0.2, set())
            before = len(acknowledged)
            while len(acknowledged) < before + 20:
                assert time.monotonic() < deadline + 10.0, node.program.output()
                after: set[int] = set()
                sent = load(node.v4, sent, 0.5, after)
                acknowledged |= after
            still_there(location, acknowledged)
            assert "Traceback" not in node.program.output()
            # One half of the location may have met the death last; the next question finds it alive.
            while node.said(" fails: ") != node.said("works again after"):
                assert time.monotonic() < deadline + 20.0, node.program.output()
                sent = load(node.v4, sent, 0.2, set())
        finally:
            location.close()
            node.stop()
    record_property("acknowledged", len(acknowledged))


@pytest.mark.timeout(120)
def test_a_cluster(tmp_path: Path) -> None:
    """Records spread over the masters; batches, conflicts and scripts work; a dead master is replaced."""
    with cluster(tmp_path) as redises:
        url = f"redis+cluster://{','.join(f'{HOST}:{port}' for port, _ in redises[:2])}"
        location = make(url)
        # CRC16 keeps numbers of one length together: these are of several.
        aors = [f"sip:{number**3}@biloxi.test" for number in range(60)]
        writes = [SharedWrite(aor, "", next(VERSIONS), (binding(aor=aor),)) for aor in aors]
        assert location.write(writes, time.time(), 0.0) == [None] * 60
        stood = location.write([SharedWrite(aor, "", next(VERSIONS), ()) for aor in aors], time.time(), 0.0)
        assert [one.version for one in stood if isinstance(one, SharedRecord)] == [
            one.version for one in writes
        ]
        masters = [
            (port, program) for port, program in redises if "role:master" in cli(port, "info", "replication")
        ]
        assert all(int(cli(port, "dbsize")) > 0 for port, _ in masters)
        node = NodeState("a", "1", "192.0.2.10:5060")
        assert location.beat(Heartbeat(node, 60.0)) == [node]
        # It has no key, and a real one would not start beside it.
        assert location.beat(Heartbeat(node, 0.0)) == []
        acknowledged: set[int] = set()
        server = Node(tmp_path, "n1", url)
        try:
            # MOVED and ASK: slots go from one master to another while phones register.
            mover = threading.Thread(target=reshard, args=([port for port, _ in masters], 600))
            mover.start()
            sent = 1
            while mover.is_alive():
                sent = load(server.v4, sent, 0.3, acknowledged)
            mover.join()
            load(server.v4, sent, 0.3, acknowledged)
            assert len(acknowledged) > 50
            still_there(location, acknowledged)
            assert server.said("the shared location") == 0, server.program.output()
        finally:
            server.program.stop()
        # The replicas have what was written before the master goes.
        for port, _ in masters:
            cli(port, "wait", "1", "1000")
        port, program = masters[0]
        program.process.kill()
        found = wait_for_cluster(location, aors)
        assert [len(record.bindings) for record in found] == [1] * 60
        location.close()


def reshard(masters: list[int], slots: int) -> None:
    """Move ``slots`` slots from the first of ``masters`` to the second."""
    source, target = (cli(port, "cluster", "myid") for port in masters[:2])
    words = ["--cluster", "reshard", f"{HOST}:{masters[0]}", "--cluster-from", source, "--cluster-to", target]
    cli(masters[0], *words, "--cluster-slots", str(slots), "--cluster-yes")


def wait_for_cluster(location: RedisLocation, aors: list[str]) -> list[SharedRecord]:
    """Read ``aors`` until all answers are there: a slot without a master has none."""
    deadline = time.monotonic() + 30
    while True:
        try:
            found = location.read([SharedRead(aor) for aor in aors], 0.0)
            records = [one for one in found if isinstance(one, SharedRecord)]
            if len(records) == len(aors):
                return records
        except Exception:
            assert time.monotonic() < deadline
        assert time.monotonic() < deadline, "the cluster did not heal"
        time.sleep(0.2)
