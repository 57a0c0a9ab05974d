"""A journal is enough to make everything happen again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sansip.actions import Ask, Connect, SendDatagram
from sansip.config import ListenerConfig
from sansip.journal import JournaledStack, JournalError
from sansip.routing.default import route as default_route
from sansip_server.cli import sansip
from sansip_server.config import build
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError
from sansip_server.journal import JournalFile, head, replay

PHONE = ("127.0.0.1", 5071)


@dataclass
class Connection:
    listener: int
    transport: str
    remote: tuple[str, int]
    incoming: bool


def message(method: str, uri: str, number: int, *more: str) -> bytes:
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/UDP 127.0.0.1:5071;branch=z9hG4bK{number};rport",
        "Max-Forwards: 70",
        "From: <sip:alice@localhost>;tag=a",
        f"To: <{uri if method != 'REGISTER' else 'sip:bob@localhost'}>",
        f"Call-ID: {number}",
        f"CSeq: 1 {method}",
        *more,
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode()


def record(write: Callable[[str], object], route: Callable[..., Any] = default_route) -> JournaledStack:
    """Let a stack live through each kind of input, and give its journal to ``write``."""
    settings = Settings(route="gone.py", secret_file="gone")
    listeners = [ListenerConfig(0, "udp", "127.0.0.1", 5060), ListenerConfig(1, "tcp", "127.0.0.1", 5060)]
    config = build.stack_config(settings, listeners, ["localhost"], ["this.test"], route, b"0123456789abcdef")
    seed = bytes(range(32))
    stack = JournaledStack(config, seed, write, head(settings, config))
    stack.wall_offset = 1_700_000_000.5
    stack.datagram_received(0, b"garbage \xff\r\n\r\n", PHONE, 0.1)
    register = message("REGISTER", "sip:localhost", 1, "Contact: <sip:bob@127.0.0.1:5072>;q=0.7")
    stack.datagram_received(0, register, PHONE, 0.2)
    named = message("REGISTER", "sip:localhost", 2, "Contact: <sip:bob@bob.test>;q=0.5")
    stack.datagram_received(0, named, PHONE, 0.25)
    out = stack.datagram_received(0, message("INVITE", "sip:bob@localhost", 3), PHONE, 0.3)
    (invite,) = [one for one in out if isinstance(one, SendDatagram) and one.data.startswith(b"INVITE")]
    # Its only way is lost, so the second contact is tried: a name to resolve, and that fails, too.
    out = stack.send_failed(invite.owner, "connection refused", 0.4)
    (question,) = [one for one in out if isinstance(one, Ask)]
    stack.answer(question.id, OSError("no such name"), 0.5)
    # A phone on TCP, in two pieces.
    conn = stack.new_connection()
    stack.connection_opened(conn, Connection(1, "tcp", ("127.0.0.1", 40_000), True), 1.0)
    options = message("OPTIONS", "sip:localhost", 4)
    stack.data_received(conn, options[:50], 1.1)
    stack.data_received(conn, options[50:], 1.2)
    stack.connection_closed(conn, "closed by the peer", 1.3)
    # An address that needs a connection of ours.
    far = message("REGISTER", "sip:localhost", 5, "Contact: <sip:bob@far.test;transport=tcp>;q=1")
    stack.datagram_received(0, far, PHONE, 2.0)
    out = stack.datagram_received(0, message("INVITE", "sip:bob@localhost", 6), PHONE, 2.1)
    (question,) = [one for one in out if isinstance(one, Ask)]
    out = stack.answer(question.id, [("127.0.0.1", 5073)], 2.2)
    assert any(isinstance(one, Connect) for one in out)
    stack.time_passed(40.0)
    stack.drain(41.0)
    stack.datagram_received(0, message("INVITE", "sip:bob@localhost", 7), PHONE, 41.1)
    return stack


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    file = JournalFile(path)
    record(file.write)
    file.close()
    return path


def test_everything_happens_again(recorded: Path) -> None:
    """Same inputs, same times, same seed: the same actions, octet for octet."""
    with recorded.open() as lines:
        steps = list(replay(lines, default_route))
    assert [step.line for step in steps if not step.same] == []
    assert {step.name for step in steps} == {
        "wall_offset",
        "datagram_received",
        "send_failed",
        "answer",
        "new_connection",
        "connection_opened",
        "data_received",
        "connection_closed",
        "time_passed",
        "drain",
    }
    # The test would prove nothing about a stack that did nothing.
    assert sum(len(step.again) for step in steps) > 15


def test_it_is_private(recorded: Path) -> None:
    """It holds whole messages and the seed."""
    assert recorded.stat().st_mode & 0o777 == 0o600


def test_another_route_is_noticed(recorded: Path) -> None:
    """A difference is found at the input where it begins."""
    with recorded.open() as lines:
        steps = list(replay(lines, lambda request: request.reply(480)))
    first = next(step for step in steps if not step.same)
    assert (first.name, first.at) == ("datagram_received", 0.2)


def test_command(recorded: Path, tmp_path: Path) -> None:
    """`sansip replay`: the verdict, and the first difference."""
    result = CliRunner().invoke(sansip, ["replay", str(recorded)])
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(" actions, all as recorded\n")
    script = tmp_path / "route.py"
    script.write_text("def route(request):\n    request.reply(480)\n")
    result = CliRunner().invoke(sansip, ["replay", str(recorded), "--route", str(script)])
    assert result.exit_code == 1
    assert "datagram_received at 0.200000 differs" in result.stdout
    result = CliRunner().invoke(sansip, ["replay", str(recorded), "--route", str(script), "--json"])
    assert result.exit_code == 1
    assert "480 Temporarily Unavailable" in str(json.loads(result.stdout)["difference"]["now"])


def test_cut_off_in_the_middle(recorded: Path) -> None:
    """A process that was killed leaves half a line at most; the rest is good."""
    lines = recorded.read_text().splitlines()
    whole = list(replay(lines, default_route))
    assert len(list(replay([*lines[:-1], lines[-1][:-9]], default_route))) == len(whole) - 1


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], "it is empty"),
        (["hello"], "line 1: no journal of sansip"),
        (["{}"], "line 1: no journal of sansip"),
        (['{"sansip_journal": 99}'], "line 1: format 99, and this version reads 3"),
        (['{"sansip_journal": 3, "seed": "00"}'], "line 1: no journal of sansip"),
        (["FIRST", "[]", "{}"], "line 2: cannot be read"),
        (["FIRST", '{"at": 1, "in": "unheard-of", "with": [], "out": []}'], "there is no input unheard-of"),
    ],
)
def test_what_is_no_journal(recorded: Path, lines: list[str], says: str) -> None:
    """Which line, and what about it."""
    first = recorded.read_text().splitlines()[0]
    with pytest.raises(JournalError, match=says):
        list(replay([first if line == "FIRST" else line for line in lines], default_route))


def test_command_on_what_is_no_journal(tmp_path: Path) -> None:
    """One line, status 2."""
    path = tmp_path / "x"
    path.write_text("hello\n")
    for arguments, says in (([str(path)], "no journal of sansip"), ([str(tmp_path / "no")], "cannot read")):
        result = CliRunner().invoke(sansip, ["replay", *arguments])
        assert result.exit_code == 2
        assert len(result.stderr.splitlines()) == 1
        assert says in result.stderr


def test_a_full_disk_ends_the_journal_not_the_server(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Recording is a convenience; calls are not."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            if self.tell() > 3000:
                raise OSError(28, "No space left on device")
            return super().write(text)

    file = JournalFile(tmp_path / "journal")
    file.close()
    file._file = Full()
    stack = record(file.write)
    assert len(stack.location.lookup("sip:bob@localhost", 41.2)) == 3
    assert [record.getMessage() for record in caplog.records] == [
        "the journal ends here: no space left on device"
    ]


def test_unusable_path(tmp_path: Path) -> None:
    """Said before any socket is opened."""
    with pytest.raises(OperatorError, match=r"--journal .*: no such file or directory"):
        JournalFile(tmp_path / "missing" / "journal")
