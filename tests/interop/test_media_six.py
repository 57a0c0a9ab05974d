"""Calls over IPv6, with a real rtpengine: hold by either side, a transfer, a fork; a phone of each family."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.media_phone import MediaPhone
from tests.interop.rtpengine import Rtpengine
from tests.interop.siege import Siege
from tests.interop.test_media import DOMAIN, config, hear_each_other, talk
from tests.interop.test_module_calls import ctl
from tools.peers import free_port

pytestmark = [pytest.mark.needs("rtpengine"), pytest.mark.timeout(120)]
LOCAL, SIX = "127.0.0.1", "::1"


def served(stack: ExitStack, directory: Path) -> tuple[Rtpengine, int]:
    """Start a relay and a server with addresses of both families; return the relay and the port."""
    relay = stack.enter_context(Rtpengine(directory, addresses=(LOCAL, SIX)))
    port = free_port()
    listen = f'listen = ["udp:{LOCAL}:{port}", "udp:[::1]:{port}"]\n'
    profiles = '"always", "ipv4-ipv6"'
    text = listen + config([relay], profiles)
    stack.enter_context(Siege(directory, domain=DOMAIN, config=text, transports=()))
    return relay, port


def offers(one: MediaPhone, other: MediaPhone, directions: tuple[str, str]) -> None:
    """Have ``one`` send a re-INVITE with a direction, and ``other`` answer with one."""
    one.within("INVITE", one.sdp(directions[0]))
    invite = other.expect("INVITE")
    other.listen_to(invite.body)
    other.answer(invite, "200 OK", other.sdp(directions[1]))
    ok = one.expect("200")
    one.listen_to(ok.body)
    one.established(ok)
    other.expect("ACK")


@pytest.mark.parametrize("host", [SIX, LOCAL], ids=["IPv6", "both"])
def test_hold(host: str, tmp_path: Path) -> None:
    """RFC 3264 8.4: each side holds and resumes; who is held hears, and who holds does not."""
    with ExitStack() as stack:
        relay, port = served(stack, tmp_path)
        alice = stack.enter_context(MediaPhone("alice", DOMAIN, (host, port), host=host))
        bob = stack.enter_context(MediaPhone("bob", DOMAIN, (SIX, port), host=SIX))
        for phone in (alice, bob):
            phone.register()
        talk(alice, bob)
        hear_each_other(alice, bob)
        for phone, side in ((alice, host), (bob, SIX)):
            assert phone.audio.remote is not None
            assert phone.audio.remote[0] == side
            assert relay.has(phone.audio.remote[1])
        for holds, held in ((alice, bob), (bob, alice)):
            offers(holds, held, ("sendonly", "recvonly"))
            # RFC 3264 6.1: what is recvonly sends nothing.
            held.audio.remote = None
            time.sleep(0.2)
            before = holds.audio.heard[held.audio.ssrc]
            held.audio.wait(held.audio.heard[holds.audio.ssrc] + 25, holds.audio.ssrc)
            assert holds.audio.heard[held.audio.ssrc] == before
            offers(holds, held, ("sendrecv", "sendrecv"))
            hear_each_other(alice, bob)
        assert relay.sessions == 1
        bob.within("BYE")
        alice.answer(alice.expect("BYE"), "200 OK")
        bob.expect("200")
        relay.wait_until_empty()
        assert ctl(tmp_path, "media.calls") == []


def test_transferred(tmp_path: Path) -> None:
    """RFC 5589 6: Bob sends Alice on to Carol by REFER, and hangs up: over IPv6 those two hear each other."""
    with ExitStack() as stack:
        relay, port = served(stack, tmp_path)
        alice, bob, carol = (
            stack.enter_context(MediaPhone(name, DOMAIN, (SIX, port), host=SIX))
            for name in ("alice", "bob", "carol")
        )
        for phone in (alice, bob, carol):
            phone.register()
        talk(alice, bob)
        hear_each_other(alice, bob)
        bob.within("REFER", headers=[f"Refer-To: <{carol.aor}>", f"Contact: {bob.contact}"])
        refer = alice.expect("REFER")
        assert carol.aor in refer.get("refer-to")
        alice.answer(refer, "202 Accepted")
        bob.expect("202")
        bob.within("BYE")
        alice.answer(alice.expect("BYE"), "200 OK")
        bob.expect("200")
        relay.wait_until_empty()
        talk(alice, carol)
        hear_each_other(alice, carol)
        assert carol.audio.remote is not None
        assert (carol.audio.remote[0], relay.has(carol.audio.remote[1])) == (SIX, True)
        # Nobody hears who has gone.
        heard = bob.audio.heard.total()
        time.sleep(0.3)
        assert bob.audio.heard.total() == heard
        carol.within("BYE")
        alice.answer(alice.expect("BYE"), "200 OK")
        carol.expect("200")
        relay.wait_until_empty()
        assert ctl(tmp_path, "media.calls") == []


def test_a_fork(tmp_path: Path) -> None:
    """Two phones ring with ports of their own over IPv6; the winner is heard, the loser's part is deleted."""
    with ExitStack() as stack:
        relay, port = served(stack, tmp_path)
        alice, winner, loser = (
            stack.enter_context(MediaPhone(name, DOMAIN, (SIX, port), host=SIX))
            for name in ("alice", "bob", "bob")
        )
        for phone in (alice, winner, loser):
            phone.register()
        alice.invite(winner.aor, alice.sdp())
        invites = [phone.expect("INVITE") for phone in (winner, loser)]
        for phone, invite in zip((winner, loser), invites, strict=True):
            phone.listen_to(invite.body)
            phone.answer(invite, "180 Ringing")
            alice.expect("180")
        assert winner.audio.remote != loser.audio.remote
        winner.answer(invites[0], "200 OK", winner.sdp())
        ok = alice.expect("200")
        alice.listen_to(ok.body)
        alice.established(ok)
        winner.expect("ACK")
        loser.answer(loser.expect("CANCEL"), "200 OK")
        loser.answer(invites[1], "487 Request Terminated")
        hear_each_other(alice, winner)
        assert relay.sessions == 1
        alice.within("BYE")
        winner.answer(winner.expect("BYE"), "200 OK")
        alice.expect("200")
        relay.wait_until_empty()
