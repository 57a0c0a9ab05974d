"""Lamps and rooms over workers: calls and messages of any worker, phones of any worker.

The watchers of a call are at the first worker, and the call is at any; a room's messages go to the first one.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.line import Line, Silence
from tests.interop.phone import Message, Phone
from tests.interop.siege import request
from tests.interop.test_workers_first import answered, subscribe, taken
from tests.interop.workers import Crew, heard, soon

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="workers are sansip's"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]


def told(line: Line, last: str, within: float = 20.0) -> list[tuple[str, str]]:
    """Answer NOTIFYs until a dialog is ``last``; return (id of the dialog, state) of each, in order."""
    found: list[tuple[str, str]] = []
    deadline = time.monotonic() + within
    while not found or found[-1][1] != last:
        assert time.monotonic() < deadline, found
        message = Message(line.receive(15.0).decode())
        if message.what == "NOTIFY":
            answered(line, message)
            for one in re.findall(r'<dialog id="([^"]+)".*?<state[^>]*>([a-z]+)<', message.body):
                if one not in found:
                    found.append(one)
    return found


def test_lamps_follow_the_calls_of_every_worker(tmp_path: Path) -> None:
    """RFC 4235: each state once and in order, wherever the call is; a lamp goes out if its worker dies."""
    config = '[calls]\n[events]\nopen = true\n[lamps]\nwatchers = "everyone"\ninterval = 0\n'
    with Crew(tmp_path, workers=3, transports=("udp",), config=config) as crew:
        [watcher] = crew.lines(1)
        with Phone("bob", crew.domain, "udp", crew.address("udp")) as bob:
            bob.register()
            assert subscribe(crew, watcher, "bob", "dialog") == "200"
            places: set[str] = set()
            lost = ""
            # Until other workers than the first had calls; the last of them dies with its call.
            for index in range(60):
                with Phone(f"c{index}", crew.domain, "udp", crew.address("udp")) as caller:
                    caller.invite(bob.aor)
                    invite = bob.expect("INVITE")
                    bob.answer(invite, "180 Ringing")
                    assert caller.expect("180").what == "180"
                    bob.answer(invite, "200 OK")
                    caller.established(caller.expect("200"))
                    assert bob.expect("ACK").what == "ACK"
                    states = told(watcher, "confirmed")
                    assert [state for _, state in states] == ["trying", "early", "confirmed"]
                    [place] = {dialog[0] for dialog, _ in states}
                    places.add(place)
                    if len(places) == 3 and place != "0":
                        lost = place
                        break
                    caller.within("BYE")
                    bob.answer(bob.expect("BYE"), "200 OK")
                    assert caller.expect("200").what == "200"
                    assert [state for _, state in told(watcher, "terminated")] == ["terminated"]
            assert lost, places
            crew.kill(int(lost))
            [(_, state)] = told(watcher, "terminated")
            assert state == "terminated"
            assert "[]" in crew.ctl("lamps.list", "--json") or not crew.ctl("lamps.list", "--json")[0]


def test_rooms_of_all_workers(tmp_path: Path) -> None:
    """Each member hears all others in one order; no phone is the room, and who joined stays over kill -9."""
    config = (
        f'store = "{tmp_path / "rooms.db"}"\n[rooms]\nper_minute = 1000\n'
        '[[rooms.rooms]]\naddress = "sip:team@siege.test"\nopen = true\n'
    )
    with Crew(tmp_path, workers=3, transports=("udp",), config=config) as crew:
        room, users = f"sip:team@{crew.domain}", crew.lines(9)
        kind = ["Content-Type: text/plain"]

        def say(index: int, body: str) -> None:
            from_ = f"<sip:u{index}@{crew.domain}>;tag=m"
            users[index].send(request("MESSAGE", room, users[index], from_=from_, lines=kind, body=body))

        for index, line in enumerate(users):
            assert crew.register(f"u{index}", line) == "200"
            # A phone that registers as the room is refused at each worker, and so is a call.
            assert crew.register("team", line, call_id=f"t{index}", cseq=2) == "403"
            line.send(request("INVITE", room, line, lines=[f"Contact: <sip:x@{line.sent_by}>"]))
            assert heard(line).what == "405"
            say(index, "/join")
            found = {heard(line).what, heard(line).what}
            assert found == {"202", "MESSAGE"} or found == {"MESSAGE"}
        crew.kill(0)
        soon(lambda: len(crew.ctl("rooms.members", f"room={room}", "--json")[0]) == 9, "all are members")
        for line in users:
            drained(line)
        for index in range(len(users)):
            say(index, f"m{index}")
        heards = [taken(line, len(users) - 1) for line in users]
        for index, got in enumerate(heards):
            assert sorted(re.findall(r"m\d", " ".join(got))) == [
                f"m{one}" for one in range(9) if one != index
            ]
        # In one order for all.
        orders = [[re.findall(r"m\d", one)[0] for one in got] for got in heards]
        for one in orders:
            for other in orders:
                both = set(one) & set(other)
                assert [name for name in one if name in both] == [name for name in other if name in both]


def drained(line: Line) -> None:
    """Answer what comes until nothing does."""
    while True:
        try:
            message = Message(line.receive(1.0).decode())
        except Silence:
            return
        if message.what == "MESSAGE":
            answered(line, message)
