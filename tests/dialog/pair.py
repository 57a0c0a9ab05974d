"""Two ends of a session and a wire between them, on virtual time.

Theory of operation: a transaction is reduced to what the usage relies on: a response finds the
request that it answers, and requests other than ACK are delivered once. What is said on the wire is kept
in ``wire`` as words (``"INVITE"``, ``"200 INVITE"``), so a test reads like a ladder. ``lost`` names
words that do not arrive, each as often as it says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from sansip.dialog import (
    Answered,
    End,
    Ended,
    Event,
    InviteUsage,
    Respond,
    Send,
    SendAck,
    SessionTimerSettings,
    Tell,
)
from sansip.entropy import Entropy
from sansip.wire import Request, Response, parse_uri
from tests.dialog.messages import invite

SDP = b"v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\n"
TYPE = [("Content-Type", "application/sdp")]
HEADERS = [("Allow", "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, INFO"), ("Supported", "100rel, timer")]
NO_TIMER = SessionTimerSettings(interval=0)


class End_:  # noqa: N801 (the name without the underscore is taken)
    """One end: its usage, the events that it was told, and whether it may be forgotten."""

    def __init__(self, name: str, pair: Pair) -> None:
        self.name = name
        self.pair = pair
        self.usage: InviteUsage | None = None
        self.events: list[Event] = []
        self.gone = False

    def do(self, effects: list[Any]) -> None:
        """Carry out what the usage returned."""
        for effect in effects:
            match effect:
                case Send() | SendAck():
                    self.pair.put(self, effect.request)
                case Respond():
                    self.pair.put(self, effect.response)
                case Tell():
                    self.events.append(effect.event)
                    self.pair.told(self, effect.event)
                case End():
                    assert not self.gone
                    self.gone = True
        self.pair.run()

    def told(self, kind: type) -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def ended(self) -> str | None:
        """Why the session is over, None while it is not."""
        events = self.told(Ended)
        assert len(events) <= 1
        return events[0].reason if events else None

    @property
    def answers(self) -> list[tuple[str, int]]:
        """Method and status of each request that was answered."""
        return [(one.request.method, one.response.status) for one in self.told(Answered)]


class Pair:
    """Alice calls Bob."""

    def __init__(
        self,
        *,
        offer: bytes = SDP,
        headers: Any = HEADERS,
        alice: SessionTimerSettings = NO_TIMER,
        bob: SessionTimerSettings = NO_TIMER,
        seed: bytes = b"0123456789abcdef",
        recorded: tuple[str, ...] = (),
        credentials: str = "",
    ) -> None:
        self.now = 0.0
        self.alice = End_("alice", self)
        self.bob = End_("bob", self)
        self.wire: list[str] = []
        # Every request, with the name of its sender.
        self.requests: list[tuple[str, Request]] = []
        self.lost: dict[str, int] = {}
        # Messages to be delivered: receiver, message.
        self.queue: deque[tuple[End_, Request | Response]] = deque()
        self.held = False
        self.on_event: Callable[[End_, Event], None] = lambda end, event: None
        self._settings = {"alice": alice, "bob": bob}
        self._capabilities = list(headers)
        self._entropy = Entropy(seed)
        self._sent: dict[tuple[str, int, str], Request] = {}
        fields = [*headers, *(TYPE if offer else [])]
        self.invite = invite(headers=fields, body=offer)
        if credentials:
            self.invite.append("Proxy-Authorization", credentials)
        self._note(self.alice, self.invite)
        # The values that the proxies on the way put on top of it.
        arrived = self.invite.copy()
        for value in recorded:
            arrived.append("Record-Route", value)
        self.bob.usage = InviteUsage.called(
            arrived,
            arrived,
            local_tag="a6c85cf",
            contact=parse_uri("sip:bob@192.0.2.4"),
            entropy=self._entropy.derived("bob"),
            session=bob,
            headers=headers,
            now=0.0,
        )

    # --- the wire

    def _note(self, sender: End_, request: Request) -> None:
        self.wire.append(request.method)
        self.requests.append((sender.name, request))
        self._sent[(sender.name, request.cseq.number, request.cseq.method)] = request

    def put(self, sender: End_, message: Request | Response) -> None:
        """Put a message on the wire."""
        receiver = self.bob if sender is self.alice else self.alice
        if isinstance(message, Request):
            if not message.has("via"):
                message.prepend("Via", f"SIP/2.0/UDP {sender.name};branch=z9hG4bK{len(self.wire)}")
            self._note(sender, message)
        else:
            self.wire.append(f"{message.status} {message.cseq.method}")
        word = self.wire[-1]
        if self.lost.get(word, 0):
            self.lost[word] -= 1
            self.wire[-1] += " (lost)"
            return
        self.queue.append((receiver, message))

    def run(self) -> None:
        """Deliver the messages on the wire, and those that follow from them."""
        if self.held:
            return
        self.held = True
        while self.queue:
            self.deliver()
        self.held = False

    def deliver(self, at: int = 0) -> None:
        """Deliver one message."""
        receiver, message = self.queue[at]
        del self.queue[at]
        if isinstance(message, Request):
            assert receiver.usage is not None
            receiver.do(receiver.usage.received(message, message, self.now))
            return
        request = self._sent[(receiver.name, message.cseq.number, message.cseq.method)]
        if receiver.usage is None:
            receiver.usage = InviteUsage.calling(
                request,
                message,
                entropy=self._entropy.derived("alice"),
                session=self._settings["alice"],
                headers=self._capabilities,
            )
        receiver.do(receiver.usage.response_received(request, message, self.now))

    def told(self, end: End_, event: Event) -> None:
        """Let the test react to an event."""
        self.on_event(end, event)

    # --- time

    def at(self, when: float) -> None:
        """Let time pass until ``when``."""
        while True:
            dues = [
                (due, end.name, end)
                for end in (self.alice, self.bob)
                if end.usage is not None and not end.gone and (due := end.usage.next_due()) is not None
            ]
            if not dues or min(dues)[0] > when:
                break
            self.now, _, end = min(dues)
            assert end.usage is not None
            end.do(end.usage.time_passed(self.now))
        self.now = when

    # --- what the tests begin with

    def ring(self, status: int = 180, body: bytes = b"", reliable: bool = False) -> None:
        """Bob rings."""
        assert self.bob.usage is not None
        self.bob.do(self.bob.usage.ring(status, body, TYPE if body else [], reliable, self.now))

    def accept(self, body: bytes = SDP) -> None:
        """Bob answers."""
        assert self.bob.usage is not None
        self.bob.do(self.bob.usage.accept(body, TYPE if body else [], self.now))

    def answered(self) -> Pair:
        """Bob answers, and the wire is clean."""
        self.accept()
        assert self.alice.usage is not None
        assert (self.alice.usage.state, self.bob.usage.state) == ("established", "established")
        self.wire.clear()
        for end in (self.alice, self.bob):
            end.events.clear()
        return self
