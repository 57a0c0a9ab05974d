"""Registrations at several workers: what was acknowledged is at all of them, and the order of CSeq holds.

Issue: replication alone lost 164 of 300 acknowledged bindings and let an old CSeq remove a new binding.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sansip.location import Binding, LocationUpdate
from sansip_server.stores import open_store
from tests.interop.conftest import TARGET
from tests.interop.workers import AGAIN, Crew, heard

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="workers are sansip's"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]
PHONES = 300


@pytest.mark.parametrize("number", [0, 1])
def test_acknowledged_bindings_outlive_a_killed_worker(tmp_path: Path, number: int) -> None:
    """A 200 promises that calls arrive: whichever worker dies, the new one in its place has all bindings."""
    with Crew(tmp_path, transports=("udp",)) as crew:
        lines = crew.lines(PHONES)
        # RFC 3261 10.3 step 8
        assert [crew.register(f"u{index}", line) for index, line in enumerate(lines)] == ["200"] * PHONES
        seconds = crew.kill(number)
        assert seconds < AGAIN
        assert len(crew.bindings()) == PHONES
        # Each phone reaches some worker, and asks for a user who registered elsewhere; its own socket
        # gets no OPTIONS, for a phone of another port is asked: the status would be 404 if nobody knew.
        for index, line in enumerate(lines[:40]):
            assert _known(crew, line, f"u{PHONES - 1 - index}")
        assert "is started again" in crew.log


def _known(crew: Crew, line: object, user: str) -> bool:
    """Whether the worker that ``line`` reaches has a binding of ``user``."""
    with crew.line("udp") as fresh:
        fresh.send(
            (
                f"REGISTER sip:{crew.domain} SIP/2.0\r\nVia: SIP/2.0/UDP {fresh.sent_by};branch=z9hG4bK"
                f"q{id(fresh)};rport\r\nMax-Forwards: 70\r\nFrom: <sip:{user}@{crew.domain}>;tag=q\r\n"
                f"To: <sip:{user}@{crew.domain}>\r\nCall-ID: query-{user}\r\nCSeq: 1 REGISTER\r\n"
                "Content-Length: 0\r\n\r\n"
            ).encode()
        )
        # RFC 3261 10.2.3: without a Contact it asks for the bindings.
        answer = heard(fresh)
        return answer.what == "200" and any(name == "contact" for name, _ in answer.fields)


def test_order_of_cseq_holds_over_workers(tmp_path: Path) -> None:
    """RFC 3261 10.3 step 7: an older REGISTER must not undo a newer one, by whichever worker it comes."""
    with Crew(tmp_path, transports=("udp",), workers=3) as crew:
        lines = crew.lines()
        for index, line in enumerate(lines):
            contact = "<sip:alice@127.0.0.1:7>"
            assert crew.register("alice", line, cseq=10 + index, call_id="one", contact=contact) == "200"
            # An old one, from the port of another worker as often as not.
            old = lines[index - 1 if index else -1]
            status = crew.register("alice", old, cseq=10 + index - 1, call_id="one", contact=contact)
            assert status in ("400", "500"), f"{index}: {status}"
        [last] = crew.bindings()
        assert last["cseq"] == 10 + len(lines) - 1


def test_one_user_by_many_ports_at_once(tmp_path: Path) -> None:
    """Two workers that change one address-of-record at once must not lose either binding (RFC 3261 10.3)."""
    with Crew(tmp_path, transports=("udp",), workers=3, config="[registrar]\nmax_contacts = 24\n") as crew:
        lines = crew.lines()
        answers: dict[int, str] = {}

        def register(index: int) -> None:
            answers[index] = crew.register("bob", lines[index], call_id=f"c{index}")

        threads = [threading.Thread(target=register, args=(index,)) for index in range(len(lines))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(answers.values()) == {"200"}
        assert len(crew.bindings()) == len(lines)


def test_store_has_what_was_acknowledged(tmp_path: Path) -> None:
    """The parent writes for all: after kill -9 of the whole server each acknowledged binding is back."""
    store = str(tmp_path / "s.db")
    crew = Crew(tmp_path, transports=("udp",), options=["--store", store])
    lines = crew.lines(40)
    assert [crew.register(f"u{index}", line) for index, line in enumerate(lines)] == ["200"] * 40
    for line in lines:
        line.close()
    crew.program.process.kill()
    crew.program.wait(10)
    crew.program.stop()
    again = tmp_path / "again"
    again.mkdir()
    with Crew(again, transports=("udp",), options=["--store", store]) as crew:
        assert len(crew.bindings()) == 40


def test_refuses_what_workers_cannot_do(tmp_path: Path) -> None:
    """A setting that several processes would get wrong in silence must stop the start, with the way out."""
    command = [
        sys.executable,
        "-m",
        "sansip_server",
        "serve",
        "--workers",
        "2",
        "--listen",
        "sctp:127.0.0.1:0",
    ]
    command += ["--listen", "udp:127.0.0.1:0", "--journal", str(tmp_path / "j")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    for word in ("--journal", "SCTP"):
        assert word in done.stderr, done.stderr
    assert "workers = 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_long_list_comes_in_pieces(tmp_path: Path) -> None:
    """An operator's list of all bindings names each once, and takes no worker's memory or time at once."""
    now = time.monotonic()
    names = [f"sip:u{index}@siege.test" for index in range(4_000)]
    store = open_store(str(tmp_path / "s.db"))
    bindings = [
        Binding(name, f"{name.replace('siege.test', '192.0.2.1')}", now + 600, "c", 1) for name in names
    ]
    store.save([LocationUpdate(one.aor, (), (one,)) for one in bindings], time.time() - now)
    store.close()
    options = ["--store", str(tmp_path / "s.db")]
    with Crew(tmp_path, workers=3, transports=("udp",), options=options) as crew:
        told = [one["aor"] for one in crew.bindings()]
        assert sorted(told) == sorted(names)
        [stats] = crew.ctl("stats", "--json")
        assert stats["bindings"] == len(names)
        # A restart of a worker takes all of them.
        assert crew.kill(0) < AGAIN
        assert len(crew.bindings()) == len(names)
