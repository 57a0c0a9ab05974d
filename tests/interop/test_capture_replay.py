"""A call that SIPp placed, as tshark saw it on the wire, replays to the same verdict on the core."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sansip_conformance import play_on_core
from sansip_conformance.capture import ladders_of, read_any
from tests.interop.conftest import TARGET, Server
from tests.interop.test_sipp import LOCAL, play_pair
from tests.missing import missing

pytestmark = [
    pytest.mark.needs("sipp", "tshark"),
    pytest.mark.skipif(
        TARGET == "kamailio", reason="what the core answers is compared with what sansip said"
    ),
]


@contextmanager
def captured(path: Path, port: int) -> Iterator[None]:
    """Keep in ``path`` what passes by ``port`` on loopback."""
    command = ["tshark", "-q", "-i", "lo", "-f", f"port {port}", "-w", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tshark:
        assert tshark.stderr is not None
        said = []
        while "Capturing on" not in (line := tshark.stderr.readline()):
            said.append(line)
            if not line:
                missing(f"tshark cannot capture on lo: {' '.join(said).strip()}")
        # It says so a moment before it is true.
        time.sleep(1.0)
        try:
            yield
            # The last packets are on their way through the kernel's buffer.
            time.sleep(1.0)
        finally:
            tshark.terminate()
            tshark.wait(10)


@pytest.mark.parametrize("transports", [("u1", "u1"), ("t1", "u1")], ids=["udp", "tcp-to-udp"])
@pytest.mark.parametrize("pair", ["s03_call", "s05_busy"])
def test_a_captured_call_replays(
    pair: str, transports: tuple[str, str], biloxi: Server, tmp_path: Path
) -> None:
    """Registration, call, ACK and BYE: the same answers at the same times; and a ladder that can be drawn."""
    path = tmp_path / "call.pcapng"
    with captured(path, biloxi.port):
        play_pair(pair, *transports, biloxi, tmp_path)
    (trace,) = read_any(path, f"{LOCAL}:{biloxi.port}")
    assert sum(step.__class__.__name__ == "Expect" for step in trace.steps) >= 5
    verdict = play_on_core(trace)
    assert verdict.outcome == "pass", f"line {verdict.line}: {verdict.reason}"
    (ladder,) = ladders_of(path)
    assert all(len(line) <= 80 for line in ladder.text(80))
    ElementTree.fromstring(ladder.svg())
