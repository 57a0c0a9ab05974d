"""Modules for operators over workers: limits, probes, drains and counts are those of one server.

Theory of operation: callers send from many ports, so the kernel gives their INVITEs to both workers. A farm
of our own sockets, or SIPp, answers behind the dispatcher.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import TARGET
from tests.interop.line import Line
from tests.interop.phone import Message
from tests.interop.siege import LOCAL, request
from tests.interop.test_sipp import OWN
from tests.interop.workers import Crew, heard, soon
from tools import peers

pytestmark = [
    pytest.mark.skipif(TARGET != "sansip", reason="workers are sansip's"),
    pytest.mark.skipif(sys.platform != "linux", reason="workers need Linux"),
]
DOMAIN = "siege.test"


class Server:
    """A server of the farm: rings at each INVITE, answers OPTIONS, and keeps what it got."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((LOCAL, 0))
        self.sock.settimeout(0.1)
        self.port = self.sock.getsockname()[1]
        self.uri = f"sip:{LOCAL}:{self.port}"
        self.got: list[tuple[float, Message]] = []
        self.status = {"OPTIONS": "200 OK", "INVITE": "180 Ringing", "BYE": "200 OK", "CANCEL": "200 OK"}
        self._ends = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ends:
            try:
                data, source = self.sock.recvfrom(65_536)
            except TimeoutError:
                continue
            except OSError:
                return
            message = Message(data.decode())
            self.got.append((time.monotonic(), message))
            status = self.status.get(message.what)
            if status:
                self.sock.sendto(self.answer(message, status), source)

    def answer(self, message: Message, status: str) -> bytes:
        """Return the octets of an answer."""
        copied = [f"{name}: {value}" for name, value in message.fields if name in _COPIED]
        tagged = [f"{one};tag=farm" if one[:3] == "to:" and ";tag" not in one else one for one in copied]
        return "\r\n".join(
            [f"SIP/2.0 {status}", *tagged, f"Contact: <sip:farm@{LOCAL}:{self.port}>",
             "Content-Length: 0", "", ""]
        ).encode()  # fmt: skip

    def all(self, method: str) -> list[tuple[float, Message]]:
        """Return what came with ``method``, each transaction once."""
        found: dict[str, tuple[float, Message]] = {}
        for at, message in list(self.got):
            if message.what == method:
                found.setdefault(message.get("via").split("branch=")[1], (at, message))
        return list(found.values())

    def close(self) -> None:
        self._ends = True
        self._thread.join(5)
        self.sock.close()


_COPIED = ("via", "from", "to", "call-id", "cseq", "record-route")


@contextmanager
def farm(count: int) -> Iterator[list[Server]]:
    servers = [Server() for _ in range(count)]
    try:
        yield servers
    finally:
        for one in servers:
            one.close()


def config(servers: list[Server], more: str = "", each: str = "") -> str:
    tables = "".join(f'[[dispatcher.destinations]]\nuri = "{one.uri}"\n{each}' for one in servers)
    return f'[calls]\n[dispatcher]\ntakes = "calls"\nanswer = 20.0\nprobe_interval = 0.0\n{more}{tables}'


def call(line: Line, number: str = "4711", call_id: str = "") -> None:
    contact = f"Contact: <sip:caller@{line.sent_by}>"
    line.send(request("INVITE", f"sip:{number}@{DOMAIN}", line, lines=[contact], call_id=call_id))


def answer(line: Line) -> str:
    """Call; return the status."""
    call(line)
    return heard(line).what


def spread(crew: Crew, server: Server, count: int) -> list[Line]:
    """Return lines whose calls go to worker 0 and worker 1 by turns.

    A call that ``server`` refuses shows which: each worker has its mark in the branch of what it relays.
    """
    by_mark: dict[str, list[Line]] = {"A": [], "B": []}
    usual, server.status["INVITE"] = server.status["INVITE"], "486 Busy Here"
    while min(map(len, by_mark.values())) < count // 2:
        [line] = crew.lines(1)
        call(line)
        refused = heard(line)
        assert refused.what == "486"
        # RFC 3261 17.1.1.3: the ACK has the branch of its INVITE.
        branch = refused.get("via").partition("branch=")[2].partition(";")[0]
        to, call_id = refused.get("to"), refused.get("call-id")
        line.send(request("ACK", f"sip:4711@{DOMAIN}", line, to=to, call_id=call_id, branch=branch))
        _, relayed = server.all("INVITE")[-1]
        by_mark[relayed.get("via").partition("branch=z9hG4bK")[2][0]].append(line)
    server.status["INVITE"] = usual
    server.got.clear()
    return [line for pair in zip(*by_mark.values(), strict=False) for line in pair][:count]


def within(line: Line, method: str, answer: Message, cseq: int) -> bytes:
    """Return a request of the caller within the dialog of ``answer``."""
    route = [f"Route: {value}" for value in answer.all("record-route")]
    uri = answer.get("contact").strip("<>")
    call_id, to = answer.get("call-id"), answer.get("to")
    return request(method, uri, line, to=to, call_id=call_id, cseq=cseq, lines=route)


def shown(crew: Crew) -> dict[str, Any]:
    return {row["uri"]: row for row in listed(crew, "dispatcher.list")}


def listed(crew: Crew, command: str) -> list[Any]:
    """Return the rows that a command lists."""
    [rows] = crew.ctl(command, "--json")
    return list(rows)


def test_of_twelve_at_once_two_pass(tmp_path: Path) -> None:
    """max_calls is 2: six INVITEs at each worker in one moment, and two ring; the others are told at once."""
    with farm(1) as (server,), Crew(tmp_path, transports=("udp",),
                                    config=config([server], each="max_calls = 2\n")) as crew:  # fmt: skip
        lines = crew.lines(12)
        for line in lines:
            call(line)
        answers = Counter(heard(line).what for line in lines)
        assert answers == {"180": 2, "503": 10}
        assert len(server.all("INVITE")) == 2
        assert shown(crew)[server.uri]["calls"] == 2
        assert crew.ctl("calls.total", f"key=dispatcher default {server.uri}").strip() == "2"
        assert len(listed(crew, "calls.list")) == 2


def test_counts_of_a_killed_worker_return(tmp_path: Path) -> None:
    """Its calls are lost with it; a limit that stayed full would refuse calls for ever."""
    with farm(1) as (server,), Crew(tmp_path, transports=("udp",),
                                    config=config([server], each="max_calls = 8\n")) as crew:  # fmt: skip
        lines = spread(crew, server, 24)
        # One call of each worker first: all at once, the quicker one might take all eight places.
        first = [answer(line) for line in lines[:2]]
        for line in lines[2:]:
            call(line)
        assert Counter([*first, *(heard(line).what for line in lines[2:])]) == {"180": 8, "503": 16}
        by_worker = Counter(int(row["number"]) % 16 for row in listed(crew, "calls.list"))
        assert set(by_worker) == {0, 1}
        crew.kill(1)
        assert shown(crew)[server.uri]["calls"] == by_worker[0]
        again = crew.lines(24)
        for line in again:
            call(line)
        assert Counter(heard(line).what for line in again)["180"] == 8 - by_worker[0]


def test_a_drain_holds_in_all_workers(tmp_path: Path) -> None:
    """The operator's word reaches one worker; no call of any comes to the server from then on."""
    with farm(2) as (first, second), Crew(tmp_path, transports=("udp",),
                                          config=config([first, second])) as crew:  # fmt: skip
        said = crew.ctl("dispatcher.set", "group=default", f"uri={first.uri}", "state=draining")
        assert "draining" in said
        lines = crew.lines(16)
        for line in lines:
            call(line)
        assert {heard(line).what for line in lines} == {"180"}
        assert (len(first.all("INVITE")), len(second.all("INVITE"))) == (0, 16)
        assert shown(crew)[second.uri]["requests"] == 16
        # So it does in one that is started later, and after a reload.
        crew.kill(0)
        crew.ctl("reload")
        for line in crew.lines(8):
            call(line)
            assert heard(line).what == "180"
        assert len(first.all("INVITE")) == 0
        crew.ctl("dispatcher.set", "group=default", f"uri={first.uri}", "state=active")
        for line in crew.lines(16):
            call(line)
            assert heard(line).what == "180"
        assert len(first.all("INVITE")) >= 4


def test_one_probe_an_interval(tmp_path: Path) -> None:
    """Two workers that both ask are twice the load; what one finds out, both know."""
    text = config([]).replace("probe_interval = 0.0", "probe_interval = 0.5\ndown_after = 2\nup_after = 1")
    with farm(2) as (first, second):
        tables = config([first, second]).split("probe_interval = 0.0\n")[1]
        with Crew(tmp_path, transports=("udp",), config=text + tables) as crew:
            time.sleep(3.2)
            for server in (first, second):
                times = [at for at, _ in server.all("OPTIONS")]
                gaps = [after - before for before, after in pairwise(times)]
                # Each 0.5 s, a tenth more or less; two askers would be some 0.25 s apart.
                assert len(times) >= 3
                assert min(gaps) > 0.4, gaps
            first.status["OPTIONS"] = "503 Busy"
            soon(lambda: shown(crew)[first.uri]["state"] == "down", "down", 10)
            lines = crew.lines(16)
            for line in lines:
                call(line)
            assert {heard(line).what for line in lines} == {"180"}
            assert len(first.all("INVITE")) == 0
            # A worker that starts now knows it as well.
            crew.kill(1)
            for line in crew.lines(16):
                call(line)
                assert heard(line).what == "180"
            assert len(first.all("INVITE")) == 0
            first.status["OPTIONS"] = "200 OK"
            soon(lambda: shown(crew)[first.uri]["state"] == "up", "up", 10)


def test_hang_up_from_any_worker(tmp_path: Path) -> None:
    """`ctl calls.hangup` finds the call wherever it is; a BYE from any port ends its record."""
    with farm(1) as (server,), Crew(tmp_path, transports=("udp",), config=config([server])) as crew:
        server.status["INVITE"] = "200 OK"
        lines = spread(crew, server, 8)
        answers = []
        for line in lines:
            call(line)
            answers.append(heard(line))
            line.send(within(line, "ACK", answers[-1], 1))
        assert {one.what for one in answers} == {"200"}
        rows = listed(crew, "calls.list")
        assert {row["number"] % 16 for row in rows} == {0, 1}
        # By call: the ACK of the last call that was refused may still come, and any may come twice.
        calls = {one.get("call-id") for one in answers}
        soon(lambda: calls <= {one.get("call-id") for _, one in server.all("ACK")}, "ACKs")
        # Four by the operator: both sides get a BYE.
        for row in rows[:4]:
            assert row["id"] in crew.ctl("calls.hangup", f"id={row['id']}", "--json")[0]["id"]
        soon(lambda: len({one.get("call-id") for _, one in server.all("BYE")}) == 4, "BYEs at the farm")
        # Four by callers whose port has changed meanwhile: any worker gets it.
        left = {row["call_id"] for row in rows[4:]}
        for answer in answers:
            if answer.get("call-id") in left:
                other = crew.lines(1)[0]
                other.send(within(other, "BYE", answer, 2))
                assert heard(other).what == "200"
        soon(lambda: listed(crew, "calls.list") == [], "no calls")
        assert crew.ctl("calls.count", "--json") == [{}]


def test_one_record_for_each_call(tmp_path: Path) -> None:
    """One process writes for all: each call has one record, on the disk when its BYE is answered."""
    file = tmp_path / "cdr.jsonl"
    with farm(1) as (server,):
        text = config([server]).replace("[calls]\n", f'[calls]\n[accounting]\nfile = "{file}"\n')
        with Crew(tmp_path, transports=("udp",), config=text) as crew:
            server.status["INVITE"] = "200 OK"
            ended = []
            for line in crew.lines(16):
                call(line)
                answer = heard(line)
                line.send(within(line, "ACK", answer, 1))
                line.send(within(line, "BYE", answer, 2))
                while (message := heard(line)).get("cseq") != "2 BYE":
                    pass
                assert message.what == "200"
                ended.append(answer.get("call-id"))
                assert file.read_text().count(f'"{ended[-1]}"') == 1
            assert "serves again" not in crew.log
            os.kill(crew.pids[0], signal.SIGKILL)
            soon(lambda: "worker 0 serves again" in crew.log, "worker 0")
        written = [line for line in file.read_text().splitlines() if line]
        assert len(written) == 16


def test_rows_are_in_the_memory_of_all(tmp_path: Path) -> None:
    """A number that moved, a user who is elsewhere, a rule: each caller sees it, at any worker."""
    text = "[redirect]\n[aliases]\n[dialplan]\n"
    with Crew(tmp_path, transports=("udp",), config=text) as crew:
        crew.ctl("redirect.add", f"user=sip:bob@{DOMAIN}", "contact=sip:bob@away.example")
        crew.ctl("aliases.add", f"alias=sip:99@{DOMAIN}", f"target=sip:bob@{DOMAIN}")
        crew.ctl("dialplan.add", "prefix=0900", "refuse=403")

        def answers(number: str) -> set[str]:
            lines = crew.lines(12)
            for line in lines:
                call(line, number)
            return {heard(line).what for line in lines}

        assert answers("bob") == {"302"}
        assert answers("09001") == {"403"}
        crew.kill(1)
        # Rows are the parent's: without a store they last as long as it does.
        assert answers("bob") == {"302"}
        crew.ctl("redirect.remove", f"user=sip:bob@{DOMAIN}")
        assert answers("bob") == {"404"}


def test_quotas_hold_in_sum(tmp_path: Path) -> None:
    """Six calls of a user, from any port; minutes that calls at both workers use up end all of them."""
    with farm(1) as (server,):
        server.status["INVITE"] = "200 OK"
        text = config([server]).replace("[calls]\n", "[calls]\n[quotas]\nminutes = 0.2\ncalls = 6\n")
        # The quota is looked at before a server is chosen.
        text = text.replace('"calls"', '"unregistered"')
        with Crew(tmp_path, transports=("udp",), config=text) as crew:
            lines = spread(crew, server, 16)
            got = []
            for line in lines[:2]:
                call(line)
                got.append(heard(line))
            for line in lines[2:]:
                call(line)
            got += [heard(line) for line in lines[2:]]
            assert Counter(one.what for one in got) == {"200": 6, "403": 10}
            for line, answer in zip(lines, got, strict=True):
                if answer.what == "200":
                    line.send(within(line, "ACK", answer, 1))
            assert {row["number"] % 16 for row in listed(crew, "calls.list")} == {0, 1}
            began = time.monotonic()
            [[row]] = crew.ctl("quotas.list", "--json")
            assert row["calls"] == 6
            # Twelve seconds in sum: six calls use them up in two.
            soon(lambda: listed(crew, "calls.list") == [], "hung up", 11)
            assert time.monotonic() - began < 11
            [[row]] = crew.ctl("quotas.list", "--json")
            assert row["calls"] == 0
            assert 0.2 <= row["minutes"] < 1


def test_gateways_of_lcr(tmp_path: Path) -> None:
    """Rates of a file and of rows at all workers; a gateway that fails one call gets none of any worker's."""
    rates = tmp_path / "rates.csv"
    rates.write_text("gateway,prefix,price\na,49,0.01\nb,49,0.02\n")
    with farm(2) as (cheap, dear):
        text = (
            f'[calls]\n[lcr]\nfile = "{rates}"\nprobe_interval = 0.0\nrest = 60.0\nanswer = 1.0\n'
            "probe_timeout = 0.5\n"
            f'[[lcr.gateways]]\nname = "a"\nuri = "{cheap.uri}"\n'
            f'[[lcr.gateways]]\nname = "b"\nuri = "{dear.uri}"\n'
        )
        with Crew(tmp_path, transports=("udp",), config=text) as crew:
            for line in crew.lines(12):
                call(line, "4930123")
                assert heard(line).what == "180"
            assert (len(cheap.all("INVITE")), len(dear.all("INVITE"))) == (12, 0)
            assert {row["gateway"]: row["requests"] for row in listed(crew, "lcr.list")} == {"a": 12, "b": 0}
            # OPTIONS decide: a number that a gateway drops takes it out for no caller.
            cheap.status["INVITE"] = cheap.status["OPTIONS"] = ""
            line = crew.lines(1)[0]
            call(line, "4930123")
            assert heard(line).what == "180"
            soon(lambda: listed(crew, "lcr.list")[0]["state"] == "resting", "OPTIONS without an answer")
            before = len(cheap.all("INVITE"))
            for line in crew.lines(12):
                call(line, "4930123")
                assert heard(line).what == "180"
            assert len(cheap.all("INVITE")) == before
            crew.ctl("lcr.set", "gateway=b", "state=draining")
            crew.ctl("lcr.rest", "gateway=a", "seconds=0")
            cheap.status |= {"INVITE": "180 Ringing", "OPTIONS": "200 OK"}
            dears = len(dear.all("INVITE"))
            for line in crew.lines(12):
                call(line, "4930123")
                assert heard(line).what == "180"
            assert len(dear.all("INVITE")) == dears
            rates.write_text("gateway,prefix,price\na,49,0.01\na,33,0.01\n")
            assert "loaded" in crew.ctl("lcr.reload")
            for line in crew.lines(8):
                call(line, "33123")
                assert heard(line).what == "180"


def test_a_reload_reaches_what_the_parent_has(tmp_path: Path) -> None:
    """Records go where the new settings say, a new module has its rows; a fault changes nothing."""
    files = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    with farm(1) as (server,):
        server.status["INVITE"] = "200 OK"
        text = config([server]).replace("[calls]\n", f'[calls]\n[accounting]\nfile = "{files[0]}"\n')
        with Crew(tmp_path, transports=("udp",), config=text) as crew:

            def talk() -> None:
                for line in crew.lines(6):
                    call(line)
                    answer = heard(line)
                    line.send(within(line, "ACK", answer, 1))
                    line.send(within(line, "BYE", answer, 2))
                    while (message := heard(line)).get("cseq") != "2 BYE":
                        pass
                    assert message.what == "200"

            talk()
            path = crew.directory / "siege.toml"
            path.write_text(text + "[aliases]\nshort = 99\n")
            assert "short" in crew.ctl("reload")
            talk()
            assert [one.exists() and len(one.read_text().splitlines()) for one in files] == [12, False]
            path.write_text(text.replace(str(files[0]), str(files[1])) + "[aliases]\n")
            assert "the module aliases, which is new" in crew.ctl("reload")
            crew.ctl("aliases.add", f"alias=sip:99@{DOMAIN}", f"target=sip:4711@{DOMAIN}")
            [names] = crew.ctl("aliases.list", "--json")
            assert len(names) == 1
            talk()
            assert [len(one.read_text().splitlines()) for one in files] == [12, 6]
            crew.kill(0)
            talk()
            assert [len(one.read_text().splitlines()) for one in files] == [12, 12]


@pytest.mark.needs("sipp")
def test_sipp_through_two_workers(tmp_path: Path) -> None:
    """400 calls of SIPp from 400 ports at 60/s; a server is drained and stopped meanwhile: none is lost.

    Each call has one record, though its BYE comes from the other side half of the time.
    """
    file = tmp_path / "cdr.jsonl"
    ports = [peers.free_port() for _ in range(2)]
    uris = [f"sip:{LOCAL}:{port}" for port in ports]
    tables = "".join(f'[[dispatcher.destinations]]\nuri = "{uri}"\n' for uri in uris)
    text = config([], "algorithm = 'round-robin'\n").replace("probe_interval = 0.0", "probe_interval = 0.5")
    text = text.replace("[calls]\n", f'[calls]\n[accounting]\nfile = "{file}"\n')
    with ExitStack() as stack:
        crew = stack.enter_context(Crew(tmp_path, transports=("udp",), config=text + tables))
        servers = []
        for port in ports:
            command = ["sipp", "-sf", str(OWN / "s03_call_uas.xml"), "-i", LOCAL, "-p", str(port), "-aa"]
            log = tmp_path / f"uas-{port}.log"
            servers.append(stack.enter_context(peers.Program([*command, "-nostdin"], log, cwd=tmp_path)))
        soon(lambda: {row["state"] for row in shown(crew).values()} == {"up"}, "both are up")
        caller = peers.Sipp(
            OWN / "s03_call_uac.xml",
            crew.address("udp"),
            tmp_path,
            local=(LOCAL, peers.free_port()),
            transport="un",
            calls=400,
            service="4711",
            domain=DOMAIN,
            options=["-r", "60", "-max_socket", "1000"],
        )
        with caller:
            time.sleep(2)
            assert listed(crew, "calls.list")
            crew.ctl("dispatcher.set", "group=default", f"uri={uris[0]}", "state=draining")
            soon(lambda: not shown(crew)[uris[0]]["calls"], "its calls are over")
            servers[0].stop()
            caller.succeed(60)
        rows = shown(crew)
        assert rows[uris[0]]["state"] == "draining"
        assert rows[uris[1]]["requests"] > 200
        assert sum(row["requests"] - row["failed"] for row in rows.values()) == 400
        soon(lambda: listed(crew, "calls.list") == [], "all calls are over")
        records = [json.loads(line) for line in file.read_text().splitlines()]
        assert Counter(one["kind"] for one in records) == {"call": 400}
        assert len({one["call_id"] for one in records}) == 400
        # Both workers had calls: the first character of an id is its worker.
        assert {one["name"][0] for one in records} == {"0", "1"}
