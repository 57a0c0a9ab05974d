"""The relay of MSRP on virtual time: who gets a URI, what passes by it, and who hears of a failure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import pytest

from sansip.auth import Lookup, ha1
from sansip.modules.msrp import Msrp, MsrpSettings
from sansip.modules.msrp.ends import MsrpLink
from sansip.modules.msrp.node import MsrpRefused
from sansip.testing import ModuleBench, check_module
from tests.modules.msrp.client import RELAY, Client, Frame, frames

TEXT = ("Message-ID: 12339sdqwer", "Content-Type: text/plain")


def users(lookup: Lookup) -> Mapping[str, str] | None:
    if lookup.username not in ("alice", "bob", "carol"):
        return None
    return {"MD5": ha1(lookup.username, lookup.realm, "secret", "MD5")}


def made(**options: Any) -> ModuleBench[Msrp]:
    return ModuleBench(Msrp, MsrpSettings("relay.example.com", **options), answers={Lookup: users})


def pair(bench: ModuleBench[Msrp]) -> tuple[Client, Client, str]:
    """Return two clients with URIs, and the path from the first to the second."""
    alice, bob = Client(bench, "alice", "192.0.2.1"), Client(bench, "bob", "192.0.2.2")
    for one in (alice, bob):
        assert one.authenticate().word == "200"
    return alice, bob, f"{alice.path} {bob.path} {bob.uri}"


def test_contract() -> None:
    """What every module promises."""
    check_module(Msrp, MsrpSettings("relay.example.com"))


# --- AUTH


def test_auth() -> None:
    """RFC 4976 5.1, 6.3, 9.1: 401, then a URI with a name, a port and 64 random bits or more; rspauth."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1")
    challenge = alice.challenge()
    # 9.1: qop is there and has no auth-int; no domain; no -sess.
    assert 'qop="auth"' in challenge
    assert "domain=" not in challenge
    answer = alice.authenticate("Expires: 600")
    assert answer.word == "200"
    assert answer.fields["Expires"] == "600"
    assert re.fullmatch(r"msrps?://relay\.example\.com:\d+/[0-9a-f]{16,};tcp", alice.path)
    info = answer.fields["Authentication-Info"]
    for part in ("rspauth=", "qop=auth", 'cnonce="0a4f113b"', "nc=00000001"):
        assert part in info
    first, second = (alice.authenticate().fields["Use-Path"] for _ in range(2))
    assert first != second


def test_rspauth() -> None:
    """RFC 4976 9.4: the relay proves that it knows the password."""
    alice = Client(made(), "alice", "192.0.2.1")
    challenge = alice.challenge()
    alice.ask("AUTH", RELAY, alice.credentials(challenge))
    [answer] = alice.take()
    nonce = re.search(r'nonce="([^"]+)"', challenge)
    proof = re.search(r'rspauth="([^"]+)"', answer.fields["Authentication-Info"])
    assert nonce is not None
    assert proof is not None

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    one, two = md5("alice:example.com:secret"), md5(f":{RELAY}")
    assert proof[1] == md5(f"{one}:{nonce[1]}:00000001:0a4f113b:auth:{two}")


def test_wrong_passwords() -> None:
    """RFC 4976 6.3: after several of them the connection is closed."""
    alice = Client(made(failures=3), "alice", "192.0.2.1")
    for _ in range(3):
        alice.ask("AUTH", RELAY, alice.credentials(alice.challenge(), password="wrong"))
        [answer] = alice.take()
        assert answer.word == "401"
    assert "msrp.failures" in alice.link.ended


def test_replay() -> None:
    """Credentials that were seen are good once."""
    bench = made()
    alice, thief = Client(bench, "alice", "192.0.2.1"), Client(bench, "thief", "192.0.2.3")
    seen = alice.credentials(alice.challenge())
    for client, word in ((alice, "200"), (thief, "401")):
        client.ask("AUTH", RELAY, seen)
        [answer] = client.take()
        assert answer.word == word


def test_credentials_without_qop() -> None:
    """RFC 4976 9.1: they MUST have one; a proof without a count could be used again."""
    alice = Client(made(), "alice", "192.0.2.1")
    found = dict(re.findall(r'(\w+)="?([^",]+)"?', alice.challenge()))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    proof = md5(f"{md5('alice:example.com:secret')}:{found['nonce']}:{md5(f'AUTH:{RELAY}')}")
    said = f'Digest username="alice", realm="example.com", nonce="{found["nonce"]}", response="{proof}"'
    alice.ask("AUTH", RELAY, f"Authorization: {said}")
    [answer] = alice.take()
    assert answer.word == "400"
    assert alice.authenticate().word == "200"


def test_credentials_for_another_relay() -> None:
    """RFC 4976 9.1: A2 is of the rightmost URI."""
    alice = Client(made(), "alice", "192.0.2.1")
    alice.ask("AUTH", RELAY, alice.credentials(alice.challenge(), uri="msrps://other.example.com;tcp"))
    [answer] = alice.take()
    assert answer.word == "401"


@pytest.mark.parametrize(
    ("said", "field"), [("Expires: 10", "Min-Expires"), ("Expires: 999999", "Max-Expires")]
)
def test_interval(said: str, field: str) -> None:
    """RFC 4976 6.3, 10: 423 with the bound."""
    answer = Client(made(), "alice", "192.0.2.1").authenticate(said)
    assert answer.word == "423"
    assert field in answer.fields


# --- other relays


def through(relay: Client, *fields: str, host: str = "other.example.com") -> Frame:
    """Have ``relay`` pass an AUTH of a client of its own on; return the answer."""
    own, relay.uri = relay.uri, f"msrps://{host}:2855/abcdef0123;tcp msrps://dave.invalid:1/d;tcp"
    relay.ask("AUTH", RELAY, *fields)
    relay.uri = own
    [answer] = relay.take()
    return answer


def test_a_relay_with_a_certificate() -> None:
    """RFC 4976 6.3: it needs no password; Use-Path begins with its own URI (5.1)."""
    bench = made(relays=["Other.example.com"])
    other = Client(bench, "other", "192.0.2.7", identities=("other.example.com",))
    answer = through(other)
    assert answer.word == "200"
    first, own = answer.fields["Use-Path"].split()
    assert first == "msrps://other.example.com:2855/abcdef0123;tcp"
    assert "://relay.example.com:" in own
    # It is bound in time like others (4.6).
    assert through(other, "Expires: 10").word == "423"


@pytest.mark.parametrize(
    ("relays", "identities", "host"),
    [
        (["other.example.com"], (), "other.example.com"),
        (["other.example.com"], ("evil.example.com",), "other.example.com"),
        (["other.example.com"], ("other.example.com",), "third.example.com"),
        ([], ("other.example.com",), "other.example.com"),
    ],
)
def test_a_relay_that_is_not_believed(relays: list[str], identities: tuple[str, ...], host: str) -> None:
    """RFC 4976 6.3: no certificate, another name than in From-Path, a relay not listed: a challenge."""
    bench = made(relays=relays)
    other = Client(bench, "other", "192.0.2.7", identities=identities)
    assert through(other, host=host).word == "401"


def test_a_client_with_a_certificate() -> None:
    """RFC 4976 9.2: it is ignored; the client gives its password."""
    bench = made(relays=["other.example.com"])
    other = Client(bench, "other", "192.0.2.7", identities=("other.example.com",))
    other.uri = "msrps://other.example.com:1/x;tcp"
    other.ask("AUTH", RELAY)
    [answer] = other.take()
    assert answer.word == "401"


def test_each_connection_to_a_relay() -> None:
    """RFC 4976 6.3: its URIs are good over each of its connections, and end with the last one."""
    bench = made(relays=["other.example.com"])
    one, two = (Client(bench, "other", "192.0.2.7", identities=("other.example.com",)) for _ in range(2))
    carol = Client(bench, "carol", "192.0.2.3")
    assert carol.authenticate().word == "200"
    dave = through(one).fields["Use-Path"].split()[1]
    assert through(two).word == "200"
    # From the relay, over the other connection, to a client here.
    two.ask("SEND", f"{dave} {carol.path} {carol.uri}", *TEXT, body=b"hello")
    assert [frame.word for frame in two.take()] == ["200"]
    [got] = carol.take()
    assert got.body == b"hello"
    carol.answer(got, "200 OK")
    # To it, where the connection of its AUTH is gone.
    one.link.close()
    path = f"{carol.path} {dave} msrps://other.example.com:2855/abcdef0123;tcp {one.uri}"
    carol.ask("SEND", path, *TEXT, body=b"back")
    assert [frame.word for frame in carol.take()] == ["200"]
    assert [frame.body for frame in two.take() if frame.word == "SEND"] == [b"back"]
    two.link.close()
    carol.ask("SEND", path, *TEXT, body=b"gone")
    assert "481" in [frame.word for frame in carol.take()]


@pytest.mark.parametrize("name", ["", "*", "a b", "msrps://a"])
def test_relays_that_are_no_names(name: str) -> None:
    """`sansip check` says so."""
    with pytest.raises(ValueError, match="relays"):
        MsrpSettings("relay.example.com", relays=[name])


def test_auth_needs_tls() -> None:
    """RFC 4976 9.2."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1", "msrp")
    alice.ask("AUTH", RELAY)
    [answer] = alice.take()
    assert answer.word == "403"
    assert any(isinstance(event, MsrpRefused) and "plain_auth" in str(event) for event in bench.events)
    assert Client(made(plain_auth=True), "alice", "192.0.2.1", "msrp").authenticate().word == "200"


def test_users_cannot_be_looked_up() -> None:
    """The store is down: nobody gets in, and it is no wrong password."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1")
    challenge = alice.challenge()
    bench.broken = True
    alice.ask("AUTH", RELAY, alice.credentials(challenge))
    [answer] = alice.take()
    assert answer.word == "403"
    assert not alice.link.ended


def test_limits_of_uris() -> None:
    """One user, and all together."""
    bench = made(sessions_per_user=2, sessions=3)
    alice, bob = Client(bench, "alice", "192.0.2.1"), Client(bench, "bob", "192.0.2.2")
    assert [alice.authenticate().word for _ in range(3)] == ["200", "200", "403"]
    assert [bob.authenticate().word for _ in range(2)] == ["200", "403"]
    alice.link.close()
    assert [bob.authenticate().word for _ in range(2)] == ["200", "403"]


# --- what passes


def test_text() -> None:
    """RFC 4976 6.4.1: paths are shifted by alice's URI and by bob's; the transaction is another."""
    alice, bob, path = pair(made())
    sent = alice.ask("SEND", path, "Byte-Range: 1-5/5", *TEXT, body=b"hello")
    [answer], [got] = alice.take(), bob.take()
    assert (answer.transaction, answer.word) == (sent, "200")
    assert (answer.fields["To-Path"], answer.fields["From-Path"]) == (alice.uri, alice.path)
    assert got.fields["To-Path"] == bob.uri
    assert got.fields["From-Path"] == f"{bob.path} {alice.path} {alice.uri}"
    assert (got.word, got.body, got.flag, got.fields["Byte-Range"]) == ("SEND", b"hello", "$", "1-5/5")
    assert got.transaction != sent
    # 7.1: Content-Type is the last one.
    assert list(got.fields)[-1] == "Content-Type"


@pytest.mark.parametrize(("wanted", "answered"), [("yes", True), ("no", False), ("partial", False)])
def test_failure_report(wanted: str, answered: bool) -> None:
    """RFC 4975 7.2, 7.1.4: 200 for yes alone; a failure is reported for yes and partial."""
    bench = made()
    alice, bob, path = pair(bench)
    alice.ask("SEND", path, f"Failure-Report: {wanted}", "Byte-Range: 1-5/5", *TEXT, body=b"hello")
    assert bool(alice.take()) is answered
    [got] = bob.take()
    assert got.fields["Failure-Report"] == wanted
    bob.answer(got, "413 Enough")
    reports = alice.take()
    assert bool(reports) is (wanted != "no")
    for report in reports:
        assert report.word == "REPORT"
        assert report.fields["Status"] == "000 413 Enough"
        assert report.fields["Byte-Range"] == "1-5/5"
        assert report.fields["Message-ID"] == "12339sdqwer"
        # 7.1.2
        assert not {"Success-Report", "Failure-Report"} & set(report.fields)


@pytest.mark.parametrize(("wanted", "reported"), [("yes", True), ("partial", False), ("no", False)])
def test_silence(wanted: str, reported: bool) -> None:
    """RFC 4976 6.4.1: 30 seconds after the last octet, 408, and for yes alone."""
    bench = made()
    alice, _bob, path = pair(bench)
    alice.ask("SEND", path, f"Failure-Report: {wanted}", "Byte-Range: 1-5/5", *TEXT, body=b"hello")
    alice.take()
    bench.wait(29.9)
    assert not alice.take()
    bench.wait(0.2)
    assert [one.fields["Status"] for one in alice.take()] == ["000 408 Request Timeout"] * reported


def test_silence_with_long_heads() -> None:
    """What waits for responses is bounded in octets; the oldest one is given up, and its sender hears so."""
    bench = made()
    alice, bob, path = pair(bench)
    for number in range(200):
        long = f"X-Long: {'x' * 7_000}"
        alice.ask("SEND", path, long, f"Message-ID: {number}", *TEXT[1:], body=b"hi")
    assert len(bob.take()) == 200
    given_up = [one.fields["Message-ID"] for one in alice.take() if one.word == "REPORT"]
    assert 40 < len(given_up) < 60
    assert given_up == [str(number) for number in range(len(given_up))]
    bench.wait(31)
    assert len([one for one in alice.take() if one.word == "REPORT"]) == 200 - len(given_up)


def test_response_to_another_method() -> None:
    """RFC 4976 6.4.3: it goes the whole way back, and the relay moves both of its URIs."""
    alice, bob, path = pair(made())
    sent = alice.ask("NICKNAME", path)
    [got] = bob.take()
    back = got.fields["From-Path"]
    assert back == f"{bob.path} {alice.path} {alice.uri}"
    head = f"MSRP {got.transaction} 425 Taken\r\nTo-Path: {back}\r\nFrom-Path: {bob.uri}\r\n"
    bob.link.send(f"{head}-------{got.transaction}$\r\n".encode())
    [answer] = alice.take()
    assert (answer.transaction, answer.word) == (sent, "425")
    assert answer.fields["To-Path"] == alice.uri
    assert answer.fields["From-Path"] == f"{alice.path} {bob.path} {bob.uri}"


def test_success_report() -> None:
    """RFC 4976 3: REPORT goes the way back, and has no response."""
    alice, bob, path = pair(made())
    alice.ask("SEND", path, "Success-Report: yes", "Byte-Range: 1-5/5", *TEXT, body=b"hello")
    [got] = bob.take()
    alice.take()
    back = got.fields["From-Path"]
    bob.ask("REPORT", back, "Message-ID: 12339sdqwer", "Byte-Range: 1-5/5", "Status: 000 200 OK")
    [report] = alice.take()
    assert (report.word, report.fields["Status"]) == ("REPORT", "000 200 OK")
    assert report.fields["To-Path"] == alice.uri
    assert report.fields["From-Path"] == f"{alice.path} {bob.path} {bob.uri}"
    assert not bob.take()


def test_passed_on_while_it_comes() -> None:
    """A chunk of any size: its octets leave before its end has come (RFC 4975 7.1.1)."""
    alice, bob, path = pair(made())
    head = f"MSRP big12345 SEND\r\nTo-Path: {path}\r\nFrom-Path: {alice.uri}\r\nByte-Range: 1-*/*\r\n"
    alice.link.send((head + "\r\n".join(TEXT) + "\r\n\r\nabc").encode())
    assert b"".join(bob.link.received).endswith(b"\r\n\r\nabc")
    assert b"Byte-Range: 1-*/*" in b"".join(bob.link.received)
    alice.link.send(b"def\r\n-------big12345$\r\n")
    [got] = bob.take()
    assert (got.body, got.flag) == (b"abcdef", "$")
    [answer] = alice.take()
    assert answer.word == "200"


def test_chunks_interleave() -> None:
    """RFC 4975 7.1.1: a large chunk is interrupted for others, and goes on with its next octet."""
    bench = made()
    alice, bob, path = pair(bench)
    carol = Client(bench, "carol", "192.0.2.3")
    carol.authenticate()
    head = f"MSRP big12345 SEND\r\nTo-Path: {path}\r\nFrom-Path: {alice.uri}\r\nByte-Range: 1-*/9\r\n"
    alice.link.send((head + "\r\n".join(TEXT) + "\r\n\r\nabc").encode())
    carol.ask("SEND", f"{carol.path} {bob.path} {bob.uri}", "Byte-Range: 1-2/2", *TEXT, body=b"hi")
    alice.link.send(b"defghi\r\n-------big12345$\r\n")
    got = bob.take()
    shown = [(one.fields["Byte-Range"], one.body, one.flag) for one in got]
    assert shown == [("1-*/9", b"abc", "+"), ("1-2/2", b"hi", "$"), ("4-9/9", b"defghi", "$")]
    assert len({one.transaction for one in got}) == 3


@pytest.mark.parametrize("flag", ["+", "#", "$"])
def test_flags(flag: str) -> None:
    """RFC 4975 7.1: the flag of a chunk is passed on."""
    alice, bob, path = pair(made())
    alice.ask("SEND", path, "Byte-Range: 1-*/9", *TEXT, body=b"abc", flag=flag)
    [got] = bob.take()
    assert got.flag == flag


def test_without_a_body() -> None:
    """RFC 4975 7.1: traffic with nothing to show; one to the relay alone is answered."""
    alice, bob, path = pair(made())
    alice.ask("SEND", path, "Message-ID: 12339sdqwer")
    [got] = bob.take()
    assert got.body is None
    alice.take()
    alice.ask("SEND", alice.path, "Message-ID: 12339sdqwer")
    assert [one.word for one in alice.take()] == ["200"]


def test_whole_over_websocket() -> None:
    """RFC 7977 5.1: one chunk, one WebSocket message, in both directions."""
    bench = made()
    alice, _bob, _path = pair(bench)
    browser = Client(bench, "carol", "192.0.2.3", whole=True)
    # The bench's link is no WebSocket by itself: the sub-protocol makes it one.
    browser.link.close()
    conn = browser.link.conn
    bench.stack.links.opened(conn, "msrps", ("192.0.2.3", 1), bench.now, True)
    assert browser.authenticate().word == "200"
    head = f"MSRP big12345 SEND\r\nTo-Path: {alice.path} {browser.path} {browser.uri}\r\n"
    head += f"From-Path: {alice.uri}\r\nByte-Range: 1-*/*\r\n" + "\r\n".join(TEXT) + "\r\n\r\n"
    alice.link.send((head + "abc").encode())
    alice.link.send(b"def")
    alice.link.send(b"\r\n-------big12345$\r\n")
    pieces = [frames(one) for one in browser.link.received]
    assert all(len(piece) == 1 for piece in pieces)
    assert [piece[0].fields["Byte-Range"] for piece in pieces] == ["1-3/*", "4-6/*", "7-6/6"]
    browser.link.received.clear()
    browser.link.send(b"MSRP half1234 SEND\r\n")
    assert "WebSocket" in browser.link.ended


# --- what does not pass


def test_strangers() -> None:
    """RFC 4976 6.4: a URI leads to its client, and from nobody else to anywhere."""
    bench = made()
    alice, bob, _ = pair(bench)
    thief = Client(bench, "thief", "192.0.2.66")
    # With bob's URI, towards another server: nobody hears of it.
    thief.ask("SEND", f"{bob.path} msrp://192.0.2.99:1/x;tcp", "Byte-Range: 1-2/2", *TEXT, body=b"hi")
    assert not alice.take()
    assert not bob.take()
    assert not bench.wrote
    assert [one.word for one in thief.take()] == ["481"]
    # From the relay's inside to another's URI and back out: the second one leads inward only.
    for path in (f"{bob.path} {alice.path} {alice.uri}", f"{bob.path} {bob.path} {bob.uri}"):
        thief.ask("SEND", path, "Byte-Range: 1-2/2", *TEXT, body=b"hi")
        assert not alice.take()
        bob.take()
        thief.take()


def test_unknown_uri() -> None:
    """RFC 4976 6.3: a guessed URI gets 481, a dead one as well."""
    bench = made()
    alice, bob, path = pair(bench)
    guess = alice.path[:-6] + ("0;tcp" if alice.path[-5] != "0" else "1;tcp")
    alice.ask("SEND", f"{guess} {bob.path} {bob.uri}", *TEXT, body=b"x")
    assert [one.word for one in alice.take()] == ["481"]
    bob.link.close()
    alice.ask("SEND", path, "Byte-Range: 1-1/1", *TEXT, body=b"x")
    assert [one.word for one in alice.take()] == ["481"]


def test_time_is_over() -> None:
    """RFC 4976 6.3."""
    bench = made()
    alice, bob, path = pair(bench)
    bench.wait(901)
    alice.ask("SEND", path, "Byte-Range: 1-1/1", *TEXT, body=b"x")
    assert [one.word for one in alice.take()] == ["481"]
    assert not bob.take()
    assert bench.command("msrp.list") == []


def test_not_for_us() -> None:
    """RFC 4976 6.2: the connection is dropped."""
    alice = Client(made(), "alice", "192.0.2.1")
    alice.ask("SEND", "msrps://other.example.com:2855/x;tcp", *TEXT, body=b"x")
    assert "not this relay" in alice.link.ended


def test_probation() -> None:
    """RFC 4976 6.1: who does nothing useful in 30 seconds goes; who has proved himself stays."""
    bench = made()
    alice, thief = Client(bench, "alice", "192.0.2.1"), Client(bench, "thief", "192.0.2.2")
    alice.authenticate()
    thief.ask("AUTH", RELAY)
    bench.wait(31)
    assert "msrp.probation" in thief.link.ended
    assert not alice.link.ended


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        (("Byte-Range: 9-1/5", *TEXT), "400"),
        (("Content-Type: text/plain",), "400"),
        (("Byte-Range: 1-*/100000", *TEXT), "413"),
    ],
)
def test_bad_requests(fields: tuple[str, ...], word: str) -> None:
    """RFC 4975 10: nothing of it passes, and the rest is thrown away."""
    alice, bob, path = pair(made(message_size=1_000))
    alice.ask("SEND", path, *fields, body=b"x" * 10)
    assert [one.word for one in alice.take()] == [word]
    assert not bob.take()
    alice.ask("SEND", path, "Byte-Range: 1-2/2", *TEXT, body=b"ok")
    assert [one.word for one in bob.take()] == ["SEND"]


def test_a_range_that_lies() -> None:
    """More octets than the message has: 400, and the receiver hears that it is over."""
    alice, bob, path = pair(made())
    alice.ask("SEND", path, "Byte-Range: 1-5/5", *TEXT, body=b"123456789")
    assert [one.word for one in alice.take()] == ["400"]
    assert not bob.take()


def test_too_much() -> None:
    """A message of unknown length is cut at the bound (RFC 4975 10.5), with # at the receiver (7.1)."""
    alice, bob, path = pair(made(message_size=1_000))
    head = f"MSRP big12345 SEND\r\nTo-Path: {path}\r\nFrom-Path: {alice.uri}\r\nByte-Range: 1-*/*\r\n"
    alice.link.send((head + "\r\n".join(TEXT) + "\r\n\r\n" + "a" * 900).encode())
    alice.link.send(b"a" * 200)
    [got] = bob.take()
    assert got.flag == "#"
    assert [one.word for one in alice.take()] == ["413"]


def test_no_further_octet() -> None:
    """RFC 4975 7.3.2, 10.5: 413 may come while the chunk is being sent; then not one more octet leaves."""
    alice, bob, path = pair(made())
    head = f"MSRP big12345 SEND\r\nTo-Path: {path}\r\nFrom-Path: {alice.uri}\r\nByte-Range: 1-*/*\r\n"
    alice.link.send((head + "\r\n".join(TEXT) + "\r\n\r\nabc").encode())
    transaction = b"".join(bob.link.received).split(b" ")[1].decode()
    bob.answer(
        Frame(["MSRP", transaction, "SEND"], {"From-Path": bob.path, "To-Path": bob.uri}, None, ""), "413 No"
    )
    [report] = alice.take()
    assert (report.word, report.fields["Status"], report.fields["Byte-Range"]) == (
        "REPORT", "000 413 No", "1-3/*",
    )  # fmt: skip
    alice.link.send(b"def\r\n-------big12345$\r\n")
    [got] = bob.take()
    assert (got.body, got.flag) == (b"abc", "#")
    assert not alice.take()


# --- ends


def test_the_receiver_goes() -> None:
    """What waits for its response is reported (RFC 4976 6.4.1), and the rest of the chunk has no way."""
    alice, bob, path = pair(made())
    alice.ask("SEND", path, "Byte-Range: 1-2/2", *TEXT, body=b"hi")
    head = f"MSRP big12345 SEND\r\nTo-Path: {path}\r\nFrom-Path: {alice.uri}\r\nByte-Range: 1-*/*\r\n"
    alice.link.send((head + "\r\n".join(TEXT) + "\r\n\r\nabc").encode())
    alice.take()
    bob.link.close()
    statuses = [one.fields["Status"][:7] for one in alice.take()]
    assert statuses == ["000 408", "000 481"]
    alice.link.send(b"def\r\n-------big12345$\r\n")
    assert not alice.take()


def test_the_sender_goes() -> None:
    """RFC 4975 7.1: the receiver hears that no more comes."""
    alice, bob, path = pair(made())
    head = f"MSRP big12345 SEND\r\nTo-Path: {path}\r\nFrom-Path: {alice.uri}\r\nByte-Range: 1-*/*\r\n"
    alice.link.send((head + "\r\n".join(TEXT) + "\r\n\r\nabc").encode())
    alice.link.close()
    [got] = bob.take()
    assert (got.body, got.flag) == (b"abc", "#")


def test_a_receiver_that_does_not_read() -> None:
    """Its senders wait; nothing is lost, nothing grows, and others go on."""
    bench = made()
    alice, bob, path = pair(bench)
    carol = Client(bench, "carol", "192.0.2.3")
    carol.authenticate()
    bench.perform(bench.stack.connection_writable(bob.link.conn, False, bench.now))
    alice.ask("SEND", path, "Byte-Range: 1-2/2", *TEXT, body=b"hi")
    assert not bob.take()
    alice.take()
    alice.ask("SEND", f"{alice.path} {carol.path} {carol.uri}", "Byte-Range: 1-2/2", *TEXT, body=b"yo")
    assert [one.body for one in carol.take()] == [b"yo"]
    bench.perform(bench.stack.connection_writable(bob.link.conn, True, bench.now))
    assert [one.body for one in bob.take()] == [b"hi"]


def test_a_receiver_that_refuses_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender whose octets wait is read again once they are of no use (RFC 4975 10.5)."""
    bench = made()
    alice, bob, path = pair(bench)
    reads: list[tuple[object, bool]] = []
    monkeypatch.setattr(MsrpLink, "read", lambda self, wanted: reads.append((self.remote[0], wanted)))
    head = f"MSRP big12345 SEND\r\nTo-Path: {path}\r\nFrom-Path: {alice.uri}\r\nByte-Range: 1-*/*\r\n"
    alice.link.send((head + "\r\n".join(TEXT) + "\r\n\r\nabc").encode())
    begun = b"".join(bob.link.received)
    bench.perform(bench.stack.connection_writable(bob.link.conn, False, bench.now))
    alice.link.send(b"def")
    assert reads == [("192.0.2.1", False)]
    [got] = frames(begun + b"\r\n-------" + begun.split(b" ", 2)[1] + b"+\r\n")
    bob.answer(got, "481 No Such Session")
    assert reads == [("192.0.2.1", False), ("192.0.2.1", True)]


def test_two_receivers_that_do_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them reads again: its sender is read, but not on and on for the other one."""
    bench = made()
    alice, bob, path = pair(bench)
    carol = Client(bench, "carol", "192.0.2.3")
    carol.authenticate()
    for one in (bob, carol):
        bench.perform(bench.stack.connection_writable(one.link.conn, False, bench.now))
    reads: list[tuple[object, bool]] = []
    monkeypatch.setattr(MsrpLink, "read", lambda self, wanted: reads.append((self.remote[0], wanted)))
    other = f"{alice.path} {carol.path} {carol.uri}"
    lines = "From-Path: " + alice.uri + "\r\nByte-Range: 1-*/*\r\n" + "\r\n".join(TEXT) + "\r\n\r\nabc"
    first = f"MSRP one12345 SEND\r\nTo-Path: {path}\r\n{lines}\r\n-------one12345$\r\n"
    alice.link.send((first + f"MSRP two12345 SEND\r\nTo-Path: {other}\r\n{lines}").encode())
    bench.perform(bench.stack.connection_writable(bob.link.conn, True, bench.now))
    assert reads[-1] == ("192.0.2.1", True)
    alice.link.send(b"def")
    assert reads[-1] == ("192.0.2.1", False)
    bench.perform(bench.stack.connection_writable(carol.link.conn, True, bench.now))
    assert reads[-1] == ("192.0.2.1", True)
    assert b"".join(carol.link.received).endswith(b"abcdef")


def test_nothing_after_the_end() -> None:
    """RFC 4976 6.2: the connection is dropped, with what came in the same octets."""
    alice, bob, path = pair(made())
    send = "MSRP one12345 SEND\r\nTo-Path: {}\r\nFrom-Path: " + alice.uri + "\r\nMessage-ID: 1\r\n"
    both = "".join(send.format(to) + "-------one12345$\r\n" for to in ("msrps://other.example:1/x;tcp", path))
    alice.link.send(both.encode())
    assert alice.link.ended
    assert not bob.take()


def test_commands() -> None:
    """Operators see the URIs without their secrets, and take them back."""
    bench = made()
    alice, _bob, path = pair(bench)
    shown = bench.command("msrp.list")
    assert [one["user"] for one in shown] == ["alice", "bob"]
    assert shown[0]["number"] in alice.path
    assert len(shown[0]["number"]) == 8
    assert bench.command("msrp.remove", number=shown[0]["number"]) == 1
    alice.ask("SEND", path, "Byte-Range: 1-1/1", *TEXT, body=b"x")
    assert [one.word for one in alice.take()] == ["481"]


# --- other servers


def test_next_hop() -> None:
    """RFC 4976 6.4.2: a connection is opened once, and used again; its answers are heard."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1")
    alice.authenticate()
    got: list[Frame] = []

    def peer(data: bytes) -> list[bytes]:
        answers = []
        for one in frames(data) if data else []:
            got.append(one)
            back = one.fields["From-Path"].split()[0]
            head = (
                f"MSRP {one.transaction} 200 OK\r\nTo-Path: {back}\r\nFrom-Path: {one.fields['To-Path']}\r\n"
            )
            answers.append(f"{head}-------{one.transaction}$\r\n".encode())
        return answers

    bench.stream_peer(("192.0.2.9", 2855), peer)
    to = f"{alice.path} msrp://192.0.2.9:2855/far;tcp"
    for _ in range(2):
        alice.ask("SEND", to, "Byte-Range: 1-2/2", *TEXT, body=b"hi")
    assert [one.word for one in alice.take()] == ["200", "200"]
    assert [one.body for one in got] == [b"hi", b"hi"]
    assert got[0].fields["From-Path"] == f"{alice.path} {alice.uri}"
    assert len({conn for conn, _ in bench.wrote}) == 1
    bench.wait(31)
    assert not alice.take()


@pytest.mark.parametrize(
    ("hop", "status"),
    [
        ("msrp://192.0.2.9:2855/far;tcp", "000 481"),  # nobody listens
        ("msrp://127.0.0.1:22/far;tcp", "000 481"),  # msrp.refused_networks
        ("msrp://192.0.2.9:2855/far;ws", "481"),
        ("msrp://192.0.2.9/far;tcp", "400"),
    ],
)
def test_no_next_hop(hop: str, status: str) -> None:
    """The sender hears of it, and the relay connects to no place of its own host."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1")
    alice.authenticate()
    alice.ask("SEND", f"{alice.path} {hop}", "Byte-Range: 1-2/2", *TEXT, body=b"hi")
    told = alice.take()
    assert any(one.fields.get("Status", one.word).startswith(status) for one in told)
    assert not bench.failures


def test_refused_networks_in_ipv6() -> None:
    """RFC 4291 2.5.5.2: an IPv4 address that is written as one of IPv6 is the same place."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1")
    alice.authenticate()
    hop = "msrp://[::ffff:127.0.0.1]:22/far;tcp"
    alice.ask("SEND", f"{alice.path} {hop}", "Byte-Range: 1-2/2", *TEXT, body=b"hi")
    assert any("msrp.refused_networks" in str(event) for event in bench.events)


def test_connections_of_one_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """One user cannot take all sockets, which other users and modules need."""
    bench = made(connections_per_user=2, connections=3)
    alice, bob = Client(bench, "alice", "192.0.2.1"), Client(bench, "bob", "192.0.2.2")
    opened: list[object] = []
    monkeypatch.setattr(bench, "_connect", lambda action: opened.append(action.address))
    for one, expected in ((alice, 2), (bob, 3)):
        one.authenticate()
        for port in range(1, 4):
            hop = f"msrp://{one.link.conn % 100 + 100}.0.2.9:{port}/far;tcp"
            one.ask("SEND", f"{one.path} {hop}", "Byte-Range: 1-2/2", *TEXT, body=b"hi")
        assert len(opened) == expected
        assert "403" in [frame.word for frame in one.take()]


def test_auth_at_an_outer_relay() -> None:
    """RFC 4976 5.1, 6.4.3: AUTH passes by alice's URI, and its response comes back."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1")
    alice.authenticate()
    got: list[Frame] = []

    def outer(data: bytes) -> list[bytes]:
        answers = []
        for one in frames(data) if data else []:
            got.append(one)
            head = f"MSRP {one.transaction} 401 Unauthorized\r\nTo-Path: {one.fields['From-Path']}\r\n"
            head += f'From-Path: {one.fields["To-Path"]}\r\nWWW-Authenticate: Digest realm="o", nonce="n"\r\n'
            answers.append(f"{head}-------{one.transaction}$\r\n".encode())
        return answers

    bench.stream_peer(("192.0.2.9", 2855), outer)
    sent = alice.ask("AUTH", f"{alice.path} msrp://192.0.2.9:2855;tcp")
    [answer] = alice.take()
    assert (answer.transaction, answer.word) == (sent, "401")
    assert answer.fields["To-Path"] == alice.uri
    assert answer.fields["From-Path"] == f"{alice.path} msrp://192.0.2.9:2855;tcp"
    assert got[0].fields["From-Path"] == f"{alice.path} {alice.uri}"


def test_failed_auth_at_an_outer_relay() -> None:
    """RFC 4976 6.3: after several of them the connection ends, and not before the last response has left."""
    bench = made(failures=2)
    alice = Client(bench, "alice", "192.0.2.1")
    alice.authenticate()

    def outer(data: bytes) -> list[bytes]:
        answers = []
        for one in frames(data) if data else []:
            head = f"MSRP {one.transaction} 401 Unauthorized\r\nTo-Path: {one.fields['From-Path']}\r\n"
            head += f"From-Path: {one.fields['To-Path']}\r\n"
            answers.append(f"{head}-------{one.transaction}$\r\n".encode())
        return answers

    bench.stream_peer(("192.0.2.9", 2855), outer)
    for ended in (False, True):
        alice.ask("AUTH", f"{alice.path} msrp://192.0.2.9:2855;tcp", 'Authorization: Digest username="x"')
        assert [one.word for one in alice.take()] == ["401"]
        assert bool(alice.link.ended) is ended
