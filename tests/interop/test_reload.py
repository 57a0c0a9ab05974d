"""Routes and settings reloaded while calls run: none is lost, broken ones are refused, replay is exact."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.interop import storm
from tests.interop.conftest import OPTIONS
from tests.interop.line import Line
from tests.interop.phone import Phone
from tests.interop.siege import request
from tests.interop.test_sipp import OWN
from tools.peers import Program, Sipp, free_port, sansip_serve

HOST = "127.0.0.1"
LONG = bool(os.environ.get("SANSIP_HOSTILE"))
RATE, RELOADS = (200, 50) if LONG else (40, 10)

ROUTE = """\
import answers


async def route(request):
    if request.method == "OPTIONS":
        request.reply(200, answers.TEXT)
    elif request.method == "INVITE" and not request.in_dialog:
        request.record_route()
        outcome = await request.relay("sip:x@%s")
        if outcome.status == 486:
            request.reply(600, answers.TEXT)
    elif request.method == "ACK" or request.from_dialog:
        request.relay()
    else:
        request.reply(481)
"""


def reload(folder: Path) -> subprocess.CompletedProcess[str]:
    """Have the server whose control socket is in ``folder`` read everything again."""
    command = [sys.executable, "-m", "sansip_server", "ctl", "--control", str(folder / "ctl"), "reload"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


class Reloaded:
    """A server with a route, a file beside it, and a configuration; ``phone`` is where calls go."""

    def __init__(self, folder: Path, journal: bool = False) -> None:
        self.folder = folder
        self.port, self.phone = free_port(), free_port()
        self.config = folder / "sansip.toml"
        self.write("one")
        self.config.write_text(
            f'route = "route.py"\ncontrol = "{folder}/ctl"\n[proxy]\nunmarked_dialogs = false\n'
        )
        options = [*OPTIONS, "--config", str(self.config)]
        if journal:
            options += ["--journal", str(folder / "journal")]
        if journal:
            self.settle([self.port], 0)
            command = [sys.executable, "-m", "sansip_server", "serve", *options]
            self.program = Program(command, folder / "log")
        else:
            self.program = sansip_serve(folder, [f"udp:{HOST}:{self.port}"], ["biloxi.test"], options)

    def settle(self, ports: list[int], number: int, wrong: str = "", modules: str = "") -> None:
        """Write a configuration that differs from the one before."""
        # The later ones at an address where no test looks for a free port between two reloads.
        hosts = [HOST, *["127.0.0.2"] * len(ports)]
        places = [f"{host}:{port}" for host, port in zip(hosts, ports, strict=False)]
        listen = ", ".join(f'"udp:{place}", "tcp:{place}"' for place in places)
        self.config.write_text(
            f'route = "route.py"\ncontrol = "{self.folder}/ctl"\nlisten = [{listen}]\n'
            f'domains = ["biloxi.test", "d{number % 4}.test"]\n[proxy]\nunmarked_dialogs = false\n'
            f"[limits]\nheader_count = {200 + number % 5}\n{wrong}{modules}"
        )

    def write(self, text: str, route: str = ROUTE) -> None:
        (self.folder / "route.py").write_text(route % f"{HOST}:{self.phone}" if "%s" in route else route)
        (self.folder / "answers.py").write_text(f"TEXT = {text!r}\n")

    def reload(self) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "sansip_server",
            "ctl",
            "--control",
            str(self.folder / "ctl"),
            "reload",
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    def says(self) -> str:
        """The answer of the running route to OPTIONS."""
        with Line("udp", (HOST, self.port)) as line:
            line.send(request("OPTIONS", "sip:biloxi.test", line))
            return line.receive().decode().partition("\r\n")[0].removeprefix("SIP/2.0 200 ")


def test_a_call_ends_by_the_route_that_it_began_with(tmp_path: Path) -> None:
    """Its failure handling is the old one's; what begins later is the new one's, files beside it included."""
    server = Reloaded(tmp_path)
    with (
        server.program,
        Line("udp", (HOST, server.port)) as caller,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone,
    ):
        phone.bind((HOST, server.phone))
        phone.settimeout(5)
        assert server.says() == "one"
        caller.send(request("INVITE", "sip:x@biloxi.test", caller))
        invite, back = phone.recvfrom(65_535)
        server.write("two")
        done = server.reload()
        assert (done.returncode, "the route (route.py " in done.stdout) == (0, True)
        assert server.says() == "two"
        lines = invite.decode().split("\r\n")
        kept = [x for x in lines if x.startswith(("Via", "From", "To", "Call-ID", "CSeq"))]
        busy = "\r\n".join(["SIP/2.0 486 Busy", *(f"{x};tag=p" if x.startswith("To") else x for x in kept)])
        phone.sendto((busy + "\r\nContent-Length: 0\r\n\r\n").encode(), back)
        while (answer := caller.receive()).startswith(b"SIP/2.0 100"):
            pass
        assert answer.startswith(b"SIP/2.0 600 one")


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("def route(request:\n", r"route\.py:1: .*never closed"),
        ("import answers\nanswers.NOTHING\n", r"route\.py:2: AttributeError"),
        ("def root(request):\n    pass\n", r"there is no `route` in it"),
        (
            "from sansip.modules.upstream import Upstreams as U\n\n\ndef route(request, what: str): ...\n",
            "no module",
        ),
    ],
)
def test_a_broken_route_is_refused(tmp_path: Path, route: str, said: str) -> None:
    """With file and line, exit status 1, and the old one goes on; a file beside it is not half taken."""
    server = Reloaded(tmp_path)
    with server.program:
        server.write("two", route)
        done = server.reload()
        assert done.returncode == 1
        assert re.search(said, done.stdout), done.stdout
        assert server.says() == "one"
        server.config.write_text('route = "route.py"\ndrain_tim = 3\n')
        server.write("three")
        done = server.reload()
        assert done.returncode == 1
        assert "sansip.toml:2: drain_tim: unknown key; did you mean drain_time?" in done.stdout
        # The route is good, and the configuration is not: neither is taken.
        assert server.says() == "one"


# A module that sees every call: each of them has to end by the instance that it began with.
MODULE = """
from dataclasses import dataclass
from sansip.module import Module
from sansip.rows import Table


@dataclass
class Row:
    key: str


@dataclass
class Empty:
    fails: bool = False
    mark: int = 0


class Storm(Module):
    name = "storm"
    Settings = Empty
    tables = (Table("storm", Row, key=("key",)),)

    def start(self, core, now):
        self.began, self.ended = {}, 0
        core.timers.start(now, 0.05, self, "again")
        core.run(core.rows(self.tables[0]).put(Row("started")), now)
        if self.settings.fails:
            raise ValueError("not today")

    def timer_fired(self, name, now):
        self.core.timers.start(now, 0.05, self, "again")

    def branch_leaving(self, request, branch, message):
        self.began[request.message.call_id, request.method] = True
        message.set("X-Storm", str(self.settings.mark))

    def response_leaving(self, request, response):
        if response.status >= 200 and (request.message.call_id, request.method) not in self.began:
            raise ValueError(f"a stranger's answer: {request.method} {response.status}")
"""


@pytest.mark.needs("sipp")
@pytest.mark.timeout(180)
def test_a_storm_of_reloads(tmp_path: Path) -> None:
    """No call is lost; each ends by the code that it began with; the journal replays exactly.

    Of each reload three calls are watched: one that is found busy after it, and one that is cancelled, end by
    the old code; what follows within a dialog goes by the new one, where the reload was not refused.
    """
    server = Reloaded(tmp_path, journal=True)
    extra = [free_port(), free_port()]
    probe_port = free_port()
    versions: list[Path] = []

    def write(version: str, broken: bool = False) -> None:
        phone, there = f"{HOST}:{server.phone}", f"{HOST}:{probe_port}"
        text = storm.ROUTE % {"version": version, "phone": phone, "probe": there}
        (tmp_path / "route.py").write_text("nonsense(" if broken else text)
        if not broken:
            # A journal calls a route by the name of its file and by what is in it.
            folder = tmp_path / f"version{version}"
            folder.mkdir()
            versions.append(folder / "route.py")
            versions[-1].write_text(text)

    # The route that it started with is another one: the first reload brings the first version.
    with server.program:
        server.program.wait_for("^ready$")
        write("0")
        assert server.reload().returncode == 0
        running = "0"
        local = (HOST, server.phone)
        calls = RATE * (RELOADS // 2 + 2)
        with (
            storm.Probe((HOST, server.port), probe_port) as probe,
            Sipp(OWN / "s03_call_uas.xml", (HOST, server.port), tmp_path, local=local, calls=calls) as uas,
        ):
            uas.wait_until_bound()
            options = ["-r", str(RATE), "-l", "10000"]
            with Sipp(
                OWN / "s03_call_uac.xml",
                (HOST, server.port),
                tmp_path,
                local=(HOST, free_port()),
                calls=calls,
                options=options,
            ) as uac:
                for number in range(1, RELOADS + 1):
                    probe.begin()
                    broken = number % 3 == 2
                    # Listeners come and go, limits and domains change; every other fault is in the
                    # settings.
                    wrong = number % 6 == 5
                    write(str(number), broken and not wrong)
                    ports = [server.port, *extra[: number % 3]]
                    server.settle(ports, number, "header_cont = 1\n" if wrong else "")
                    done = server.reload()
                    assert done.returncode == (1 if broken else 0), done.stdout + done.stderr
                    if wrong:
                        where = r"sansip\.toml:\d+: limits\.header_cont: unknown key"
                        assert re.search(where, done.stdout), done.stdout
                    before, running = running, running if broken else str(number)
                    probe.end(before, running)
                    time.sleep(0.2)
                uac.succeed(120)
    said = server.program.output().count
    assert [said(one) for one in probe.cancelled] == [1] * RELOADS
    refused = sum(number % 3 == 2 for number in range(1, RELOADS + 1))
    assert said("route.py:1: '(' was never closed") + said("limits.header_cont: unknown key") == refused
    assert said("no longer listening on udp:") > 1
    command = [sys.executable, "-m", "sansip_server", "replay", str(tmp_path / "journal")]
    alone = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert alone.returncode != 0
    first = tmp_path / "first"
    first.mkdir()
    (first / "answers.py").write_text("TEXT = 'one'\n")
    (first / "route.py").write_text(ROUTE % f"{HOST}:{server.phone}")
    for version in (first / "route.py", *versions):
        command += ["--route", str(version)]
    played = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert played.returncode == 0, played.stdout + played.stderr
    assert "all as recorded" in played.stdout


def test_keepalives_take_new_settings(tmp_path: Path) -> None:
    """A module's table is read again; phones that are registered hear from it at the new pace."""
    config = tmp_path / "sansip.toml"
    text = f'control = "{tmp_path}/ctl"\n[keepalive]\nwho = "udp"\ninterval = '
    config.write_text(f"{text}600\n")
    port = free_port()
    options = [*OPTIONS, "--config", str(config)]
    with (
        sansip_serve(tmp_path, [f"udp:{HOST}:{port}"], ["biloxi.test"], options),
        Phone("bob", "biloxi.test", "udp", (HOST, port)) as phone,
    ):
        phone.register()
        config.write_text(f"{text}5\n")
        assert reload(tmp_path).returncode == 0
        for _ in range(3):
            try:
                assert phone.receive().what == "OPTIONS"
                break
            except AssertionError:
                continue
        else:
            pytest.fail("no keepalive in 15 s")


def answers(port: int) -> str:
    """Return the status of an OPTIONS to ``port``, "" without an answer."""
    with Line("udp", (HOST, port)) as line:
        line.send(request("OPTIONS", "sip:biloxi.test", line))
        try:
            return line.receive(1.0).decode().split(" ", 2)[1]
        except (AssertionError, OSError):
            return ""


def test_listeners_come_and_go(tmp_path: Path) -> None:
    """One is added and used at once; one that is removed ends its call; a taken port changes nothing."""
    first, second, third, phone_port = free_port(), free_port(), free_port(), free_port()
    config, route = tmp_path / "sansip.toml", tmp_path / "route.py"
    route.write_text(ROUTE % f"{HOST}:{phone_port}")
    (tmp_path / "answers.py").write_text("TEXT = 'x'\n")

    def listen(*ports: int, more: str = "") -> subprocess.CompletedProcess[str]:
        listed = ", ".join(f'"udp:{HOST}:{port}", "tcp:{HOST}:{port}"' for port in ports)
        config.write_text(
            f'listen = [{listed}]\ndomains = ["biloxi.test"]\nroute = "route.py"\n'
            f'control = "{tmp_path}/ctl"\n{more}[proxy]\nunmarked_dialogs = true\n'
        )
        return reload(tmp_path)

    listen(first)
    command = [sys.executable, "-m", "sansip_server", "serve", "--config", str(config)]
    with Program(command, tmp_path / "log") as program:
        program.wait_for("^ready$")
        assert (answers(first), answers(second)) == ("200", "")
        done = listen(first, second)
        assert (done.returncode, "listeners" in done.stdout) == (0, True), done.stdout
        assert (answers(first), answers(second)) == ("200", "200")
        with (
            Line("udp", (HOST, second)) as caller,
            Line("tcp", (HOST, second)) as idle,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone,
        ):
            idle.send(request("OPTIONS", "sip:biloxi.test", idle))
            idle.receive()
            phone.bind((HOST, phone_port))
            phone.settimeout(5)
            caller.send(request("INVITE", "sip:x@biloxi.test", caller))
            invite, back = phone.recvfrom(65_535)
            done = listen(first)
            assert done.returncode == 0, done.stdout
            assert (answers(first), answers(second)) == ("200", "503")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((HOST, second), 1)
            lines = invite.decode().split("\r\n")
            kept = [x for x in lines if x.startswith(("Via", "From", "To", "Call-ID", "CSeq"))]
            tagged = [f"{x};tag=p" if x.startswith("To") else x for x in kept]
            busy = "\r\n".join(["SIP/2.0 486 Busy", *tagged])
            phone.sendto((busy + "\r\nContent-Length: 0\r\n\r\n").encode(), back)
            while (answer := caller.receive()).startswith(b"SIP/2.0 100"):
                pass
            assert answer.startswith(b"SIP/2.0 600")
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
            other.bind((HOST, third))
            other.listen()
            done = listen(first, third, more='server_name = "new"\n')
            assert done.returncode == 1
            assert re.search(
                rf"sansip\.toml:1: listen\[3\]: cannot listen on tcp:{HOST}:{third}: port {third} is in use"
                r" by another program; stop that program",
                done.stdout,
            ), done.stdout
        assert (answers(first), answers(third)) == ("200", "")
        assert "Traceback" not in program.output()


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("import time\ntime.sleep(99)\n", r"route\.py:2: it was not imported within 1 s"),
        ("import sys\nsys.exit()\n", r"route\.py:2: SystemExit"),
        ("import os\nos._exit(0)\n", r"route\.py: it ends the process"),
    ],
)
def test_a_route_that_is_no_end(
    tmp_path: Path, route: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried in another process: calls are answered meanwhile, and the server lives."""
    monkeypatch.setenv("SANSIP_IMPORT_TIME", "1")
    server = Reloaded(tmp_path)
    with server.program:
        server.write("two", route)
        command = [sys.executable, "-m", "sansip_server", "ctl", "--control", str(tmp_path / "ctl"), "reload"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            while running.poll() is None:
                assert server.says() == "one"
            assert running.stdout is not None
            said_there = running.stdout.read()
        assert running.returncode == 1
        assert re.search(said, said_there), said_there
        assert server.says() == "one"
