"""RFC 4475 and RFC 5118 messages, sent over UDP to the running server.

``table.json`` says which statuses conform. Each message is sent from an address of
its own (127.0.78.x), so that a late answer is never taken for another message's, and
from port 5060, because RFC 3261 18.2.2 answers a Via without ``rport`` at its sent-by
port. An OPTIONS right after each message shows that the server still serves others.
"""

from __future__ import annotations

import itertools
import json
import re
import select
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import TARGET, Server

DATA = Path(__file__).parents[2] / "conformance" / "sansip_conformance" / "data"
# The harness finds these in Kamailio 5.6.3.
KAMAILIO_MISSES = {"wsinv", "intmeth", "escnull", "esc02", "dblreq", "unkscm", "novelsc", "bext01", "multi01"}


def cases() -> list[Any]:
    """Return (file, table entry, number of the server to send it to)."""
    found = []
    seen: Counter[tuple[str, str]] = Counter()
    for rfc in ("rfc4475", "rfc5118"):
        for entry in json.loads((DATA / rfc / "table.json").read_text())["messages"]:
            # The archived RFC 5118 files have slips in Content-Length that are not what they test.
            files = {entry.get("file_cl_fixed", entry["file"])}
            # A copy with ;rport: the answer must come to the source port whatever the Via says.
            rport = Path("messages_rport") / Path(entry["file"]).name
            if (DATA / rfc / rport).exists():
                files.add(str(rport))
            for file in sorted(files):
                path = DATA / rfc / file
                # Many of them share sent-by and branch: to one server they would be retransmissions of
                # one request (RFC 3261 17.2.3), so each goes to a server that has not seen the pair.
                key = transaction_key(path.read_bytes())
                name = f"{rfc}-{entry['name']}{'-rport' * ('rport' in file)}"
                missed = TARGET == "kamailio" and entry["name"] in KAMAILIO_MISSES
                marks = [pytest.mark.xfail(reason="Kamailio 5.6.3 misses this one")] if missed else []
                found.append(pytest.param(path, entry, seen[key], id=name, marks=marks))
                seen[key] += 1
    return found


def transaction_key(message: bytes) -> tuple[str, str]:
    """Return sent-by and branch of the top Via, or the Call-ID for a sender without a branch (RFC 2543)."""
    text = message.decode("latin-1")
    via = re.search(r"(?ims)^(?:via|v)\s*:(.*?)\r\n(?![ \t])", text)
    sent_by, _, params = (via[1] if via else "").partition(";")
    branch = re.search(r"branch\s*=\s*([^\s;,]*)", params, re.IGNORECASE)
    call_id = re.search(r"(?im)^(?:call-id|i)\s*:\s*(\S+)", text)
    mark = branch or call_id
    return sent_by.split()[-1] if sent_by.split() else "", mark[1] if mark else ""


CASES = cases()
SOURCES = (f"127.0.78.{number}" for number in itertools.count(1))


def via_port(message: bytes) -> int:
    """Where RFC 3261 18.2.2 sends the answer: the port of the top Via, or 5060."""
    match = re.search(rb"^(?:via|v)\s*:[^\r\n;,]*?:(\d+)\s*[;\r]", message, re.IGNORECASE | re.MULTILINE)
    return int(match[1]) if match else 5060


def statuses(sockets: list[socket.socket], wait: float) -> list[int]:
    """Collect final answers; ``wait`` s for the first one, a moment more for others."""
    found: list[int] = []
    deadline = time.monotonic() + wait
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select(sockets, [], [], left)
        for sock in ready:
            match = re.match(rb"SIP/2\.0 ([1-6]\d\d) ", sock.recv(65_535))
            assert match is not None, "the server sent something else than a response"
            if match[1] >= b"200":
                found.append(int(match[1]))
                deadline = min(deadline, time.monotonic() + 0.1)
    return found


def options(source: str, number: int) -> bytes:
    return (
        f"OPTIONS sip:example.com SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {source}:5061;branch=z9hG4bKalive{number};rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:t@example.com>;tag=1\r\nTo: <sip:example.com>\r\n"
        f"Call-ID: alive{number}@{source}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(("path", "entry", "number"), CASES)
def test_message(
    path: Path, entry: dict[str, Any], number: int, example_com: Callable[[int], Server]
) -> None:
    """The table's status or silence, and everyone else is served meanwhile."""
    server = example_com(number)
    message = path.read_bytes()
    source = next(SOURCES)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        sender.bind((source, 5060))
        other.bind((source, 5061))
        port = via_port(message)
        elsewhere.bind((source, 0 if port in (5060, 5061) else port))
        sender.sendto(message, server.v4)
        other.sendto(options(source, server.port), server.v4)
        assert 200 in statuses([other], 5.0), "the server no longer answers others"
        # Messages are handled in order: what was to be answered has been by now.
        expected = entry.get("expect_response", "yes") == "yes"
        found = statuses([sender, elsewhere], 3.0 if expected else 0.3)
    if entry.get("expect_response") == "no":
        assert found == [], "a response, or what must be discarded, is not answered"
        return
    if expected:
        assert found, "no answer"
    for status in found:
        assert status not in (entry["udp_must_not_status"] or [])
        if entry["udp_accept_status"]:
            assert status in entry["udp_accept_status"]


def test_the_undocumented_file(example_com: Callable[[int], Server]) -> None:
    """The archive's 50th file is no SIP at all; whatever becomes of it, others are served."""
    server = example_com(0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((next(SOURCES), 5061))
        sock.sendto((DATA / "rfc4475" / "messages" / "test.dat").read_bytes(), server.v4)
        sock.sendto(options(sock.getsockname()[0], server.port), server.v4)
        assert 200 in statuses([sock], 5.0)
