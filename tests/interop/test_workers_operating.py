"""A server of several workers, as its operator sees it: signals, reloads, figures, one answer for all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.interop.conftest import TARGET
from tests.interop.phone import Phone
from tests.interop.workers import AGAIN, Crew, soon
from tools.peers import PeerError, free_port

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="workers are sansip's"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]
ROUTE = """
def route(request):
    request.reply({status}, "{reason}")
"""


def _statuses(crew: Crew) -> set[str]:
    with_lines = crew.lines()
    found = {crew.sees(line, "nobody") for line in with_lines}
    for line in with_lines:
        line.close()
    return found


@pytest.mark.parametrize("way", ["ctl", "SIGHUP"])
def test_a_reload_reaches_all_workers(tmp_path: Path, way: str) -> None:
    """All workers take the new route, or none does; one that is started later takes it as well."""
    route = tmp_path / "route.py"
    route.write_text(ROUTE.format(status=480, reason="One"))
    with Crew(tmp_path, workers=3, transports=("udp",), options=["--route", str(route)]) as crew:
        assert _statuses(crew) == {"480"}
        route.write_text(ROUTE.format(status=486, reason="Two"))
        if way == "ctl":
            assert "read again" in crew.ctl("reload")
        else:
            os.kill(crew.program.pid, signal.SIGHUP)
            soon(lambda: crew.log.count("read again") == 3, "all workers read again")
        assert _statuses(crew) == {"486"}
        assert crew.kill(2) < AGAIN
        assert _statuses(crew) == {"486"}
        route.write_text("def route(request):\n    syntax error\n")
        assert "failed" in crew.ctl("reload")
        assert _statuses(crew) == {"486"}


def test_one_answer_for_all(tmp_path: Path) -> None:
    """`ctl` must not show one worker alone."""
    with Crew(tmp_path, workers=3, transports=("udp",)) as crew:
        assert "workers 3 of 3: works" in crew.ctl("health")
        lines = crew.lines()
        for index, line in enumerate(lines):
            assert crew.register(f"u{index}", line) == "200"
        [stats] = crew.ctl("stats", "--json")
        assert (stats["bindings"], len(stats["pids"])) == (len(lines), 3)
        # Each transaction is kept for some seconds by the worker that had it.
        assert stats["server_transactions"] == len(lines)
        assert "removed 1" in crew.ctl("remove", f"u3@{crew.domain}")
        assert len(crew.bindings()) == len(lines) - 1
        assert {crew.sees(line, "u3") for line in lines} <= {"404", "480"}


def test_sigterm_ends_all(tmp_path: Path) -> None:
    """No process may be left that holds the port."""
    crew = Crew(tmp_path, workers=3, transports=("udp",))
    pids = [*crew.pids.values(), crew.program.pid]
    crew.program.terminate()
    assert crew.program.wait(15) == 0
    soon(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "all have ended")
    assert crew.log.count("INFO sansip.server: stopped") == 3
    crew.__exit__()


def test_drain_by_the_operator(tmp_path: Path) -> None:
    """`sansip ctl drain` is SIGTERM for all."""
    crew = Crew(tmp_path, workers=2, transports=("udp",))
    assert "drains" in crew.ctl("drain")
    assert crew.program.wait(15) == 0
    crew.__exit__()


def test_no_worker_outlives_the_parent(tmp_path: Path) -> None:
    """Workers without their parent would serve calls and lose registrations."""
    crew = Crew(tmp_path, workers=2, transports=("udp",))
    pids = list(crew.pids.values())
    os.kill(crew.program.pid, signal.SIGKILL)
    soon(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "all have ended", 5.0)
    crew.program.stop()
    crew.__exit__()


def test_the_port_is_not_shared_with_another_server(tmp_path: Path) -> None:
    """SO_REUSEPORT would let a second server of the same user take half of the calls in silence."""
    with Crew(tmp_path, workers=2, transports=("udp",)) as crew:
        host, port = crew.address("udp")
        command = [sys.executable, "-m", "sansip_server", "serve", "--workers", "2"]
        command += ["--listen", f"udp:{host}:{port}", "--control", str(tmp_path / "other")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode != 0
        assert "in use by another program" in done.stderr


def test_a_worker_that_keeps_dying_is_no_storm(tmp_path: Path) -> None:
    """It is started once a second, and the others go on."""
    with Crew(tmp_path, workers=2, transports=("udp",)) as crew:
        for _ in range(2):
            os.kill(crew.pids[1], signal.SIGKILL)
            time.sleep(0.3)
            assert crew.ctl("health").startswith(("ok", "degraded"))
            soon(lambda: len(crew.pids) == 2, "both serve")
        assert crew.log.count("it is started again") == 2


def test_a_fault_at_the_start_is_told_once(tmp_path: Path) -> None:
    """A route that cannot be loaded ends the start with its own message, not with a storm of restarts."""
    route = tmp_path / "route.py"
    route.write_text("def other(request): pass\n")
    with pytest.raises(PeerError, match="route"):
        Crew(tmp_path, workers=2, transports=("udp",), options=["--route", str(route)])


def _rpc(port: int, method: str, **params: object) -> Any:
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    request = Request(
        f"http://127.0.0.1:{port}/rpc", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    with urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def test_http_speaks_for_all(tmp_path: Path) -> None:
    """A load balancer, Prometheus and a program see one server: its health, sums, lists and events."""
    port = free_port()
    config = f'[http]\nlisten = ["http:127.0.0.1:{port}"]\n'
    with Crew(tmp_path, workers=3, transports=("udp",), config=config) as crew:
        with connect(f"ws://127.0.0.1:{port}/rpc", subprotocols=[Subprotocol("jsonrpc.sansip")]) as follower:
            follower.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "events.follow"}))
            assert json.loads(follower.recv(5))["result"] == {"following": True}
            time.sleep(0.3)
            lines = crew.lines()
            for index, line in enumerate(lines):
                assert crew.register(f"u{index}", line) == "200"
            told = {json.loads(follower.recv(5))["params"]["aor"] for _ in lines}
            assert told == {f"sip:u{index}@{crew.domain}" for index in range(len(lines))}
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            assert json.loads(answer.read())["parts"]["workers"]["name"] == "3 of 3"
        page = urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
        assert f"sansip_bindings {float(len(lines))}" in page
        assert 'sansip_part_up{part="workers"} 1.0' in page
        assert len(_rpc(port, "bindings")["result"]["items"]) == len(lines)
        # A program without a token may look, and change nothing, as with one process.
        assert "operate" in _rpc(port, "hangup", number=77)["error"]["message"]


def test_check_names_what_workers_cannot_serve(tmp_path: Path) -> None:
    """The fault shows before the server is stopped for the new configuration."""
    config = tmp_path / "s.toml"
    config.write_text('workers = 2\nlisten = ["sctp:127.0.0.1:0"]\n')
    command = [sys.executable, "-m", "sansip_server", "check", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "s.toml:1: workers: SCTP sockets cannot be shared" in done.stderr, done.stderr


def test_a_ringing_call_outlives_sigterm(tmp_path: Path) -> None:
    """Until nothing runs at any worker each serves its sockets: with a 503, and for what runs as before."""
    with (
        Crew(tmp_path, workers=3, transports=("udp",)) as crew,
        Phone("bob", crew.domain, "udp", crew.address("udp")) as bob,
        Phone("alice", crew.domain, "udp", crew.address("udp")) as alice,
    ):
        bob.register()
        alice.invite(bob.aor)
        invite = bob.expect("INVITE")
        bob.answer(invite, "180 Ringing")
        assert alice.expect("180").what == "180"
        crew.program.terminate()
        soon(lambda: crew.log.count("draining: new calls get 503") == 3, "all drain")
        time.sleep(0.5)
        assert {crew.sees(line, "bob") for line in crew.lines()} == {"503"}
        bob.answer(invite, "200 OK")
        alice.established(alice.expect("200"))
        assert bob.expect("ACK").what == "ACK"
        assert crew.program.wait(30) == 0


def test_a_worker_that_dies_while_all_drain_holds_nobody_up(tmp_path: Path) -> None:
    """The others wait until nothing runs at it, and at a dead one nothing does."""
    with (
        Crew(tmp_path, workers=2, transports=("udp",)) as crew,
        Phone("bob", crew.domain, "udp", crew.address("udp")) as bob,
        Phone("alice", crew.domain, "udp", crew.address("udp")) as alice,
    ):
        bob.register()
        alice.invite(bob.aor)
        bob.answer(bob.expect("INVITE"), "180 Ringing")
        assert alice.expect("180").what == "180"
        pids = crew.pids
        crew.program.terminate()
        soon(lambda: crew.log.count("draining: new calls get 503") == 2, "both drain")
        time.sleep(0.5)
        # The call was at one of them: the other ends by itself, and the server with it.
        for pid in pids.values():
            # One that has nothing to wait for may have ended while the server has not.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.3)
            if crew.program.process.poll() is not None:
                break
        assert crew.program.wait(10) == 0
