"""Two benches that get the same inputs: one with the quick ways, one without; their actions are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from sansip.actions import Action, SendDatagram
from sansip.modules.messages import Messages
from sansip.testing import ModuleBench
from tests.modules.messages.kept import made

SENDER = ("192.0.2.40", 5060)
PHONE = ("192.0.2.20", 5060)
BOB = "sip:bob@example.com"


class Pair:
    """``given``: settings of the module.

    Attributes:
        taken: how many requests the first one answered from their octets.
        sent: the datagrams that left since the last look.
    """

    def __init__(self, **given: Any) -> None:
        self.both = [made(**given), made(**given)]
        self.taken = 0
        self.sent: list[SendDatagram] = []
        self._seen: list[list[Action]] = [[], []]
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        for bench, seen in zip(self.both, self._seen, strict=True):
            _note(bench, seen)
        first, second = self.both
        second.stack.reception.usages = None
        second.module._delivery.quick = False
        usages = first.stack.reception.usages
        assert usages is not None
        answers = usages.answers

        def counted(*given: Any) -> bool:
            found = answers(*given)
            self.taken += found
            return found

        counting: Any = SimpleNamespace(answers=counted)
        first.stack.reception.usages = counting

    def restart(self) -> None:
        """Both are killed, and start anew."""
        self.both = [bench.restarted() for bench in self.both]
        self._begin()

    def give(self, work: Callable[[ModuleBench[Messages]], Any]) -> None:
        """Give both the same input, and compare what follows."""
        for bench in self.both:
            work(bench)
        first, second = self._seen
        # Two exceptions are equal if they say the same.
        assert list(map(repr, first)) == list(map(repr, second))
        self.sent += [one for one in first if isinstance(one, SendDatagram)]
        first.clear()
        second.clear()

    def receive(self, data: bytes, source: tuple[str, int] = SENDER) -> list[str]:
        """Give both a datagram; return the first lines of what left."""
        before = len(self.sent)
        self.give(lambda bench: bench.receive(data, source))
        return [one.data.partition(b"\r\n")[0].decode() for one in self.sent[before:]]

    def wait(self, seconds: float) -> None:
        self.give(lambda bench: bench.wait(seconds))

    def message(self, body: str | bytes = "hello", *more: str, **given: str) -> bytes:
        """Return a MESSAGE; ``given``: another ``uri``, ``via``, ``from_``, ``to``, ``call_id``, ``cseq``."""
        self._number += 1
        octets = body.encode() if isinstance(body, str) else body
        uri = given.get("uri", BOB)
        lines = [
            f"MESSAGE {uri} SIP/2.0",
            given.get("via", f"Via: SIP/2.0/UDP 192.0.2.40:5060;branch=z9hG4bKs{self._number}"),
            "Max-Forwards: 70",
            given.get("from_", "From: <sip:dave@elsewhere.example>;tag=d"),
            given.get("to", f"To: <{uri}>"),
            f"Call-ID: {given.get('call_id', f'call-{self._number}')}",
            f"CSeq: {given.get('cseq', '1')} MESSAGE",
            given.get("type", "Content-Type: text/plain"),
            *more,
            f"Content-Length: {len(octets)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + octets

    def register(self, **given: str) -> None:
        """Have a phone register; ``given``: another ``source``, ``contact``, ``more``."""
        self._number += 1
        host = given.get("source", PHONE[0])
        lines = [
            "REGISTER sip:example.com SIP/2.0",
            f"Via: SIP/2.0/UDP {given.get('via', f'{host}:5060')};branch=z9hG4bKr{self._number}",
            "Max-Forwards: 70",
            f"From: <{BOB}>;tag=r",
            f"To: <{BOB}>",
            f"Call-ID: reg-{host}",
            f"CSeq: {self._number} REGISTER",
            f"Contact: {given.get('contact', f'<sip:bob@{host}:5060>')}{given.get('more', '')}",
            "Expires: 3600",
            "Content-Length: 0",
        ]
        self.receive(("\r\n".join(lines) + "\r\n\r\n").encode(), (host, 5060))

    def come(self) -> list[tuple[bytes, tuple[str, int]]]:
        """Return the MESSAGEs that left since the last look, each once, and where to."""
        sent, self.sent = self.sent, []
        found = {one.data: one.address[:2] for one in sent if one.data.startswith(b"MESSAGE")}
        return [(data, (str(host), int(port))) for data, (host, port) in found.items()]

    def answer(self, data: bytes, where: tuple[str, int], status: str = "200 OK", more: str = "") -> None:
        """Answer one of them."""
        head = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        kept = [one for one in head if one.partition(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
        text = "\r\n".join([f"SIP/2.0 {status}", *kept]) + f"\r\n{more}Content-Length: 0\r\n\r\n"
        self.receive(text.encode(), where)

    def fetch(self) -> list[str]:
        """Answer MESSAGEs as long as some come; return their texts."""
        texts = []
        while found := self.come():
            for data, where in found:
                texts.append(data.partition(b"\r\n\r\n")[2].decode())
                self.answer(data, where)
        return texts


def _note(bench: ModuleBench[Messages], seen: list[Action]) -> None:
    """Have the actions of ``bench`` put on ``seen``."""
    perform = bench.perform

    def noting(actions: Sequence[Action]) -> None:
        seen.extend(actions)
        perform(actions)

    bench.perform = noting  # type: ignore[method-assign]  # the test's own in its place
