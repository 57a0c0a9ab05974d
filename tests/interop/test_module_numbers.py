"""Dialplan, ENUM and international numbers in the installed server: their recipes, SIPp and nsd."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.siege import LOCAL, Siege
from tests.interop.siege import request as octets
from tests.interop.test_module_calls import ctl
from tests.interop.test_module_lcr import caller, gateway, said
from tests.server.test_docs import blocks
from tools.peers import Program, free_port

PAGES = Path(__file__).parents[2] / "docs" / "modules"
DOMAIN = "example.com"
NUMBER = "+441632960083"
NAME = "3.8.0.0.6.9.2.3.6.1.4.4"


def recipe(page: str) -> str:
    """Return the tables of a page's first configuration, for a server with other listeners."""
    return 'control = "ctl.sock"\n' + "\n".join(blocks(PAGES / page, "toml")[0].splitlines()[3:]) + "\n"


def nsd(directory: Path, zone: str, lines: str) -> tuple[Program, int]:
    """Start nsd with ``lines`` of ``zone`` in the foreground."""
    port = free_port()
    head = f"$ORIGIN {zone}.\n@ 60 SOA ns hostmaster 1 3600 600 86400 60\n@ 60 NS ns\nns 60 A {LOCAL}\n"
    (directory / "zone").write_text(head + lines)
    (directory / "nsd.conf").write_text(f"""
server:
  ip-address: {LOCAL}@{port}
  username: ""
  zonesdir: "{directory}"
  database: ""
  pidfile: "{directory}/nsd.pid"
  xfrdfile: "{directory}/xfrd.state"
  zonelistfile: "{directory}/zone.list"
  xfrdir: "{directory}"
zone:
  name: {zone}
  zonefile: zone
""")
    program = Program(
        ["nsd", "-d", "-V", "1", "-c", str(directory / "nsd.conf")], directory / "nsd.log", cwd=directory
    )
    program.wait_for(r"nsd started")
    return program, port


@pytest.mark.needs("sipp")
def test_the_dialplan(tmp_path: Path) -> None:
    """What the page shows: 030… is an international number, and leads to a gateway; 0900… is refused."""
    port = free_port()
    config = recipe("dialplan.md") + (
        f'[calls]\n[lcr]\nfile = "rates.csv"\nprobe_interval = 0\n'
        f'[[lcr.gateways]]\nname = "one"\nuri = "sip:{LOCAL}:{port}"\n'
    )
    (tmp_path / "rates.csv").write_text("gateway,prefix\none,4930\n")
    with gateway(tmp_path, port), Siege(tmp_path, domain=DOMAIN, config=config) as server:
        with caller(server, tmp_path, "030123456", 20, 50) as calls:
            calls.succeed(30)
        assert ctl(tmp_path, "dialplan.try", "00442079460148")["becomes"] == "+442079460148"
        with server.line("udp") as line:
            line.send(octets("INVITE", f"sip:0900123456@{DOMAIN}", line))
            assert b" 403 " in b"".join(line.received())
        # A rule that would never end, and one whose test fails: refused, and nobody waits.
        with server.watched() as watch:
            assert "too long" in said(tmp_path, "dialplan.add", "pattern=(a+)+b").stderr
            assert "gives" in said(tmp_path, "dialplan.add", "equal=1", "example=1", "gives=2").stderr
            for _ in range(50):
                line_of_digits = "0" + "1" * 300
                with server.line("udp") as line:
                    line.send(octets("INVITE", f"sip:{line_of_digits}@{DOMAIN}", line))
        assert watch.spent < 0.5
        path = tmp_path / "siege.toml"
        path.write_text(path.read_text().replace('gives = "+4930123456"', 'gives = "+49301"'))
        done = said(tmp_path, "reload")
        assert "030123456 gives +4930123456, expected +49301" in done.stdout + done.stderr
        assert done.returncode != 0
        assert ctl(tmp_path, "dialplan.try", "030123456")["becomes"] == "+4930123456"


@pytest.mark.needs("nsd", "sipp")
def test_enum(tmp_path: Path) -> None:
    """A number's records in a real name server lead to a SIPp; a zone that attacks does no harm."""
    port = free_port()
    zone = (
        f'{NAME} 60 NAPTR 10 20 "u" "E2U+sip" "!^.*$!sip:nobody@{LOCAL}:{free_port()}!" .\n'
        f'{NAME} 60 NAPTR 10 10 "u" "E2U+sip" "!^\\\\+44([[:digit:]]+)$!sip:\\\\1@{LOCAL}:{port}!" .\n'
        f'4.{NAME} 60 NAPTR 10 10 "u" "E2U+sip" "!^(.+)+x$!sip:a@{LOCAL}:{port}!" .\n'
    )
    names, name_port = nsd(tmp_path, "numbers.example.net", zone)
    config = recipe("enum.md").replace('"e164.arpa", ', "")
    config = config.replace("[enum]", f'[dns]\nservers = ["{LOCAL}:{name_port}"]\n[enum]')
    with names, gateway(tmp_path, port), Siege(tmp_path, domain=DOMAIN, config=config) as server:
        with caller(server, tmp_path, NUMBER, 20, 50) as calls:
            calls.succeed(30)
        found = ctl(tmp_path, "enum.try", NUMBER)
        assert found[0] == f"sip:1632960083@{LOCAL}:{port}"
        assert len(found) == 2
        with server.watched() as watch:
            assert ctl(tmp_path, "enum.try", f"{NUMBER}4") == []
        assert watch.lost == 0


def test_e164(tmp_path: Path) -> None:
    """The recipe, and the number of its page."""
    with Siege(tmp_path, domain=DOMAIN, config=recipe("e164.md")) as server:
        with server.line("udp") as line:
            line.send(octets("OPTIONS", f"sip:03023125000@{DOMAIN}", line))
            assert line.received()
        found = ctl(tmp_path, "e164.try", "0151 12345678")
        assert (found["e164"], found["kind"], found["carrier"]) == ("+4915112345678", "mobile", "T-Mobile")
        assert ctl(tmp_path, "stats")["modules"]["e164.known"] == 2


@pytest.mark.needs("nsd", "sipp")
def test_enum_over_workers(tmp_path: Path) -> None:
    """Each of two workers asks DNS by itself, and all calls arrive."""
    port = free_port()
    zone = f'{NAME} 60 NAPTR 10 10 "u" "E2U+sip" "!^.*$!sip:x@{LOCAL}:{port}!" .\n'
    names, name_port = nsd(tmp_path, "numbers.example.net", zone)
    config = recipe("enum.md").replace('"e164.arpa", ', "")
    config = config.replace("[enum]", f'[dns]\nservers = ["{LOCAL}:{name_port}"]\n[enum]')
    options = ["--workers", "2"]
    with (
        names,
        gateway(tmp_path, port),
        Siege(tmp_path, domain=DOMAIN, config=config, options=options, transports=("udp",)) as server,
        caller(server, tmp_path, NUMBER, 40, 50) as calls,
    ):
        calls.succeed(30)
