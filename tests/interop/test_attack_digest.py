"""Credentials that were recorded, redirected, forged in another user's name, or guessed: live."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.line import Line
from tests.interop.siege import LOCAL, TRANSPORTS, Siege, request
from tests.interop.users import credentials

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="the passwords are in sansip's store")

DOMAIN = "siege.test"
USERS = {f"alice@{DOMAIN}": "wonderland"}
WHO = f"<sip:alice@{DOMAIN}>;tag=a"


def ask(line: Line, method: str = "REGISTER", uri: str = f"sip:{DOMAIN}", given: str = "") -> str:
    """Send one request as alice; return its final answer."""
    field = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
    lines = [f"Contact: <sip:alice@{line.sent_by}>", *([f"{field}: {given}"] if given else [])]
    to = f"<sip:alice@{DOMAIN}>" if method == "REGISTER" else None
    line.send(request(method, uri, line, from_=WHO, to=to, lines=lines))
    while (answer := line.receive().decode()).startswith("SIP/2.0 1"):
        pass
    return answer


def challenge_in(answer: str) -> str:
    found = re.search(r"(?m)^(?:WWW|Proxy)-Authenticate: (.*)\r$", answer)
    assert found is not None, answer
    return found[1]


def prove(answer: str, method: str, uri: str, password: str = "wonderland", count: int = 1) -> str:
    return credentials(challenge_in(answer), method, uri, "alice", password, count)


def ctl(siege: Siege, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sansip_server", "ctl", "--control", "siege.db.ctl", *words]
    return subprocess.run(
        command, cwd=siege.directory, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_digest_for_another_call(transport: str, tmp_path: Path) -> None:
    """RFC 7616 3.4.6: a proof for bob does not hold for a number that costs money."""
    with Siege(tmp_path, users=USERS) as siege, siege.watched(), siege.line(transport) as line:
        bob = f"sip:bob@{DOMAIN}"
        given = prove(ask(line, "INVITE", bob), "INVITE", bob)
        assert ask(line, "INVITE", f"sip:+900123456@{DOMAIN}", given).startswith("SIP/2.0 400 ")
        assert "made for 'sip:bob@siege.test', sent to 'sip:+900123456@siege.test'" in siege.log
        # It was not used up: bob is not here.
        assert ask(line, "INVITE", bob, given).startswith("SIP/2.0 404 ")


def test_a_recording_from_before_a_restart(tmp_path: Path) -> None:
    """Its nonce was made with the key that is still in use; the count is gone, so it is good for nothing."""
    with Siege(tmp_path, users=USERS) as siege, siege.line("udp") as line:
        recorded = prove(ask(line), "REGISTER", f"sip:{DOMAIN}")
        assert ask(line, given=recorded).startswith("SIP/2.0 200 ")
        assert "stale=true" in ask(line, given=recorded)
    options = ["--auth", "digest", "--store", str(tmp_path / "siege.db")]
    with Siege(tmp_path, options=options) as siege, siege.line("udp") as line:
        answer = ask(line, given=recorded)
        assert answer.startswith("SIP/2.0 401 ")
        assert "stale=true" in answer
        assert ask(line, given=prove(answer, "REGISTER", f"sip:{DOMAIN}")).startswith("SIP/2.0 200 ")


def test_failing_in_the_name_of_another(tmp_path: Path) -> None:
    """A stranger sends wrong answers from the victim's address, with nonces that he fetched himself.

    On loopback he can really send from there. He reads no answer: what is sent to that
    address is the victim's.
    """
    victim = "127.0.0.77"
    with Siege(tmp_path, users=USERS) as siege, siege.watched():
        nonces = []
        for transport in TRANSPORTS:
            with siege.line(transport) as stranger:
                nonces.append(ask(stranger))
        with siege.line("udp", source=(victim, 0)) as forged:
            for number in range(60):
                guess = prove(nonces[number % 3], "REGISTER", f"sip:{DOMAIN}", "guess", number + 1)
                assert "stale=true" in ask(forged, given=guess)
        assert "wrong password" not in siege.log
        assert f"from {victim} anew: the nonce was given to another address" in siege.log
        with siege.line("udp", source=(victim, 0)) as alice:
            given = prove(ask(alice), "REGISTER", f"sip:{DOMAIN}")
            assert ask(alice, given=given).startswith("SIP/2.0 200 ")


def test_a_guesser_is_barred_and_heard_again(tmp_path: Path) -> None:
    """A repeated wrong answer counts once.

    Others bar the guesser, the log says until when, an operator lifts it.
    """
    with (
        Siege(tmp_path, users=USERS) as siege,
        siege.watched() as watch,
        siege.line("udp", source=("127.0.0.78", 0)) as guesser,
    ):
        asked = ask(guesser)
        wrong = prove(asked, "REGISTER", f"sip:{DOMAIN}", "guess")
        for _ in range(50):
            assert ask(guesser, given=wrong).startswith("SIP/2.0 401 ")
        for number in range(2, 11):
            guess = prove(asked, "REGISTER", f"sip:{DOMAIN}", "guess", number)
            assert ask(guesser, given=guess).startswith("SIP/2.0 401 ")
        right = prove(asked, "REGISTER", f"sip:{DOMAIN}", count=11)
        answer = ask(guesser, given=right)
        assert answer.startswith("SIP/2.0 403 Too Many Wrong Passwords")
        assert re.search(r"(?m)^Retry-After: (2\d|30)\r$", answer)
        siege.program.wait_for(
            r"127.0.0.78 is barred for 'alice' until 2\d{3}-.*: wrong passwords for this user"
        )
        shown = ctl(siege, "bans")
        assert [line.split()[:2] for line in shown.stdout.splitlines()] == [
            ["SOURCE", "USER"],
            ["127.0.0.78", "alice"],
        ]
        assert ctl(siege, "bans", "127.0.0.79").returncode == 1
        assert ctl(siege, "bans", "127.0.0.78", "--lift").stdout == "lifted 1 of 127.0.0.78\n"
        assert ctl(siege, "bans").stdout.splitlines()[1:] == []
        assert ask(guesser, given=right).startswith("SIP/2.0 200 ")
    assert watch.spent < 1.0


def test_an_answer_without_qop(tmp_path: Path) -> None:
    """RFC 3261 22.4: phones of RFC 2069 get in; a recording of their answers is good for nothing."""
    with Siege(tmp_path, users=USERS) as siege, siege.line("udp") as phone:
        given = prove(ask(phone), "REGISTER", f"sip:{DOMAIN}")
        fields = dict(re.findall(r'(\w+)="?([^",]*)"?', given))

        def md5(text: str) -> str:
            return hashlib.md5(text.encode()).hexdigest()

        key, what = md5(f"alice:{DOMAIN}:wonderland"), md5(f"REGISTER:sip:{DOMAIN}")
        nonce = fields["nonce"]
        proof = md5(f"{key}:{nonce}:{what}")
        old = (
            f'Digest username="alice", realm="{DOMAIN}", nonce="{nonce}", uri=sip:{DOMAIN},'
            f' response="{proof}"'
        )
        assert ask(phone, given=old).startswith("SIP/2.0 200 ")
        with siege.line("udp", source=(LOCAL, 0)) as stranger:
            answer = ask(stranger, given=old)
            assert answer.startswith("SIP/2.0 401 ")
            assert "stale=true" in answer
