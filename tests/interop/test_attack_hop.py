"""A host that has seen the branch of a call speaks for the caller, or for the callee."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.interop.line import Line, Silence
from tests.interop.siege import Siege, request

STRANGER = ("127.0.0.3", 0)


def answer_to(data: bytes, status: str, tag: str) -> bytes:
    """A response as a phone writes it: the repeated fields, and its tag."""
    lines = [line for line in data.split(b"\r\n") if re.match(rb"(?:Via|From|To|Call-ID|CSeq):", line)]
    lines = [line + f";tag={tag}".encode() if line.startswith(b"To:") else line for line in lines]
    return b"\r\n".join([f"SIP/2.0 {status}".encode(), *lines, b"Content-Length: 0", b"", b""])


def until(line: Line, begin: bytes) -> bytes:
    """The next message that begins with ``begin``."""
    while not (data := line.receive()).startswith(begin):
        pass
    return data


def test_who_is_believed_about_a_call(tmp_path: Path) -> None:
    """RFC 3261 9.2, 18.1.2: neither a CANCEL nor an answer of a third host changes anything."""
    with Siege(tmp_path) as siege, siege.watched():
        domain = siege.domain
        with (
            siege.line("udp") as bob,
            siege.line("udp") as alice,
            siege.line("udp", source=STRANGER) as mallory,
        ):
            aor = f"sip:bob@{domain}"
            contact = f"Contact: <sip:bob@{bob.sent_by}>"
            bob.send(
                request(
                    "REGISTER", f"sip:{domain}", bob, from_=f"<{aor}>;tag=b", to=f"<{aor}>", lines=[contact]
                )
            )
            until(bob, b"SIP/2.0 200 ")
            sent = request("INVITE", aor, alice, branch="z9hG4bKseen")
            alice.send(sent)
            invite = until(bob, b"INVITE ")
            # The values of the call that the attacker saw, sent from another host.
            mallory.send(answer_to(invite, "603 Decline", "mallory"))
            mallory.send(sent.replace(b"INVITE sip:", b"CANCEL sip:").replace(b"1 INVITE", b"1 CANCEL"))
            until(mallory, b"SIP/2.0 481 ")
            bob.send(answer_to(invite, "180 Ringing", "bob"))
            assert b"tag=bob" in until(alice, b"SIP/2.0 180 ")
            with pytest.raises(Silence):
                bob.receive(0.3)
            bob.send(answer_to(invite, "486 Busy", "bob"))
            assert b"tag=bob" in until(alice, b"SIP/2.0 486 ")
        assert siege.log.count("(proxy.same_hop)") == 2, siege.log
