"""Strangers against a server on UDP alone: the blocking runtime, which waits in ``recvfrom`` itself."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.siege import STRICT, Siege, request

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="a runtime of sansip's")

# Datagrams of the flood, in bursts that fill the socket's buffer.
FLOOD = 12_000


def ctl(siege: Siege, *words: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Ask the server by its control socket; return how long it took, too."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "sansip_server", "ctl", *words]
    done = subprocess.run(command, cwd=siege.directory, capture_output=True, text=True, timeout=30)
    return time.monotonic() - begun, done


def flood(siege: Siege, ended: threading.Event) -> None:
    """Send garbage and requests without a pause, from one address."""
    with siege.line("udp", source=("127.0.0.9", 0)) as stranger:
        for number in range(FLOOD // 2):
            stranger.send(b"\r\n\r\n" if number % 3 else b"garbage\r\n\r\n")
            stranger.send(request("OPTIONS", f"sip:{siege.domain}", stranger))
    ended.set()


def test_a_flood_holds_up_nobody(tmp_path: Path) -> None:
    """Datagrams that never end come one behind the other: others, the operator and SIGTERM get their turn."""
    options = ["--store", "sansip.db", "--auth", "none"]
    with Siege(tmp_path, transports=("udp",), options=options) as siege:
        assert "\nruntime blocking: only UDP is listened on\n" in siege.log
        idle, done = ctl(siege, "health")
        assert done.returncode == 0, done.stderr
        ended = threading.Event()
        with siege.watched(), siege.line("udp") as phone:
            attack = threading.Thread(target=flood, args=(siege, ended))
            attack.start()
            asked = registered = 0
            while not ended.is_set():
                took, done = ctl(siege, "health")
                assert done.returncode == 0, done.stderr
                # Most of it is the start of Python; the operator waits for a turn of the loop.
                assert took < idle + (1.0 if STRICT else 5.0)
                asked += 1
                # Its answer comes from the store's thread, through the inbox.
                contact = f"Contact: <sip:alice@{phone.sent_by}>"
                aor = f"<sip:alice@{siege.domain}>"
                phone.send(request("REGISTER", f"sip:{siege.domain}", phone, to=aor, lines=[contact]))
                registered += phone.receive().startswith(b"SIP/2.0 200 ")
            attack.join()
            assert asked == registered > 0
        begun = time.monotonic()
        siege.program.terminate()
        assert siege.program.wait(10) == 0
        assert time.monotonic() - begun < 40
