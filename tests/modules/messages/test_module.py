"""Kept messages on virtual time: each one reaches each device once, in order, over restarts."""

from __future__ import annotations

import pytest

from sansip.modules.messages import Messages, MessagesSettings
from sansip.modules.messages.row import GIVEN
from sansip.testing import check_module
from sansip.wire import Response
from tests.modules.messages.kept import BOB, answer, begun, come, fetch, made, register, write

pytestmark = pytest.mark.usefixtures("way")


def test_contract() -> None:
    """What every module promises."""
    check_module(Messages, MessagesSettings())


def test_kept_and_delivered() -> None:
    """RFC 3428 7: 202 without Contact and body; in order, once, and no more after a refresh."""
    bench = made()
    for text in ("one", "two", "three"):
        assert write(bench, text) == ["202 Accepted"]
    [response] = [one for one in bench.sent if isinstance(one, Response) and one.status == 202][-1:]
    assert not response.has("contact")
    assert response.body == b""
    bench.sent.clear()
    register(bench)
    assert fetch(bench) == ["one", "two", "three"]
    register(bench, cseq=2)
    assert fetch(bench) == []
    assert bench.figure("stored") == {(): 3}
    assert bench.figure("delivered") == {(): 3}


def test_what_goes_on() -> None:
    """The sender with its display name, the sender's Date, Subject, type with charset."""
    bench = made()
    fields = ["Date: Tue, 14 Nov 2023 22:13:00 GMT", "Subject: lunch", "Content-Encoding: identity"]
    # RFC 3428 4: counted from Date, by the phone as well.
    fields += ["Expires: 1000", "Reply-To: <sip:desk@elsewhere.example>"]
    bench.request("MESSAGE", BOB, ["Content-Type: text/plain;charset=UTF-8", *fields], "grüße")
    bench.sent.clear()
    register(bench)
    [got] = come(bench)
    assert got.body.decode() == "grüße"
    assert got.get("content-type") == "text/plain;charset=UTF-8"
    assert [got.get(name) for name in ("date", "subject", "content-encoding", "expires", "reply-to")] == [
        "Tue, 14 Nov 2023 22:13:00 GMT", "lunch", "identity", "1000", "<sip:desk@elsewhere.example>",
    ]  # fmt: skip
    assert str(got.from_.uri) == "sip:caller@elsewhere.example"
    assert str(got.to.uri) == BOB
    assert str(got.uri) == "sip:bob@192.0.2.20:5060"
    assert not got.has("contact")


def test_date_in_text() -> None:
    """By setting, for phones that do not show Date; never in a message/cpim."""
    bench = made(date_in_text=True)
    write(bench, "hello", "bob", "Date: Sat, 13 Nov 2010 23:29:00 GMT")
    bench.request("MESSAGE", BOB, ["Content-Type: message/cpim"], "From: a\r\n")
    bench.sent.clear()
    register(bench)
    assert fetch(bench) == ["[Sat, 13 Nov 2010 23:29:00 GMT] hello", "From: a\r\n"]


def test_each_device_once() -> None:
    """A second phone gets them, too, and the first one not again."""
    bench = made()
    write(bench, "hello")
    bench.sent.clear()
    register(bench)
    assert fetch(bench) == ["hello"]
    register(bench, host="192.0.2.21")
    assert fetch(bench, "192.0.2.21") == ["hello"]
    register(bench, cseq=2, host="192.0.2.21")
    assert fetch(bench, "192.0.2.21") == []


def test_many_devices() -> None:
    """A phone with a new Contact each time does not fill the store with marks."""
    bench = made()
    write(bench, "hello")
    bench.sent.clear()
    got = 0
    for number in range(40):
        host = f"198.51.100.{number + 1}"
        register(bench, host=host)
        got += len(fetch(bench, host))
        register(bench, host=host, cseq=2, expires=0)
        bench.sent.clear()
    assert got == bench.store.count(GIVEN) == 32


def test_a_device_that_moves() -> None:
    """RFC 5626 4.1: its instance is what stays the same."""
    bench = made()
    write(bench, "hello")
    bench.sent.clear()
    name = "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
    register(bench, instance=name)
    assert fetch(bench) == ["hello"]
    register(bench, host="192.0.2.21", instance=name)
    assert fetch(bench, "192.0.2.21") == []


def test_unreached() -> None:
    """A phone that is registered and silent: 202, and it is tried again later, in order."""
    bench = made(retry=60)
    register(bench)
    bench.sent.clear()
    assert write(bench, "one") == []
    bench.wait(40)
    assert any(isinstance(one, Response) and one.status == 202 for one in bench.sent)
    come(bench)
    bench.wait(60)
    [got] = come(bench)
    # While that one is on its way, another waits behind it.
    assert write(bench, "two") == ["202 Accepted"]
    answer(bench, got)
    assert fetch(bench) == ["two"]


@pytest.mark.parametrize(
    ("status", "kept"), [("486 Busy Here", True), ("603 Decline", False), ("415 No", False)]
)
def test_refused_by_the_phone(status: str, kept: bool) -> None:
    """What a person or a phone does not want is not forced on it."""
    bench = made()
    register(bench)
    bench.sent.clear()
    write(bench, "one")
    [got] = come(bench)
    answer(bench, got, status)
    statuses = [one.status for one in bench.sent if isinstance(one, Response)]
    assert statuses == ([202] if kept else [int(status[:3])])


def test_a_message_no_phone_takes() -> None:
    """It does not stop those behind it, and does not come again."""
    bench, got = begun("one", "two")
    answer(bench, got, "415 Unsupported Media Type")
    assert fetch(bench) == ["two"]
    [first, second] = bench.command("messages.list", user=BOB)
    assert first["refused"]
    assert second["devices"]


def test_a_register_during_a_failing_delivery() -> None:
    """The phone has a new address, and does not wait for ``retry`` until the old one has failed."""
    bench = made(retry=600)
    write(bench, "one")
    bench.sent.clear()
    register(bench, instance="urn:uuid:bob")
    assert len(come(bench)) == 1
    bench.wait(5)
    bench.sent.clear()
    register(bench, host="192.0.2.21", instance="urn:uuid:bob")
    bench.wait(33)
    assert "192.0.2.21" in [one.uri.host for one in come(bench)]


def test_a_message_during_a_failing_delivery() -> None:
    """A new message does not mean that the phone is back: a silent phone is tried no more often for it."""
    bench, _ = begun("one", retry=600)
    assert write(bench, "two") == ["202 Accepted"]
    bench.wait(100)
    assert len({one.vias[0].branch for one in come(bench)}) <= 1


def test_a_failure_keeps_order() -> None:
    """The next one waits until the first one is through; a REGISTER begins again."""
    bench, got = begun("one", "two")
    answer(bench, got, "480 Temporarily Unavailable")
    assert come(bench) == []
    register(bench, cseq=2)
    assert fetch(bench) == ["one", "two"]


def test_removed() -> None:
    """An operator removes messages."""
    bench = made()
    write(bench, "one")
    write(bench, "two")
    [first, _] = bench.command("messages.list", user=BOB)
    assert "one" not in str(first)
    assert bench.command("messages.remove", user=BOB, id=first["id"]) == 1
    bench.sent.clear()
    register(bench)
    assert fetch(bench) == ["two"]


def test_a_register_tries_its_own_phone_alone() -> None:
    """A second phone that is off has its time: a REGISTER of the first sends nothing to an old address."""
    bench = made(retry=3_600.0)
    register(bench, host="192.0.2.21")
    register(bench, host="192.0.2.22")
    write(bench, "hello")
    bench.wait(40)
    bench.sent.clear()
    for cseq in (2, 3):
        register(bench, cseq=cseq, host="192.0.2.21")
        [tried] = come(bench)
        assert tried.uri_text == "sip:bob@192.0.2.21:5060"
        bench.wait(40)
        bench.sent.clear()


def test_one_timer_for_a_device() -> None:
    """A phone that registers anew and answers 480 each time is tried again once, not once for each time."""
    bench, got = begun("one", retry=600)
    for cseq in range(2, 40):
        answer(bench, got, "480 Temporarily Unavailable")
        register(bench, cseq=cseq)
        [got] = come(bench)
    answer(bench, got, "480 Temporarily Unavailable")
    live = [timer for queue in bench.stack.timers._queues.values() for timer in queue if timer.owner]
    assert len([timer for timer in live if timer.deadline - bench.now > 500]) == 1
    # Its time counts from the last attempt.
    bench.wait(595)
    assert come(bench) == []
    bench.wait(10)
    assert len(come(bench)) == 1
