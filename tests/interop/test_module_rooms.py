"""Chat rooms in the installed server: what linphone says, PJSIP shows; who joined stays over a restart."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.linphone import Linphone
from tests.interop.siege import Siege
from tests.interop.test_module_calls import ctl
from tests.interop.test_module_messages import Socket
from tests.interop.test_pjsip import PjsipPhone
from tests.missing import needs_pjsua2

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

DOMAIN = "biloxi.test"
TEAM, LUNCH = f"sip:team@{DOMAIN}", f"sip:lunch@{DOMAIN}"


def config(tmp_path: Path) -> str:
    return (
        f'control = "ctl.sock"\nstore = "{tmp_path / "rooms.db"}"\n[rooms]\n'
        f'[[rooms.rooms]]\naddress = "{TEAM}"\nmembers = ["sip:alice@{DOMAIN}", "sip:bob@{DOMAIN}"]\n'
        f'[[rooms.rooms]]\naddress = "{LUNCH}"\nopen = true\n'
    )


@pytest.mark.needs("linphonec")
def test_phones(tmp_path: Path) -> None:
    """linphone writes to the room, PJSIP shows the text with its sender."""
    needs_pjsua2()
    with Siege(tmp_path, domain=DOMAIN, config=config(tmp_path)) as server:
        host, port = server.address("udp")
        (tmp_path / "linphone").mkdir()
        with PjsipPhone(tmp_path / "pjsip", host, str(port), "udp", DOMAIN, "bob") as bob:
            alice = Linphone(tmp_path / "linphone", "alice", DOMAIN, (host, port), "udp", "x")
            try:
                alice.wait_until_registered()
                alice.tell(f"chat {TEAM} shall we go")
                bob.expect(f"message <sip:alice@{DOMAIN}> shall we go")
            finally:
                alice.stop()


def test_joining(tmp_path: Path) -> None:
    """An open room: who joins is in the store, and operators see it."""
    with ExitStack() as sockets:
        with Siege(tmp_path, domain=DOMAIN, config=config(tmp_path), transports=("udp",)) as server:
            bob = Socket(server.address("udp"), sockets)
            bob.register("reg1")
            joined = bob.request("MESSAGE", "join", "Content-Type: text/plain\r\n", "/join", LUNCH, "bob")
            assert joined == "SIP/2.0 202 Accepted"
        with Siege(tmp_path, domain=DOMAIN, config=config(tmp_path), transports=("udp",)):
            assert ctl(tmp_path, "rooms.members", f"room={LUNCH}") == [f"sip:bob@{DOMAIN}"]
            assert ctl(tmp_path, "rooms.remove", f"room={LUNCH}", f"member=sip:bob@{DOMAIN}") == 0
