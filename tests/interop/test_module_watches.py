"""A list whose members are at another server: two installed servers, a watcher, and a silent victim.

Theory of operation: the first server has the list and subscribes at the second one, which has the presence of
the members. In the attack the list names many users of a place that never answers.
"""

from __future__ import annotations

import re
import socket
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.interop.siege import LOCAL, Siege
from tests.interop.test_acknowledged_events import BODY, Client
from tests.interop.test_module_presence import ctl

pytestmark = [pytest.mark.interop, pytest.mark.timeout(120)]

OWNER, LIST, ELSEWHERE = "sip:watcher@siege.test", "sip:friends@siege.test", "other.test"
PRESENCE = """
[documents]
[events]
open = true
[publications]
open = true
[presence]
interval = 0.0
"""
LISTS = """
control = "ctl.sock"
[lists]
interval = 0.0
[watches]
server = "sip:{host}:{port}"
rate = {rate}
most_of_watcher = {most}
"""


def services(*members: str) -> str:
    entries = "".join(f'<rl:entry uri="{one}"/>' for one in members)
    return (
        '<rls-services xmlns="urn:ietf:params:xml:ns:rls-services" '
        f'xmlns:rl="urn:ietf:params:xml:ns:resource-lists"><service uri="{LIST}"><list>{entries}</list>'
        "<packages><package>presence</package></packages></service></rls-services>"
    )


def put(folder: Path, *members: str) -> None:
    """Write the list of the owner."""
    body = services(*members)
    ctl(folder, "documents.put", "auid=rls-services", f"user={OWNER}", f"body={body}")


def hear_until(client: Client, wanted: str) -> None:
    """Take what comes until a NOTIFY holds ``wanted``."""
    end = time.monotonic() + 30
    while not any(wanted in body for body in client.bodies):
        assert time.monotonic() < end, f"no NOTIFY has {wanted}: {client.bodies}"
        client.hear(0.2)


def test_members_at_another_server(tmp_path: Path) -> None:
    """RFC 4662: the list shows what the other server says of its users, and each change of it."""
    (folder := tmp_path / "one").mkdir()
    (other := tmp_path / "two").mkdir()
    with Siege(other, domain=ELSEWHERE, config=PRESENCE, transports=("udp",)) as two:
        host, port = two.address("udp")
        config = LISTS.format(host=host, port=port, rate=20.0, most=10) + PRESENCE
        with (
            Siege(folder, config=config, transports=("udp",)) as one,
            closing(Client(one.address("udp")[1], "siege.test")) as watcher,
            closing(Client(port, ELSEWHERE)) as phone,
        ):
            put(folder, f"sip:zoe@{ELSEWHERE}")
            watcher.request("SUBSCRIBE", "friends", "Supported: eventlist\r\nExpires: 3600\r\n")
            hear_until(watcher, 'fullState="true"')
            kind = "Content-Type: application/pidf+xml\r\nExpires: 3600\r\n"
            phone.request("PUBLISH", "zoe", kind, BODY)
            phone.hear(1.0)
            hear_until(watcher, "<basic>open</basic>")
            watcher.bodies.clear()
            phone.request(
                "PUBLISH",
                "zoe",
                f"SIP-If-Match: {phone.published['zoe']}\r\n{kind}",
                BODY.replace("open", "closed"),
                cseq=2,
            )
            phone.hear(1.0)
            hear_until(watcher, "<basic>closed</basic>")
            (row,) = ctl(folder, "watches.list")
            assert (row["watcher"], row["state"]) == (OWNER, "active")
            # The end of the list ends what it led to.
            put(folder)
            end = time.monotonic() + 30
            while ctl(folder, "watches.list"):
                assert time.monotonic() < end, "the subscription at the other server goes on"
                watcher.hear(0.2)


def test_a_list_is_no_weapon(tmp_path: Path) -> None:
    """100 names of a victim in a list: `watches.rate` and `most_of_watcher` bound what leaves."""
    rate, most = 4.0, 10
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as victim:
        victim.bind((LOCAL, 0))
        config = LISTS.format(host=LOCAL, port=victim.getsockname()[1], rate=rate, most=most) + PRESENCE
        with (
            Siege(tmp_path, config=config, transports=("udp",)) as one,
            closing(Client(one.address("udp")[1], "siege.test")) as watcher,
        ):
            put(tmp_path, *(f"sip:u{number}@victim.test" for number in range(100)))
            began = time.monotonic()
            watcher.request("SUBSCRIBE", "friends", "Supported: eventlist\r\nExpires: 3600\r\n")
            branches: set[bytes] = set()
            while len(branches) < most and time.monotonic() < began + 20:
                watcher.hear(0.05)
                victim.settimeout(0.05)
                try:
                    data = victim.recv(65_536)
                except OSError:
                    continue
                branches |= set(re.findall(rb"branch=([^;\r]*)", data)[:1])
                assert len(branches) <= rate * (time.monotonic() - began) + 2
            assert len(branches) == most
            end = time.monotonic() + 2
            while time.monotonic() < end:
                try:
                    branches |= set(re.findall(rb"branch=([^;\r]*)", victim.recv(65_536))[:1])
                except OSError:
                    continue
            assert len(branches) == most
