"""Peers that the server called answer with hostile messages; a call beside them goes on."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from sansip_server.pinger import Pinger, Target
from tests.interop.line import Closed
from tests.interop.phone import Phone
from tests.interop.siege import LOCAL, TRANSPORTS, Siege, request
from tests.interop.test_attack_filling import reply


def hostile(invite: bytes) -> list[bytes]:
    """The answers of one callee to one INVITE; over UDP each is cut to the size of a datagram."""
    contact = b",".join(b"<sip:%d@h>" % number for number in range(3_000))
    answers = [
        reply(invite, "302 Moved", "a").replace(
            b"Content-Length", b"Contact: " + contact + b"\r\nContent-Length"
        ),
        reply(invite, "200 OK", "b").replace(
            b"Content-Length", b"Subject: " + b"x" * 60_000 + b"\r\nContent-Length"
        ),
        reply(invite, "486 Busy", "c").replace(
            b"Content-Length: 0\r\n\r\n", b"Content-Length: 90000\r\n\r\n" + b"x" * 90_000
        ),
        reply(invite, "401 Who", "d").replace(
            b"Content-Length", b'WWW-Authenticate: Digest realm="x", nonce="y"\r\n' * 500 + b"Content-Length"
        ),
    ]
    answers += [reply(invite, "180 Ringing", f"e{number}") for number in range(300)]
    answers += [reply(invite, "200 OK", f"f{number}") for number in range(300)]
    return [*answers, reply(invite, "200 OK", "g").replace(b"Content-Length: 0", b"Content-Length: 60000")]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_hostile_answers(tmp_path: Path, transport: str) -> None:
    """Thousands of Contacts, challenges and tags, fields of 60 KB, a body that never comes."""
    with Siege(tmp_path, config="[proxy]\nrecurse = true\n") as siege, ExitStack() as stack:
        alice = stack.enter_context(Phone("alice", siege.domain, "udp", siege.address("udp")))
        carol = stack.enter_context(Phone("carol", siege.domain, transport, siege.address(transport)))
        alice.register()
        carol.register()
        alice.invite(carol.aor)
        ringing = carol.expect("INVITE")
        carol.answer(ringing, "180 Ringing")
        alice.expect("180")
        with siege.watched() as watch:
            for _ in range(3):
                caller = stack.enter_context(siege.line("udp"))
                called = stack.enter_context(siege.line(transport))
                named = "" if transport == "udp" else f";transport={transport}"
                contact = f"Contact: <sip:bob@{called.sent_by}{named}>;expires=60"
                aor = f"sip:bob@{siege.domain}"
                called.send(
                    request("REGISTER", f"sip:{siege.domain}", called, to=f"<{aor}>", lines=[contact])
                )
                assert called.receive().startswith(b"SIP/2.0 200 ")
                caller.send(request("INVITE", aor, caller, lines=[f"Contact: <sip:x@{caller.sent_by}>"]))
                for answer in hostile(called.receive()):
                    with suppress(OSError):
                        called.send(answer[:60_000] if transport == "udp" else answer)
                statuses = [one.split(b" ")[1] for one in caller.received()]
                assert statuses.count(b"180") <= 64
                assert statuses.count(b"200") <= 65
        carol.answer(ringing, "200 OK")
        alice.established(alice.expect("200"))
        carol.expect("ACK")
    assert watch.spent < 3.0
    assert watch.grown < 30_000_000


def test_a_secret_of_the_second_answer(tmp_path: Path) -> None:
    """RFC 3325 7: a caller who sends no ACK gets the 2xx again, and no copy names the called user."""
    with Siege(tmp_path, config="[[trusted]]\naddress = '127.0.0.8'\n") as siege, ExitStack() as stack:
        caller = stack.enter_context(siege.line("udp"))
        carrier = stack.enter_context(siege.line("udp", source=("127.0.0.8", 0)))
        aor = f"sip:bob@{siege.domain}"
        contact = f"Contact: <sip:bob@{carrier.sent_by}>;expires=60"
        carrier.send(request("REGISTER", f"sip:{siege.domain}", carrier, to=f"<{aor}>", lines=[contact]))
        assert carrier.receive().startswith(b"SIP/2.0 200 ")
        caller.send(request("INVITE", aor, caller, lines=[f"Contact: <sip:x@{caller.sent_by}>"]))
        secret = b"P-Asserted-Identity: <sip:secret@carrier.test>\r\nPrivacy: id\r\nContent-Length"
        answer = reply(carrier.receive(), "200 OK", "b").replace(b"Content-Length", secret)
        for _ in range(3):
            carrier.send(answer)
        copies = [one for one in caller.received() if one.startswith(b"SIP/2.0 200 ")]
        assert len(copies) == 3
        assert b"secret" not in b"".join(copies)


@pytest.mark.parametrize("answer", [b"Content-Length: 60000\r\n\r\n", b"X: " + b"x" * 70_000, b"\r\n" * 50])
def test_a_ping_that_is_answered_in_part(answer: bytes) -> None:
    """``sansip ping`` ends when it said that it would, with any peer at the other end."""
    with socket.create_server((LOCAL, 0)) as server:
        ended = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError, Closed):
                connection.recv(65_536)
                connection.sendall(b"SIP/2.0 200 OK\r\n" + answer)
                ended.wait(5.0)

        thread = threading.Thread(target=serve)
        thread.start()
        address = server.getsockname()
        pinger = Pinger(Target(f"sip:{LOCAL}:{address[1]};transport=tcp", "tcp", address))
        try:
            outcome = pinger.ping(1, 0.5)
        finally:
            ended.set()
            pinger.close()
            thread.join()
    assert outcome.status is None
    assert outcome.reason
