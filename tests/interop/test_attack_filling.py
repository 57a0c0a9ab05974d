"""Strangers who keep the server's memory busy: silent phones, phones that ring for ever, endless dialogs."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.phone import Phone
from tests.interop.siege import TRANSPORTS, Siege, request

# Loopback is where these attackers are, and where the limits by source do not hold by default.
COUNTED = "[limits]\nlimit_loopback = true\n"


def reply(data: bytes, status: str, tag: str) -> bytes:
    """Return the answer of a phone to a request."""
    wanted = (b"via:", b"from:", b"to:", b"call-id:", b"cseq:", b"record-route:")
    lines = [
        line for line in data.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:] if line.lower().startswith(wanted)
    ]
    lines = [line + f";tag={tag}".encode() if line.lower().startswith(b"to:") else line for line in lines]
    return b"\r\n".join([f"SIP/2.0 {status}".encode(), *lines, b"Content-Length: 0\r\n\r\n"])


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_flood_to_a_silent_phone(tmp_path: Path, transport: str) -> None:
    """4,000 INVITEs a second got honest registrations 503 and took 900 MB: now a hundred wait, no more."""
    with Siege(tmp_path, config=COUNTED) as siege, ExitStack() as stack:
        bob = stack.enter_context(Phone("bob", siege.domain, "udp", siege.address("udp")))
        bob.register()
        carol = stack.enter_context(Phone("carol", siege.domain, "udp", siege.address("udp")))
        with siege.watched() as watch:
            for last in range(2, 12):
                with siege.line(transport, source=(f"127.0.0.{last}", 0)) as stranger:
                    for _ in range(400):
                        stranger.send(request("INVITE", f"sip:bob@{siege.domain}", stranger))
                carol.register()
        log = siege.log
    assert "limits.pending_per_callee reached by sip:bob@siege.test" in log
    assert "limits.transactions reached" not in log
    assert watch.grown < 30_000_000


def test_a_flood_from_one_source(tmp_path: Path) -> None:
    """Above its rate a source is not answered any more, and the log says which limit acted."""
    config = COUNTED + "source_rate = 50\nsource_burst = 100\n"
    with Siege(tmp_path, config=config) as siege:
        with siege.line("udp", source=("127.0.0.9", 0)) as stranger:
            for _ in range(1_000):
                stranger.send(request("MESSAGE", f"sip:nobody@{siege.domain}", stranger))
            answers = {one.split(b"Call-ID: ")[1].split(b"\r\n")[0] for one in stranger.received()}
        log = siege.log
    assert 100 <= len(answers) < 300
    assert "limits.source_rate reached by 127.0.0.9" in log


def test_a_carrier_is_not_limited(tmp_path: Path) -> None:
    """[[trusted]]: many callers share a carrier's one address."""
    config = COUNTED + "source_rate = 50\nsource_burst = 100\n\n[[trusted]]\naddress = '127.0.0.8'\n"
    with Siege(tmp_path, config=config) as siege, siege.line("udp", source=("127.0.0.8", 0)) as carrier:
        for number in range(400):
            carrier.send(request("MESSAGE", f"sip:nobody@{siege.domain}", carrier))
            assert carrier.receive().startswith(b"SIP/2.0 404 "), number


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_phone_that_rings_for_ever(tmp_path: Path, transport: str) -> None:
    """The called side goes on sending a 180, each with a To tag of its own: the call ends all the same."""
    config = "[limits]\nring_time = 3.0\nearly_dialogs = 4\n"
    with Siege(tmp_path, config=config) as siege, siege.watched(), ExitStack() as stack:
        caller = stack.enter_context(siege.line("udp"))
        called = stack.enter_context(siege.line(transport))
        named = "" if transport == "udp" else f";transport={transport}"
        contact = f"Contact: <sip:bob@{called.sent_by}{named}>"
        aor = f"sip:bob@{siege.domain}"
        called.send(request("REGISTER", f"sip:{siege.domain}", called, to=f"<{aor}>", lines=[contact]))
        assert called.receive().startswith(b"SIP/2.0 200 ")
        caller.send(request("INVITE", aor, caller))
        invite = called.receive()
        begun = time.monotonic()
        for number in range(100):
            called.send(reply(invite, "180 Ringing", f"t{number}"))
            time.sleep(0.05)
        answers = [one.split(b" ")[1] for one in caller.received()]
        asked = [one.split(b" ")[0] for one in called.received()]
    assert answers[:5] == [b"100"] + [b"180"] * 4
    assert answers[5] == b"408"
    assert set(answers[5:]) == {b"408"}
    assert b"CANCEL" in asked
    assert time.monotonic() - begun < 10
    assert "limits.ring_time reached" in siege.log
