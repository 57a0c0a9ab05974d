"""Bad media relays, live: silent, slow, full of nonsense. No plain call waits, and media calls end in time.

Theory of operation: the relays are fakes that keep to the protocol (tests/relays.py), for no real one can be
made to do this; the server, its sockets and its breaker are real. The honest client asks every 20 ms.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.interop.media_phone import MediaPhone
from tests.interop.siege import LOCAL, Siege
from tests.interop.test_module_calls import ctl
from tests.interop.test_sipp import OWN
from tests.relays import Engine
from tools.peers import Sipp, free_port

DOMAIN = "media.test"


@contextmanager
def slow(engine: Engine, delay: float) -> Iterator[tuple[str, int]]:
    """Serve ``engine``: each answer ``delay`` seconds late, any number at once."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((LOCAL, 0))
    timers = []

    def send(data: bytes, to: tuple[str, int]) -> None:
        try:
            sock.sendto(data, to)
        except OSError:
            # The test is over.
            pass

    def serve() -> None:
        while True:
            data, source = sock.recvfrom(65_536)
            if not data:
                return
            for each in engine.answer(data):
                timer = threading.Timer(delay, send, (each, source))
                timers.append(timer)
                timer.start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    address: tuple[str, int] = sock.getsockname()
    try:
        yield address
    finally:
        sock.sendto(b"", address)
        thread.join()
        for timer in timers:
            timer.join()
        sock.close()


def config(*places: tuple[str, int]) -> str:
    tables = "".join(f'[[media.relays]]\nuri = "ng:{host}:{port}"\n' for host, port in places)
    return f'control = "ctl.sock"\n[media]\nprofiles = ["always"]\n{tables}'


@pytest.mark.needs("sipp")
def test_a_slow_relay(tmp_path: Path) -> None:
    """300 ms a command, 15 media calls/s: all calls succeed, none waits for another, nobody else waits."""
    engine = Engine(LOCAL)
    with ExitStack() as stack:
        place = stack.enter_context(slow(engine, 0.3))
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config(place)))
        uas = free_port()
        with MediaPhone("farm", DOMAIN, siege.address("udp")) as desk:
            desk.contact = f"<sip:farm@{LOCAL}:{uas}>"
            desk.register()
        server = siege.address("udp")
        with siege.watched() as watch:
            callee = stack.enter_context(
                Sipp(OWN / "s03_call_uas.xml", server, tmp_path, local=(LOCAL, uas), calls=60, domain=DOMAIN)
            )
            callee.wait_until_bound()
            caller = stack.enter_context(
                Sipp(
                    OWN / "s03_call_uac.xml", server, tmp_path, local=(LOCAL, free_port()), calls=60,
                    service="farm", domain=DOMAIN, options=["-r", "15"],
                )
            )  # fmt: skip
            caller.succeed(30)
            callee.succeed(10)
        assert watch.lost == 0
        assert engine.commands.count("offer") == 60
        (row,) = ctl(tmp_path, "media.list")
        assert row["state"] == "up"
        deadline = time.monotonic() + 5
        while engine.calls and time.monotonic() < deadline:
            time.sleep(0.05)
        assert engine.calls == {}


def test_silent_relays(tmp_path: Path) -> None:
    """All are silent: the first call gets 503 after the deadlines, the next at once; a BYE does not wait."""
    engines = [Engine(LOCAL) for _ in range(2)]
    with ExitStack() as stack:
        places = [stack.enter_context(slow(one, 0.0)) for one in engines]
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config(*places)))
        alice, bob = (
            stack.enter_context(MediaPhone(name, DOMAIN, siege.address("udp"))) for name in ("alice", "bob")
        )
        for phone in (alice, bob):
            phone.register()
        alice.invite(bob.aor, alice.sdp())
        invite = bob.expect("INVITE")
        bob.answer(invite, "200 OK", bob.sdp())
        alice.established(alice.expect("200"))
        bob.expect("ACK")
        for one in engines:
            one.mood = "silent"
        with siege.watched() as watch:
            begun = time.monotonic()
            alice.within("BYE")
            bob.answer(bob.expect("BYE"), "200 OK")
            alice.expect("200")
            assert time.monotonic() - begun < 0.5
            took = []
            for _ in range(3):
                begun = time.monotonic()
                alice.invite(bob.aor, alice.sdp())
                refused = alice.expect("503")
                took.append(time.monotonic() - begun)
                assert refused.get("retry-after") == "10"
                alice.acknowledge(refused)
        assert took[0] < 3.0
        assert max(took[1:]) < 0.5
        assert watch.lost == 0
        assert {row["state"] for row in ctl(tmp_path, "media.list")} == {"down"}
        assert "no media relay for the call" in siege.log


@pytest.mark.parametrize("mood", ["garbage", "nonsense", "wrong", "twice"])
def test_nonsense(mood: str, tmp_path: Path) -> None:
    """What a relay says costs nobody anything, and leaves no trace but a line in the log."""
    engine = Engine(LOCAL)
    with ExitStack() as stack:
        place = stack.enter_context(slow(engine, 0.0))
        siege = stack.enter_context(Siege(tmp_path, domain=DOMAIN, config=config(place)))
        alice, bob = (
            stack.enter_context(MediaPhone(name, DOMAIN, siege.address("udp"))) for name in ("alice", "bob")
        )
        for phone in (alice, bob):
            phone.register()
        engine.mood = mood
        with siege.watched() as watch:
            alice.invite(bob.aor, alice.sdp())
            if mood == "twice":
                assert "m=audio 3000" in bob.expect("INVITE").body
            else:
                assert alice.expect("503")
        assert watch.lost == 0
