"""ng over WebSocket with TLS: the real rtpengine's own HTTPS listener, and its certificate."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.interop.media_phone import MediaPhone
from tests.interop.rtpengine import Rtpengine
from tests.interop.siege import Siege
from tests.interop.test_media import DOMAIN, hear_each_other, talk
from tests.interop.test_module_calls import ctl
from tools.peers import free_port

pytestmark = [pytest.mark.needs("rtpengine"), pytest.mark.timeout(120)]


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "strange"])
def test_over_wss(trusted: bool, tmp_path: Path) -> None:
    """Commands go to a relay that proves its name; to one of another authority none goes."""
    authority = Authority(tmp_path)
    other = Authority(tmp_path, "other")
    certificate = (authority if trusted else other).issue("relay.pem", "relay.test")
    port = free_port()
    with ExitStack() as stack:
        options = [
            f"--listen-https=127.0.0.1:{port}",
            f"--https-cert={certificate}",
            f"--https-key={certificate}",
        ]
        relay = stack.enter_context(Rtpengine(tmp_path, options=options))
        config = (
            f'control = "ctl.sock"\n[tls]\nauthorities = "{authority.authority}"\n[calls]\n[media]\n'
            f'profiles = ["always"]\n[[media.relays]]\nuri = "ng+wss:127.0.0.1:{port}"\nname = "relay.test"\n'
        )
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config))
        alice, bob = (
            stack.enter_context(MediaPhone(name, DOMAIN, siege.address("udp"))) for name in ("alice", "bob")
        )
        for phone in (alice, bob):
            phone.register()
        if not trusted:
            deadline = time.monotonic() + 5
            while (row := ctl(tmp_path, "media.list")[0])["state"] != "down":
                assert time.monotonic() < deadline, row
                time.sleep(0.1)
            alice.invite(bob.aor, alice.sdp())
            alice.acknowledge(alice.expect("503"))
            assert relay.sessions == 0
            return
        talk(alice, bob)
        hear_each_other(alice, bob)
        alice.within("BYE")
        bob.answer(bob.expect("BYE"), "200 OK")
        alice.expect("200")
        relay.wait_until_empty()
