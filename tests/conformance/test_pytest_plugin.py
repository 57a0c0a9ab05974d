"""The pytest plugin, as users have it: a fixture, and traces collected as tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import sansip
import sansip_conformance
import sansip_server

ROOTS = {
    str(Path(module.__file__ or "").parents[1]) for module in (sansip, sansip_conformance, sansip_server)
}

TRACE = """domain biloxi.test
endpoint alice udp
trace good: answered
alice > proxy OPTIONS sip:biloxi.test
proxy > alice expect 200
trace bad: not answered
rfc: RFC 3261 11.2
alice > proxy OPTIONS sip:biloxi.test
proxy > alice expect 404
"""
TEST = """
from sansip import ListenerConfig, StackConfig

def test_it(sip_network):
    sip_network.server(StackConfig([ListenerConfig(0, "udp", "192.0.2.1", 5060)], ["x.test"]))
    alice = sip_network.endpoint("alice", "192.0.2.11")
    alice.request("OPTIONS", "sip:x.test")
    assert alice.expect("200")
"""


def pytest_in(directory: Path) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(ROOTS), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "sansip_conformance.pytest_plugin", "-rA", "-q"]
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_traces_and_fixture(tmp_path: Path) -> None:
    """A trace file is a module of tests, and the fixture is a network."""
    (tmp_path / "test_some.trace").write_text(TRACE)
    (tmp_path / "other.trace").write_text("this is not collected")
    (tmp_path / "test_one.py").write_text(TEST)
    said = pytest_in(tmp_path)
    assert "2 passed" in said
    assert "1 failed" in said
    assert "test_some.trace:9: alice expected 404; got 200 OK at 0.000 s (RFC 3261 11.2)" in said


def test_a_trace_that_cannot_be_read(tmp_path: Path) -> None:
    """The error names file, line and fix."""
    (tmp_path / "test_some.trace").write_text("nonsense here\n")
    assert "test_some.trace:1: cannot read `nonsense here`" in pytest_in(tmp_path)
