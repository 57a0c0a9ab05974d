"""The module ``dispatcher`` in the installed server, with SIPp and baresip behind it, by its own commands."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.baresip import Baresip
from tests.interop.siege import LOCAL, Siege, request
from tests.interop.test_module_calls import ctl
from tests.interop.test_sipp import OWN
from tools.peers import Program, Sipp, free_port

DOMAIN = "biloxi.test"


def config(ports: list[int], more: str = "") -> str:
    tables = "".join(f'[[dispatcher.destinations]]\nuri = "sip:{LOCAL}:{port}"\n' for port in ports)
    return (
        f'control = "ctl.sock"\n[calls]\n[dispatcher]\ntakes = "calls"\nprobe_interval = 0.5\nanswer = 0.5\n'
        f"probe_timeout = 0.4\n{more}{tables}"
    )


def farm(tmp_path: Path, port: int) -> Program:
    """A server of SIPp's, which answers OPTIONS as well as calls."""
    command = ["sipp", "-sf", str(OWN / "s03_call_uas.xml"), "-i", LOCAL, "-p", str(port), "-nostdin", "-aa"]
    return Program(command, tmp_path / f"uas-{port}.log", cwd=tmp_path)


@pytest.mark.needs("sipp")
def test_none_is_lost(tmp_path: Path) -> None:
    """At 200 calls/s: one is not there, one is silent, one is drained and stopped, the file is reloaded."""
    ports = [free_port() for _ in range(4)]
    uris = [f"sip:{LOCAL}:{port}" for port in ports]
    with ExitStack() as stack:
        silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind((LOCAL, ports[1]))
        servers = [stack.enter_context(farm(tmp_path, port)) for port in ports[2:]]
        time.sleep(0.5)
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config(ports)))
        caller = Sipp(
            OWN / "s03_call_uac.xml",
            siege.address("udp"),
            tmp_path,
            local=(LOCAL, free_port()),
            calls=1_600,
            service="4711",
            domain=DOMAIN,
            options=["-r", "200"],
        )
        calls = stack.enter_context(caller)
        time.sleep(2)
        ctl(tmp_path, "dispatcher.set", "group=default", f"uri={uris[2]}", "state=draining")
        path = siege.directory / "siege.toml"
        path.write_text(path.read_text() + "weight = 5\n")
        ctl(tmp_path, "reload")
        deadline = time.monotonic() + 10
        while rows(tmp_path)[uris[2]]["calls"] and time.monotonic() < deadline:
            time.sleep(0.1)
        servers[0].stop()
        calls.succeed(40)
        found = rows(tmp_path)
        assert [found[uri]["state"] for uri in uris] == ["down", "down", "draining", "up"]
        assert found[uris[3]]["weight"] == 5
        assert found[uris[3]]["requests"] > 600
        assert sum(row["requests"] - row["failed"] for row in found.values()) == 1_600
        assert f"destination {uris[0]} of group default is down" in siege.log
        # It comes to life, and is noticed.
        stack.enter_context(farm(tmp_path, ports[0]))
        while rows(tmp_path)[uris[0]]["state"] != "up" and time.monotonic() < deadline + 20:
            time.sleep(0.2)
        assert rows(tmp_path)[uris[0]]["state"] == "up"


def rows(tmp_path: Path) -> dict[str, Any]:
    """Return what `dispatcher.list` says, by URI."""
    return {row["uri"]: row for row in ctl(tmp_path, "dispatcher.list")}


@pytest.mark.needs("baresip")
def test_baresip_behind_it(tmp_path: Path) -> None:
    """A phone calls a number; a server of the farm, here another baresip, takes it; both talk and hang up."""
    port = free_port()
    home = tmp_path / "home"
    home.mkdir()
    with (
        Siege(home, domain="farm.test") as other,
        Siege(tmp_path, domain=DOMAIN, config=config([other.address("udp")[1], port])) as server,
    ):
        # The farm's first server is a sansip with a phone; its second one does not exist.
        place = server.address("udp")
        with (
            Baresip(tmp_path / "alice", "alice", DOMAIN, place, "udp") as alice,
            Baresip(tmp_path / "bob", "bob", f"{LOCAL}", other.address("udp"), "udp") as bob,
        ):
            alice.wait_until_registered()
            bob.wait_until_registered()
            alice.command("dial", f"sip:bob@{DOMAIN}")
            bob.wait_for("CALL_INCOMING")
            bob.command("accept")
            for phone in (alice, bob):
                phone.wait_for("CALL_ESTABLISHED")
            bob.command("hangup")
            alice.wait_for("CALL_CLOSED")


def test_a_firewall_that_drops_tcp(tmp_path: Path) -> None:
    """RFC 3261 18.1.1, live: a SYN that nobody answers costs a second, and the gateway stays up.

    A listening socket whose queue is full drops each SYN, as a firewall does.
    """
    with ExitStack() as stack:
        gateway = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        gateway.bind((LOCAL, 0))
        gateway.settimeout(10)
        port = gateway.getsockname()[1]
        deaf = stack.enter_context(socket.socket())
        deaf.bind((LOCAL, port))
        deaf.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((LOCAL, port))
        slow = "probe_interval = 0.0\nanswer = 2.0\n"
        text = config([port]).replace("probe_interval = 0.5\nanswer = 0.5\n", slow)
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=text))
        caller = stack.enter_context(siege.line("udp"))
        body = "x" * 1_400
        lines = [f"Contact: <sip:alice@{LOCAL}>", "Content-Type: text/plain"]
        begun = time.monotonic()
        caller.send(request("INVITE", f"sip:4711@{DOMAIN}", caller, lines=lines, body=body))
        invite, _ = gateway.recvfrom(65_536)
        assert invite.startswith(b"INVITE ")
        assert b"SIP/2.0/UDP" in invite.partition(b"\r\n\r\n")[0]
        assert 0.9 < time.monotonic() - begun < 1.9
        (row,) = ctl(tmp_path, "dispatcher.list")
        assert row["state"] == "up", row
