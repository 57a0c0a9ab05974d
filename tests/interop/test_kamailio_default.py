"""The counterpart of Kamailio's default configuration, the very file of examples/, with SIPp and phones."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.interop.baresip import Baresip
from tests.interop.conftest import OPTIONS
from tests.interop.line import Line
from tests.interop.siege import LOCAL, request
from tests.interop.sipp_play import SDP, Play
from tests.interop.test_module_calls import ctl
from tests.interop.users import add_users
from tools.peers import Program, Sipp, free_port

EXAMPLE = Path("examples/kamailio_default").resolve()
PASSWORDS = {
    "alice@example.com": "secret",
    "bob@example.com": "secret",
    "alice@example.org": "other",
}
RECORD = "[last_Record-Route:]"


class Site:
    """The server of the example on free ports, with its users, and peers where the file names them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True)
        self.ports = {name: free_port() for name in (5060, 5070, 5090)}
        path = folder / "sansip.toml"
        text = path.read_text()
        for name, port in self.ports.items():
            assert f":{name}" in text
            text = text.replace(f":{name}", f":{port}")
        path.write_text(text.replace("after = 30", "after = 3"))
        add_users(folder / "sansip.db", PASSWORDS)
        command = [sys.executable, "-m", "sansip_server", "serve", "--config", "sansip.toml", *OPTIONS]
        self.program = stack.enter_context(Program(command, folder / "sansip.log", cwd=folder))
        self.program.wait_for("^ready$", 30)

    @property
    def place(self) -> tuple[str, int]:
        return LOCAL, self.ports[5060]

    def phone(self, user: str, domain: str = "example.com") -> Baresip:
        password = PASSWORDS[f"{user}@{domain}"]
        folder = self.folder / f"{user}-{domain}"
        phone = self.stack.enter_context(Baresip(folder, user, domain, self.place, "udp", password))
        phone.wait_until_registered()
        return phone

    def server(self, port: int, play: Play) -> Sipp:
        """A gateway or voicemail server, in the place that the file names by ``port``."""
        path = play.save(self.folder / f"{port}.xml")
        local = (LOCAL, self.ports[port])
        peer = self.stack.enter_context(Sipp(path, self.place, self.folder, local=local))
        peer.wait_until_bound()
        return peer

    def records_of(self, calls: int) -> list[dict[str, Any]]:
        """Return the records once so many calls are there: a phone is done before its BYE has its 200."""
        end = time.monotonic() + 5
        while True:
            found = self.records()
            if [one["kind"] for one in found].count("call") >= calls or time.monotonic() > end:
                return found
            time.sleep(0.1)

    def records(self) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.folder / "sansip.db")) as database:
            database.row_factory = sqlite3.Row
            (table,) = [
                name
                for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
                if name.endswith("accounting_records")
            ]
            return [dict(row) for row in database.execute(f"SELECT * FROM {table}")]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path, stack)


def answers() -> Play:
    """A server that takes one call and waits for its end."""
    return Play().recv("INVITE").answer("200 OK", RECORD, body=SDP).recv("ACK").recv("BYE").ok()


def test_check() -> None:
    """`sansip check` has nothing to say about the file as it is."""
    command = [sys.executable, "-m", "sansip_server", "check", "sansip.toml"]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("baresip", "sipp")
def test_a_day_of_a_user(site: Site) -> None:
    """An alias, a short number, a telephone number, and nobody at home; then what accounting says of it."""
    alice, bob = site.phone("alice"), site.phone("bob")
    ctl(site.folder, "aliases.add", "alias=sip:reception@example.com", "target=sip:bob@example.com")
    ctl(site.folder, "aliases.short", f"user={alice.aor}", "digits=12", "target=sip:reception@example.com")
    for dialled in ("reception", "12"):
        alice.command("dial", f"sip:{dialled}@example.com")
        bob.wait_for("CALL_INCOMING")
        bob.command("accept")
        alice.wait_for("CALL_ESTABLISHED")
        alice.command("hangup")
        bob.wait_for("CALL_CLOSED")
        alice.wait_for("CALL_CLOSED")
    gateway = site.server(5070, answers())
    alice.command("dial", "sip:00442079460148@example.com")
    alice.wait_for("CALL_ESTABLISHED")
    alice.command("hangup")
    gateway.succeed(10)
    alice.wait_for("CALL_CLOSED")
    # Bob does not answer for three seconds.
    voicemail = site.server(5090, answers())
    alice.command("dial", "sip:bob@example.com")
    bob.wait_for("CALL_INCOMING")
    alice.wait_for("CALL_ESTABLISHED", 15)
    alice.command("hangup")
    voicemail.succeed(10)
    alice.wait_for("CALL_CLOSED")
    found = site.records_of(4)
    assert [one["kind"] for one in found].count("call") == 4
    (paid,) = [one for one in found if one["gateway"]]
    assert (paid["gateway"], paid["currency"]) == ("pstn", "EUR")
    assert paid["price"] > 0
    assert f"+442079460148@{LOCAL}:{site.ports[5070]}" in paid["target"]
    assert ctl(site.folder, "calls.list") == []


@pytest.mark.needs("baresip")
def test_domains_are_apart(site: Site) -> None:
    """Alice of one domain is not Alice of the other: her call rings the other one's phone alone."""
    first, second = site.phone("alice"), site.phone("alice", "example.org")
    first.command("dial", "sip:alice@example.org")
    second.wait_for("CALL_INCOMING")
    second.command("accept")
    first.wait_for("CALL_ESTABLISHED")
    second.command("hangup")
    first.wait_for("CALL_CLOSED")


def test_strangers_do_not_get_out(site: Site) -> None:
    """Without a password nobody calls the telephone network, nor other domains (403, 407).

    A stranger who dials a number of the domain gets what a user without a phone gets: the voicemail server.
    """
    with (
        closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as gateway,
        Line("udp", site.place) as line,
    ):
        gateway.bind((LOCAL, site.ports[5070]))
        gateway.settimeout(0.1)
        for uri, sender, status in (
            # No voicemail server listens here: RFC 3261 16.7 step 6 makes a 500 of its 503.
            ("sip:+442079460148@example.com", "<sip:eve@elsewhere.example>;tag=e", b"500"),
            ("sip:+442079460148@example.com", "<sip:alice@example.com>;tag=a", b"407"),
            ("sip:bob@third.example", "<sip:eve@elsewhere.example>;tag=e", b"403"),
        ):
            with Line("udp", site.place) as line:
                line.send(request("INVITE", uri, line, from_=sender, lines=[f"Contact: <sip:e@{LOCAL}>"]))
                said = [answer.split(b" ")[1] for answer in line.received(0.4)]
            assert status in said, (uri, said)
        with contextlib.suppress(TimeoutError):
            while True:
                assert gateway.recv(65_535).startswith(b"OPTIONS ")
