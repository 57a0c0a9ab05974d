"""PJSIP phones through a back-to-back user agent: hold, transfers blind and attended, and an operator.

Theory of operation: the installed server runs ``examples/routes/bridge.py``; each phone is a process that
does what a line on its input says, and tells what it sees (``pjsip_phone``).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.siege import LOCAL, Siege
from tests.interop.test_pjsip import PjsipPhone
from tests.missing import needs_pjsua2

ROUTE = Path(__file__).parents[2] / "examples" / "routes" / "bridge.py"
USERS = ("alice", "bob", "carol")
PASSWORD = "wonderland"
DOMAIN = "siege.test"

pytestmark = pytest.mark.timeout(120)


class Office:
    """The server, and three phones with passwords."""

    def __init__(self, directory: Path, transport: str, stack: ExitStack) -> None:
        self.directory = directory
        control = directory / "control"
        options = ("--route", str(ROUTE), "--control", str(control))
        users = {f"{user}@{DOMAIN}": PASSWORD for user in USERS}
        self.server = stack.enter_context(Siege(directory, options=options, users=users))
        self._control = control
        where = [LOCAL, str(self.server.address(transport)[1]), transport, DOMAIN]
        self.alice, self.bob, self.carol = (
            stack.enter_context(PjsipPhone(directory / user, *where, user, "", PASSWORD)) for user in USERS
        )
        for phone in (self.alice, self.bob, self.carol):
            phone.expect("registered 200")

    def call(self, callee: str = "bob") -> None:
        """Alice calls, and ``callee`` answers."""
        phone = getattr(self, callee)
        mine, theirs = (one.told("confirmed") for one in (self.alice, phone))
        self.alice.say(f"call sip:{callee}@{DOMAIN}")
        self.alice.expect("confirmed", mine + 1)
        phone.expect("confirmed", theirs + 1)

    def ctl(self, *command: str) -> str:
        """The output of `sansip ctl`."""
        arguments = [sys.executable, "-m", "sansip_server", "ctl", "--control", str(self._control), *command]
        return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.ctl("calls", "--json").splitlines()]


@pytest.fixture(params=["udp", "tcp"])
def office(request: Any, tmp_path: Path) -> Iterator[Office]:
    needs_pjsua2()
    with ExitStack() as stack:
        yield Office(tmp_path, request.param, stack)


@pytest.mark.parametrize("holder", ["alice", "bob"])
def test_hold_and_hang_up(holder: str, office: Office) -> None:
    """One phone holds and resumes, and the other, which heard of both, hangs up."""
    office.call()
    near, far = (office.alice, office.bob) if holder == "alice" else (office.bob, office.alice)
    near.expect("media 1")
    near.say("hold")
    near.expect("media 2")
    far.expect("media 3")
    resumed = far.told("media 1")
    near.say("resume")
    far.expect("media 1", resumed + 1)
    far.say("hangup")
    for phone in (near, far):
        phone.expect("ended 200")


def test_a_blind_transfer(office: Office) -> None:
    """RFC 5589 6: Bob has Alice talk to Carol by her address-of-record, and hears how that went."""
    office.call()
    carol = office.carol.told("confirmed")
    office.bob.say(f"transfer sip:carol@{DOMAIN}")
    office.carol.expect("confirmed", carol + 1)
    office.bob.expect("transfer 200")
    office.bob.expect("ended 200")
    assert len(office.calls()) == 2
    office.carol.say("hangup")
    office.alice.expect("ended 200")


def test_an_attended_transfer(office: Office) -> None:
    """RFC 5589 7: Alice has called Bob and Carol, and her REFER, which has Replaces, lets the two talk."""
    office.call("bob")
    office.alice.say("hold")
    office.bob.expect("media 3")
    office.call("carol")
    office.alice.say("join")
    office.alice.expect("transfer 200")
    office.alice.expect("ended 200", 2)
    first, second = office.calls()
    assert (first["with"], second["with"]) == (second["number"], first["number"])
    office.bob.say("hangup")
    office.carol.expect("ended 200")


def test_an_operator_hangs_up(office: Office) -> None:
    """`sansip ctl calls` shows both legs; `hangup` ends both by the number of either."""
    office.call()
    first, second = office.calls()
    assert {first["side"], second["side"]} == {"caller", "callee"}
    assert "answered" in office.ctl("calls")
    office.ctl("hangup", str(first["number"]), "--reason", "Q.850;cause=31")
    for phone in (office.alice, office.bob):
        phone.expect("ended 200")
    assert office.calls() == []
