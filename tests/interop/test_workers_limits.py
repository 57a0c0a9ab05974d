"""Attacks on a server of several workers: what is a limit for one source holds over all of them.

A source that has many ports reaches every worker; N workers must not give it N times as much.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.line import Closed, Line, Silence
from tests.interop.phone import Message
from tests.interop.siege import request
from tests.interop.users import credentials
from tests.interop.workers import Crew, heard

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="workers are sansip's"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]
BURST = 64


def test_rate_of_a_source_holds_in_sum(tmp_path: Path) -> None:
    """`limits.source_rate`: 24 ports of one address get what one port gets, and one port gets all of it."""
    config = f"[limits]\nlimit_loopback = true\nsource_rate = 5\nsource_burst = {BURST}\n"
    with Crew(tmp_path, workers=3, transports=("udp",), config=config) as crew:
        lines = crew.lines()
        begun = time.monotonic()
        for _ in range(12):
            for line in lines:
                line.send(request("OPTIONS", f"sip:{crew.domain}", line))
                time.sleep(0.001)
        answered = sum(len(line.received(0.01)) for line in lines)
        spent = time.monotonic() - begun
        # A step of each worker on the way is what the sum may be wrong by.
        assert BURST - 3 <= answered <= BURST + 5 * spent + 6, (answered, spent)
        # Another source is not held back: the whole burst on one port.
        with crew.line("udp", source=("127.0.0.2", 0)) as other:
            for _ in range(BURST):
                other.send(request("OPTIONS", f"sip:{crew.domain}", other))
                time.sleep(0.001)
            assert len(other.received(0.3)) == BURST


def test_connections_of_a_source_hold_in_sum(tmp_path: Path) -> None:
    """`limits.connections_per_source`: each worker accepts, and all know how many there are."""
    config = "[limits]\nconnections_per_source = 10\n"
    with Crew(tmp_path, workers=3, transports=("udp", "tcp"), config=config) as crew, ExitStack() as stack:
        served = 0
        for _ in range(24):
            line = stack.enter_context(crew.line("tcp"))
            # The others hear of it in a moment.
            time.sleep(0.05)
            with suppress(Closed, Silence, ConnectionError):
                line.send(request("OPTIONS", f"sip:{crew.domain}", line))
                served += heard(line).what == "200"
        assert served == 10
        # One that goes makes room, at whichever worker the next one comes.
        stack.close()
        time.sleep(0.3)
        with crew.line("tcp") as line:
            line.send(request("OPTIONS", f"sip:{crew.domain}", line))
            assert heard(line).what == "200"


def _register(crew: Crew, line: Line, cseq: int, answer: str = "") -> Message:
    aor = f"<sip:bob@{crew.domain}>"
    lines = [f"Contact: <sip:bob@{line.sent_by}>", *([f"Authorization: {answer}"] if answer else [])]
    uri = f"sip:{crew.domain}"
    line.send(
        request("REGISTER", uri, line, from_=f"{aor};tag=b", to=aor, call_id="b", cseq=cseq, lines=lines)
    )
    return heard(line)


def test_a_nonce_count_is_believed_once(tmp_path: Path) -> None:
    """RFC 7616 3.4, 5.5: an answer that was overheard and sent again by other ports is no proof anywhere."""
    with Crew(tmp_path, workers=3, transports=("udp",), users={"bob@siege.test": "secret"}) as crew:
        uri = f"sip:{crew.domain}"
        with crew.line("udp") as bob:
            challenge = _register(crew, bob, 1).get("www-authenticate")
            answer = credentials(challenge, "REGISTER", uri, "bob", "secret")
            assert _register(crew, bob, 2, answer).what == "200"
            for index, line in enumerate(crew.lines()):
                again = _register(crew, line, 3 + index, answer)
                assert again.what == "401", index
            # RFC 7616 3.3: the user's own phone is asked once more at the most, at any port of its NAT.
            with crew.line("udp") as moved:
                answer = credentials(challenge, "REGISTER", uri, "bob", "secret", 2)
                second = _register(crew, moved, 100, answer)
                if second.what == "401":
                    fresh = second.get("www-authenticate")
                    assert "stale=true" in fresh
                    answer = credentials(fresh, "REGISTER", uri, "bob", "secret")
                    second = _register(crew, moved, 101, answer)
                assert second.what == "200"


def test_wrong_passwords_count_in_sum(tmp_path: Path) -> None:
    """A guesser with many ports has the guesses of one; the ban holds, and is lifted, at all workers."""
    with Crew(tmp_path, workers=3, transports=("udp",), users={"bob@siege.test": "secret"}) as crew:
        uri = f"sip:{crew.domain}"
        banned = 0
        for index, line in enumerate(crew.lines()):
            challenge = _register(crew, line, 1)
            if challenge.what != "401":
                banned += 1
                continue
            answer = credentials(challenge.get("www-authenticate"), "REGISTER", uri, "bob", f"wrong{index}")
            _register(crew, line, 2, answer)
        bans = [one for one in crew.ctl("bans", "--json") if isinstance(one, dict)]
        assert len([one for one in bans if one.get("user") == "bob"]) == 1, bans
        # Now the right password is not looked at, at any worker.
        for line in crew.lines(12):
            challenge = _register(crew, line, 50)
            if challenge.what == "401":
                answer = credentials(challenge.get("www-authenticate"), "REGISTER", uri, "bob", "secret")
                assert _register(crew, line, 51, answer).what != "200"
        crew.ctl("bans", "--lift", "127.0.0.1")
        # Each of them is a contact of the user, who may have ten.
        for index, line in enumerate(crew.lines(8)):
            challenge = _register(crew, line, 60 + 2 * index)
            answer = credentials(challenge.get("www-authenticate"), "REGISTER", uri, "bob", "secret")
            assert _register(crew, line, 61 + 2 * index, answer).what == "200"


def test_forged_responses_and_requests_are_passed_on_once(tmp_path: Path) -> None:
    """Marks of other workers in messages that nobody waits for must cost little, and never go in circles."""
    with Crew(tmp_path, workers=3, transports=("udp",)) as crew, crew.watched() as watch:
        address = "{}:{}".format(*crew.address("udp"))
        with crew.line("udp") as stranger:
            for index in range(1_500):
                via = f"SIP/2.0/UDP {address};branch=z9hG4bK{'ABCZ'[index % 4]}{index}"
                stranger.send(
                    f"SIP/2.0 200 OK\r\nServer: {'x' * 900}\r\nVia: {via}\r\nFrom: <sip:a@b>;tag=1\r\n"
                    f"To: <sip:c@d>;tag=2\r\nCall-ID: {index}\r\nCSeq: 1 INVITE\r\n\r\n".encode()
                )
                tag = f"u-{'ABC'[index % 3]}{'0' * 32}"
                stranger.send(
                    request("BYE", f"sip:{crew.domain}", stranger, to=f"<sip:x@{crew.domain}>;tag={tag}")
                )
                if index % 50 == 0:
                    time.sleep(0.01)
            assert b"SIP/2.0 481" in b"".join(stranger.received(0.3))
    assert watch.lost == 0


def test_a_replay_of_a_password_at_all_workers_at_once(tmp_path: Path) -> None:
    """RFC 7616 3.4: one nonce count passes once, however many workers get its copies in the same moment."""
    users = {"bob@siege.test": "wonderland"}
    with Crew(tmp_path, workers=3, transports=("udp",), users=users) as crew:
        lines = crew.lines()
        challenge = _register(crew, lines[0], 1)
        assert challenge.what == "401"
        answer = credentials(
            challenge.get("www-authenticate"), "REGISTER", f"sip:{crew.domain}", "bob", "wonderland"
        )
        statuses: list[str] = []

        def replay(index: int) -> None:
            statuses.append(_register(crew, lines[index], 2 + index, answer).what)

        threads = [threading.Thread(target=replay, args=(index,)) for index in range(len(lines))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses.count("200") == 1, statuses
        assert set(statuses) == {"200", "401"}
