"""The suite against `sansip serve` as against anybody's server: the verdicts are the core's.

A bounded part of it, without what takes more than 3 s; conformance/README.md has the
scoreboards of the whole.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sansip_conformance import load_suites, select
from sansip_conformance.probe import reach
from sansip_conformance.run import run_live
from sansip_conformance.target import parse_target
from tests.interop.conftest import TARGET, Server

SUITES = [
    "rfc3261-10-registrar",
    "rfc3261-11-options",
    "rfc3261-16.3-validation",
    "rfc3261-16.6-forwarding",
    "rfc3261-16.10-cancel",
    "rfc3261-18-transport",
    "rfc3665-flows",
    "rfc4320-non-invite",
]

pytestmark = pytest.mark.skipif(TARGET == "kamailio", reason="its own scoreboard is conformance/kamailio")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_same_verdicts(transport: str, tmp_path: Path) -> None:
    """Started once for all traces, knowing nothing of them; whatever is skipped says why."""
    server = Server(tmp_path, ["biloxi.test", "example.com"])
    with server.program:
        target = parse_target((f"{transport}:{server.v4[0]}:{server.v4[1]}",))
        assert reach(target, (transport,)) is None
        verdicts = list(run_live(select(load_suites(), SUITES), target))
        server.end()
    assert [f"{one.where}: {one.reason}" for one in verdicts if one.outcome == "fail"] == []
    assert sum(one.outcome == "pass" for one in verdicts) > 120
    assert all(one.reason for one in verdicts if one.outcome == "skip")
