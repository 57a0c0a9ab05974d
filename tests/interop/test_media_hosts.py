"""A third host, in a network namespace of its own, injects RTP into a call: nobody hears it.

Theory of operation: the server with Debian's rtpengine, the phones, and the third host each have a namespace
and an address of their own, on one bridge; no packet leaves the machine.
"""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.homes import Internet, inside
from tests.interop.media_phone import MediaPhone
from tests.interop.rtpengine import Rtpengine, rtp
from tests.interop.test_media import DOMAIN, config, hear_each_other, talk
from tools.peers import sansip_serve

SERVER, PHONES, EVE = "203.0.113.10", "203.0.113.20", "203.0.113.66"

pytestmark = [pytest.mark.needs("rtpengine", "ip"), pytest.mark.timeout(120)]


@pytest.mark.parametrize("strict", [True, False])
def test_a_third_host(strict: bool, tmp_path: Path) -> None:
    """It sends to both ports of the relay, and nothing of that passes; without `strict_source` all does."""
    with ExitStack() as stack:
        internet = stack.enter_context(Internet())
        server, phones, far = (
            internet.host(name, address)
            for name, address in (("server", SERVER), ("phones", PHONES), ("eve", EVE))
        )
        with inside(server):
            # docs/modules/media.md: this version hears of no learning key from us.
            relay = stack.enter_context(
                Rtpengine(tmp_path, addresses=(SERVER,), options=["--endpoint-learning=immediate"])
            )
            path = tmp_path / "media.toml"
            path.write_text(config([relay], more="" if strict else "strict_source = false\n"))
            stack.enter_context(
                sansip_serve(
                    tmp_path, [f"udp:{SERVER}:5060"], [DOMAIN], ["--config", str(path), "--auth", "none"]
                )
            )
        with inside(phones):
            alice, bob = (
                stack.enter_context(MediaPhone(name, DOMAIN, (SERVER, 5060), host=PHONES))
                for name in ("alice", "bob")
            )
        with inside(far):
            eve = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            eve.bind((EVE, 0))
        eve.setblocking(False)
        for phone in (alice, bob):
            phone.register()
        talk(alice, bob)
        hear_each_other(alice, bob, 10)
        places = [phone.audio.remote for phone in (alice, bob)]
        for number in range(150):
            for place in places:
                assert place is not None
                eve.sendto(rtp(number, 0xE7E), place)
            time.sleep(0.01)
        hear_each_other(alice, bob)
        assert (alice.audio.heard[0xE7E] == bob.audio.heard[0xE7E] == 0) is strict
        # RTP bleed: nothing of the call goes to it.
        with pytest.raises(BlockingIOError):
            eve.recv(2_048)
