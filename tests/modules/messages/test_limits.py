"""How much is kept, of which users and senders, for how long."""

from __future__ import annotations

import pytest

from sansip.auth import Lookup
from sansip.modules.messages import Messages
from sansip.modules.messages.notices import MessageRefused
from sansip.modules.messages.row import GIVEN, KEPT
from sansip.testing import ModuleBench
from tests.modules.messages.kept import BOB, fetch, made, register, write

pytestmark = pytest.mark.usefixtures("way")

_TOO_LARGE = "413 Request Entity Too Large"
_NOT_NOW = "480 Temporarily Unavailable"


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
    # RFC 3261 21.4.11, 21.4.18: it is not that there is no such user.
    assert write(bench, text) == [_TOO_LARGE if limit == "size" else _NOT_NOW]
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
    assert write(bench, "x", "bob", f"Subject: {'y' * 2_000}") == [_TOO_LARGE]
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
    assert write(bench.restarted(), "two") == [_NOT_NOW]


def test_limits_count_what_another_node_did() -> None:
    """It gave messages to the phone, or removed them: they count here no more."""
    bench = made(shared=True, per_sender=1, most=2)
    write(bench, "one")
    other = bench.beside()
    register(other)
    assert fetch(other) == ["one"]
    assert write(bench, "two", "bob", "Expires: 100") == ["202 Accepted"]
    assert write(bench, "three") == [_NOT_NOW]
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


def test_names_without_a_user_take_no_memory() -> None:
    """A stranger tries a million names: nothing of them stays."""
    bench = ModuleBench(Messages, answers={Lookup: lambda lookup: None}, shares_rows=False)
    bench.stack.authenticator = object()  # type: ignore[assignment]  # only its presence counts
    for number in range(20):
        write(bench, "hello", f"nobody{number}")
    assert bench.module._keeping.recent._users == {}
    assert bench.module._held.rows == {}
