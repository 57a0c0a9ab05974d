"""The module ``accounting`` in the installed server, with SIPp: by the file that the server writes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.interop.siege import LOCAL, Siege
from tests.interop.test_module_calls import ctl
from tests.interop.test_sipp import OWN, REGISTER
from tools.peers import Sipp, free_port
from tools.redises import cli, redis_server

CONFIG = 'control = "ctl.sock"\n[calls]\n[accounting]\nfile = "calls.jsonl"\n'
DOMAIN = "biloxi.test"
# Records of ended calls that SIPp saw end by a 200 to its BYE.
DONE = re.compile(r"Successful call +\| +\d+ +\| +(\d+)")


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def phones(server: Siege, tmp_path: Path, calls: int, rate: int) -> tuple[Sipp, Sipp]:
    """Register a phone of SIPp's; return it and its caller."""
    place, phone = server.address("udp"), (LOCAL, free_port())
    with Sipp(REGISTER["u1"], place, tmp_path, local=phone, transport="u1", service="sipp") as one:
        one.succeed()
    callee = Sipp(OWN / "s03_call_uas.xml", place, tmp_path, local=phone, service="sipp", calls=calls)
    callee.wait_until_bound()
    options = ["-r", str(rate), "-recv_timeout", "8000"]
    local = (LOCAL, free_port())
    return callee, Sipp(
        OWN / "s03_call_uac.xml", place, tmp_path, local=local, service="sipp", calls=calls, options=options
    )


@pytest.mark.needs("sipp")
def test_each_call_has_its_record(tmp_path: Path) -> None:
    """Three hundred calls at a hundred a second."""
    with Siege(tmp_path, domain=DOMAIN, config=CONFIG) as server:
        first, second = phones(server, tmp_path, 300, 100)
        with first, second as caller:
            caller.succeed(40)
        found = records(tmp_path / "calls.jsonl")
        assert (
            len(found) == len({one["name"] for one in found}) == len({one["call_id"] for one in found}) == 300
        )
        assert {(one["kind"], one["status"], one["ended_by"]) for one in found} == {("call", 200, "caller")}
        # SIPp's caller waits 200 ms before it hangs up.
        assert all(0.19 < one["duration"] < 5 for one in found)
        assert ctl(tmp_path, "stats")["modules"]["accounting.written{call}"] == 300


@pytest.mark.needs("sipp")
def test_killed(tmp_path: Path) -> None:
    """kill -9 in the middle: each call that SIPp saw end has its record, whole, and none has two."""
    with Siege(tmp_path, domain=DOMAIN, config=CONFIG) as server:
        first, second = phones(server, tmp_path, 400, 100)
        with first, second as caller:
            time.sleep(2.2)
            server.program.process.kill()
            server.program.wait(5)
            time.sleep(0.5)
            caller.process.terminate()
            caller.wait(20)
            done = DONE.findall(caller.output())
            assert done, caller.output()[-2000:]
            successful = int(done[-1])
        lines = (tmp_path / "calls.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines if line.endswith("}")]
        assert len(lines) - len(found) <= 1, "only the last line may be torn"
        assert successful > 50
        assert len({one["call_id"] for one in found}) == len(found) >= successful


@pytest.mark.needs("sipp")
def test_rows(tmp_path: Path) -> None:
    """The same in the store, for SQL."""
    config = CONFIG.replace('file = "calls.jsonl"', 'to = "rows"')
    with Siege(
        tmp_path, domain=DOMAIN, config=config, options=("--store", str(tmp_path / "sip.db"))
    ) as server:
        first, second = phones(server, tmp_path, 50, 50)
        with first, second as caller:
            caller.succeed(40)
        assert ctl(tmp_path, "stats")["modules"]["accounting.written{call}"] == 50


def trouble(folder: Path) -> str:
    """Return what `sansip ctl health` says of the module's state, "" where all is well."""
    command = [sys.executable, "-m", "sansip_server", "ctl", "--control", str(folder / "ctl.sock"), "health"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=30, check=False)
    return "" if done.returncode == 0 else done.stdout


def killed(server: Siege) -> None:
    server.program.process.kill()
    server.program.wait(5)


def wait_until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.1)


def entries(redis: int) -> list[dict[str, Any]]:
    """Return the records in the stream."""
    said = cli(redis, "--json", "XRANGE", "{sansip:records}", "-", "+")
    return [json.loads(fields[fields.index("record") + 1]) for _, fields in json.loads(said)]


@pytest.mark.needs("sipp", "redis-server", "redis-cli")
def test_a_queue_that_goes_away(tmp_path: Path) -> None:
    """Redis dies under calls, the server is killed meanwhile: each call that ended is in the stream, once.

    While Redis is away the 200 to a BYE leaves once the spool has the record, so kill -9 loses none.
    """
    port = free_port()
    config = (
        'control = "ctl.sock"\n[calls]\n[accounting]\nto = "stream"\n'
        f'queue = "redis://127.0.0.1:{port}/0"\nfile = "{tmp_path}/calls.jsonl"\n'
    )
    always = ["--appendfsync", "always"]
    redis = redis_server(tmp_path / "redis", port, always)
    try:
        with Siege(tmp_path, domain=DOMAIN, config=config) as server:
            first, second = phones(server, tmp_path, 300, 100)
            with first, second as caller:
                time.sleep(1.2)
                redis.process.kill()
                redis.wait(5)
                caller.succeed(40)
            killed(server)
            assert (tmp_path / "calls.jsonl.spool").stat().st_size == 1_048_576
        redis = redis_server(tmp_path / "redis", port, always)
        with Siege(tmp_path, domain=DOMAIN, config=config):
            wait_until(lambda: len(entries(port)) >= 300)
            assert trouble(tmp_path) == ""
        found = entries(port)
        assert len(found) == len({one["name"] for one in found}) == 300
        assert len({one["call_id"] for one in found}) == 300
        assert {one["kind"] for one in found} == {"call"}
    finally:
        redis.stop()


@contextmanager
def small_disk(place: Path, size: str) -> Iterator[Path]:
    """A disk of its own that is soon full."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this machine mounts no file system: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.needs("sipp", "mount")
def test_a_full_disk(tmp_path: Path) -> None:
    """The disk is full under calls, and the server is killed: each call that ended has one record."""
    with small_disk(tmp_path / "disk", "1m") as disk:
        config = CONFIG.replace("calls.jsonl", f"{disk}/calls.jsonl") + "spool_size = 524288\n"
        with Siege(tmp_path, domain=DOMAIN, config=config) as server:
            first, second = phones(server, tmp_path, 300, 100)
            with first, second as caller:
                time.sleep(1.2)
                with open(disk / "rubbish", "wb") as rubbish:
                    try:
                        while True:
                            os.write(rubbish.fileno(), bytes(4_096))
                    except OSError:
                        pass
                caller.succeed(40)
            assert len(records(disk / "calls.jsonl")) < 300
            assert "No space left" in trouble(tmp_path)
            killed(server)
        (disk / "rubbish").unlink()
        with Siege(tmp_path, domain=DOMAIN, config=config):
            wait_until(lambda: len(records(disk / "calls.jsonl")) >= 300)
            assert trouble(tmp_path) == ""
        found = records(disk / "calls.jsonl")
        assert (
            len(found) == len({one["name"] for one in found}) == len({one["call_id"] for one in found}) == 300
        )


@pytest.mark.needs("sipp", "redis-server", "redis-cli")
def test_rows_whose_database_goes_away(tmp_path: Path) -> None:
    """The same for rows: the database hangs and dies under calls, and comes back while the server runs."""
    port = free_port()
    config = f'rows = "redis://127.0.0.1:{port}/0"\n' + CONFIG.replace('file = "calls.jsonl"', 'to = "rows"')
    config += f'file = "{tmp_path}/calls.jsonl"\n'
    redis = redis_server(tmp_path / "redis", port, ["--appendfsync", "always"])
    try:
        with Siege(tmp_path, domain=DOMAIN, config=config) as server:
            first, second = phones(server, tmp_path, 300, 100)
            with first, second as caller:
                time.sleep(1.0)
                redis.process.send_signal(19)
                time.sleep(1.5)
                redis.process.kill()
                redis.wait(5)
                caller.succeed(40)
            redis = redis_server(tmp_path / "redis", port, ["--appendfsync", "always"])
            wait_until(lambda: ctl(tmp_path, "stats")["modules"]["accounting.waiting"] == 0, 60)
            keys = int(cli(port, "ZCARD", "{sansip:rows}:accounting_records:keys"))
            assert keys == 300
            assert trouble(tmp_path) == ""
    finally:
        redis.stop()
