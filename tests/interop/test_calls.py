"""Real phones call a route that answers, and talk through a bridge."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.interop.baresip import Baresip
from tests.interop.siege import LOCAL, Siege, request
from tools.peers import Program, free_port

ROUTES = Path(__file__).parents[2] / "examples" / "routes"
BRIDGE = ("--route", str(ROUTES / "bridge.py"))
ANSWERING = ("--route", str(ROUTES / "answering.py"))


def sipp(directory: Path, name: str, server: tuple[str, int], *options: str) -> Program:
    """One of SIPp's own scenarios."""
    port = free_port()
    command = ["sipp", f"{server[0]}:{server[1]}", "-sn", name, "-i", LOCAL, "-p", str(port), "-nostdin"]
    command += ["-trace_err", "-error_file", str(directory / f"{name}.errors"), *options]
    return Program(command, directory / f"{name}-{port}.log", cwd=directory)


@pytest.mark.needs("sipp")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_sipp_calls_a_route(transport: str, tmp_path: Path) -> None:
    """INVITE, 180, 200, ACK, BYE by SIPp's default caller, a hundred times."""
    with Siege(tmp_path, options=ANSWERING) as server:
        kind = {"udp": "u1", "tcp": "t1"}[transport]
        options = ("-s", "echo", "-m", "100", "-r", "50", "-d", "50", "-t", kind)
        with sipp(tmp_path, "uac", server.address(transport), *options) as caller:
            assert caller.wait(30) == 0, caller.output()[-2000:]


def test_a_delayed_ack(tmp_path: Path) -> None:
    """RFC 3261 13.3.1.4: the 200 comes again after T1 and 2*T1, also over TCP, until its ACK."""
    for transport in ("udp", "tcp"):
        (directory := tmp_path / transport).mkdir()
        with Siege(directory, options=ANSWERING) as server, server.line(transport) as line:
            contact = f"Contact: <sip:m@{line.sent_by};transport={transport}>"
            line.send(request("INVITE", "sip:echo@siege.test", line, lines=[contact], call_id="late"))
            # T1 and 2*T1 after the first: at 0.5 and 1.5 s; the next is due at 3.5 s.
            messages = line.received(patience=1.5)
            answers = [one for one in messages if one.startswith(b"SIP/2.0 200")]
            assert len(answers) == 3
            assert len(set(answers)) == 1


@pytest.mark.needs("sipp")
def test_sipp_through_a_bridge(tmp_path: Path) -> None:
    """Two hundred calls at forty a second, each with its two dialogs; SIPp judges both sides."""
    route = tmp_path / "route.py"
    port = free_port()
    route.write_text(
        "async def route(request):\n"
        "    if request.method == 'INVITE':\n"
        f"        bridge = request.bridge('sip:sipp@{LOCAL}:{port}')\n"
        "        if bridge is not None:\n            await bridge\n"
        "    else:\n        request.reply(404)\n"
    )
    with Siege(tmp_path, options=("--route", str(route))) as server:
        command = ["sipp", "-sn", "uas", "-i", LOCAL, "-p", str(port), "-nostdin", "-m", "200"]
        with Program(command, tmp_path / "uas.log", cwd=tmp_path) as callee:
            time.sleep(0.5)
            options = ("-m", "200", "-r", "40", "-d", "100")
            with sipp(tmp_path, "uac", server.address("udp"), *options) as caller:
                assert caller.wait(40) == 0, caller.output()[-2000:]
            assert callee.wait(20) == 0, callee.output()[-2000:]


@pytest.mark.needs("baresip")
@pytest.mark.parametrize("holder", ["caller", "callee"])
def test_baresip_through_a_bridge(holder: str, tmp_path: Path) -> None:
    """Two phones talk; one puts the other on hold and resumes, and the other hangs up."""
    with Siege(tmp_path, options=BRIDGE) as server:
        place = server.address("udp")
        with (
            Baresip(tmp_path / "alice", "alice", "siege.test", place, "udp") as alice,
            Baresip(tmp_path / "bob", "bob", "siege.test", place, "udp") as bob,
        ):
            for phone in (alice, bob):
                phone.wait_until_registered()
            alice.command("dial", bob.aor)
            bob.wait_for("CALL_INCOMING")
            alice.wait_for("CALL_RINGING")
            bob.command("accept")
            for phone in (alice, bob):
                phone.wait_for("CALL_ESTABLISHED")
                phone.wait_for("CALL_REMOTE_SDP")
            near, far = (alice, bob) if holder == "caller" else (bob, alice)
            for command in ("hold", "resume"):
                near.command(command)
                # The other's new description arrived, and its answer to it.
                far.wait_for("CALL_REMOTE_SDP")
            far.command("hangup")
            for phone in (alice, bob):
                phone.wait_for("CALL_CLOSED")


@pytest.mark.needs("baresip")
def test_baresip_transfers(tmp_path: Path) -> None:
    """Bob sends Alice on to Carol (RFC 5589 6): Alice and Carol talk, and Bob is out."""
    with Siege(tmp_path, options=BRIDGE) as server:
        place = server.address("udp")
        with (
            Baresip(tmp_path / "alice", "alice", "siege.test", place, "udp") as alice,
            Baresip(tmp_path / "bob", "bob", "siege.test", place, "udp") as bob,
            Baresip(tmp_path / "carol", "carol", "siege.test", place, "udp") as carol,
        ):
            for phone in (alice, bob, carol):
                phone.wait_until_registered()
            alice.call(bob)
            bob.command("transfer", carol.aor)
            carol.wait_for("CALL_INCOMING")
            carol.command("accept")
            carol.wait_for("CALL_ESTABLISHED")
            bob.wait_for("CALL_CLOSED")
            carol.command("hangup")
            alice.wait_for("CALL_CLOSED")
