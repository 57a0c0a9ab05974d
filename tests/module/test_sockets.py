"""Client sockets of modules: asked, answered, lost, and found again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from sansip.actions import Connect, SendData, SendDatagram
from sansip.config import ListenerConfig, StackConfig
from sansip.errors import LocalProtocolError
from sansip.journal import JournaledStack, again
from sansip.module import Core, Module, PeerFailed, Use, command, step
from sansip.routing import sleep
from sansip.stack import Stack
from sansip.testing import ModuleBench
from sansip.transport.filter import OpenConnection

RELAY, REDIS = ("192.0.2.99", 22222), ("192.0.2.98", 6379)


@dataclass
class RelaySettings:
    within: float = 0.5


class Relay(Module):
    """Speaks the ng protocol's frame (a cookie, then anything) and Redis' (a line)."""

    name = "relay"
    Settings = RelaySettings

    def start(self, core: Core, now: float) -> None:
        self._heard: list[bytes] = []
        self._closed: list[str] = []
        self._next = 0
        self._ng = core.datagrams(
            RELAY,
            key=lambda data: data.partition(b" ")[0],
            received=lambda data, now: self._heard.append(data),
        )
        self._redis = core.connect(
            REDIS,
            split=lambda buffer: _line(buffer),
            received=lambda data, now: self._heard.append(data),
            closed=lambda reason, now: self._closed.append(reason),
        )

    @command("relay.ng")
    async def ng(self, text: str) -> str:
        self._next += 1
        answer = await self._ng.ask(f"c{self._next} {text}".encode(), self.settings.within)
        return answer.partition(b" ")[2].decode()

    @command("relay.redis")
    async def redis(self, text: str) -> str:
        return (await self._redis.ask(f"{text}\r\n".encode(), 2.0)).decode().strip()

    @command("relay.close")
    def close(self) -> None:
        self._redis.close(0.0)
        self._ng.close(0.0)

    @step("screen")
    async def screen(self, request: Any) -> None:
        if getattr(request.uri, "user", None) == "slow":
            await sleep(0.1)
            request.reply(486, await self.ng("offer"))


def _line(buffer: bytearray) -> int:
    if buffer[:1] == b"?":
        raise ValueError("no line")
    return buffer.find(b"\n") + 1


def bench(**options: Any) -> ModuleBench[Relay]:
    found = ModuleBench(Relay, **options)
    found.datagram_peer(RELAY, lambda data: [data.partition(b" ")[0] + b" pong"])
    found.stream_peer(REDIS, lambda data: [b"+" + data])
    return found


def test_asked_and_answered() -> None:
    """UDP answers are found by their key, TCP answers by their turn."""
    one = bench()
    assert one.command("relay.ng", text="ping") == "pong"
    assert one.command("relay.redis", text="PING") == "+PING"
    assert one.command("relay.redis", text="PING") == "+PING"
    assert one.stack.snapshot()["module_sockets"] == 2
    assert not one.failures


def test_what_answers_nothing() -> None:
    """Late answers and unknown cookies: ``received`` gets them."""
    one = bench()
    one.datagram_peer(RELAY, lambda data: [b"c9 late", data.partition(b" ")[0] + b" pong"])
    one.stream_peer(REDIS, lambda data: [b"+", data, b"*push\r\n"])
    assert one.command("relay.ng", text="ping") == "pong"
    assert one.command("relay.redis", text="PING") == "+PING"
    assert one.module._heard == [b"c9 late", b"*push\r\n"]


def test_a_datagram_is_lost() -> None:
    """It is sent again, and the answer to the second counts."""
    one = bench()
    seen: list[bytes] = []

    def flaky(data: bytes) -> list[bytes]:
        seen.append(data)
        return [b"c1 pong"] if len(seen) == 2 else []

    one.datagram_peer(RELAY, flaky)
    assert one.command("relay.ng", text="ping") is None
    one.wait(0.5)
    assert seen == [b"c1 ping"] * 2
    assert one.stack.sockets.questions == 0


def test_a_dead_peer_costs_one_question() -> None:
    """The first waits its time; those behind it fail at once, and a second later one tries anew."""
    one = bench()
    one.datagram_peer(RELAY, lambda data: [])
    results: list[Any] = []

    def ask() -> None:
        one.perform(
            one.stack.command("relay.ng", {"text": "x"}, one.now, lambda result, now: results.append(result))
        )

    ask()
    one.wait(1.4)
    assert results == []
    one.wait(0.2)
    assert [str(error) for error in results] == ["192.0.2.99:22222 does not answer"]
    ask()
    assert str(results[-1]) == "192.0.2.99:22222 did not answer a moment ago"
    one.datagram_peer(RELAY, lambda data: [data.partition(b" ")[0] + b" pong"])
    one.wait(1.0)
    ask()
    assert results[-1] == "pong"
    ask()
    assert results[-1] == "pong"
    assert one.call("bob") == ["404 Not Found"]


def test_only_one_tries_a_dead_peer() -> None:
    """A hundred calls do not wait for it together."""
    one = bench()
    one.datagram_peer(RELAY, lambda data: [])
    one.command("relay.ng", text="x")
    one.wait(3)
    results: list[Any] = []
    for _ in range(100):
        one.perform(
            one.stack.command("relay.ng", {"text": "x"}, one.now, lambda result, now: results.append(result))
        )
    assert len(results) == 99


def test_the_network_says_that_nobody_is_there() -> None:
    """ICMP: all that wait fail at once, and the next question has another socket."""
    one = bench()

    def refused(data: bytes) -> list[bytes]:
        raise OSError("Connection refused")

    one.datagram_peer(RELAY, refused)
    assert str(one.command("relay.ng", text="x")) == "192.0.2.99:22222: Connection refused"
    one.datagram_peer(RELAY, lambda data: [data.partition(b" ")[0] + b" pong"])
    one.wait(1)
    assert one.command("relay.ng", text="x") == "pong"
    assert one.stack.snapshot()["module_sockets"] == 1


def test_a_connection_is_refused_and_comes_back() -> None:
    """The question fails; one a second later opens it anew."""
    one = ModuleBench(Relay)
    assert str(one.command("relay.redis", text="x")) == "192.0.2.98:6379: Connection refused"
    one.stream_peer(REDIS, lambda data: [data])
    assert "a moment ago" in str(one.command("relay.redis", text="x"))
    one.wait(1)
    assert one.command("relay.redis", text="x") == "x"


def test_a_connection_is_lost() -> None:
    """The caller that waits hears of it, and so does the module."""
    one = bench()
    assert one.command("relay.redis", text="x") == "+x"

    def hangs_up(data: bytes) -> list[bytes]:
        raise OSError("Connection reset by peer")

    one._conns.update(dict.fromkeys(one._conns, hangs_up))
    assert "Connection reset by peer" in str(one.command("relay.redis", text="x"))
    assert one.module._closed == ["Connection reset by peer"]
    assert one.stack.sockets.questions == 0


def test_a_silent_connection_is_closed() -> None:
    """A later answer could be for any question, so the connection is closed."""
    one = bench()
    one.stream_peer(REDIS, lambda data: [])
    assert one.command("relay.redis", text="x") is None
    one.wait(2)
    assert one.module._closed == ["it does not answer"]
    assert not one._conns


def test_a_peer_that_talks_nonsense() -> None:
    """A message that cannot be read, or has no end, ends the connection (``limits.module_backlog``)."""
    one = bench()
    one.stream_peer(REDIS, lambda data: [b"?"])
    assert "cannot be read: no line" in str(one.command("relay.redis", text="x"))
    one = bench()
    one.stream_peer(REDIS, lambda data: [b"x" * 700_000] * 2)
    assert "limits.module_backlog" in str(one.command("relay.redis", text="x"))


def test_closed_by_its_module() -> None:
    """Questions that wait fail; the next question opens the connection again."""
    one = bench()
    one.command("relay.redis", text="x")
    one.command("relay.ng", text="x")
    one.command("relay.close")
    assert one.stack.snapshot()["module_sockets"] == 0
    assert one.command("relay.redis", text="x") == "+x"
    assert one.command("relay.ng", text="x") == "pong"


def test_bounds() -> None:
    """Sockets, questions, the octets of a datagram: each has a limit that says its name."""
    one = bench()
    one.stack.limits.module_sockets = 1
    assert one.command("relay.ng", text="x") == "pong"
    assert "limits.module_sockets" in str(one.command("relay.redis", text="x"))
    one.stack.limits.module_questions = 0
    assert "limits.module_questions" in str(one.command("relay.ng", text="x"))
    one.stack.limits.module_questions = 1
    assert "more than a datagram holds" in str(one.command("relay.ng", text="x" * 70_000))
    one.stack.limits.module_backlog = 10
    one.stack.limits.module_sockets = 2
    assert "too much waits" in str(one.command("relay.redis", text="x" * 20))
    assert one.stack.sockets.questions == 0


def test_what_a_module_cannot_ask_for() -> None:
    """A name instead of an address, a filter that is none, a question without a key."""
    core = bench().module.core
    with pytest.raises(LocalProtocolError, match=r"'relay\.example' is no address"):
        core.datagrams(("relay.example", 1))
    with pytest.raises(LocalProtocolError, match="filters are"):
        core.connect(REDIS, ("zip",))
    with pytest.raises(LocalProtocolError, match="key="):
        core.datagrams(RELAY).ask(b"x")
    assert str(core.connect(("2001:db8::1", 6379))) == "[2001:db8::1]:6379"
    assert issubclass(PeerFailed, OSError)


def test_tls_to_a_peer() -> None:
    """The driver's filters wrap it; the certificate must be for the name that was given."""
    one = bench()
    stream = one.module.core.connect(REDIS, ("tls",), name="redis.example")
    stream.send(b"x", one.now)
    connect = one.stack.out[-1]
    assert isinstance(connect, Connect)
    assert (connect.transport, connect.listener, connect.name) == ("tls", -1, "redis.example")


def test_a_journal_has_it() -> None:
    """Sent as actions, received as inputs: a replay sends the same octets."""
    lines: list[str] = []
    config = StackConfig(
        [ListenerConfig(0, "udp", "192.0.2.10", 5060)], ["example.com"], modules=[Use(Relay)]
    )
    stack = JournaledStack(config, b"x" * 16, lines.append, {})
    out = stack.time_passed(1.0)
    out += stack.command("relay.ng", {"text": "ping"}, 1.0, lambda result, now: None)
    (sent,) = [one for one in out if isinstance(one, SendDatagram)]
    stack.datagram_received(sent.listener, b"c1 pong", RELAY, 1.1)
    out = stack.command("relay.redis", {"text": "x"}, 1.2, lambda result, now: None)
    (connect,) = [one for one in out if isinstance(one, Connect)]
    out = stack.connection_opened(connect.conn, OpenConnection(-1, "tcp", (), REDIS, False), 1.3)
    assert [one for one in out if isinstance(one, SendData)] == [SendData(connect.conn, b"x\r\n")]
    stack.data_received(connect.conn, b"+x\r\n", 1.4)
    stack.connection_closed(connect.conn, "closed by the peer", 1.5)
    replayed = list(again(lines, lambda head: Stack(config, bytes.fromhex(head["seed"]))))
    assert len(replayed) == 7
    assert all(one.same for one in replayed)


def test_a_call_waits_for_its_answer() -> None:
    """The request stands until the peer has spoken; others go on."""
    one = bench()
    assert one.call("slow") == []
    assert one.call("bob") == ["404 Not Found"]
    one.wait(0.2)
    assert [str(answer.status) + answer.reason for answer in one.sent if answer.status == 486] == ["486pong"]
