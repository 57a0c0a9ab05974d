"""The module ``calls`` in the installed server, with SIPp and baresip, by its own commands and log."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.interop.baresip import Baresip
from tests.interop.siege import LOCAL, Siege, request
from tests.interop.test_sipp import play_pair
from tools.peers import free_port
from tools.redises import redis_server

CONFIG = 'control = "ctl.sock"\n[calls]\n'
DOMAIN = "biloxi.test"
LIMITED = """
from sansip.modules.calls import Calls
from sansip.routing.default import route as default_route


async def route(request, calls: Calls):
    if request.method == "INVITE" and not request.in_dialog and not await calls.limit(request, "all", 1):
        request.reply(486, "One Call At Most")
    else:
        await default_route(request)
"""


@dataclass
class Place:
    v4: tuple[str, int]
    v6: tuple[str, int]


def ctl(folder: Path, *words: str) -> Any:
    """Give a command to the server; return the JSON that it prints."""
    command = [sys.executable, "-m", "sansip_server", "ctl", "--control", str(folder / "ctl.sock"), *words]
    done = subprocess.run([*command, "--json"], cwd=folder, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def phones(tmp_path: Path, server: Siege) -> tuple[Baresip, Baresip]:
    place = server.address("udp")
    return (
        Baresip(tmp_path / "alice", "alice", DOMAIN, place, "udp"),
        Baresip(tmp_path / "bob", "bob", DOMAIN, place, "udp"),
    )


@pytest.mark.needs("sipp")
def test_a_hundred_calls(tmp_path: Path) -> None:
    """Each is counted when it is answered and when it ends; the log names them; nothing is left."""
    with Siege(tmp_path, domain=DOMAIN, config=CONFIG) as server:
        place = Place(server.address("udp"), server.address("udp"))
        play_pair("s03_call", "u1", "u1", place, tmp_path, calls=100, options=["-r", "50"])
        assert ctl(tmp_path, "stats")["modules"] == {
            "calls.now_calling": 0,
            "calls.now_ringing": 0,
            "calls.now_answered": 0,
            "calls.tried": 100,
            "calls.answered": 100,
            "calls.ended{caller}": 100,
        }
        assert ctl(tmp_path, "calls.list") == []
        assert "hung up by the caller" in server.log


@pytest.mark.needs("baresip")
def test_a_relayed_call_is_shown_without_the_module(tmp_path: Path) -> None:
    """`sansip ctl calls` and the log know each call that the server relays; no table [calls] is needed."""
    with Siege(tmp_path, domain=DOMAIN, config='control = "ctl.sock"\n') as server:
        first, second = phones(tmp_path, server)
        with first as alice, second as bob:
            for phone in (alice, bob):
                phone.wait_until_registered()
            alice.call(bob)
            row = ctl(tmp_path, "calls")
            assert (row["side"], row["state"], row["caller"]) == ("relayed", "answered", alice.aor)
            bob.command("hangup")
            for phone in (alice, bob):
                phone.wait_for("CALL_CLOSED")
        deadline = time.monotonic() + 10
        while "hung up by the callee" not in server.log and time.monotonic() < deadline:
            time.sleep(0.1)
        assert re.search(rf"call 1 from {re.escape(alice.aor)} to .*, hung up by the callee", server.log)


@pytest.mark.needs("baresip")
def test_an_operator_hangs_up(tmp_path: Path) -> None:
    """Two phones talk, `calls.list` shows them, and `calls.hangup` ends the call for both."""
    with Siege(tmp_path, domain=DOMAIN, config=CONFIG) as server:
        first, second = phones(tmp_path, server)
        with first as alice, second as bob:
            for phone in (alice, bob):
                phone.wait_until_registered()
            alice.call(bob)
            (row,) = ctl(tmp_path, "calls.list")
            assert (row["state"], row["caller"]) == ("answered", alice.aor)
            assert row["callee"].startswith(bob.aor)
            ctl(tmp_path, "calls.hangup", f"id={row['id']}")
            for phone in (alice, bob):
                phone.wait_for("CALL_CLOSED")
            assert ctl(tmp_path, "calls.list") == []


@pytest.mark.needs("baresip")
def test_a_limit(tmp_path: Path) -> None:
    """One call at most: the second gets 486 while the first lasts, and passes after its end."""
    route = tmp_path / "route.py"
    route.write_text(LIMITED)
    with Siege(tmp_path, domain=DOMAIN, config=CONFIG, options=("--route", str(route))) as server:
        first, second = phones(tmp_path, server)
        with first as alice, second as bob:
            for phone in (alice, bob):
                phone.wait_until_registered()
            for _ in range(2):
                alice.call(bob)
                bob.command("dial", alice.aor)
                closed = bob.wait_for("CALL_CLOSED")
                assert "486" in str(closed), closed
                assert ctl(tmp_path, "calls.count") == {"all": 1}
                alice.command("hangup")
                bob.wait_for("CALL_CLOSED")
                alice.wait_for("CALL_CLOSED")
                deadline = time.monotonic() + 5
                while ctl(tmp_path, "calls.count") and time.monotonic() < deadline:
                    time.sleep(0.1)


def test_no_calls(tmp_path: Path) -> None:
    """A list of nothing: `[]` for programs, and the headings for people."""
    with Siege(tmp_path, domain=DOMAIN, config=CONFIG):
        assert ctl(tmp_path, "calls.list") == []
        command = [sys.executable, "-m", "sansip_server", "ctl", "--control", "ctl.sock", "calls.list"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=True)
        (heading,) = done.stdout.splitlines()
        assert heading.split()[:3] == ["NUMBER", "ID", "STATE"]


@pytest.mark.needs("baresip")
def test_a_restart_in_the_middle(tmp_path: Path) -> None:
    """kill -9 while two phones talk: the next process knows the call, counts it, and hangs it up."""
    config = CONFIG + "keep = true\n"
    store = ("--store", str(tmp_path / "sip.db"))
    given: Any = {"options": store, "ports": {"udp": free_port()}, "transports": ("udp",)}
    with ExitStack() as stack:
        server = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config, **given))
        first, second = phones(tmp_path, server)
        alice, bob = stack.enter_context(first), stack.enter_context(second)
        for phone in (alice, bob):
            phone.wait_until_registered()
        alice.call(bob)
        (before,) = ctl(tmp_path, "calls.list")
        server.program.process.kill()
        server.program.wait(5)
        stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config, **given))
        deadline = time.monotonic() + 10
        # `ready` does not wait for the rows; health does.
        while not ctl(tmp_path, "calls.list") and time.monotonic() < deadline:
            time.sleep(0.1)
        (after,) = ctl(tmp_path, "calls.list")
        assert (after["id"], after["state"]) == (before["id"], "answered")
        assert abs(after["answered"] - before["answered"]) < 0.01
        ctl(tmp_path, "calls.hangup", f"id={after['id']}")
        for phone in (alice, bob):
            phone.wait_for("CALL_CLOSED")
        assert ctl(tmp_path, "calls.list") == []


def call_id(data: bytes) -> bytes:
    found = re.search(rb"(?i)\r\ncall-id: (.*?)\r", data)
    assert found, data
    return found[1]


def ringing(data: bytes) -> bytes:
    """Return the 180 to the INVITE ``data``."""
    head = data.decode().partition("\r\n\r\n")[0].split("\r\n")
    kept = [line for line in head if line.partition(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
    lines = ["SIP/2.0 180 Ringing", *(f"{line};tag=b" if line.startswith("To:") else line for line in kept)]
    return "\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()


@pytest.mark.needs("redis-server")
def test_two_nodes_count_together(tmp_path: Path) -> None:
    """Twelve INVITEs at once over two nodes with a limit of two: two ring. A killed node counts no more."""
    redis = free_port()
    route = tmp_path / "route.py"
    route.write_text(LIMITED.replace('"all", 1', '"all", 2'))
    config = f'rows = "redis://127.0.0.1:{redis}/0"\n' + CONFIG + "lease = 3.0\n"
    with ExitStack() as stack:
        stack.callback(redis_server(tmp_path / "redis", redis).stop)
        nodes = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            nodes.append(
                stack.enter_context(
                    Siege(tmp_path / name, domain=DOMAIN, config=config, options=("--route", str(route)))
                )
            )
        phone = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        phone.bind((LOCAL, 0))
        contact = f"<sip:bob@{LOCAL}:{phone.getsockname()[1]}>"
        lines = []
        for node in nodes:
            line = stack.enter_context(node.line("udp"))
            aor, place = f"<sip:bob@{DOMAIN}>", [f"Contact: {contact}"]
            line.send(request("REGISTER", f"sip:{DOMAIN}", line, from_=f"{aor};tag=r", to=aor, lines=place))
            assert b"200 OK" in line.receive()
            lines.append(line)
        for _ in range(6):
            for line in lines:
                line.send(request("INVITE", f"sip:bob@{DOMAIN}", line, lines=[f"Contact: <sip:m@{LOCAL}>"]))
        phone.settimeout(2)
        rung = set()
        with contextlib.suppress(TimeoutError):
            while True:
                data, node_at = phone.recvfrom(65_535)
                rung.add(call_id(data))
                # Else each INVITE ends after 32 s (Timer B), on a slow machine before it is counted.
                phone.sendto(ringing(data), node_at)
        assert len(rung) == 2
        refused = [answer for line in lines for answer in line.received(0.3) if b"SIP/2.0 486" in answer]
        assert len(set(map(call_id, refused))) == 10
        for node in nodes:
            assert ctl(node.directory, "calls.total", "key=all") == 2
        # The node that has them dies; its lease ends.
        for node in nodes:
            if ctl(node.directory, "calls.count"):
                dead = node
                node.program.process.kill()
                node.program.wait(5)
                break
        other = nodes[1 - nodes.index(dead)]
        mine = sum(ctl(other.directory, "calls.count").values())
        deadline = time.monotonic() + 10
        while ctl(other.directory, "calls.total", "key=all") > mine and time.monotonic() < deadline:
            time.sleep(0.2)
        assert ctl(other.directory, "calls.total", "key=all") == mine < 2
