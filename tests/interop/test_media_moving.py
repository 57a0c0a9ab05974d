"""A call moves from one rtpengine to another while both sides talk: audio counted before, and after.

Theory of operation: two real relays, and an operator who moves the call. The phones are ours, where a test
says what they answer, and baresip, which answers as it likes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.interop.baresip import Baresip
from tests.interop.media_phone import MediaPhone
from tests.interop.rtpengine import Rtpengine
from tests.interop.siege import Siege
from tests.interop.test_media import DOMAIN, config, flows, hear_each_other, talk
from tests.interop.test_module_calls import ctl

pytestmark = [pytest.mark.needs("rtpengine"), pytest.mark.timeout(120)]


class Place:
    """A server with two relays."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self.directory = directory
        self.relays = [stack.enter_context(Rtpengine(directory)) for _ in range(2)]
        text = config(self.relays, calls=True)
        self.siege = stack.enter_context(Siege(directory, domain=DOMAIN, config=text))
        self._threads = stack.enter_context(ThreadPoolExecutor(1))

    def sides(self) -> tuple[Rtpengine, Rtpengine]:
        """Return the relay of the only call, and the other one."""
        (row,) = ctl(self.directory, "media.calls")
        first, second = self.relays
        return (first, second) if row["relay"] == first.uri else (second, first)

    def move(self) -> Future[Any]:
        """Have the operator move the call; the result comes when it is done."""
        (row,) = ctl(self.directory, "media.calls")
        return self._threads.submit(ctl, self.directory, "media.move", f"id={row['id']}")


@contextmanager
def talking(directory: Path) -> Iterator[tuple[Place, MediaPhone, MediaPhone]]:
    with ExitStack() as stack:
        place = Place(stack, directory)
        alice, bob = (
            stack.enter_context(MediaPhone(name, DOMAIN, place.siege.address("udp")))
            for name in ("alice", "bob")
        )
        for phone in (alice, bob):
            phone.register()
        talk(alice, bob)
        hear_each_other(alice, bob)
        yield place, alice, bob


def test_moved(tmp_path: Path) -> None:
    """Both sides hear each other over the second relay; later offers and the BYE pass, in CSeq's order."""
    with talking(tmp_path) as (place, alice, bob):
        old, new = place.sides()
        moving = place.move()
        for phone in (bob, alice):
            invite = phone.expect("INVITE")
            phone.listen_to(invite.body)
            assert phone.audio.remote is not None
            assert new.has(phone.audio.remote[1])
            phone.answer(invite, "200 OK", phone.sdp())
            phone.expect("ACK")
        assert moving.result(10)["relay"] == new.uri
        hear_each_other(alice, bob)
        old.wait_until_empty()
        assert new.sessions == 1
        # Alice knows of no re-INVITE but of the one she got.
        alice.within("INVITE", alice.sdp())
        held = bob.expect("INVITE")
        bob.listen_to(held.body)
        bob.answer(held, "200 OK", bob.sdp())
        ok = alice.expect("200")
        alice.listen_to(ok.body)
        alice.established(ok)
        bob.expect("ACK")
        hear_each_other(alice, bob)
        alice.within("BYE")
        bob.answer(bob.expect("BYE"), "200 OK")
        alice.expect("200")
        new.wait_until_empty()


def test_refused(tmp_path: Path) -> None:
    """The caller refuses: the callee is asked to go back, and both still hear each other."""
    with talking(tmp_path) as (place, alice, bob):
        old, new = place.sides()
        moving = place.move()
        for _ in range(2):
            invite = bob.expect("INVITE")
            bob.listen_to(invite.body)
            bob.answer(invite, "200 OK", bob.sdp())
            bob.expect("ACK")
            if _ == 0:
                alice.answer(alice.expect("INVITE"), "488 Not Acceptable Here")
                alice.expect("ACK")
        with pytest.raises((AssertionError, subprocess.CalledProcessError)):
            moving.result(10)
        assert bob.audio.remote is not None
        assert old.has(bob.audio.remote[1])
        hear_each_other(alice, bob)
        new.wait_until_empty()
        assert old.sessions == 1


@pytest.mark.needs("baresip")
def test_baresip_moves(tmp_path: Path) -> None:
    """Two baresips follow, there and back again; then one hangs up."""
    with ExitStack() as stack:
        place = Place(stack, tmp_path)
        alice, bob = (
            stack.enter_context(Baresip(tmp_path / name, name, DOMAIN, place.siege.address("udp"), "udp"))
            for name in ("alice", "bob")
        )
        for phone in (alice, bob):
            phone.wait_until_registered()
        alice.call(bob)
        for _ in range(2):
            old, new = place.sides()
            flows(old, 2)
            assert place.move().result(15)["relay"] == new.uri
            flows(new, 2)
            old.wait_until_empty()
        alice.command("hangup")
        bob.wait_for("CALL_CLOSED")
        new.wait_until_empty()
