"""Subscriptions and publications that were acknowledged are there after kill -9, again and again.

Theory of operation: a client subscribes and publishes without a pause while the process is killed and started
anew. In the end each subscription that had a 200 can be refreshed in its dialog, and the entity-tag of each
publication that had a 200 is known.
"""

from __future__ import annotations

import os
import random
import re
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.interop.siege import LOCAL, Siege
from tools.peers import free_port

# A hundred times, or a tenth where many tests run.
KILLS = 100 if os.environ.get("SANSIP_SOAK") else 10
DOMAIN = "siege.test"
CONFIG = """
[documents]
[events]
open = true
most_of_watcher = 100000
unanswered = 1000
[presence]
[publications]
open = true
"""
BODY = (
    '<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:x@siege.test"><tuple id="a"><status>'
    "<basic>open</basic></status></tuple></presence>"
)

pytestmark = [pytest.mark.interop, pytest.mark.timeout(900)]


class Client:
    """Subscribes, publishes, answers NOTIFYs, and remembers what was acknowledged."""

    def __init__(self, port: int, domain: str = DOMAIN) -> None:
        self._domain = domain
        self._server = (LOCAL, port)
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((LOCAL, 0))
        self._port = self._sock.getsockname()[1]
        self._number = 0
        # Call-ID -> the To tag; user -> the entity-tag.
        self.subscribed: dict[str, str] = {}
        self.published: dict[str, str] = {}
        # Answers by branch.
        self.answers: dict[str, int] = {}
        # Ports that NOTIFYs came from, and their fields.
        self.notified: list[tuple[int, dict[str, str]]] = []
        # Their bodies.
        self.bodies: list[str] = []

    def turn_to(self, port: int) -> None:
        """Send to another server from now on."""
        self._server = (LOCAL, port)

    def close(self) -> None:
        self._sock.close()

    def request(
        self, method: str, call_id: str, headers: str, body: str = "", cseq: int = 1, tag: str = ""
    ) -> str:
        """Send a request; return its branch."""
        self._number += 1
        branch = f"z9hG4bK{self._number}"
        user = call_id
        to = f"<sip:{user}@{self._domain}>" + (f";tag={tag}" if tag else "")
        uri = f"sip:{LOCAL}:{self._server[1]}" if tag else f"sip:{user}@{self._domain}"
        text = (
            f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {LOCAL}:{self._port};branch={branch}\r\n"
            f"From: <sip:watcher@{self._domain}>;tag=w\r\nTo: {to}\r\n"
            f"Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:watcher@{LOCAL}:{self._port}>\r\nMax-Forwards: 70\r\nEvent: presence\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._send(text)
        return branch

    def _send(self, text: str, to: tuple[str, int] | None = None) -> None:
        try:
            self._sock.sendto(text.encode(), to or self._server)
        except OSError:
            # Nobody listens at this moment.
            pass

    def subscribe(self) -> None:
        self.request("SUBSCRIBE", f"s{self._number}", "Expires: 3600\r\n")

    def publish(self) -> None:
        kind = "Content-Type: application/pidf+xml\r\nExpires: 3600\r\n"
        self.request("PUBLISH", f"p{self._number}", kind, BODY)

    def hear(self, seconds: float) -> None:
        """Take what comes for ``seconds``."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._sock.settimeout(left)
            try:
                data, source = self._sock.recvfrom(65_536)
            except OSError:
                continue
            text = data.decode()
            fields = dict(re.findall(r"\r\n([A-Za-z-]+): ([^\r]*)", text))
            if text.startswith("NOTIFY"):
                self.notified.append((source[1], fields))
                self.bodies.append(text.partition("\r\n\r\n")[2])
                kept = "".join(
                    f"{name}: {fields[name]}\r\n" for name in ("Via", "From", "To", "Call-ID", "CSeq")
                )
                self._send(f"SIP/2.0 200 OK\r\n{kept}Content-Length: 0\r\n\r\n", source)
                continue
            status, branch = int(text[8:11]), fields["Via"].partition("branch=")[2].partition(";")[0]
            self.answers[branch] = status
            if status != 200:
                continue
            if "PUBLISH" in fields["CSeq"]:
                self.published[fields["Call-ID"]] = fields["SIP-ETag"]
            else:
                self.subscribed[fields["Call-ID"]] = fields["To"].partition("tag=")[2]

    def ask(self, asked: dict[str, Any]) -> dict[str, int]:
        """Ask for each of ``asked`` until it has an answer; return the statuses."""
        found: dict[str, int] = {}
        for attempt in range(2, 8):
            branches = {}
            for number, (name, send) in enumerate(asked.items()):
                if name not in found:
                    branches[send(attempt)] = name
                    if number % 20 == 19:
                        self.hear(0.05)
            self.hear(1.0)
            found |= {
                name: self.answers[branch] for branch, name in branches.items() if branch in self.answers
            }
        return found


def test_kill(tmp_path: Path) -> None:
    """Nothing that had a 200 is gone."""
    ports = {"udp": free_port()}
    options: dict[str, Any] = {"domain": DOMAIN, "config": CONFIG, "transports": ("udp",), "ports": ports}
    options["options"] = ("--store", str(tmp_path / "rows.db"))
    with closing(Client(ports["udp"])) as client:
        _play(tmp_path, options, client)


def _play(tmp_path: Path, options: dict[str, Any], client: Client) -> None:
    chance = random.Random(7)
    for _ in range(KILLS):
        server = Siege(tmp_path, **options)
        end = time.monotonic() + chance.uniform(0.2, 0.8)
        while time.monotonic() < end:
            for _ in range(5):
                client.subscribe()
                client.publish()
            client.hear(0.02)
        server.program.process.kill()
        server.program.process.wait()
        client.hear(0.05)
    assert len(client.subscribed) > 10 * KILLS
    assert len(client.published) > 10 * KILLS
    with Siege(tmp_path, **options):
        subscribed, published = dict(client.subscribed), dict(client.published)
        refreshes = {
            name: lambda attempt, name=name, tag=tag: client.request(
                "SUBSCRIBE", name, "Expires: 600\r\n", cseq=attempt, tag=tag
            )
            for name, tag in subscribed.items()
        }
        statuses = client.ask(refreshes)
        assert set(statuses.values()) == {200}
        assert len(statuses) == len(subscribed)
        # Each refresh has another tag, so each is asked for once more only if it had no answer.
        again = {
            name: lambda attempt, name=name, tag=tag: client.request(
                "PUBLISH", name, f"SIP-If-Match: {tag}\r\nExpires: 600\r\n", cseq=attempt
            )
            for name, tag in published.items()
        }
        statuses = client.ask(again)
        assert set(statuses.values()) == {200}
        assert len(statuses) == len(published)
