"""A second server on the store of a running one: it does not start, and says why; commands go on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.test_process import final_response, request
from tools.peers import Program, free_port, sansip_serve

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="tests the command `sansip` itself")


def sansip(folder: Path, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sansip_server", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, input=text)


def serve(folder: Path) -> tuple[Program, int]:
    port = free_port()
    return sansip_serve(folder, [f"udp:127.0.0.1:{port}"], ["biloxi.test"], ["--store", "sansip.db"]), port


def register(port: int, user: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(10)
        phone.sendto(request("REGISTER", phone.getsockname()[1], user), ("127.0.0.1", port))
        assert final_response(phone).startswith(b"SIP/2.0 200 ")


def test_second_server(tmp_path: Path) -> None:
    """Two servers on one file once undid each other's registrations in silence (issue 9, 6)."""
    first, port = serve(tmp_path)
    with first:
        register(port, "alice")
        listen = f"udp:127.0.0.1:{free_port()}"
        # Its own control socket, so that nothing but the store keeps it away.
        done = sansip(tmp_path, "serve", "--listen", listen, "--store", "sansip.db", "--control", "other.ctl")
        assert done.returncode == 2
        assert (
            f"store sansip.db is in use by process {first.pid} on {os.uname().nodename} since 20"
            in done.stderr
        )
        assert "Traceback" not in done.stderr
        # An operator's commands beside a running server work on.
        assert sansip(tmp_path, "user", "add", "bob@biloxi.test", text="geheim\n").returncode == 0
        assert "1 users, 1 registrations" in sansip(tmp_path, "store", "check").stdout
        assert sansip(tmp_path, "store", "backup", "copy.db").returncode == 0
        register(port, "carol")
        os.kill(first.pid, signal.SIGKILL)
        again, port = serve(tmp_path)
        with again:
            assert "2 registrations from sansip.db" in again.output()
            again.terminate()
            assert again.wait(20) == 0
    last, _ = serve(tmp_path)
    with last:
        pass
