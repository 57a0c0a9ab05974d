"""The module ``accounting`` in the installed server, with SIPp: by the file that the server writes."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.interop.siege import LOCAL, Siege
from tests.interop.test_module_calls import ctl
from tests.interop.test_sipp import OWN, REGISTER
from tools.peers import Sipp, free_port

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
