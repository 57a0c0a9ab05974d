"""A hostile user registers Contacts that lead back, multiply, fill, or are no phones."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.interop.conftest import TARGET
from tests.interop.line import Line
from tests.interop.siege import LOCAL, TRANSPORTS, Siege, request

pytestmark = pytest.mark.skipif(TARGET != "sansip", reason="what sansip refuses to bind")


def register(siege: Siege, line: Line, user: str, *contacts: str) -> tuple[int, bytes]:
    """Register ``contacts``; return status and answer."""
    aor = f"sip:{user}@{siege.domain}"
    lines = [*(f"Contact: {contact}" for contact in contacts), "Expires: 600"]
    # Rises from one call to the next, as RFC 3261 10.2 wants.
    number = time.monotonic_ns() // 100_000 % 2**31
    data = request(
        "REGISTER", f"sip:{siege.domain}", line, from_=f"<{aor}>;tag=r", to=f"<{aor}>", cseq=number,
        call_id=f"{user}-{line.local[1]}", lines=lines,
    )  # fmt: skip
    line.send(data)
    answer = line.receive()
    return int(answer[8:11]), answer


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_contacts_that_lead_back(tmp_path: Path, transport: str) -> None:
    """Issue 9, 2: 32 Contacts that name the server made one INVITE burn a core for minutes and take 1 GB."""
    with Siege(tmp_path) as siege, siege.watched() as watch, siege.line(transport) as user:
        port = siege.address("udp")[1]
        # By its address, another listener of it, its domain, a spelling of each, and through maddr.
        for host in (
            f"{LOCAL}:{port}",
            f"{LOCAL}:{siege.address('tcp')[1]};transport=tcp",
            siege.domain,
            siege.domain.upper() + ".",
            f"[::ffff:{LOCAL}]:{port}",
            f"192.0.2.1:{port};maddr={LOCAL}",
        ):
            status, answer = register(siege, user, "bob", *(f"<sip:bob@{host};n={n}>" for n in range(10)))
            assert (status, b"Address Leads Back Here" in answer) == (403, True), host
        # Two users who point at each other.
        assert register(siege, user, "alice", f"<sip:carol@{siege.domain}>")[0] == 403
        assert register(siege, user, "carol", f"<sip:alice@{siege.domain}>")[0] == 403
        for callee in ("bob", "alice", "carol"):
            user.send(request("INVITE", f"sip:{callee}@{siege.domain}", user))
            assert user.receive().startswith(b"SIP/2.0 404 ")
        assert siege.log.count("refused to register") == 8
    assert watch.spent < 1.0
    assert watch.grown < 10_000_000


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_is_no_phone(tmp_path: Path, transport: str) -> None:
    """Issue 9, 7: one REGISTER has the server send to a whole network, or a caller to a web page."""
    with Siege(tmp_path) as siege, siege.watched(), siege.line(transport) as user:
        for uri in (
            "sip:bob@224.0.1.75",
            "sip:bob@255.255.255.255",
            "sip:bob@0.0.0.0",
            "sip:bob@[ff02::1]",
            "sip:bob@192.0.2.1;maddr=239.1.2.3",
            "http://www.example.com/",
            "https://www.example.com/",
        ):
            assert register(siege, user, "bob", f"<{uri}>")[0] == 403, uri
        # The machine's own programs are phones, too.
        assert register(siege, user, "bob", f"<sip:bob@{LOCAL}:9>")[0] == 200


def test_a_user_with_very_many_contacts(tmp_path: Path) -> None:
    """One call to this user would leave in as many copies.

    The eleventh is refused, and the log names the limit.
    """
    with Siege(tmp_path) as siege, siege.watched() as watch, siege.line("udp") as user:
        for number in range(10):
            assert register(siege, user, "bob", f"<sip:bob@127.0.0.3:{7000 + number}>")[0] == 200
        for number in range(300):
            assert register(siege, user, "bob", f"<sip:bob@127.0.0.3:{8000 + number}>")[0] == 503
        assert "Too Many Contacts (registrar.max_contacts)" in siege.log
        # Not even in one request.
        many = ", ".join(f"<sip:x{number}@127.0.0.3>" for number in range(33))
        assert register(siege, user, "eve", many)[0] == 503
    assert watch.spent < 2.0


@pytest.mark.parametrize("policy", ["refuse", "replace-oldest"])
def test_a_phone_that_comes_back_again_and_again(tmp_path: Path, policy: str) -> None:
    """Issue 9, 21: a browser that is reloaded has another Contact each time, and must never be locked out."""
    config = f'[registrar]\nmax_contacts = 2\nlost_flow = "keep"\non_full = "{policy}"\n'
    with Siege(tmp_path, config=config) as siege, siege.watched(), siege.line("udp") as desk:
        assert register(siege, desk, "bob", f"<sip:bob@{desk.sent_by}>")[0] == 200
        for number in range(12):
            with siege.line("ws") as browser:
                contact = f"<sip:{number}@browser{number}.invalid;transport=ws>"
                for _ in range(40):
                    # The server may hear of the new connection before the end of the old one.
                    status, answer = register(siege, browser, "bob", contact)
                    if status != 503:
                        break
                    time.sleep(0.05)
                assert status == 200, answer
                assert answer.count(b"\r\nContact: ") == 2
        # The desk phone lived all the while, and is called.
        assert register(siege, desk, "bob", f"<sip:bob@{desk.sent_by}>")[0] == 200
        desk.send(request("MESSAGE", f"sip:bob@{siege.domain}", desk))
        assert any(data.startswith(b"MESSAGE sip:bob@") for data in desk.received())


def test_its_own_requests_do_not_come_back(tmp_path: Path) -> None:
    """A phone that publishes its presence, or asks for its waiting messages, is not asked by itself."""
    with Siege(tmp_path) as siege, siege.watched(), siege.line("udp") as phone:
        aor = f"<sip:bob@{siege.domain}>"
        assert register(siege, phone, "bob", f"<sip:bob@{phone.sent_by}>")[0] == 200
        for method, event in (("PUBLISH", "presence"), ("SUBSCRIBE", "message-summary")):
            data = request(
                method, f"sip:bob@{siege.domain}", phone, from_=f"{aor};tag=1", lines=[f"Event: {event}"]
            )
            phone.send(data)
            answers = phone.received()
            assert [answer.split(b" ")[1] for answer in answers] == [b"404"]
