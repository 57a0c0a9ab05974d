"""A phone gets another address in the middle of a call with media: Debian's rtpengine, audio counted."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.media_phone import MediaPhone
from tests.interop.rtpengine import Rtpengine
from tests.interop.siege import Siege
from tests.interop.test_media import DOMAIN, config, hear_each_other, talk

pytestmark = [pytest.mark.needs("rtpengine"), pytest.mark.timeout(120)]


@pytest.mark.parametrize("ends", ["alice", "bob"])
def test_a_phone_gets_another_address(ends: str, tmp_path: Path) -> None:
    """RFC 5626 5.3.2: Bob, over WebSocket, registers again from elsewhere, and sends no re-INVITE.

    Alice's re-INVITE comes to him there by the relay, they hear each other, and the BYE of either ends the
    media at once: there is no module ``calls`` that would end them.
    """
    with ExitStack() as stack:
        relay = stack.enter_context(Rtpengine(tmp_path))
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config([relay])))
        alice = stack.enter_context(MediaPhone("alice", DOMAIN, siege.address("udp")))
        first, bob = (
            stack.enter_context(MediaPhone("bob", DOMAIN, siege.address("ws"), host=host, transport="ws"))
            for host in ("127.0.0.2", "127.0.0.3")
        )
        for phone in (alice, first):
            phone.register()
        talk(alice, first)
        hear_each_other(alice, first)
        first.audio.remote = None
        bob.go_on(first)
        bob.register()
        alice.within("INVITE", alice.sdp())
        again = bob.expect("INVITE")
        bob.listen_to(again.body)
        assert bob.audio.remote is not None
        assert relay.has(bob.audio.remote[1])
        bob.answer(again, "200 OK", bob.sdp())
        ok = alice.expect("200")
        alice.listen_to(ok.body)
        alice.established(ok)
        bob.expect("ACK")
        hear_each_other(alice, bob)
        assert relay.sessions == 1
        one, other = (alice, bob) if ends == "alice" else (bob, alice)
        one.within("BYE")
        other.answer(other.expect("BYE"), "200 OK")
        one.expect("200")
        relay.wait_until_empty()
