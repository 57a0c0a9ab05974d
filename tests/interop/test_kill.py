"""Nothing is lost on ``kill -9``: a binding acknowledged with 200 is there after the restart.

Theory of operation: a client sends registrations of ever new users as fast as the
server takes them, and the server is killed at a random (seeded) moment. Then the
database must open clean, hold every binding that was acknowledged with all that
was registered of it, and none that was never sent. ``SANSIP_KILLS`` sets how many
times; each run goes on with the same file.
"""

from __future__ import annotations

import os
import random
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from sansip import Response, parse_message
from sansip_server.stores import SqliteStore, open_store
from tests.missing import missing
from tools import peers
from tools.databases import PostgresqlServer, postgresql_programs

KILLS = int(os.environ.get("SANSIP_KILLS", "8"))
INSTANCE = '"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>"'


def register(number: int, port: int) -> bytes:
    user = f"user{number}"
    lines = [
        "REGISTER sip:biloxi.test SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{number};rport",
        "Max-Forwards: 70",
        f"From: <sip:{user}@biloxi.test>;tag=1",
        f"To: <sip:{user}@biloxi.test>",
        f"Call-ID: {number}",
        f"CSeq: {number} REGISTER",
        "Supported: path",
        "Path: <sip:edge.biloxi.test;lr>",
        f"Contact: <sip:{user}@127.0.0.1:{port}>;q=0.{number % 1000:03d};+sip.instance={INSTANCE}",
        "Expires: 36000",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def load(
    server: tuple[str, int],
    first: int,
    seconds: float,
    acknowledged: set[int],
    enough: threading.Event | None = None,
) -> int:
    """Register user after user for ``seconds``; return the number after the last one sent.

    A registration that was refused (503) is answered, and not acknowledged. With
    ``enough`` it goes on until that is set, ``seconds`` at the most.
    """
    answered: set[int] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.setblocking(False)
        port = phone.getsockname()[1]
        number = first
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (enough is not None and enough.is_set()):
            # No more than 64 unanswered: a full socket buffer would lose some.
            if number - first - len(answered) < 64:
                phone.sendto(register(number, port), server)
                number += 1
            try:
                while True:
                    answer = parse_message(phone.recv(65_535))
                    if isinstance(answer, Response) and answer.status >= 200:
                        answered.add(answer.cseq.number)
                        if answer.status == 200:
                            acknowledged.add(answer.cseq.number)
            except OSError:
                pass
    return number


@pytest.mark.timeout(60 + 5 * KILLS)
def test_acknowledged_is_stored(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """RFC 3261 10.3 step 8's 200 is a promise; a hundred deaths do not break it."""
    store = tmp_path / "sansip.db"
    chance = random.Random(3261)
    acknowledged: set[int] = set()
    sent = 1
    for _ in range(KILLS):
        port = peers.free_port()
        server = peers.sansip_serve(
            tmp_path, [f"udp:127.0.0.1:{port}"], ["biloxi.test"], ["--store", str(store)]
        )
        with server:
            before = len(acknowledged)
            sent = load(("127.0.0.1", port), sent, chance.uniform(0.2, 0.8), acknowledged)
            server.process.kill()
            server.process.wait()
            assert len(acknowledged) > before, "the server acknowledged nothing"
        with closing(sqlite3.connect(store)) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        opened = SqliteStore(store)
        stored = {binding.cseq: binding for binding in opened.bindings(time.time(), 0.0)}
        opened.close()
        assert acknowledged <= stored.keys(), "acknowledged, and lost"
        assert stored.keys() <= set(range(1, sent)), "stored, and never sent"
        for number, binding in stored.items():
            assert binding.aor == f"sip:user{number}@biloxi.test"
            assert binding.q == number % 1000
            assert binding.path == ("<sip:edge.biloxi.test;lr>",)
            assert binding.instance == "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
            assert 30_000 < binding.expires_at - time.time() <= 36_000
    record_property("acknowledged", len(acknowledged))


@pytest.mark.timeout(60 + 20 * KILLS)
def test_postgresql_is_killed(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """The same promise where it is the database server that dies, and comes back, under the load."""
    if postgresql_programs() is None:
        missing("PostgreSQL is not installed (apt install postgresql)")
    chance = random.Random(3261)
    acknowledged: set[int] = set()
    sent: list[int] = []
    port = peers.free_port()
    kills = max(KILLS // 2, 2)
    counts = []
    with PostgresqlServer() as database:
        options = ["--store", database.url]
        with peers.sansip_serve(tmp_path, [f"udp:127.0.0.1:{port}"], ["biloxi.test"], options) as server:
            for _ in range(kills):
                first = sent[-1] if sent else 1
                enough = threading.Event()
                phone = threading.Thread(
                    target=lambda first, enough: sent.append(
                        load(("127.0.0.1", port), first, 30, acknowledged, enough)
                    ),
                    args=[first, enough],
                )
                phone.start()
                time.sleep(chance.uniform(0.2, 0.8))
                database.kill()
                # Acknowledged registrations have arrived by then.
                time.sleep(0.2)
                killed = len(acknowledged)
                database.start()
                # However long a slow machine takes to recover the database.
                end = time.monotonic() + 25
                while len(acknowledged) == killed and time.monotonic() < end:
                    time.sleep(0.05)
                time.sleep(1.0)
                enough.set()
                phone.join()
                counts.append((killed, len(acknowledged)))
            server.process.kill()
            server.process.wait()
        with closing(open_store(database.url)) as store:
            stored = {binding.cseq: binding for binding in store.bindings(time.time(), 0.0)}
    assert all(killed < after for killed, after in counts), "registrations went on after each restart"
    assert acknowledged <= stored.keys(), "acknowledged, and lost"
    assert stored.keys() <= set(range(1, sent[-1])), "stored, and never sent"
    assert all(binding.q == number % 1000 for number, binding in stored.items())
    record_property("acknowledged", len(acknowledged))
