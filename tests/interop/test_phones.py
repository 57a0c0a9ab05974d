"""Our user agent (the softphone of examples/) and phones of others: baresip over UDP, PJSIP over TCP.

Theory of operation: all of them are registered at one server and know nothing else of each other. Each test
is a thing that people do with phones, with our phone on the side that its name says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.baresip import Baresip
from tests.interop.conftest import TARGET
from tests.interop.siege import Siege
from tests.interop.test_pjsip import PjsipPhone
from tests.interop.test_softphone import DOMAIN, PASSWORD, RINGING, TALKING, Softphone
from tests.missing import needs_pjsua2

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="it is the server of the test"),
    pytest.mark.timeout(120),
]


class Site:
    """The server; alice and carol are users of ours, bob is a user of another server."""

    def __init__(self, directory: Path, transport: str, stack: ExitStack) -> None:
        users = ("alice", "bob", "carol")
        self.server = stack.enter_context(
            Siege(directory, users={f"{user}@{DOMAIN}": PASSWORD for user in users})
        )
        self.ours = [
            stack.enter_context(
                Softphone(directory / user, user, self.server, transport, "--transfers", "accept")
            )
            for user in ("alice", "carol")
        ]
        self.alice, self.carol = self.ours
        for phone in self.ours:
            phone.expect("registered")
        self.aor = f"sip:bob@{DOMAIN}"


def over(site: Site, phone: Softphone, number: str, how: str) -> None:
    phone.expect(f"ended {number} {how}")


@pytest.fixture(scope="module")
def baresips(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Baresip]]:
    with ExitStack() as stack:
        directory = tmp_path_factory.mktemp("baresip")
        site = Site(directory, "udp", stack)
        bob = Baresip(directory / "bob", "bob", DOMAIN, site.server.address("udp"), "udp", PASSWORD)
        stack.enter_context(bob)
        bob.wait_until_registered()
        yield site, bob


@pytest.mark.needs("baresip")
def test_we_call_baresip(baresips: tuple[Site, Baresip]) -> None:
    """It answers, is held and talked to again, and hangs up."""
    site, bob = baresips
    site.alice.say(f"call {site.aor}")
    bob.wait_for("CALL_INCOMING")
    bob.command("accept")
    bob.wait_for("CALL_ESTABLISHED")
    number = site.alice.expect(TALKING)
    for word, told in (("hold", "holding"), ("resume", "resumed")):
        site.alice.say(f"{word} {number}")
        site.alice.expect(f"{told} {number}")
    bob.command("hangup")
    bob.wait_for("CALL_CLOSED")
    over(site, site.alice, number, "BYE")


@pytest.mark.needs("baresip")
def test_baresip_calls_us(baresips: tuple[Site, Baresip]) -> None:
    """It holds us and takes us back, and we hang up; and once we are busy."""
    site, bob = baresips
    bob.command("dial", site.alice.aor)
    site.alice.say(f"answer {site.alice.expect(RINGING)}")
    number = site.alice.expect(TALKING)
    bob.wait_for("CALL_ESTABLISHED")
    for word in ("hold", "resume"):
        bob.command(word)
    site.alice.say(f"bye {number}")
    bob.wait_for("CALL_CLOSED")
    over(site, site.alice, number, "hung up")
    bob.command("dial", site.alice.aor)
    site.alice.say(f"reject {site.alice.expect(RINGING)}")
    assert "486" in str(bob.wait_for("CALL_CLOSED")["param"])


@pytest.mark.needs("baresip")
def test_baresip_transfers_us(baresips: tuple[Site, Baresip]) -> None:
    """RFC 3515: its REFER has us call Carol; it hears of that, and hangs up."""
    site, bob = baresips
    bob.command("dial", site.alice.aor)
    site.alice.say(f"answer {site.alice.expect(RINGING)}")
    number = site.alice.expect(TALKING)
    bob.wait_for("CALL_ESTABLISHED")
    bob.command("transfer", site.carol.aor)
    site.carol.say(f"answer {site.carol.expect(RINGING)}")
    theirs = site.carol.expect(TALKING)
    site.alice.expect(f"transferred {number} to {site.carol.aor}")
    bob.wait_for("CALL_CLOSED")
    over(site, site.alice, number, "BYE")
    site.carol.say(f"bye {theirs}")
    over(site, site.carol, theirs, "hung up")
    site.alice.expect(r"ended \d+ BYE")


@pytest.mark.needs("baresip")
def test_we_transfer_baresip(baresips: tuple[Site, Baresip]) -> None:
    """RFC 3515: it calls Carol, tells us by NOTIFYs, and we are out."""
    site, bob = baresips
    site.alice.say(f"call {site.aor}")
    bob.wait_for("CALL_INCOMING")
    bob.command("accept")
    number = site.alice.expect(TALKING)
    site.alice.say(f"transfer {number} {site.carol.aor}")
    site.carol.say(f"answer {site.carol.expect(RINGING)}")
    theirs = site.carol.expect(TALKING)
    site.alice.expect(rf"(transfer {number} 200|ended {number} BYE|failed: the call is over: BYE)")
    site.carol.say(f"bye {theirs}")
    over(site, site.carol, theirs, "hung up")


@pytest.fixture(scope="module")
def pjsips(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, PjsipPhone]]:
    needs_pjsua2()
    with ExitStack() as stack:
        directory = tmp_path_factory.mktemp("pjsip")
        site = Site(directory, "tcp", stack)
        host, port = site.server.address("tcp")
        where: list[Any] = [host, str(port), "tcp", DOMAIN, "bob", "", PASSWORD]
        bob = stack.enter_context(PjsipPhone(directory / "bob", *where))
        bob.expect("registered 200")
        yield site, bob


class Told:
    """The messages of PJSIP since this object was made."""

    def __init__(self, phone: PjsipPhone) -> None:
        self._phone = phone
        self._before = {what: phone.told(what) for what in ("confirmed", "ended 200", "transfer 200")}

    def expect(self, what: str, times: int = 1) -> None:
        self._phone.expect(what, self._before[what] + times)


def test_we_call_pjsip(pjsips: tuple[Site, PjsipPhone]) -> None:
    """It answers, is held and talked to again, and hangs up."""
    site, bob = pjsips
    told = Told(bob)
    site.alice.say(f"call {site.aor}")
    number = site.alice.expect(TALKING)
    told.expect("confirmed")
    for word, said in (("hold", "holding"), ("resume", "resumed")):
        site.alice.say(f"{word} {number}")
        site.alice.expect(f"{said} {number}")
    bob.say("hangup")
    over(site, site.alice, number, "BYE")
    told.expect("ended 200")


def test_pjsip_calls_us(pjsips: tuple[Site, PjsipPhone]) -> None:
    """It holds us and takes us back, and we hang up."""
    site, bob = pjsips
    told = Told(bob)
    bob.say(f"call {site.alice.aor}")
    site.alice.say(f"answer {site.alice.expect(RINGING)}")
    number = site.alice.expect(TALKING)
    told.expect("confirmed")
    bob.say("hold")
    bob.say("resume")
    site.alice.say(f"hold {number}")
    site.alice.expect(f"holding {number}")
    site.alice.say(f"bye {number}")
    told.expect("ended 200")
    over(site, site.alice, number, "hung up")


def test_pjsip_joins_two_of_ours(pjsips: tuple[Site, PjsipPhone]) -> None:
    """RFC 5589 7: it talks to both, and has Alice take its place with Carol: REFER with Replaces to us."""
    site, bob = pjsips
    told = Told(bob)
    numbers = []
    for count, phone in enumerate((site.alice, site.carol), 1):
        bob.say(f"call {phone.aor}")
        phone.say(f"answer {phone.expect(RINGING)}")
        numbers.append(phone.expect(TALKING))
        told.expect("confirmed", count)
    bob.say("join")
    told.expect("transfer 200")
    site.alice.expect(f"transferred {numbers[0]} to .*")
    joined = site.alice.expect(TALKING)
    site.carol.expect(RINGING)
    # RFC 3891 3: Carol's call with Bob gave way to that with Alice.
    site.carol.expect(rf"(ended {numbers[1]} hung up|talking \d+)")
    site.carol.expect(rf"(ended {numbers[1]} hung up|talking \d+)")
    told.expect("ended 200")
    site.alice.say(f"bye {joined}")
    over(site, site.alice, joined, "hung up")
    site.carol.expect(r"ended \d+ BYE")


def test_pjsip_takes_our_place(pjsips: tuple[Site, PjsipPhone]) -> None:
    """RFC 5589 7: it is asked to call Carol, and its INVITE replaces our call with her (RFC 3891)."""
    site, bob = pjsips
    told = Told(bob)
    site.alice.say(f"call {site.aor}")
    with_bob = site.alice.expect(TALKING)
    site.alice.say(f"call {site.carol.aor}")
    site.carol.say(f"answer {site.carol.expect(RINGING)}")
    with_carol = site.alice.expect(TALKING)
    at_carol = site.carol.expect(TALKING)
    site.alice.say(f"transfer {with_bob} {with_carol}")
    # It leaves it to its user whether to call there, and the user does.
    site.alice.expect("failed: 603 .*")
    bob.say(f"call {bob.wait_for(r'^asked (.*)$')[1]}")
    told.expect("confirmed", 2)
    site.carol.expect(RINGING)
    words = rf"(ended {at_carol} hung up|talking \d+)"
    said = f"{site.carol.expect(words)} {site.carol.expect(words)}"
    assert f"ended {at_carol}" in said
    site.alice.expect(f"ended {with_carol} BYE")
    bob.say("hangup")
    site.carol.expect(r"ended \d+ BYE")
    told.expect("ended 200")
