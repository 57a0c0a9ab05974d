"""Kept messages on virtual time: each one reaches each device once, in order, over restarts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from sansip.auth import Lookup
from sansip.events import NodeChanged
from sansip.module import CommandError
from sansip.module.core import Core
from sansip.modules.messages import Messages, MessagesSettings
from sansip.modules.messages.notices import MessageDoubtful, MessageRefused
from sansip.modules.messages.row import GIVEN, KEPT, ORIGINS
from sansip.rows import Change, MemoryRows, Read, Scan, Write
from sansip.testing import ModuleBench, check_module
from sansip.wire import Request, Response

BOB = "sip:bob@example.com"
PHONE = ("192.0.2.20", 5060)


def users(lookup: Lookup) -> Mapping[str, str] | None:
    return {} if lookup.username in ("bob", "carol") else None


# Of this test: whether nodes share the rows, and ``memory``.
_ways: dict[str, int] = {}


@pytest.fixture(params=["memory", "store", "shared"], autouse=True)
def way(request: pytest.FixtureRequest) -> str:
    """Each test with rows that are in memory as well, that are read from the store, and that nodes share."""
    _ways["shared"] = request.param == "shared"
    _ways["memory"] = 0 if request.param == "store" else 8_388_608
    return str(request.param)


def made(*, shared: bool = False, **given: Any) -> ModuleBench[Messages]:
    settings = MessagesSettings(**{"memory": _ways["memory"], **given})
    return ModuleBench(
        Messages, settings, answers={Lookup: users}, shares_rows=shared or bool(_ways["shared"])
    )


def write(bench: ModuleBench[Messages], text: str = "hello", user: str = "bob", *fields: str) -> list[str]:
    """Have a stranger send a text; return the answers."""
    return bench.request("MESSAGE", f"sip:{user}@example.com", ["Content-Type: text/plain", *fields], text)


def register(
    bench: ModuleBench[Messages], cseq: int = 1, host: str = PHONE[0], expires: int = 3600, instance: str = ""
) -> None:
    feature = f';+sip.instance="<{instance}>"' if instance else ""
    lines = [
        "REGISTER sip:example.com SIP/2.0",
        f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bKreg{host}{cseq}",
        "Max-Forwards: 70",
        f"From: <{BOB}>;tag=r",
        f"To: <{BOB}>",
        f"Call-ID: reg-{host}",
        f"CSeq: {cseq} REGISTER",
        f"Contact: <sip:bob@{host}:5060>;expires={expires}{feature}",
        "Content-Length: 0",
    ]
    bench.receive(("\r\n".join(lines) + "\r\n\r\n").encode(), (host, 5060))


def come(bench: ModuleBench[Messages]) -> list[Request]:
    """Return the messages that have left for phones since the last time, each once."""
    found = {
        one.vias[0].branch: one for one in bench.sent if isinstance(one, Request) and one.method == "MESSAGE"
    }
    bench.sent.clear()
    return list(found.values())


def answer(
    bench: ModuleBench[Messages], request: Request, status: str = "200 OK", host: str = PHONE[0]
) -> None:
    lines = [f"SIP/2.0 {status}", *(f"Via: {one}" for one in request.get_all("via"))]
    lines += [f"{name}: {request.get(name)}" for name in ("from", "call-id", "cseq")]
    lines += [f"To: {request.get('to')};tag=p", "Content-Length: 0"]
    bench.receive(("\r\n".join(lines) + "\r\n\r\n").encode(), (host, 5060))


def fetch(bench: ModuleBench[Messages], host: str = PHONE[0]) -> list[str]:
    """Take and answer messages as long as some come; return their bodies."""
    bodies: list[str] = []
    while found := come(bench):
        # One at a time for a device.
        assert len(found) == 1
        bodies.append(found[0].body.decode())
        answer(bench, found[0], host=host)
    return bodies


def watch(bench: ModuleBench[Messages]) -> list[Any]:
    """Return the list that questions to the outside are put on from now on."""
    asked: list[Any] = []
    plain = bench._answer

    def noting(question: Any) -> Any:
        asked.append(question)
        return plain(question)

    bench._answer = noting  # type: ignore[method-assign]
    return asked


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


def test_restart() -> None:
    """Rows and marks: nothing is lost, and nothing comes twice."""
    bench = made()
    write(bench, "one")
    write(bench, "two")
    bench = bench.restarted()
    register(bench)
    [got] = come(bench)
    assert got.body == b"one"
    answer(bench, got)
    bench = bench.restarted()
    register(bench, cseq=2)
    assert fetch(bench) == ["two"]


def test_a_store_that_is_down_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A phone that is registered all the time gets them at its next REGISTER, and counts are right."""
    bench = made(per_user=1)
    write(bench, "one")
    monkeypatch.setattr(MemoryRows, "answer", lambda self, question: OSError("down"))
    bench = bench.restarted()
    monkeypatch.undo()
    bench.wait(10)
    assert bench.command("messages.count") == 1
    assert write(bench, "two") == ["404 Not Found"]


def test_the_same_call_id() -> None:
    """A server that died before the answer sends the same request again (RFC 3261 8.1.1.4)."""
    bench = made()
    write(bench, "one")
    bench.sent.clear()
    register(bench)
    [first] = come(bench)
    bench = bench.restarted()
    register(bench, cseq=2)
    [again] = come(bench)
    assert (first.call_id, first.body) == (again.call_id, again.body)
    # RFC 3261 17.2.3: the phone's transaction absorbs it if the phone had answered (17.2.2).
    assert first.vias[0].branch == again.vias[0].branch
    assert (first.from_tag, first.cseq) == (again.from_tag, again.cseq)


def repeated(bench: ModuleBench[Messages], body: str = "hello", branch: str = "rep") -> list[str]:
    """Send the same MESSAGE as often as this is called; return the answers."""
    lines = [
        f"MESSAGE {BOB} SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.40:5060;branch=z9hG4bK{branch}",
        "Max-Forwards: 70",
        "From: <sip:dave@elsewhere.example>;tag=d",
        f"To: <{BOB}>",
        "Call-ID: repeated",
        "CSeq: 1 MESSAGE",
        "Content-Type: text/plain",
        f"Content-Length: {len(body)}",
    ]
    bench.sent.clear()
    bench.receive(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), ("192.0.2.40", 5060))
    found = [f"{one.status} {one.reason}" for one in bench.sent if isinstance(one, Response)]
    bench.sent.clear()
    return found


def test_a_sender_that_repeats() -> None:
    """A server was killed after the message was in the store, before its 202: it is kept once."""
    bench = made()
    assert repeated(bench) == ["202 Accepted"]
    bench = bench.restarted()
    assert repeated(bench) == ["202 Accepted"]
    assert bench.command("messages.count") == 1
    # By another way (RFC 3261 8.2.2.2); another text is another message, whatever its Call-ID.
    assert repeated(bench, branch="other") == ["202 Accepted"]
    assert repeated(bench, "bye", branch="third") == ["202 Accepted"]
    register(bench)
    assert fetch(bench) == ["hello", "bye"]
    # Nor does it come again where the phone is there by now.
    bench = bench.restarted()
    register(bench, cseq=2)
    bench.sent.clear()
    assert repeated(bench) == ["202 Accepted"]
    assert come(bench) == []


def test_a_clock_that_was_put_back() -> None:
    """Order holds over a restart."""
    bench = made()
    bench.wait(500)
    write(bench, "one")
    # The bench's clock begins again.
    bench = bench.restarted()
    write(bench, "two")
    bench.sent.clear()
    register(bench)
    assert fetch(bench) == ["one", "two"]


def test_a_sender_that_repeats_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has not read its rows yet looks into the store."""
    bench = made()
    assert repeated(bench) == ["202 Accepted"]
    scan = MemoryRows.answer
    monkeypatch.setattr(
        MemoryRows,
        "answer",
        lambda self, question: (
            OSError("down") if isinstance(question, Scan) and not question.prefix else scan(self, question)
        ),
    )
    bench = bench.restarted()
    assert repeated(bench) == ["202 Accepted"]
    monkeypatch.undo()
    bench.wait(10)
    assert bench.command("messages.count") == 1


@pytest.mark.parametrize("later", [1, 31, 3_600])
def test_the_same_request_at_any_time(later: int) -> None:
    """RFC 3261 8.1.1.4, 17.2.3: a phone that keeps transactions or Call-IDs for long knows it at any time."""
    bench = made()
    write(bench, "one")
    bench.sent.clear()
    register(bench)
    [first] = come(bench)
    bench = bench.restarted()
    bench.wait(later)
    register(bench, cseq=2)
    [again] = come(bench)
    assert first.vias[0].branch == again.vias[0].branch
    assert (first.call_id, first.cseq, first.from_tag) == (again.call_id, again.cseq, again.from_tag)


def test_in_doubt() -> None:
    """With "give up" a message whose answer nobody saw comes once at most, and operators see that."""
    bench = made(in_doubt="give up")
    for text in ("one", "two"):
        write(bench, text)
    bench.sent.clear()
    register(bench)
    [first] = come(bench)
    bench = bench.restarted()
    # RFC 3261 17.2.2: each phone on UDP knows the branch for 32 seconds, so nothing is in doubt yet.
    register(bench, cseq=2)
    [again] = come(bench)
    assert first.vias[0].branch == again.vias[0].branch
    bench = bench.restarted()
    bench.wait(31)
    register(bench, cseq=3)
    assert fetch(bench) == ["two"]
    assert any(isinstance(event, MessageDoubtful) and "in_doubt" in str(event) for event in bench.events)
    assert [one["doubtful"] for one in bench.command("messages.list", user=BOB)] == [
        [f"sip:bob@{PHONE[0]}:5060"],
        [],
    ]
    # It is not forgotten: a second phone gets both.
    register(bench, host="192.0.2.30")
    assert fetch(bench, "192.0.2.30") == ["one", "two"]


def test_another_transaction_after_a_failure() -> None:
    """RFC 3261 8.1.1.7: what was answered is over; the same branch would fetch the same answer."""
    bench = made(retry=5)
    write(bench, "one")
    bench.sent.clear()
    register(bench)
    [first] = come(bench)
    answer(bench, first, "480 Not Now")
    bench.wait(6)
    [again] = come(bench)
    assert first.vias[0].branch != again.vias[0].branch
    answer(bench, again)
    assert bench.figure("delivered") == {(): 1}


def test_a_contact_that_leads_back() -> None:
    """A message that is being delivered is not kept again: it would be delivered for ever."""
    bench = made()
    write(bench, "one")
    bench.sent.clear()
    register(bench)
    [got] = come(bench)
    lines = [
        f"MESSAGE {BOB} SIP/2.0",
        f"Via: {got.get('via')}",
        "Max-Forwards: 70",
        f"From: {got.get('from')}",
        f"To: <{BOB}>",
        f"Call-ID: {got.call_id}",
        f"CSeq: {got.get('cseq')}",
        "Content-Type: text/plain",
        "Content-Length: 3",
    ]
    bench.receive(("\r\n".join(lines) + "\r\n\r\none").encode())
    assert bench.command("messages.count") == 1
    # RFC 3261 16.3 step 4: 202 would mean that a phone has it.
    assert [one.status for one in bench.sent if isinstance(one, Response)] == [482]


def test_it_stays_the_request_of_its_sender() -> None:
    """Call-ID, From tag and CSeq: a phone that got it at once from a server that was killed knows it."""
    bench = made()
    repeated(bench)
    bench.sent.clear()
    register(bench)
    [got] = come(bench)
    assert (got.call_id, got.from_tag, got.cseq) == ("repeated", "d", (1, "MESSAGE"))
    # RFC 3261 8.1.1.7: its branch is ours.
    assert got.vias[0].branch != "z9hG4bKrep"


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
    bench = made()
    write(bench, "one")
    write(bench, "two")
    bench.sent.clear()
    register(bench)
    [got] = come(bench)
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
    """It is no sign of the phone: a silent one is not tried more often, however much comes for it."""
    bench = made(retry=600)
    write(bench, "one")
    bench.sent.clear()
    register(bench)
    assert len(come(bench)) == 1
    assert write(bench, "two") == ["202 Accepted"]
    bench.wait(100)
    assert len({one.vias[0].branch for one in come(bench)}) <= 1


def test_expires_counts_from_date() -> None:
    """RFC 3428 7: a message that is over already is not kept; without a right Date it counts from now."""
    bench = made()
    for date, kept in (
        ("Tue, 14 Nov 2023 22:13:00 GMT", True),
        ("Tue, 14 Nov 2023 22:11:00 GMT", False),
        ("Tue, 34 Nov 2023 22:11:00 GMT", True),
        ("yesterday", True),
    ):
        answers = write(bench, date, "bob", f"Date: {date}", "Expires: 100")
        assert (answers == ["202 Accepted"]) is kept, date


def test_a_failure_keeps_order() -> None:
    """The next one waits until the first one is through; a REGISTER begins again."""
    bench = made()
    for text in ("one", "two"):
        write(bench, text)
    bench.sent.clear()
    register(bench)
    [got] = come(bench)
    answer(bench, got, "480 Temporarily Unavailable")
    assert come(bench) == []
    register(bench, cseq=2)
    assert fetch(bench) == ["one", "two"]


@pytest.mark.parametrize(
    "address", ['"a;tag=b" <sip:mallory@elsewhere.example>', "<sip:mallory@elsewhere.example;tag=b>"]
)
def test_a_sender_with_tag_in_its_name(address: str) -> None:
    """What only looks like a tag stays, and the message stops none behind it."""
    bench = made()
    lines = [
        f"MESSAGE {BOB} SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKname",
        "Max-Forwards: 70",
        f"From: {address};tag=real",
        f"To: <{BOB}>",
        "Call-ID: name",
        "CSeq: 1 MESSAGE",
        "Content-Type: text/plain",
        "Content-Length: 3",
    ]
    bench.receive(("\r\n".join(lines) + "\r\n\r\none").encode())
    write(bench, "two")
    bench.sent.clear()
    register(bench)
    [got] = come(bench)
    assert (got.from_.display, got.from_.uri.user) == ("a;tag=b" if '"' in address else "", "mallory")
    answer(bench, got)
    assert fetch(bench) == ["two"]
    assert not bench.failures


def test_one_that_comes_while_the_last_rows_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has said that there are no more: it is read after that, not at the next REGISTER."""
    bench = made(memory=0)
    write(bench, "one")
    bench.sent.clear()
    plain = bench._answer

    def slow(question: Any) -> Any:
        result = plain(question)
        if isinstance(question, Scan) and question.table is KEPT:
            monkeypatch.undo()
            # It waits until it is known that an older one is on its way.
            assert write(bench, "two") == []
        return result

    monkeypatch.setattr(bench, "_answer", slow)
    register(bench)
    answers = [one for one in bench.sent if isinstance(one, Response) and one.cseq.method == "MESSAGE"]
    assert [one.status for one in answers] == [202]
    assert fetch(bench) == ["one", "two"]


def test_a_row_that_cannot_be_sent() -> None:
    """It is told, and stops none behind it."""
    bench = made(memory=0)
    write(bench, "one")
    write(bench, "two")
    [row, _] = bench.store.scan(Scan(KEPT, (BOB,), None, 2))
    broken = KEPT.row_of(row)
    broken.sender = "<sip:a@elsewhere.example>\r\n"
    bench.store.write(Write((Change(KEPT, (KEPT.values_of(broken),)),)))
    bench.sent.clear()
    register(bench)
    assert fetch(bench) == ["two"]
    assert len(bench.failures) == 1


def test_expiry() -> None:
    """RFC 3428 4: its Expires counts; 0 is of no use later."""
    bench = made()
    assert write(bench, "now", "bob", "Expires: 0") == ["404 Not Found"]
    write(bench, "short", "bob", "Expires: 100")
    write(bench, "long")
    bench.wait(200)
    assert bench.command("messages.count") == 1
    assert bench.figure("expired") == {(): 1}
    bench.sent.clear()
    register(bench)
    assert fetch(bench) == ["long"]


@pytest.mark.parametrize("limit", ["per_user", "per_sender", "most", "size"])
def test_limits(limit: str) -> None:
    """The next one is not kept: its sender gets the failure, and the log names the limit."""
    bench = made(**{limit: 2})
    text = "hi"
    if limit != "size":
        for _ in range(2):
            assert write(bench, text) == ["202 Accepted"]
    else:
        text = "long"
    assert write(bench, text) == ["404 Not Found"]
    assert [event.limit for event in bench.events if isinstance(event, MessageRefused)] == [limit]


def test_a_stranger_with_many_names() -> None:
    """A stranger who varies From fills a part of a user's room alone (RFC 3428 11)."""
    bench = made(per_user=4, per_strangers=2)
    module = bench.module
    held, given = module._held, module.settings
    # Here a name of ours needs a password.
    module.core.proxy.trust.authenticates = True
    for number in range(2):
        assert held.limit_of(given, BOB, f"sip:{number}@elsewhere.example", 10) == ""
        held.count(BOB, f"id{number}", f"sip:{number}@elsewhere.example", 1e12)
    assert held.limit_of(given, BOB, "sip:another@elsewhere.example", 10) == "per_strangers"
    assert held.limit_of(given, BOB, "nobody", 10) == "per_strangers"
    for number in range(2):
        assert held.limit_of(given, BOB, "sip:alice@example.com", 10) == ""
        held.count(BOB, f"of alice {number}", "sip:alice@example.com", 1e12)
    assert held.limit_of(given, BOB, "sip:alice@example.com", 10) == "per_user"


def test_limits_count_what_waits() -> None:
    """A message that a device has leaves room for the next."""
    bench = made(per_user=1)
    write(bench, "one")
    bench.sent.clear()
    register(bench)
    assert fetch(bench) == ["one"]
    register(bench, cseq=2, expires=0)
    assert write(bench, "two") == ["202 Accepted"]


def test_size_of_header_fields() -> None:
    """They are kept as the body is."""
    bench = made(size=1_000)
    assert write(bench, "x", "bob", f"Subject: {'y' * 2_000}") == ["404 Not Found"]
    assert write(bench, "x", "bob", f"Subject: {'y' * 200}") == ["202 Accepted"]


def test_what_was_delivered_fills_no_store() -> None:
    """Two users who write to each other all day leave the room of others."""
    bench = made(per_user=2, most=6)
    bench.sent.clear()
    for number in range(8):
        assert write(bench, str(number)) == ["202 Accepted"]
        bench.sent.clear()
        register(bench, cseq=2 * number + 1)
        assert fetch(bench) == [str(number)]
        register(bench, cseq=2 * number + 2, expires=0)
    assert bench.command("messages.count") <= 5
    assert bench.store.count(GIVEN) == bench.store.count(KEPT) == bench.command("messages.count")
    bench.sent.clear()
    # Another device has the newest ones.
    register(bench, host="192.0.2.21")
    assert fetch(bench, "192.0.2.21")[-2:] == ["6", "7"]


def test_limits_after_a_restart() -> None:
    """The sender of a row is the one that it was."""
    bench = made(per_sender=1)
    write(bench, "one")
    assert write(bench.restarted(), "two") == ["404 Not Found"]


def test_limits_count_what_another_node_did() -> None:
    """It gave messages to the phone, or removed them: they count here no more."""
    bench = made(shared=True, per_sender=1, most=2)
    write(bench, "one")
    other = bench.beside()
    register(other)
    assert fetch(other) == ["one"]
    assert write(bench, "two", "bob", "Expires: 100") == ["202 Accepted"]
    assert write(bench, "three") == ["404 Not Found"]
    other.wait(200)
    bench.wait(200)
    assert write(bench, "four") == ["202 Accepted"]


def test_a_node_without_messages_removes_them() -> None:
    """The node that the work falls to may have kept none itself."""
    bench = made(shared=True)
    other = bench.beside()
    write(bench, "short", "bob", "Expires: 100")
    other.wait(200)
    assert bench.store.count(KEPT) == 0


def test_a_broken_store() -> None:
    """No 202 for what is not kept."""
    bench = made()
    bench.broken = True
    assert write(bench) != ["202 Accepted"]
    bench.broken = False
    assert bench.command("messages.count") == 0


def test_two_nodes() -> None:
    """One store: the phone registers at the other node and has the message once."""
    bench = made(shared=True)
    write(bench, "hello")
    other = bench.beside()
    register(other)
    assert fetch(other) == ["hello"]
    bench.sent.clear()
    register(bench, cseq=2)
    assert fetch(bench) == []


def test_what_one_node_alone_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its timers and notices: ``once`` may name another node, which hears of no timer of this one."""
    monkeypatch.setattr(Core, "once", lambda self, name: False)
    bench = made(retry=30.0)
    register(bench)
    at = datetime.fromtimestamp(1_700_000_060, UTC).isoformat()
    assert bench.command("messages.remind", user=BOB, text="the dentist", at=at)
    # The other node might have a timer, too.
    bench.wait(61)
    assert come(bench) == []
    bench.wait(41)
    [first] = come(bench)
    answer(bench, first, "503 Busy")
    bench.wait(31)
    assert fetch(bench) == ["the dentist"]


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


CPIM = (
    "From: <sip:caller@elsewhere.example>\r\nTo: <sip:bob@example.com>\r\nNS: i <urn:ietf:params:imdn>\r\n"
    "i.Message-ID: m1\r\ni.Disposition-Notification: processing, negative-delivery\r\n\r\n"
    "Content-Type: text/plain\r\n\r\nhello"
)


def carol_writes(bench: ModuleBench[Messages], body: str, kind: str, host: str = "192.0.2.21") -> None:
    """Have carol send a message to bob, from ``host``."""
    number = len(bench.sent)
    lines = [
        f"MESSAGE {BOB} SIP/2.0",
        f"Via: SIP/2.0/UDP {host}:5060;branch=z9hG4bKcarol{host}{number}",
        "Max-Forwards: 70",
        "From: <sip:carol@example.com>;tag=c",
        f"To: <{BOB}>",
        f"Call-ID: carol-{host}-{number}",
        "CSeq: 1 MESSAGE",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
    ]
    bench.receive(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), (host, 5060))


def carol_registers(bench: ModuleBench[Messages], cseq: int = 1) -> None:
    lines = [
        "REGISTER sip:example.com SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.21:5060;branch=z9hG4bKregc{cseq}",
        "Max-Forwards: 70",
        "From: <sip:carol@example.com>;tag=r",
        "To: <sip:carol@example.com>",
        "Call-ID: reg-carol",
        f"CSeq: {cseq} REGISTER",
        "Contact: <sip:carol@192.0.2.21:5060>;expires=3600",
        "Content-Length: 0",
    ]
    bench.receive(("\r\n".join(lines) + "\r\n\r\n").encode(), ("192.0.2.21", 5060))


def test_the_sender_is_told_that_it_is_stored() -> None:
    """RFC 5438 8.1: who asks for it is told, once, and only by a message to the sender's own phone."""
    bench = made()
    carol_registers(bench)
    bench.sent.clear()
    mine = CPIM.replace("caller@elsewhere.example", "carol@example.com")
    carol_writes(bench, mine, "message/cpim")
    [told] = come(bench)
    assert str(told.uri) == "sip:carol@192.0.2.21:5060"
    assert told.get("content-type") == "message/cpim"
    assert b"<processing-notification><status><stored/>" in told.body
    answer(bench, told, host="192.0.2.21")
    bench.wait(200)
    assert come(bench) == []


@pytest.mark.parametrize("fault", ["no phone of the sender's there", "another sender in the header"])
def test_nobody_else_is_told(fault: str) -> None:
    """A stranger who writes a user's name into From, or into the header, sends that user nothing."""
    bench = made()
    carol_registers(bench)
    bench.sent.clear()
    if fault == "no phone of the sender's there":
        carol_writes(
            bench, CPIM.replace("caller@elsewhere.example", "carol@example.com"), "message/cpim", "192.0.2.66"
        )
    else:
        carol_writes(bench, CPIM, "message/cpim")
    bench.wait(200)
    assert come(bench) == []


def test_the_sender_is_told_that_it_failed() -> None:
    """RFC 5438 8.2: nobody fetched it in time."""
    bench = made(expires=600)
    carol_registers(bench)
    carol_writes(bench, CPIM.replace("caller@elsewhere.example", "carol@example.com"), "message/cpim")
    bench.wait(1)
    [stored] = come(bench)
    answer(bench, stored, host="192.0.2.21")
    bench = bench.restarted()
    carol_registers(bench, cseq=2)
    bench.sent.clear()
    bench.wait(700)
    told = come(bench)
    assert [b"<failed/>" in one.body for one in told] == [True]


def test_a_notice_by_setting() -> None:
    """What msilo calls offline_message; a sender at an unknown address is not told."""
    bench = made(notice="bob is away")
    carol_registers(bench)
    bench.sent.clear()
    carol_writes(bench, "hello", "text/plain")
    [told] = come(bench)
    assert told.body == b"bob is away"
    assert str(told.from_.uri) == BOB
    answer(bench, told, host="192.0.2.21")
    write(bench, "from elsewhere")
    assert come(bench) == []


def test_a_reminder() -> None:
    """It comes at its time, over a restart, not before, behind what was kept before it."""
    bench = made()
    register(bench)
    at = datetime.fromtimestamp(1_700_003_000, UTC).isoformat()
    assert bench.command("messages.remind", user=BOB, text="the dentist", at=at)
    bench = bench.restarted()
    register(bench, cseq=2)
    assert fetch(bench) == []
    bench.wait(2_900)
    assert fetch(bench) == []
    register(bench, cseq=3)
    bench.wait(200)
    assert fetch(bench) == ["the dentist"]


@pytest.mark.parametrize(
    ("user", "at", "said"),
    [
        (BOB, "tomorrow", "2026-12-24T18:00+01:00"),
        (BOB, "2026-12-24T18:00", "2026-12-24T18:00+01:00"),
        (BOB, "1999-12-24T18:00+01:00", "366 days"),
        ("sip:mallory@example.com", "soon", "no user"),
        ("bob", "soon", "messages.remind"),
    ],
)
def test_a_wrong_reminder(user: str, at: str, said: str) -> None:
    """The refusal says how it is written."""
    bench = made()
    if at == "soon":
        at = datetime.fromtimestamp(1_700_000_060, UTC).isoformat()
    refused = bench.command("messages.remind", user=user, text="x", at=at)
    assert isinstance(refused, CommandError)
    assert said in str(refused)


def test_nothing_is_read_where_nothing_is_kept() -> None:
    """A REGISTER and a message of a user without kept ones cost the store nothing, and no message waits."""
    bench = made()
    asked = watch(bench)
    register(bench)
    write(bench, "hello")
    assert [one.body for one in come(bench)] == [b"hello"]
    questions = [one for one in asked if isinstance(one, Read | Scan | Write)]
    # Where nodes share the rows, another one may have kept some.
    assert bool(questions) is bool(_ways["shared"])


def test_one_that_comes_while_rows_are_read() -> None:
    """Nothing is kept: the message goes to the phone, though the look at the rows was still under way."""
    bench = made(shared=True)
    plain = bench._answer
    wrote: list[list[str]] = []

    def slow(question: Any) -> Any:
        result = plain(question)
        if isinstance(question, Scan) and question.table is KEPT and not wrote:
            wrote.append([])
            wrote[0] += write(bench, "hello")
        return result

    bench._answer = slow  # type: ignore[method-assign]
    register(bench)
    assert wrote == [[]]
    assert [one.body for one in come(bench)] == [b"hello"]
    assert bench.command("messages.count") == 0


def test_one_request_at_two_nodes() -> None:
    """It came to both at once: each answers 202, and the user has one message."""
    bench = made(shared=True)
    other = bench.beside()
    plain = bench._answer
    answers: list[list[str]] = []

    def slow(question: Any) -> Any:
        if isinstance(question, Write) and not answers:
            # The other node is quicker.
            answers.append([])
            answers[0] += write(other, "hello")
        return plain(question)

    bench._answer = slow  # type: ignore[method-assign]
    assert write(bench, "hello") == ["202 Accepted"]
    assert answers == [["202 Accepted"]]
    assert bench.store.count(KEPT) == 1
    assert bench.command("messages.count") == 0


def test_a_repetition_is_found_by_key() -> None:
    """Where nodes share the rows: not by a look at each message of the user."""
    bench = made(shared=True)
    other = bench.beside()
    write(bench, "hello")
    asked = watch(other)
    assert write(other, "hello") == ["202 Accepted"]
    assert [type(one) for one in asked if isinstance(one, Read | Scan | Write)] == [Read]
    bench.command("messages.remove", user=BOB)
    assert bench.store.count(ORIGINS) == 0


def test_names_without_a_user_take_no_memory() -> None:
    """A stranger tries a million names: nothing of them stays."""
    bench = ModuleBench(Messages, answers={Lookup: lambda lookup: None}, shares_rows=False)
    bench.stack.authenticator = object()  # type: ignore[assignment]
    for number in range(20):
        write(bench, "hello", f"nobody{number}")
    assert bench.module._keeping.recent._users == {}
    assert bench.module._held.rows == {}


def test_a_write_that_failed_may_have_happened() -> None:
    """The store answered too late, and has the row: it is delivered, though this node had given it up."""
    bench = made()
    plain = bench._answer

    def late(question: Any) -> Any:
        result = plain(question)
        return TimeoutError("too late") if isinstance(question, Write) else result

    bench._answer = late  # type: ignore[method-assign]
    assert write(bench, "hello") != ["202 Accepted"]
    bench._answer = plain  # type: ignore[method-assign]
    bench.sent.clear()
    register(bench)
    assert fetch(bench) == ["hello"]
    # Then the counts are right again.
    bench.wait(10)
    assert bench.command("messages.count") == 1


def test_the_same_message_by_two_ways() -> None:
    """RFC 3261 8.2.2.2: both were on their way to a phone that is off; it is kept once."""
    bench = made()
    register(bench)
    bench.sent.clear()
    assert repeated(bench) == []
    assert repeated(bench, branch="other") == []
    bench.wait(40)
    assert {one.status for one in bench.sent if isinstance(one, Response)} <= {100, 202, 482}
    assert bench.command("messages.count") == 1


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


def test_rows_that_fail_during_a_delivery() -> None:
    """The phone stays registered for long: what it did not get is tried again as after a phone's failure."""
    bench = made(retry=60.0)
    write(bench, "one")
    write(bench, "two")
    bench.sent.clear()
    register(bench)
    [got] = come(bench)
    bench.broken = True
    answer(bench, got)
    assert come(bench) == []
    bench.broken = False
    bench.wait(70)
    # RFC 3261 8.2.2.2: the phone knows the first one by its Call-ID.
    assert fetch(bench) == ["one", "two"]


def test_a_write_that_fails_while_rows_are_counted() -> None:
    """What was counted before it does not say that nothing is kept: the row may be there all the same."""
    bench = made()
    plain = bench._answer
    failing = [True]

    def late(question: Any) -> Any:
        if isinstance(question, Scan) and not question.prefix and failing:
            failing.clear()
            # Counting has read all rows, and its answer comes behind this.
            found = plain(question)
            bench._answer = lost  # type: ignore[method-assign]
            assert write(bench, "one") != ["202 Accepted"]
            bench._answer = plain  # type: ignore[method-assign]
            return found
        return plain(question)

    def lost(question: Any) -> Any:
        answer = plain(question)
        return OSError("too late") if isinstance(question, Write) else answer

    bench._answer = late  # type: ignore[method-assign]
    bench.module._keeping.complete = False
    bench.module._lost()
    bench.wait(5.5)
    assert not failing
    assert not bench.module._keeping.has_none(BOB)
    bench.wait(10)
    assert bench.command("messages.count") == 1


def test_what_a_node_kept_that_is_gone() -> None:
    """The phone is registered all the time at another one, which has not counted that message."""
    bench = made(shared=True)
    other = bench.beside()
    register(other)
    assert write(bench, "hello") == ["202 Accepted"]
    other.sent.clear()
    register(other, cseq=2)
    assert come(other) == []
    other.module.core.tell(NodeChanged("n1", "gone"), other.now)
    other.wait(6)
    [got] = come(other)
    assert got.body == b"hello"
