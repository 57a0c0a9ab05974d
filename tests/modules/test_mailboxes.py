"""Waiting messages (RFC 3842): published by a voicemail server or set by a command, told to the owner."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.module import Use
from sansip.modules.events import Events, EventsSettings
from sansip.modules.mailboxes import Mailboxes, MailboxesSettings, check_summary
from sansip.modules.publications import Publications
from sansip.routing.trust import TrustedPeer
from sansip.rows import MemoryRows
from sansip.testing import check_module
from tests.modules.events.test_nodes import Nodes as Sharing
from tests.modules.events.weather import Stored
from tests.modules.publications.test_module import publish
from tests.modules.watching import Watcher
from tests.rig import BOB

TYPE = "application/simple-message-summary"


def bench(rows: MemoryRows | None = None) -> Stored:
    rig = Stored(
        rows,
        modules=[Use(Events), Use(Publications), Use(Mailboxes, MailboxesSettings(interval=0.0))],
        trusted=[TrustedPeer("192.0.2.0/24")],
        secret=b"the same secret for every life",
        wall_offset=1_000_000.0,
    )
    rig.take(rig.stack.time_passed(rig.now))
    return rig


def phone(rig: Stored) -> Watcher:
    return Watcher(rig, event="message-summary", user="bob", source=BOB)


def command(rig: Stored, name: str, *watchers: Watcher, **given: Any) -> Any:
    results: list[Any] = []
    outs = rig.take(rig.stack.command(name, given, rig.now, lambda result, now: results.append(result)))
    for one in watchers:
        one.take(outs)
    return results[-1]


def test_contract() -> None:
    """What every module promises."""
    check_module(Mailboxes, others=[Use(Events), Use(Publications)])


def test_published_and_told() -> None:
    """RFC 3842 3: the phone hears at once, and after each PUBLISH of the voicemail server."""
    rig = bench()
    one = phone(rig)
    assert one.subscribe() == 200
    assert (one.last.get("content-type"), one.last.body) == (TYPE, b"Messages-Waiting: no\r\n")
    body = b"Messages-Waiting: yes\r\nMessage-Account: sip:bob@vm.test\r\nVoice-Message: 2/8 (0/2)\r\n"
    assert publish(rig, body, event="message-summary", type=TYPE).status == 200
    one.take(rig.log)
    assert one.last.body == body


def test_set_by_a_command() -> None:
    """A program without SIP tells the numbers; they survive a restart."""
    rig = bench()
    one = phone(rig)
    one.subscribe()
    shown = "Messages-Waiting: yes\r\nVoice-Message: 3/1\r\n"
    assert command(rig, "mailboxes.set", one, user="sip:bob@biloxi.test", new=3, old=1) == shown
    assert one.last.body == shown.encode()
    rig = bench(rig.rows)
    assert command(rig, "mailboxes.show", user="sip:bob@biloxi.test") == shown
    assert "0 to 999999" in str(command(rig, "mailboxes.set", user="sip:bob@biloxi.test", new=-1))


def test_a_store_that_is_down_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Phones are told that nothing waits until the rows can be read, and no longer."""
    rig = bench()
    command(rig, "mailboxes.set", user="sip:bob@biloxi.test", new=3, old=1)
    monkeypatch.setattr(MemoryRows, "answer", lambda self, question: OSError("down"))
    rig = bench(rig.rows)
    monkeypatch.undo()
    rig.wait(10)
    assert "3/1" in command(rig, "mailboxes.show", user="sip:bob@biloxi.test")


def test_a_mailbox_is_its_owners() -> None:
    """RFC 3842 4: nobody else watches it."""
    assert Watcher(bench(), event="message-summary", user="carol").subscribe() == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Voice-Message: 1/0\r\n",
        b"Messages-Waiting: maybe\r\n",
        b"Messages-Waiting: yes\r\nno field\r\n",
        b"Messages-Waiting: yes\r\nA: \x00\r\n",
        b"Messages-Waiting: yes\r\n" + b"A: b\r\n" * 100,
        b"Messages-Waiting: yes\r\nA: \xff\r\n",
    ],
)
def test_refused(body: bytes) -> None:
    """RFC 3842 5.2: what is no summary is a 400, and is told to no phone."""
    with pytest.raises(ValueError, match=r"."):
        check_summary(body)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_line_ends(ends: str) -> None:
    """RFC 3842 5.2: lines end with CRLF, whatever the server sent."""
    body = ends.join(("messages-waiting:yes", "Voice-Message: 1/0", ""))
    assert check_summary(body.encode()) == b"messages-waiting:yes\r\nVoice-Message: 1/0\r\n"


def test_a_command_at_another_node() -> None:
    """What an operator sets at one node, the phones that watch at the other are told."""

    class Nodes(Sharing):
        MODULES = (Use(Events, EventsSettings(open=True)), Use(Publications), Use(Mailboxes))

    nodes = Nodes("n1", "n2")
    two = nodes.rigs["n2"]
    watcher = Watcher(two, "sip:bob@biloxi.test", "message-summary", user="bob")
    watcher.subscribe()
    watcher.take(nodes.settle("n2"))
    assert b"no" in watcher.notifies[-1].body
    one = nodes.rigs["n1"]
    for name in ("n1", "n2"):
        nodes.wait(name, 2.0)
    one.take(
        one.stack.command(
            "mailboxes.set", {"user": "sip:bob@biloxi.test", "new": 2}, one.now, lambda *_: None
        )
    )
    for name in ("n1", "n2", "n1", "n2"):
        watcher.take([out for out in nodes.wait(name, 1.0) if name == "n2"])
    assert b"Voice-Message: 2/0" in watcher.notifies[-1].body
