"""A watcher at the rig: it subscribes, answers NOTIFYs, and remembers what it was told.

Theory of operation: the messages of a watcher are written out as text (``tests.rig``). ``Watcher.take`` looks
through what left, answers each NOTIFY of its dialog and notes its state and body.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sansip.wire import Request, Response
from tests.rig import ALICE, Out, Rig, reply, request


class Watcher:
    """One subscription of a user at ``source``."""

    def __init__(
        self,
        rig: Rig,
        resource: str = "sip:bob@biloxi.test",
        event: str = "presence",
        *,
        user: str = "alice",
        source: Any = ALICE,
        name: str = "w1",
        headers: Iterable[tuple[str, str]] = (),
        contact: str = "",
        answer: int | None = 200,
    ) -> None:
        self.rig = rig
        self.resource, self.event, self.user, self.source, self.name = resource, event, user, source, name
        self.headers = list(headers)
        self.contact = contact or f"<sip:{user}@{source[0]}:{source[1]}>"
        # The status that it answers NOTIFYs with; None: it stays silent.
        self.answer = answer
        self.cseq = 0
        self.tag: str | None = None
        self.target = resource
        self.notifies: list[Request] = []
        self.status = 0
        self.response: Response | None = None

    def subscribe(
        self, expires: int | None = 3600, headers: Iterable[tuple[str, str]] = (), **options: Any
    ) -> int:
        """Send a SUBSCRIBE, the first or a refresh; answer the NOTIFYs; return its status."""
        self.cseq = options.pop("cseq", self.cseq + 1)
        fields = [("Contact", self.contact), *self.headers, *headers]
        if not any(name == "Event" for name, _ in fields):
            fields.append(("Event", self.event))
        if expires is not None:
            fields.append(("Expires", str(expires)))
        data = request(
            options.pop("method", "SUBSCRIBE"),
            options.pop("uri", self.target),
            source=self.source,
            branch=f"z9hG4bK{self.name}{self.cseq}",
            sender=f"<sip:{self.user}@biloxi.test>",
            from_tag=self.name,
            to=f"<{self.resource}>",
            to_tag=options.pop("to_tag", self.tag),
            call_id=f"{self.name}@{self.source[0]}",
            cseq=self.cseq,
            headers=fields,
            body=options.pop("body", b""),
            **options,
        )
        self.status = 0
        self.take(self.rig.udp(data, self.source))
        return self.status

    def take(self, outs: Iterable[Out]) -> list[Request]:
        """Answer the NOTIFYs for this watcher among ``outs``; return them. Follows what the answers cause."""
        found: list[Request] = []
        queue = list(outs)
        while queue:
            out = queue.pop(0)
            message = out.message
            if message is None or message.call_id != f"{self.name}@{self.source[0]}":
                continue
            if isinstance(message, Response):
                if message.status == 100:
                    continue
                self.status, self.response = message.status, message
                if message.status < 300 and message.cseq.method == "SUBSCRIBE":
                    self.tag = message.to_tag
                    self.target = str(message.contacts[0].uri)  # type: ignore[index]  # one of ours
            elif message.method == "NOTIFY":
                if any(message.cseq.number == one.cseq.number for one in self.notifies):
                    continue
                found.append(message)
                self.notifies.append(message)
                if self.answer is not None:
                    queue += self.rig.udp(reply(message, self.answer, tag=None), self.source)
        return found

    def wait(self, seconds: float) -> list[Request]:
        """Let time pass, answering all the time; return the NOTIFYs that came."""
        before = len(self.notifies)
        end = self.rig.now + seconds
        while (due := self.rig.stack.next_deadline()) is not None and due <= end:
            self.rig.now = max(self.rig.now, due)
            self.take(self.rig.take(self.rig.stack.time_passed(self.rig.now)))
        self.rig.now = end
        return self.notifies[before:]

    @property
    def last(self) -> Request:
        return self.notifies[-1]

    @property
    def state(self) -> str:
        """The Subscription-State of the last NOTIFY."""
        return self.last.get("subscription-state") or ""
