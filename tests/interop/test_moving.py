"""A listener goes while the server is in a call by it: the phone hears of another, and both can hang up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.interop.conftest import OPTIONS, TARGET
from tests.interop.test_reload import reload
from tests.interop.test_softphone import TALKING, Softphone
from tools.peers import Program, free_port

HOST = "127.0.0.1"
ROUTE = Path(__file__).parents[2] / "examples" / "routes" / "answering.py"

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="it is about our reload")


class At:
    """Where the softphone finds its server."""

    def __init__(self, port: int) -> None:
        self._port = port

    def address(self, _transport: str) -> tuple[str, int]:
        return HOST, self._port


def written(folder: Path, *ports: int) -> Path:
    listen = ", ".join(f'"udp:{HOST}:{port}"' for port in ports)
    path = folder / "sansip.toml"
    path.write_text(
        f'listen = [{listen}]\ndomains = ["siege.test"]\nroute = "route.py"\ncontrol = "{folder}/ctl"\n'
        '[ua]\nuser = "box"\n'
    )
    return path


@pytest.mark.parametrize("first", ["phone", "server"])
def test_a_listener_goes_in_a_call(first: str, tmp_path: Path) -> None:
    """RFC 3261 12.2.2: a target refresh; the BYE of either side arrives after the old socket is closed."""
    old, new = free_port(), free_port()
    text = ROUTE.read_text()
    assert "SECONDS = 30" in text
    (tmp_path / "route.py").write_text(text.replace("SECONDS = 30", "SECONDS = 4"))
    config = written(tmp_path, old, new)
    command = [sys.executable, "-m", "sansip_server", "serve", *OPTIONS, "--config", str(config)]
    with Program([*command, "--journal", str(tmp_path / "journal")], tmp_path / "log") as server:
        server.wait_for("^ready$")
        with Softphone(tmp_path / "alice", "alice", At(old), "udp") as phone:
            phone.expect("registered")
            phone.say("call sip:echo@siege.test")
            number = phone.expect(TALKING)
            written(tmp_path, new)
            done = reload(tmp_path)
            assert done.returncode == 0, done.stdout + done.stderr
            server.wait_for(f"no longer listening on udp:{HOST}:{old}")
            # The server's UPDATE left by the new socket, and was answered.
            journal = tmp_path / "journal"
            refresh = f"Contact: <sip:box@{HOST}:{new}>"
            server.wait_for("read again")
            assert wait_until(lambda: refresh in journal.read_text(errors="replace"))
            if first == "phone":
                phone.say(f"bye {number}")
                phone.expect(f"ended {number} hung up")
            else:
                phone.expect(f"ended {number} BYE", timeout=10)
        assert "Traceback" not in server.output()


def wait_until(true: object) -> bool:
    """Whether ``true()`` comes to be in five seconds."""
    import time

    assert callable(true)
    for _ in range(250):
        if true():
            return True
        time.sleep(0.02)
    return False
