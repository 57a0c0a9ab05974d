"""Lamps with real phones: SIPp has a key for a user, baresip phones call each other, and no state is lost."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.baresip import Baresip
from tests.interop.siege import LOCAL, Siege
from tests.interop.softphones import Softphone
from tests.interop.test_module_calls import ctl
from tests.missing import needs_pjsua2
from tools.peers import Sipp, free_port

DOMAIN = "biloxi.test"
CONFIG = """
control = "ctl.sock"
[calls]
[events]
open = true
[lamps]
interval = 0
"""
_HEAD = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="lamp">
<send retrans="500"><![CDATA[
SUBSCRIBE sip:[service]@[domain] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:dave@[domain]>;tag=[call_number]
To: <sip:[service]@[domain]>
Call-ID: [call_id]
CSeq: 1 SUBSCRIBE
Contact: <sip:dave@[local_ip]:[local_port]>
Max-Forwards: 70
Event: dialog
Accept: application/dialog-info+xml
Expires: 600
Content-Length: 0

]]></send>
<recv response="200" crlf="true"/>
"""
_NOTIFY = """<recv request="NOTIFY" timeout="15000" crlf="true"><action>
<ereg regexp="{}" search_in="body" check_it="true" assign_to="state"/>
</action></recv>
<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:dave@[local_ip]:[local_port]>
Content-Length: 0

]]></send>
"""
_TAIL = '<Reference variables="state"/>\n</scenario>\n'


def scenario(path: Path, *states: str) -> Path:
    """A key that has to be told ``states``, one NOTIFY each, in this order."""
    full = "state=&quot;full&quot;"
    patterns = [full, *(f"&gt;{state}&lt;" for state in states)]
    path.write_text(_HEAD + "".join(_NOTIFY.format(one) for one in patterns) + _TAIL)
    return path


@pytest.mark.needs("sipp")
@pytest.mark.needs("baresip")
def test_a_lamp_follows_calls(tmp_path: Path) -> None:
    """Trying, early, confirmed, terminated of an answered call; then one that is given up while it rings."""
    with Siege(tmp_path, domain=DOMAIN, config=CONFIG) as server:
        place = server.address("udp")
        states = ["trying", "early", "confirmed", "terminated", "trying", "early", "terminated"]
        with (
            Baresip(tmp_path / "alice", "alice", DOMAIN, place, "udp") as alice,
            Baresip(tmp_path / "bob", "bob", DOMAIN, place, "udp") as bob,
            Sipp(
                scenario(tmp_path / "lamp.xml", *states),
                place,
                tmp_path,
                local=(LOCAL, free_port()),
                service="bob",
                domain=DOMAIN,
            ) as lamp,
        ):
            for phone in (alice, bob):
                phone.wait_until_registered()
            deadline = time.monotonic() + 15
            while not ctl(tmp_path, "events.list", "event=dialog"):
                assert time.monotonic() < deadline
            alice.call(bob)
            alice.command("hangup")
            for phone in (alice, bob):
                phone.wait_for("CALL_CLOSED")
            alice.command("dial", bob.aor)
            bob.wait_for("CALL_INCOMING")
            alice.command("hangup")
            bob.wait_for("CALL_CLOSED")
            lamp.succeed(30)


def test_a_lamp_of_pjsip(tmp_path: Path) -> None:
    """PJSIP's own subscriber reads each document of two calls between PJSIP phones, in order."""
    needs_pjsua2()
    with ExitStack() as stack:
        server = stack.enter_context(
            Siege(tmp_path, domain=DOMAIN, config=CONFIG, options=["--runtime", "asyncio"])
        )
        host, port = server.address("udp")

        def started(name: str, *words: str) -> Softphone:
            command = [sys.executable, "-m", f"tests.interop.{name}", host, str(port), *words]
            program = Softphone(command, tmp_path / f"{name}-{words[-1]}.log")
            stack.callback(program.stop)
            program.hear(r"^registered 200")
            return program

        alice = started("pjsip_phone", "udp", DOMAIN, "alice")
        started("pjsip_phone", "udp", DOMAIN, "bob")
        lamp = started("pjsip_lamp", DOMAIN, "dave", "bob")
        lamp.hear(r"^lamp full$")
        both = f"recipient sip:bob@{DOMAIN} sip:alice@{DOMAIN}"
        for _ in range(2):
            alice.tell(f"call sip:bob@{DOMAIN}")
            # It takes a call at once: no phone rings.
            lamp.hear(rf"^lamp trying {both}$")
            lamp.hear(rf"^lamp confirmed {both}$")
            alice.tell("hangup")
            lamp.hear(rf"^lamp terminated {both}$")
        told = [line for line in lamp.output().splitlines() if line.startswith("lamp ")]
        assert [line.split()[1] for line in told[-6:]] == ["trying", "confirmed", "terminated"] * 2
