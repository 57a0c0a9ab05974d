"""What is acknowledged reaches each device once, whatever is killed, late or refused meanwhile.

Theory of operation: a life of chance (a seed each): messages come, two phones register, and answer with 200
or 480 or not at all, the store answers late, the server is killed and starts with the bindings and rows that
there are. At the end both phones take everything. A phone shows a text when it answers a new transaction with
200. It answers within Timer F (RFC 3261 17.1.2.2), or never: of what it answers later nobody can know.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from sansip.actions import Action, Ask, SendDatagram
from sansip.modules.messages import Messages, MessagesSettings
from sansip.rows import MemoryRows, Read, Scan, Write
from sansip.testing import ModuleBench
from sansip.wire import Request, Response
from tests.modules.messages.kept import BOB

RETRY = 50.0
SENDER = ("192.0.2.40", 5060)


class Late(ModuleBench[Messages]):
    """A bench whose store answers when it is told to."""

    def __init__(self, store: MemoryRows, unix: float, memory: int) -> None:
        self.waiting: list[Ask] = []
        # Branch of each MESSAGE that left -> when, as the life counts, and as its clock does.
        self.left: dict[str, tuple[int, float]] = {}
        self.step = 0
        settings = MessagesSettings(retry=RETRY, memory=memory, per_sender=100)
        super().__init__(Messages, settings, store=store, unix=unix, shares_rows=False)

    def perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, Ask) and isinstance(action.question, Read | Scan | Write):
                self.waiting.append(action)
                continue
            if isinstance(action, SendDatagram) and (branch := _branch(action.data)):
                self.left.setdefault(branch, (self.step, self.now))
            super().perform([action])

    def release(self, count: int) -> None:
        """Answer questions, those that the answers cause as well."""
        while self.waiting and count:
            count -= 1
            ask = self.waiting.pop(0)
            self.perform(self.stack.answer(ask.id, self.store.answer(ask.question), self.now))


def _branch(data: bytes) -> str:
    return data.partition(b"branch=")[2].partition(b"\r\n")[0].decode() if data[:8] == b"MESSAGE " else ""


@dataclass
class Phone:
    """``flows``: how many contacts it registers, over which it is one device all the same (RFC 5626)."""

    host: str
    flows: int
    registered: list[int] = field(default_factory=list)
    # Branch -> its answer; and each branch that came, or was lost.
    known: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    lost: dict[str, int] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)
    # Text -> when (step, time) each transaction with it began.
    tries: dict[str, list[tuple[int, float]]] = field(default_factory=dict)


class Life:
    """One life. ``step`` counts what happens."""

    def __init__(self, seed: int, memory: int) -> None:
        self.chance = random.Random(seed)
        self.memory = memory
        self.step = self.texts = 0
        self.unix, self.born = 1_700_000_000.0, 0.0
        self.bench = Late(MemoryRows(), self.unix, memory)
        self.started = self.bench.now
        self.bench.release(-1)
        self.phones = [Phone("192.0.2.20", 1), Phone("192.0.2.21", 2)]
        self.acknowledged: list[str] = []
        self.kills: list[int] = []
        # Text -> the step in which it was sent.
        self.written: dict[str, int] = {}
        self.willing = False

    @property
    def now(self) -> float:
        return self.unix + self.bench.now - self.started

    def kill(self) -> None:
        old = self.bench
        # The store has made some of the writes that it was asked for.
        for ask in old.waiting[: self.chance.randrange(len(old.waiting) + 1)]:
            if isinstance(ask.question, Write):
                old.store.answer(ask.question)
        unix = self.now
        bindings = old.stack.location.lookup(BOB, old.now)
        self.unix = unix
        self.bench = Late(old.store, unix, self.memory)
        self.started = self.bench.now
        if self.chance.random() < 0.7:
            shift = self.bench.now - old.now
            restored = [
                replace(one, expires_at=one.expires_at + shift, refreshed_at=one.refreshed_at + shift)
                for one in bindings
            ]
            self.bench.stack.restore(restored, self.bench.now)
        self.kills.append(self.step)

    def register(self, phone: Phone) -> None:
        phone.registered.append(self.step)
        number = phone.host.rpartition(".")[2]
        name = f'+sip.instance="<urn:uuid:00000000-0000-1000-8000-000000000{number}>"'
        for flow in range(phone.flows):
            params = f";reg-id={flow + 1}" if phone.flows > 1 else ""
            lines = [
                "REGISTER sip:example.com SIP/2.0",
                f"Via: SIP/2.0/UDP {phone.host}:5060;branch=z9hG4bKr{number}{flow}{self.step}",
                "Max-Forwards: 70",
                f"From: <{BOB}>;tag=r",
                f"To: <{BOB}>",
                f"Call-ID: reg-{phone.host}-{flow}",
                f"CSeq: {self.step + 1} REGISTER",
                f"Contact: <sip:bob@{phone.host}:506{flow}>;expires=7200;{name}{params}",
                "Supported: path, outbound",
                "Content-Length: 0",
            ]
            self.bench.receive(("\r\n".join(lines) + "\r\n\r\n").encode(), (phone.host, 5060 + flow))

    def write(self) -> None:
        self.texts += 1
        text = f"text{self.texts}"
        self.written[text] = self.step
        lines = [
            f"MESSAGE {BOB} SIP/2.0",
            f"Via: SIP/2.0/UDP {SENDER[0]}:5060;branch=z9hG4bK{text}",
            "Max-Forwards: 70",
            f"From: <sip:dave@elsewhere.example>;tag={text}",
            f"To: <{BOB}>",
            f"Call-ID: {text}",
            "CSeq: 1 MESSAGE",
            "Content-Type: text/plain",
            f"Content-Length: {len(text)}",
        ]
        self.bench.receive(("\r\n".join(lines) + "\r\n\r\n" + text).encode(), SENDER)

    def serve(self) -> None:
        """Have phones and sender take what has come."""
        sent, self.bench.sent[:] = list(self.bench.sent), []
        for one in sent:
            if isinstance(one, Response):
                if one.cseq.method == "MESSAGE" and one.status == 202:
                    self.acknowledged.append(one.call_id)
            elif one.method == "MESSAGE":
                self._show(one)

    def _show(self, message: Request) -> None:
        host = getattr(message.uri, "host", "")
        phone = next(one for one in self.phones if one.host == host)
        text, branch = message.body.decode(), message.vias[0].branch or ""
        if branch not in phone.seen:
            phone.seen.add(branch)
            if message.has("date"):
                # From the store.
                step, when = self.bench.left[branch]
                phone.tries.setdefault(text, []).append((step, self.unix + when - self.started))
        if branch not in phone.known:
            what = "200 OK" if self.willing else self.chance.choice(("200 OK", "480 No", "", "lost", "lost"))
            if what == "lost":
                # The datagram is lost; at most four in a row, so that one arrives before Timer F.
                phone.lost[branch] = phone.lost.get(branch, 0) + 1
                if phone.lost[branch] < 5:
                    return
                what = "480 No"
            phone.known[branch] = what
            if what == "200 OK":
                phone.shown.append(text)
        status = phone.known[branch]
        if not status:
            return
        lines = [f"SIP/2.0 {status}", *(f"Via: {one}" for one in message.get_all("via"))]
        lines += [f"{name}: {message.get(name)}" for name in ("from", "call-id", "cseq")]
        lines += [f"To: {message.get('to')};tag=p", "Content-Length: 0"]
        self.bench.receive(("\r\n".join(lines) + "\r\n\r\n").encode(), (host, 5060))

    def settle(self) -> None:
        """Let everything come to its end that needs no time."""
        while self.bench.waiting or self.bench.sent:
            self.bench.release(-1)
            self.serve()

    def live(self) -> None:
        chance = self.chance.random()
        self.step += 1
        self.bench.step = self.step
        if chance < 0.25:
            self.write()
        elif chance < 0.4:
            self.register(self.chance.choice(self.phones))
        elif chance < 0.75:
            self.bench.release(self.chance.choice((1, 1, 2, -1)))
        elif chance < 0.8:
            self.kill()
        else:
            seconds = self.chance.choice((0.0, 0.2, 1.0, 20.0, 60.0))
            for _ in range(int(seconds)):
                # A store that takes longer is another matter (``limits.answer_time``).
                self.settle()
                self.bench.wait(1.0)
            self.bench.wait(seconds % 1.0)
        if self.chance.random() < 0.7:
            self.serve()

    def end(self) -> None:
        """The store answers at once, and the phones take what comes."""
        self.willing = True
        for turn in range(40):
            self.step += 1
            self.bench.step = self.step
            if turn % 10 == 0:
                for phone in self.phones:
                    self.register(phone)
            for _ in range(10):
                self.settle()
                self.bench.wait(1.0)


@pytest.mark.parametrize("memory", [0, 8_388_608])
@pytest.mark.parametrize("seed", range(30))
def test_once(seed: int, memory: int) -> None:
    """None lost, none shown twice, and nobody is asked again before it is time."""
    life = Life(seed, memory)
    for _ in range(80):
        life.live()
    life.end()
    for phone in life.phones:
        assert set(life.acknowledged) <= set(phone.shown)
        assert [one for one in phone.shown if phone.shown.count(one) > 1] == []
        for text, tries in phone.tries.items():
            # Each REGISTER, and each kill, may have it asked once before its time.
            reasons = sorted(
                one for one in (*(phone.registered * phone.flows), *life.kills) if one >= life.written[text]
            )
            for (_, then), (step, now) in pairwise(tries):
                if now - then < RETRY:
                    assert reasons, (text, tries)
                    assert reasons.pop(0) <= step, (text, tries)
