"""Another server at the rig, which serves subscriptions: for the tests of those that this server makes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sansip.wire import Request, Response
from tests.rig import Out, reply, request

SERVER = ("192.0.2.9", 5060)


def document(resource: str, basic: str = "open") -> bytes:
    """Return the presence document of ``resource``."""
    return (
        f'<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="{resource}"><tuple id="a"><status>'
        f"<basic>{basic}</basic></status></tuple></presence>"
    ).encode()


class Elsewhere:
    """Takes each SUBSCRIBE that arrives at ``place``, and answers it with ``status``; None: it is silent."""

    def __init__(self, rig: Any, status: int | None = 200, place: Any = SERVER) -> None:
        self.rig = rig
        self.place = place
        self.status = status
        # Fields of the answers, and whether a NOTIFY follows.
        self.headers: list[tuple[str, str]] = []
        self.notifies = True
        self.expires = 3600
        self.tag = "e1"
        self.asked: list[Request] = []
        # The answers of this server to NOTIFYs.
        self.answers: list[Response] = []
        self.cseq = 0
        self._sent = 0
        # Everything else that left.
        self.rest: list[Out] = []

    def take(self, outs: Iterable[Out]) -> list[Out]:
        """Answer what is for this server; return what is for others."""
        queue, rest = list(outs), []
        while queue:
            out = queue.pop(0)
            message = out.message
            if message is None or out.to != self.place:
                rest.append(out)
            elif isinstance(message, Response):
                self.answers.append(message)
            elif message.method == "SUBSCRIBE":
                if any(one.via.branch == message.via.branch for one in self.asked):
                    continue
                self.asked.append(message)
                if self.status is None:
                    continue
                headers = list(self.headers)
                if self.status < 300:
                    headers += [
                        ("Expires", str(min(self.expires, message.expires or 0))),
                        ("Contact", "<sip:192.0.2.9>"),
                    ]
                answer = reply(message, self.status, tag=self.tag, headers=headers)
                queue += self.rig.udp(answer, self.place)
                if self.status < 300 and self.notifies:
                    ended = message.expires == 0
                    state = "terminated;reason=timeout" if ended else f"active;expires={self.expires}"
                    queue += self._notify(state, b"" if ended else document(message.uri_text))
        self.rest += rest
        return rest

    def notify(self, state: str = "active;expires=3600", body: bytes = b"", **options: Any) -> list[Out]:
        """Send a NOTIFY in the dialog of the last SUBSCRIBE; return what is for others."""
        return self.take(self._notify(state, body, **options))

    def _notify(
        self,
        state: str,
        body: bytes,
        *,
        tag: str = "",
        headers: Iterable[tuple[str, str]] = (),
        kind: str = "application/pidf+xml",
        to_tag: str | None = None,
        event: str = "",
    ) -> list[Out]:
        last = self.asked[-1]
        self.cseq += 1
        self._sent += 1
        fields = [
            ("Contact", "<sip:192.0.2.9>"),
            ("Event", event or last.get("event") or ""),
            ("Subscription-State", state),
            *headers,
        ]
        if body:
            fields.append(("Content-Type", kind))
        contacts = last.contacts
        assert isinstance(contacts, list)
        data = request(
            "NOTIFY",
            str(contacts[0].uri),
            source=self.place,
            branch=f"z9hG4bKn{self._sent}",
            sender=f"<{last.to.uri}>",
            from_tag=tag or self.tag,
            to=f"<{last.from_.uri}>",
            to_tag=last.from_tag if to_tag is None else to_tag,
            call_id=last.call_id,
            cseq=self.cseq,
            headers=fields,
            body=body,
        )
        return self.rig.udp(data, self.place)

    def wait(self, seconds: float) -> list[Out]:
        """Let time pass, answering all the time."""
        rig, found = self.rig, []
        end = rig.now + seconds
        while (due := rig.stack.next_deadline()) is not None and due <= end:
            rig.now = max(rig.now, due)
            found += self.take(rig.take(rig.stack.time_passed(rig.now)))
        rig.now = end
        return found
