"""What passes by the relay: requests, their responses, reports, and chunks while they come."""

from __future__ import annotations

import pytest

from tests.modules.msrp.client import Client, frames
from tests.modules.msrp.relayed import TEXT, begin, made, pair


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
    begin(alice, path)
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
    begin(alice, path, octets="1-*/9")
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
    begin(alice, f"{alice.path} {browser.path} {browser.uri}")
    alice.link.send(b"def")
    alice.link.send(b"\r\n-------big12345$\r\n")
    pieces = [frames(one) for one in browser.link.received]
    assert all(len(piece) == 1 for piece in pieces)
    assert [piece[0].fields["Byte-Range"] for piece in pieces] == ["1-3/*", "4-6/*", "7-6/6"]
    browser.link.received.clear()
    browser.link.send(b"MSRP half1234 SEND\r\n")
    assert "WebSocket" in browser.link.ended
