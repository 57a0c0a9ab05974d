"""The module ``lcr`` in the installed server: its recipe, SIPp as gateways, a million prefixes."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sansip.modules.lcr import Gateway, LcrSettings
from sansip_server.lcr.packer import job_of, run
from tests.interop.siege import LOCAL, Siege
from tests.interop.test_module_calls import ctl
from tests.interop.test_sipp import OWN
from tests.server.test_docs import blocks
from tools.peers import Program, Sipp, free_port

DOMAIN = "example.com"
SECONDS = 60 if os.environ.get("SANSIP_SOAK") else 8
PAGE = Path(__file__).parents[2] / "docs" / "modules" / "lcr.md"


def gateway(tmp_path: Path, port: int) -> Program:
    """A gateway: SIPp answers calls, and OPTIONS."""
    command = ["sipp", "-sf", str(OWN / "s03_call_uas.xml"), "-i", LOCAL, "-p", str(port), "-nostdin", "-aa"]
    program = Program(command, tmp_path / f"gateway-{port}.log", cwd=tmp_path)
    # It has no word for "listening".
    time.sleep(0.5)
    return program


def caller(server: Siege, tmp_path: Path, number: str, calls: int, rate: int) -> Sipp:
    return Sipp(
        OWN / "s03_call_uac.xml",
        server.address("udp"),
        tmp_path,
        local=(LOCAL, free_port()),
        calls=calls,
        service=number,
        domain=DOMAIN,
        options=["-r", str(rate)],
    )


def rows(tmp_path: Path) -> dict[str, Any]:
    return {row["gateway"]: row for row in ctl(tmp_path, "lcr.list")}


@pytest.mark.needs("sipp")
def test_the_recipe(tmp_path: Path) -> None:
    """What docs/modules/lcr.md shows: the cheaper gateway is not there, so the other one has all calls."""
    ports = {"5070": str(free_port()), "5072": str(free_port())}
    config = "\n".join(blocks(PAGE, "toml")[0].splitlines()[3:])
    for shown, port in ports.items():
        config = config.replace(shown, port)
    quick = "[lcr]\nprobe_interval = 0.3\nanswer = 0.5\n"
    config = 'control = "ctl.sock"\n' + config.replace("[lcr]\n", quick)
    (tmp_path / "rates.csv").write_text(blocks(PAGE, "csv")[0])
    with (
        gateway(tmp_path, int(ports["5070"])),
        Siege(tmp_path, domain=DOMAIN, config=config) as server,
        caller(server, tmp_path, "4930123456", 50, 50) as calls,
    ):
        calls.succeed(30)
        explained = ctl(tmp_path, "lcr.explain", "+4930123456", "--at", "2027-01-04T09:30+01:00")
        assert [(row["gateway"], row["number"], row["cost"]) for row in explained] == [
            ("north", "+4930123456", "0.036 EUR"),
            ("south", "030123456", "0.034 EUR"),
            ("south", "030123456", "0.0285 EUR"),
        ]
        assert explained[1]["why"].startswith("down: ")
        found = rows(tmp_path)
        assert (found["north"]["requests"], found["north"]["failed"], found["north"]["asr"]) == (50, 0, 1.0)
        assert found["south"]["requests"] == found["south"]["failed"]
        assert "gateway south is down" in server.log
        assert "4 rates for 3 prefixes of rates.csv" in server.log


@pytest.mark.timeout(SECONDS * 3 + 120)
@pytest.mark.needs("sipp")
def test_none_is_lost(tmp_path: Path) -> None:
    """At 200 calls/s: one gateway is absent, one silent, one drained and stopped; rates and server reload.

    `tox -e soak` does it for a minute.
    """
    ports = [free_port() for _ in range(4)]
    names = ["absent", "silent", "leaving", "good"]
    tables = "".join(
        f'[[lcr.gateways]]\nname = "{name}"\nuri = "sip:{LOCAL}:{port}"\n'
        for name, port in zip(names, ports, strict=True)
    )
    settings = "answer = 1.0\nprobe_interval = 0.5\nprobe_timeout = 5.0\n"
    config = f'control = "ctl.sock"\n[calls]\n[lcr]\nfile = "rates.csv"\n{settings}{tables}'
    rates = tmp_path / "rates.csv"
    lines = "".join(f"{name},49,0.0{number + 1}\n" for number, name in enumerate(names))
    rates.write_text(f"gateway,prefix,price\n{lines}")
    with ExitStack() as stack:
        silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind((LOCAL, ports[1]))
        servers = [stack.enter_context(gateway(tmp_path, port)) for port in ports[2:]]
        server = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config))
        calls = stack.enter_context(caller(server, tmp_path, "4930123456", 200 * SECONDS, 200))
        begun = time.monotonic()
        time.sleep(SECONDS / 8)
        for turn in range(1, SECONDS // 3):
            # Rates that are refused change nothing; others hold for the next call.
            rates.write_text(f"gateway,prefix,price\n{lines}nobody,49,1\n")
            assert "rates.csv:6: column 1" in said(tmp_path, "lcr.reload").stderr
            rates.write_text(f"gateway,prefix,price\n{lines}good,493,0.0{turn % 9 + 1}\n")
            assert said(tmp_path, "lcr.reload").returncode == 0
            path = tmp_path / "siege.toml"
            path.write_text(config.replace("[lcr]\n", f"[lcr]\nattempts = {4 + turn % 4}\n"))
            ctl(tmp_path, "reload")
            if turn == 1:
                ctl(tmp_path, "lcr.set", "gateway=leaving", "state=draining")
                deadline = time.monotonic() + 10
                while rows(tmp_path)["leaving"]["calls"] and time.monotonic() < deadline:
                    time.sleep(0.1)
                servers[0].stop()
            time.sleep(max(begun + (turn + 1) * 3 - time.monotonic(), 0.0))
        calls.succeed(SECONDS + 60)
        found = rows(tmp_path)
        assert [found[name]["state"] for name in names] == ["down", "down", "draining", "up"]
        assert sum(row["requests"] - row["failed"] for row in found.values()) == 200 * SECONDS
        # Who is known to be down is not tried.
        assert found["absent"]["requests"] < 50
        # Those of the first second, in which nobody knows.
        assert found["silent"]["requests"] < 800
        assert "gateway absent is down" in server.log


@pytest.mark.needs("sipp")
def test_a_reload_with_a_fault(tmp_path: Path) -> None:
    """The error names the line, the old rates stay, and a server does not start with them."""
    port = free_port()
    config = (
        f'control = "ctl.sock"\n[calls]\n[lcr]\nfile = "rates.csv"\n'
        f'[[lcr.gateways]]\nname = "one"\nuri = "sip:{LOCAL}:{port}"\n'
    )
    (tmp_path / "rates.csv").write_text("gateway,prefix,price\none,49,0.01\n")
    with gateway(tmp_path, port), Siege(tmp_path, domain=DOMAIN, config=config) as server:
        (tmp_path / "rates.csv").write_text("gateway,prefix,price\none,49,0.01\nnobody,44,1\n")
        done = said(tmp_path, "lcr.reload")
        assert done.returncode != 0
        assert "rates.csv:3: column 1 (gateway) is 'nobody'; expected one of the gateways" in done.stderr
        # A reload of the configuration that needs the file anew is refused with the same words.
        path = tmp_path / "siege.toml"
        before = path.read_text()
        path.write_text(before.replace("[lcr]", '[lcr]\norder = "price"'))
        done = said(tmp_path, "reload")
        assert done.returncode != 0
        assert "rates.csv:3: column 1 (gateway)" in done.stderr + done.stdout
        path.write_text(before)
        with caller(server, tmp_path, "4930123456", 5, 50) as calls:
            calls.succeed(20)
        # A regular expression that explodes is refused with its line, and no call waits.
        with server.watched() as watch:
            (tmp_path / "rates.csv").write_text("gateway,prefix,caller\none,49,(a+)+$\n")
            assert "rates.csv:2: column 3 (caller)" in said(tmp_path, "lcr.reload").stderr
        assert watch.lost == 0
    command = [sys.executable, "-m", "sansip_server", "serve", "--config", "siege.toml"]
    started = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert started.returncode != 0
    assert "rates.csv:2: column 3 (caller)" in started.stderr + started.stdout


def said(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sansip_server", "ctl", "--control", str(tmp_path / "ctl.sock"), *words]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False)


@pytest.mark.timeout(240)
@pytest.mark.needs("sipp")
def test_a_million_prefixes_under_calls(tmp_path: Path) -> None:
    """They are loaded anew while calls go on: none is lost, and OPTIONS go on being answered meanwhile."""
    ports = [free_port(), free_port()]
    gateways = "".join(
        f'[[lcr.gateways]]\nname = "gw{number}"\nuri = "sip:{LOCAL}:{port}"\n'
        for number, port in enumerate(ports)
    )
    config = f'control = "ctl.sock"\n[calls]\n[lcr]\nfile = "rates.csv"\nprobe_interval = 0\n{gateways}'
    write_rates(tmp_path / "rates.csv", 1_000_000, 1)
    # The server finds these packed already: on a busy machine it would not be ready in time for the rig.
    known = [Gateway(f"gw{number}", f"sip:{LOCAL}:{port}") for number, port in enumerate(ports)]
    assert "digest" in run(job_of(LcrSettings(known, file=str(tmp_path / "rates.csv"))))
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(gateway(tmp_path, port))
        server = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config))
        before = server.resident
        deadline = time.monotonic() + 60
        while ctl(tmp_path, "stats")["modules"]["lcr.prefixes"] != 1_000_000:
            assert time.monotonic() < deadline, server.log
            time.sleep(0.2)
        write_rates(tmp_path / "rates.csv", 1_000_000, 2)
        calls = stack.enter_context(caller(server, tmp_path, "4930123456", 300, 30))
        with server.watched() as watch:
            done: list[subprocess.CompletedProcess[str]] = []
            loading = threading.Thread(target=lambda: done.append(said(tmp_path, "lcr.reload", "--json")))
            loading.start()
            loading.join(150)
        assert watch.lost == 0
        calls.succeed(60)
        (one,) = done
        assert one.returncode == 0, one.stderr
        # Where it takes long, the command ends before.
        assert json.loads(one.stdout)["state"] in ("loaded", "loading")
        loaded = "1,000,000 rates for 1,000,000 prefixes"
        deadline = time.monotonic() + 150
        while server.log.count(loaded) < 2 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert server.log.count(loaded) == 2
        sys.stdout.write(
            f"{one.stdout}worst OPTIONS {watch.worst * 1e3:.1f} ms, server {watch.spent:.2f} s CPU\n"
        )
        # Mapped pages are the file's; what the server holds itself is little.
        assert server.resident - before < 400_000_000


def write_rates(file: Path, count: int, seed: int) -> None:
    """Write ``count`` prefixes, each once, with 4930 among them."""
    chance = random.Random(seed)
    prefixes = {"4930"}
    while len(prefixes) < count:
        prefixes.add(str(chance.randrange(10**8))[: chance.choice((5, 6, 7, 8))])
    with file.open("w") as lines:
        lines.write("gateway,prefix,price\n")
        for prefix in sorted(prefixes):
            lines.write(f"gw{chance.randrange(2)},{prefix},0.{chance.randrange(10_000):04}\n")
    time.sleep(0.01)


@pytest.mark.needs("sipp")
def test_a_journal(tmp_path: Path) -> None:
    """A replay has the rates that the server had, and does the same to the octet."""
    port = free_port()
    config = (
        f'control = "ctl.sock"\n[calls]\n[lcr]\nfile = "rates.csv"\nprobe_interval = 0.3\n'
        f'[[lcr.gateways]]\nname = "one"\nuri = "sip:{LOCAL}:{free_port()}"\n'
        f'[[lcr.gateways]]\nname = "two"\nuri = "sip:{LOCAL}:{port}"\n'
    )
    (tmp_path / "rates.csv").write_text("gateway,prefix,price\none,49,0.01\ntwo,49,0.02\n")
    journal = tmp_path / "journal"
    options = ["--journal", str(journal)]
    with gateway(tmp_path, port), Siege(tmp_path, domain=DOMAIN, config=config, options=options) as server:
        with caller(server, tmp_path, "4930123456", 20, 50) as calls:
            calls.succeed(30)
        said(tmp_path, "lcr.add", "gateway=two", "prefix=4930")
        (tmp_path / "rates.csv").write_text("gateway,prefix,price\ntwo,49,0.02\n")
        ctl(tmp_path, "lcr.reload")
    command = [sys.executable, "-m", "sansip_server", "replay", str(journal)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "all as recorded" in done.stdout, done.stdout + done.stderr
