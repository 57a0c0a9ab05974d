"""The modules ``aliases`` and ``redirect`` in the installed server, with baresip and sipsak."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.interop.baresip import Baresip
from tests.interop.siege import LOCAL, Siege, request
from tests.interop.sipp_play import SDP, Play
from tests.interop.test_module_calls import ctl
from tests.interop.test_sipp import OWN
from tools.peers import Sipp, free_port

DOMAIN = "biloxi.test"
CONTROL = 'control = "ctl.sock"\n'


@pytest.mark.needs("baresip")
def test_an_alias_is_dialled(tmp_path: Path) -> None:
    """Added while the server runs; a short number of the caller's own, too."""
    with Siege(tmp_path, domain=DOMAIN, config=f"{CONTROL}[aliases]\n") as server:
        place = server.address("udp")
        with (
            Baresip(tmp_path / "alice", "alice", DOMAIN, place, "udp") as alice,
            Baresip(tmp_path / "bob", "bob", DOMAIN, place, "udp") as bob,
        ):
            for phone in (alice, bob):
                phone.wait_until_registered()
            ctl(tmp_path, "aliases.add", f"alias=sip:4930123@{DOMAIN}", f"target={bob.aor}")
            ctl(tmp_path, "aliases.short", f"user={alice.aor}", "digits=12", f"target=sip:4930123@{DOMAIN}")
            for dialled in ("4930123", "12"):
                alice.command("dial", f"sip:{dialled}@{DOMAIN}")
                bob.wait_for("CALL_INCOMING")
                bob.command("accept")
                alice.wait_for("CALL_ESTABLISHED")
                alice.command("hangup")
                bob.wait_for("CALL_CLOSED")


@pytest.mark.needs("sipsak")
def test_sipsak_follows(tmp_path: Path) -> None:
    """It asks the other server, which answers."""
    home = tmp_path / "home"
    home.mkdir()
    with Siege(home, domain="elsewhere.test") as other:
        there = f"{LOCAL}:{other.address('udp')[1]}"
        config = f'[redirect]\n[[redirect.users]]\nuser = "sip:bob@{DOMAIN}"\ncontact = "sip:{there}"\n'
        with Siege(tmp_path, domain=DOMAIN, config=config) as server:
            place = f"{LOCAL}:{server.address('udp')[1]}"
            command = ["sipsak", "-vv", "-s", f"sip:bob@{place}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
            assert "received redirect" in done.stdout
            assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("baresip")
def test_baresip_follows(tmp_path: Path) -> None:
    """A phone calls a user who is elsewhere; the 302, and a 300 by its best q, lead it to Bob."""
    with Siege(tmp_path, domain=DOMAIN, config=f"{CONTROL}[redirect]\n") as server:
        place = server.address("udp")
        with (
            Baresip(tmp_path / "alice", "alice", DOMAIN, place, "udp") as alice,
            Baresip(tmp_path / "bob", "bob", DOMAIN, place, "udp") as bob,
        ):
            for phone in (alice, bob):
                phone.wait_until_registered()
            for user, contacts in (
                ("once", [("bob", "1.0")]),
                ("several", [("nobody", "0.3"), ("bob", "0.9")]),
            ):
                for contact, q in contacts:
                    given = (f"user=sip:{user}@{DOMAIN}", f"contact=sip:{contact}@{DOMAIN}", f"q={q}")
                    ctl(tmp_path, "redirect.add", *given)
                alice.command("dial", f"sip:{user}@{DOMAIN}")
                bob.wait_for("CALL_INCOMING")
                bob.command("accept")
                alice.wait_for("CALL_ESTABLISHED")
                alice.command("hangup")
                bob.wait_for("CALL_CLOSED")
            figures = ctl(tmp_path, "stats")["modules"]
            assert figures["redirect.redirected{302}"] == figures["redirect.redirected{300}"] == 1


@pytest.mark.needs("sipp")
def test_sipp_is_redirected_and_followed(tmp_path: Path) -> None:
    """301, 302 and 300 of a real server, each followed in the same transaction; a loop ends.

    The first SIPp redirects to the second one, which is called. Then the first one redirects to itself.
    """
    ports = [free_port() for _ in range(2)]
    config = (
        f'[calls]\n[redirect]\nfollow = ["{LOCAL}"]\n[dispatcher]\ntakes = "calls"\nprobe_interval = 0\n'
        f'[[dispatcher.destinations]]\nuri = "sip:{LOCAL}:{ports[0]}"\n'
    )
    there = f"sip:there@{LOCAL}:{ports[1]}"
    wrong = "?Route=%3Csip:192.0.2.1%3Blr%3E&Call-ID=other"
    cases = {
        "301 Moved Permanently": f"<{there}{wrong}>",
        "302 Moved Temporarily": f"<{there}>",
        "300 Multiple Choices": f"<sip:no@{LOCAL}:{ports[0]}>;q=0.1, <{there}>;q=0.9",
    }

    record = "[last_Record-Route:]"

    def played(name: str, port: int, play: Play) -> Sipp:
        place = server.address("udp")
        return Sipp(play.save(tmp_path / f"{name}.xml"), place, tmp_path, local=(LOCAL, port))

    with Siege(tmp_path, domain=DOMAIN, config=config) as server:
        for status, contact in cases.items():
            first = Play().recv("INVITE").answer(status, contact=f"Contact: {contact}").recv("ACK")
            second = Play().recv("INVITE", check=("Call-ID", "@")).answer("200 OK", record, body=SDP)
            caller = Sipp(
                OWN / "s03_call_uac.xml",
                server.address("udp"),
                tmp_path,
                local=(LOCAL, free_port()),
                service="4711",
                domain=DOMAIN,
            )
            ends = second.recv("ACK").recv("BYE").ok()
            with played("first", ports[0], first) as one, played("second", ports[1], ends) as two:
                for each in (one, two):
                    each.wait_until_bound()
                with caller:
                    caller.succeed(20)
                one.succeed(10)
                two.succeed(10)
        itself = f"Contact: <sip:4711@{LOCAL}:{ports[0]}>"
        again = Play().recv("INVITE").answer("302 Moved", contact=itself).recv("ACK")
        with played("itself", ports[0], again) as one:
            one.wait_until_bound()
            with server.line("udp") as stranger:
                contact = f"Contact: <sip:mallory@{LOCAL}>"
                stranger.send(request("INVITE", f"sip:4711@{DOMAIN}", stranger, lines=[contact]))
                answers = stranger.received(2)
                assert any(b"SIP/2.0 302" in answer for answer in answers), answers
            # It plays one call: a second INVITE would be an unexpected message.
            one.succeed(10)
