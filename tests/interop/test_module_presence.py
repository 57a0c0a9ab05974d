"""Presence and waiting messages with PJSIP phones: passwords, rules, and a restart by kill -9."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.interop.siege import LOCAL, Siege
from tests.interop.softphones import Softphone
from tests.missing import needs_pjsua2
from tools.peers import free_port

DOMAIN = "siege.test"
PASSWORD = "wonderland"
USERS = {f"{user}@{DOMAIN}": PASSWORD for user in ("alice", "bob")}
CONFIG = """
control = "ctl.sock"
[documents]
[events]
[mailboxes]
[presence]
interval = 0.5
[publications]
"""
RULES = """<ruleset xmlns="urn:ietf:params:xml:ns:common-policy" xmlns:pr="urn:ietf:params:xml:ns:pres-rules">
<rule id="a"><conditions><identity><one id="sip:alice@siege.test"/></identity></conditions>
<actions><pr:sub-handling>{}</pr:sub-handling></actions><transformations><pr:provide-services><pr:all-services/>
</pr:provide-services><pr:provide-persons><pr:all-persons/></pr:provide-persons><pr:provide-all-attributes/></transformations></rule></ruleset>"""


@pytest.fixture(autouse=True)
def library() -> None:
    """Skip where PJSIP has no wheel."""
    needs_pjsua2()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as one:
        yield one


def phone(stack: ExitStack, directory: Path, server: Siege, user: str, buddy: str = "") -> Softphone:
    host, port = server.address("udp")
    command = [sys.executable, "-m", "tests.interop.pjsip_watcher", host, str(port), DOMAIN, user, PASSWORD]
    program = Softphone([*command, buddy], directory / f"{user}.log")
    stack.callback(program.stop)
    program.hear(r"^registered 200")
    return program


def ctl(folder: Path, *words: str) -> Any:
    """Give a command to the server; return the JSON that it prints."""
    command = [sys.executable, "-m", "sansip_server", "ctl", "--control", str(folder / "ctl.sock"), *words]
    done = subprocess.run([*command, "--json"], cwd=folder, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.interop
def test_published_and_watched(tmp_path: Path, stack: ExitStack) -> None:
    """One phone publishes, the other sees it; rules act at once; a mailbox is told."""
    server = stack.enter_context(
        Siege(tmp_path, domain=DOMAIN, config=CONFIG, users=USERS, transports=("udp", "tcp"))
    )
    bob = phone(stack, tmp_path, server, "bob")
    alice = phone(stack, tmp_path, server, "alice", "bob")
    bob.tell("online")
    alice.hear(r"^buddy ACTIVE 1 ")
    bob.tell("busy")
    alice.hear(r"^buddy ACTIVE 1 2 Busy")
    user = f"user=sip:bob@{DOMAIN}"
    ctl(tmp_path, "documents.put", "auid=pres-rules", user, f"body={RULES.format('polite-block')}")
    alice.hear(r"^buddy ACTIVE 2 ")
    ctl(tmp_path, "documents.put", "auid=pres-rules", user, f"body={RULES.format('allow')}")
    alice.hear(r"^buddy ACTIVE 1 2 Busy")
    ctl(tmp_path, "mailboxes.set", f"user=sip:alice@{DOMAIN}", "new=2")
    alice.hear(r"^mailbox Messages-Waiting: yes Voice-Message: 2/0")
    assert ctl(tmp_path, "events.count")["presence"] == 1
    ctl(tmp_path, "documents.put", "auid=pres-rules", user, f"body={RULES.format('block')}")
    alice.hear(r"^buddy (TERMINATED|NULL)")


@pytest.mark.interop
def test_kill_and_restart(tmp_path: Path, stack: ExitStack) -> None:
    """After kill -9 the next process serves publication and subscription on: the phones notice nothing."""
    ports = {"udp": free_port(), "tcp": free_port()}
    options: dict[str, Any] = {
        "domain": DOMAIN,
        "config": CONFIG,
        "transports": ("udp", "tcp"),
        "ports": ports,
    }
    server = Siege(tmp_path, users=USERS, **options)
    bob = phone(stack, tmp_path, server, "bob")
    alice = phone(stack, tmp_path, server, "alice", "bob")
    bob.tell("busy")
    alice.hear(r"^buddy ACTIVE 1 2 Busy")
    (before,) = [row for row in ctl(tmp_path, "events.list") if row["event"] == "presence"]
    server.program.process.send_signal(signal.SIGKILL)
    server.program.process.wait()
    server = stack.enter_context(Siege(tmp_path, users=USERS, **options))
    (after,) = [row for row in ctl(tmp_path, "events.list") if row["event"] == "presence"]
    assert after["id"] == before["id"]
    # The publication's entity-tag is known: a modification, and no second device.
    bob.tell("online")
    alice.hear(r"^buddy ACTIVE 1 [01] ")
    (row,) = ctl(tmp_path, "publications.list", f"resource=sip:bob@{DOMAIN}", "event=presence")
    assert "Busy" not in row["body"]


def test_address() -> None:
    """The phones and the server share loopback."""
    assert LOCAL == "127.0.0.1"
