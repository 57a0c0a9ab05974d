"""The softphone of examples/ and the server: each thing that its user can say, with others of its kind."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import TARGET
from tests.interop.siege import Siege
from tools.peers import Program

PHONE = Path(__file__).parents[2] / "examples" / "softphone.py"
DOMAIN = "siege.test"
PASSWORD = "wonderland"
RINGING, TALKING = r"ringing (\d+) from \S+", r"talking (\d+)"

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="it is the server of the test")


class Softphone(Program):
    """One phone, and its output."""

    def __init__(self, directory: Path, user: str, server: Siege, transport: str, *options: str) -> None:
        directory.mkdir()
        host, port = server.address(transport)
        self.aor = f"sip:{user}@{DOMAIN}"
        command = [sys.executable, str(PHONE), self.aor, "--server", host, "--port", str(port)]
        command += ["--transport", transport, "--password", PASSWORD, *options]
        super().__init__(command, directory / "phone.log", spoken_to=True)
        # How much of what it said was expected.
        self._at = 0

    def expect(self, pattern: str, timeout: float = 15.0) -> str:
        """Wait for a line like ``pattern`` after the one that was expected last; return its first group."""
        deadline = time.monotonic() + timeout
        while (found := re.compile(f"^{pattern}$", re.MULTILINE).search(self.output(), self._at)) is None:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise self.failure(f"did not say {pattern!r}")
            time.sleep(0.02)
        self._at = found.end()
        return found[1] if found.groups() else found[0]


class Site:
    """The server, and three phones that are registered at it."""

    def __init__(self, directory: Path, transport: str, stack: ExitStack) -> None:
        users = ("alice", "bob", "carol")
        known = {f"{user}@{DOMAIN}": PASSWORD for user in users}
        self.server = stack.enter_context(Siege(directory, users=known))
        self.phones = [
            stack.enter_context(
                Softphone(directory / user, user, self.server, transport, "--transfers", "accept")
            )
            for user in users
        ]
        self.alice, self.bob, self.carol = self.phones
        for phone in self.phones:
            phone.expect("registered")

    def call(self, caller: Softphone, callee: Softphone) -> tuple[str, str]:
        """Have one call the other; return the numbers of the call at both."""
        caller.say(f"call {callee.aor}")
        callee.say(f"answer {callee.expect(RINGING)}")
        return caller.expect(TALKING), callee.expect(TALKING)


@pytest.fixture(params=["udp", "tcp"], scope="module")
def site(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        site = Site(tmp_path_factory.mktemp(request.param), request.param, stack)
        yield site
        for phone in site.phones:
            phone.say("quit")
            assert phone.wait(10) == 0, phone.output()
            assert "Traceback" not in phone.output()


def test_a_call(site: Site) -> None:
    """Called, answered, held, talked again, hung up; each side hears of what the other does."""
    ours, theirs = site.call(site.alice, site.bob)
    site.alice.say(f"hold {ours}")
    site.alice.expect(f"holding {ours}")
    site.alice.say(f"resume {ours}")
    site.alice.expect(f"resumed {ours}")
    site.bob.say(f"bye {theirs}")
    site.bob.expect(f"ended {theirs} hung up")
    site.alice.expect(f"ended {ours} BYE")


def test_refused(site: Site) -> None:
    """A busy phone, an absent user, and unknown words."""
    site.alice.say(f"call {site.bob.aor}")
    site.bob.say(f"reject {site.bob.expect(RINGING)}")
    site.alice.expect("failed: 486 .*")
    site.alice.say(f"call sip:nobody@{DOMAIN}")
    site.alice.expect("failed: 404 .*")
    site.alice.say("bye 99")
    site.alice.expect("failed: there is no call 99.*")
    site.alice.say("dance")
    site.alice.expect("expected one of call, .*")


def test_given_up(site: Site) -> None:
    """RFC 3261 9.1: she hangs up while it rings."""
    site.alice.say(f"call {site.bob.aor}")
    number = site.alice.expect(r"calling (\d+) .*")
    site.bob.expect(RINGING)
    site.alice.expect(f"progress {number} 180")
    site.alice.say(f"cancel {number}")
    site.alice.expect("failed: 487 .*")


def test_transferred(site: Site) -> None:
    """RFC 5589 6: Alice sends Bob on to Carol, hears that they talk, and is out of it."""
    ours, theirs = site.call(site.alice, site.bob)
    site.alice.say(f"transfer {ours} {site.carol.aor}")
    site.carol.say(f"answer {site.carol.expect(RINGING)}")
    number = site.carol.expect(TALKING)
    site.alice.expect(f"transfer {ours} 200")
    site.alice.expect(f"ended {ours} hung up")
    site.bob.expect(f"transferred {theirs} to {site.carol.aor}")
    site.bob.expect(f"ended {theirs} BYE")
    site.carol.say(f"bye {number}")
    site.carol.expect(f"ended {number} hung up")
    site.bob.expect(r"ended \d+ BYE")


def test_transferred_with_a_word_before(site: Site) -> None:
    """RFC 5589 7, RFC 3891: Alice talks to both, and puts Bob in her place with Carol."""
    with_bob, at_bob = site.call(site.alice, site.bob)
    with_carol, at_carol = site.call(site.alice, site.carol)
    site.alice.say(f"transfer {with_bob} {with_carol}")
    # Her call with Alice gave way to the one with Bob; no bell rang twice.
    site.carol.expect(RINGING)
    text = site.carol.expect(rf"(ended {at_carol} hung up|talking \d+)")
    text += site.carol.expect(rf"(ended {at_carol} hung up|talking \d+)")
    number = re.findall(r"talking (\d+)", text)[0]
    site.alice.expect(f"ended {with_bob} hung up")
    site.bob.expect(f"ended {at_bob} BYE")
    site.carol.say(f"bye {number}")
    site.carol.expect(f"ended {number} hung up")
    site.bob.expect(r"ended \d+ BYE")
