"""The shared location on real Redis: races and failures lose nothing.

Theory of operation: the store's own code talks to a server that the tests start (``test_redis_several``:
to several). What was acknowledged is looked for afterwards in what Redis says, not in what we remember.
"""

from __future__ import annotations

import itertools
import random
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sansip.location import (
    Heartbeat,
    NodeFlow,
    NodeState,
    SharedRead,
    SharedRecord,
    SharedWrite,
    Source,
)
from sansip_server.stores.redis_client import Replicas
from sansip_server.stores.redis_location import RedisLocation
from tests.certificates import Authority
from tests.interop.conftest import TARGET
from tests.interop.redis_records import AOR, VERSIONS, binding, make, read, write
from tools.peers import free_port
from tools.redises import HOST, cli, redis_server

pytestmark = [
    pytest.mark.needs("redis-server", "redis-cli", "redis-sentinel"),
    pytest.mark.skipif(TARGET != "sansip", reason="it is sansip's store"),
]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    number = free_port()
    with redis_server(tmp_path_factory.mktemp("redis"), number):
        yield number


@pytest.fixture
def location(port: int) -> Iterator[RedisLocation]:
    cli(port, "flushall")
    made = make(f"redis://{HOST}:{port}/0")
    yield made
    made.close()


# --- one Redis


def test_what_is_written_is_read(location: RedisLocation) -> None:
    """Every field survives, odd octets included (a user's name may hold any, RFC 4475 3.1.1.4)."""
    full = replace(
        binding(),
        q=700,
        path=("<sip:edge.biloxi.test;lr>", "<sip:two.biloxi.test;lr>"),
        instance="urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        reg_id=2,
        params=';audio;text="a\\"b"',
        flow=NodeFlow("a", "life", "ws", 2, 17, "f-token", False),
        received=Source("udp", "203.0.113.5", 40000),
        user_agent="phöne \udcff\x00",
    )
    aor = "sip:%00b{o}%7Db@biloxi.test"
    assert write(location, replace(full, aor=aor), aor=aor) is None
    (found,) = read(location, aor).bindings
    assert replace(found, expires_at=0, registered_at=0, refreshed_at=0) == replace(
        full, aor=aor, expires_at=0, registered_at=0, refreshed_at=0
    )
    assert abs(found.expires_at - full.expires_at) < 0.002


def test_compare_and_swap(location: RedisLocation) -> None:
    """A writer that expects a stale version hears the present one, and changes nothing."""
    assert write(location, binding(), version="a" * 16) is None
    stands = write(location, binding("sip:eve@192.0.2.66"), version="b" * 16)
    assert (stands.version, [one.contact for one in stands.bindings]) == ("a" * 16, ["sip:bob@192.0.2.2"])
    assert write(location, expected="b" * 16).version == "a" * 16
    assert write(location, expected="a" * 16) is None
    assert read(location) == SharedRecord("", ())


def test_a_write_said_twice(location: RedisLocation) -> None:
    """An answer that got lost: the same write again is known by its version, and is done."""
    assert write(location, binding(), version="a" * 16) is None
    assert write(location, binding(), version="a" * 16) is None


def test_the_key_lives_as_long_as_its_last_binding(location: RedisLocation, port: int) -> None:
    """Redis drops an expired key by itself."""
    write(location, binding(seconds=60), binding("sip:bob@192.0.2.3", seconds=600))
    key = location.key(AOR).decode()
    assert 590_000 < int(cli(port, "pttl", key)) <= 600_000
    write(location, replace(binding(), expires_at=float("inf")), expected=read(location).version)
    assert cli(port, "pttl", key) == "-1"
    write(location, binding(seconds=0.05), expected=read(location).version)
    time.sleep(0.1)
    assert cli(port, "exists", key) == "0"
    assert write(location, binding(seconds=-1)) is None
    assert cli(port, "exists", key) == "0"


def test_a_server_that_forgot_the_script(location: RedisLocation, port: int) -> None:
    """NOSCRIPT after a restart or a change of master: it is sent again, within the same batch."""
    write(location, binding(), version="a" * 16)
    cli(port, "script", "flush")
    writes = [SharedWrite(f"sip:u{n}@biloxi.test", "", next(VERSIONS), (binding(),)) for n in range(5)]
    assert location.write(writes, time.time(), 0.0) == [None] * 5
    assert len(read(location, "sip:u4@biloxi.test").bindings) == 1


def test_a_record_of_somebody_else(location: RedisLocation, port: int) -> None:
    """A record that no server of ours wrote registers nobody, and the next REGISTER replaces it."""
    cli(port, "set", location.key(AOR).decode(), "<html>what is this?</html>")
    found = read(location)
    assert found.bindings == ()
    assert write(location, binding(), expected=found.version) is None
    assert len(read(location).bindings) == 1


def test_a_key_of_another_type(location: RedisLocation, port: int) -> None:
    """An error of one command fails that question, and no other of the batch."""
    cli(port, "lpush", location.key(AOR).decode(), "x")
    bad, good = location.read([SharedRead(AOR), SharedRead("sip:eve@biloxi.test")], 0.0)
    assert isinstance(bad, Exception)
    assert good == SharedRecord("", ())


def test_a_full_redis(location: RedisLocation, port: int) -> None:
    """Without room a write is refused, and never acknowledged; what stands is still read."""
    write(location, binding())
    cli(port, "config", "set", "maxmemory", "1")
    try:
        assert isinstance(write(location, binding(), expected=read(location).version), Exception)
        assert len(read(location).bindings) == 1
    finally:
        cli(port, "config", "set", "maxmemory", "0")


def test_replicas_that_are_missing(port: int) -> None:
    """wait_replicas: without the replica in time there is no 200."""
    location = make(f"redis://{HOST}:{port}/1", wait_replicas=1, wait_time=0.05)
    with pytest.raises(Replicas, match="0 of 1"):
        write(location, binding())
    location.close()


def test_signs_of_life(location: RedisLocation) -> None:
    """A node that beats lives for as long as it said, by the clock of Redis.

    A node that leaves is gone at once.
    """
    a, b = NodeState("a", "1", "192.0.2.10:5060"), NodeState("b", "2", "192.0.2.20:5060", True)
    assert location.beat(Heartbeat(a, 0.2)) == [a]
    assert sorted(location.beat(Heartbeat(b, 60.0)), key=lambda node: node.name) == [a, b]
    time.sleep(0.25)
    assert location.beat(Heartbeat(b, 60.0)) == [b]
    assert location.beat(Heartbeat(b, 0.0)) == []


@pytest.mark.parametrize("seed", [3261, 5626])
def test_no_update_is_lost(location: RedisLocation, port: int, seed: int) -> None:
    """Eight writers on three addresses-of-record: in the end each contact stands as its writer left it.

    Each writer adds, refreshes and removes its own contact, and remembers what was
    acknowledged last. An update that undid another's would show as a contact that
    is missing, or there again.
    """
    aors = [f"sip:u{number}@biloxi.test" for number in range(3)]
    held: dict[tuple[int, str], int | None] = {}
    conflicts = itertools.count()

    def writer(number: int) -> None:
        chance = random.Random(seed * 100 + number)
        mine = make(f"redis://{HOST}:{port}/0")
        known: dict[str, SharedRecord] = {}
        for cseq in range(1, 151):
            aor = chance.choice(aors)
            contact = f"sip:phone{number}@192.0.2.{number}"
            gone = chance.random() < 0.3
            stands: Any = known.get(aor, SharedRecord("", ()))
            while stands is not None:
                others = tuple(one for one in stands.bindings if one.contact != contact)
                after = others if gone else (*others, binding(contact, cseq=cseq, aor=aor))
                version = f"{number:04d}{cseq:06d}{chance.randrange(10**6):06d}"
                answer = write(mine, *after, expected=stands.version, version=version, aor=aor)
                assert not isinstance(answer, Exception)
                if answer is None:
                    known[aor] = SharedRecord(version if after else "", after)
                    held[number, aor] = None if gone else cseq
                else:
                    next(conflicts)
                stands = answer
        mine.close()

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert next(conflicts) > 50, "the writers never met"
    for aor in aors:
        found = {one.contact: one.cseq for one in read(location, aor).bindings}
        wanted = {
            f"sip:phone{number}@192.0.2.{number}": cseq
            for (number, where), cseq in held.items()
            if where == aor and cseq is not None
        }
        assert found == wanted


def test_passwords(tmp_path: Path) -> None:
    """A user with a password, from the URL and from a file; a wrong one is said as it is."""
    number = free_port()
    # The rights that docs/cluster.md lists, and no more.
    rights = re.findall(r"(?<=[` ])\+[a-z]+", (ROOT / "docs" / "cluster.md").read_text("utf-8"))
    user = ["sansip", "on", ">sip:secret", "~sansip:*", *rights]
    with redis_server(tmp_path / "redis", number, ["--requirepass", "other"]):
        cli(number, "-a", "other", "--no-auth-warning", "acl", "setuser", *user)
        secret = tmp_path / "password"
        secret.write_text("sip:secret\n")
        for location in (
            make(f"redis://sansip:sip%3Asecret@{HOST}:{number}/0"),
            make(f"redis://sansip@{HOST}:{number}/0", password_file=str(secret)),
        ):
            assert write(location, binding(), expected=read(location).version) is None
            assert len(read(location).bindings) == 1
            node = NodeState("a", "1", "192.0.2.10:5060")
            assert location.beat(Heartbeat(node, 60.0)) == [node]
            assert location.beat(Heartbeat(node, 0.0)) == []
            location.close()
        location = make(f"redis://sansip:wrong@{HOST}:{number}/0")
        with pytest.raises(Exception, match=r"(?i)invalid username-password|WRONGPASS"):
            read(location)
        location.close()


def test_tls(tmp_path: Path) -> None:
    """rediss: the certificate must come from the authority that was named."""
    authority = Authority(tmp_path)
    certificate = authority.issue("redis.pem", "127.0.0.1")
    number = free_port()
    options = ["--tls-port", str(number), "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(certificate)]
    options += ["--tls-ca-cert-file", str(authority.authority)]
    with redis_server(tmp_path / "redis", 0, options):
        location = make(f"rediss://{HOST}:{number}/0", authorities=str(authority.authority))
        assert read(location) == SharedRecord("", ())
        location.close()
        location = make(f"rediss://{HOST}:{number}/0")
        with pytest.raises(Exception, match=r"(?i)certificate verify failed"):
            read(location)
        location.close()
