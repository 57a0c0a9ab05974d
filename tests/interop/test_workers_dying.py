"""Workers of two and three that die, one after the other or under load, and a reload between two deaths."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.line import Line, Silence
from tests.interop.phone import Message
from tests.interop.siege import request
from tests.interop.workers import Crew, contacts, heard, phone, registration, soon

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="workers are sansip's"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]


def answer_to(line: Line, user: str, cseq: int) -> str:
    """Return the status of the answer to one REGISTER, "" where none came; skip those to others."""
    try:
        while True:
            message = Message(line.receive(1.5).decode())
            if (message.get("call-id"), message.get("cseq")) == (user, f"{cseq} REGISTER"):
                return message.what
    except Silence:
        return ""


def flood(
    crew: Crew, count: int, stop: threading.Event, acknowledged: dict[str, int], wrong: list[str]
) -> list[threading.Thread]:
    """Have ``count`` threads register users, with rising CSeqs and old ones between, until ``stop``."""

    def register(index: int) -> None:
        number = 0
        with ExitStack() as closing:
            lines = [closing.enter_context(crew.line("udp")) for _ in range(3)]
            while not stop.is_set():
                number += 1
                user, line = f"k{index}x{number % 7}", lines[number % 3]
                contact = f"Contact: <sip:{user}@192.0.2.1>"
                line.send(registration(crew, line, user, contact, "Expires: 900", call_id=user, cseq=number))
                if answer_to(line, user, number) != "200":
                    continue
                acknowledged[user] = number
                if number % 5 == 0:
                    # An old one, which would remove the binding.
                    old, cseq, more = lines[(number + 1) % 3], number - 1, ("Contact: *", "Expires: 0")
                    old.send(registration(crew, old, user, *more, call_id=user, cseq=cseq))
                    if answer_to(old, user, cseq) == "200":
                        wrong.append(f"{user} {number}")

    threads = [threading.Thread(target=register, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.parametrize("workers", [2, 3])
def test_kills_in_a_loop_lose_no_acknowledged_binding(tmp_path: Path, workers: int) -> None:
    """Under load, workers killed one after the other: each 200 holds, and no old CSeq undoes it."""
    store = f'store = "{tmp_path / "s.db"}"\n'
    with Crew(tmp_path, workers=workers, transports=("udp",), config=store) as crew:
        stop = threading.Event()
        acknowledged: dict[str, int] = {}
        wrong: list[str] = []
        threads = flood(crew, 4, stop, acknowledged, wrong)
        try:
            for round_ in range(6):
                number = round_ % workers
                before = crew.log.count(f"worker {number} serves again")
                os.kill(crew.pids[number], signal.SIGKILL)
                soon(
                    lambda number=number, before=before: (
                        crew.log.count(f"worker {number} serves again") > before
                    ),  # type: ignore[misc]  # a lambda with defaults
                    "it serves again",
                )
                if round_ == 3:
                    # A reload between two deaths.
                    assert "failed" not in crew.ctl("reload")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert wrong == []
        found = {one["aor"].partition("@")[0][4:]: one["cseq"] for one in crew.bindings()}
        lost = {
            user: (number, found.get(user))
            for user, number in acknowledged.items()
            if found.get(user, 0) < number
        }
        assert len(acknowledged) >= 20
        assert lost == {}
        # All workers know them, also those that were started again.
        for line in crew.lines(6):
            for user in list(acknowledged)[:5]:
                assert len(contacts(crew, line, user)) == 1


def test_a_hundred_registers_in_flight_at_a_kill(tmp_path: Path) -> None:
    """They were sent and not answered yet: whichever is answered, then or when it is repeated, is kept."""
    with Crew(tmp_path, workers=2, transports=("udp",)) as crew, ExitStack() as closing:
        lines = [closing.enter_context(crew.line("udp")) for _ in range(100)]
        pid = crew.pids[1]
        sent = [
            registration(
                crew, line, f"f{index}", f"Contact: <sip:f@{line.sent_by}>", call_id=f"f{index}", cseq=1
            )
            for index, line in enumerate(lines)
        ]
        for index, (line, data) in enumerate(zip(lines, sent, strict=True)):
            line.send(data)
            if index == 50:
                os.kill(pid, signal.SIGKILL)
        for line, data in zip(lines, sent, strict=True):
            # RFC 3261 17.1.2.2: Timer E.
            for _ in range(20):
                try:
                    assert Message(line.receive(1.0).decode()).what == "200"
                    break
                except Silence:
                    line.send(data)
            else:
                pytest.fail("a REGISTER was never answered")
        assert len(crew.bindings()) == 100


def test_a_second_flow_takes_over_from_a_dead_worker(tmp_path: Path) -> None:
    """RFC 5626 3.3: a phone with two flows at different workers is called by the one that lives."""
    with Crew(tmp_path, workers=2, transports=("udp", "ws")) as crew, ExitStack() as closing:
        user, aor = "bob", f"<sip:bob@{crew.domain}>"
        flows = [closing.enter_context(phone(crew, user, "ws")) for _ in range(2)]
        for number, flow in enumerate(flows, 1):
            contact = f'Contact: {flow.contact};reg-id={number};+sip.instance="<urn:uuid:1234>"'
            flow._line.send(
                request(
                    "REGISTER", f"sip:{crew.domain}", flow._line, from_=f"{aor};tag=r", to=aor,
                    call_id=f"o{number}",
                    lines=[contact, "Supported: outbound, path", "Expires: 600"],
                )
            )  # fmt: skip
            assert heard(flow._line).what == "200"
        for number in (0, 1):
            crew.kill(number)
            # Whichever flows died with it are gone at all workers; the phone opens them again.
            left = {one["reg_id"] for one in crew.bindings()}
            with phone(crew, "eve") as eve:
                eve.invite(f"sip:bob@{crew.domain}")
                answer = None
                for index, flow in enumerate(flows, 1):
                    if index in left:
                        try:
                            invite = flow.receive(3.0)
                        except Silence:
                            continue
                        flow.answer(invite, "486 Busy Here")
                        answer = eve.expect("486")
                        break
                if answer is None:
                    assert not left
                    assert eve.receive(5.0).what in ("404", "480", "430", "100")
