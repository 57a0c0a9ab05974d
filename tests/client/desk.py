"""A user agent's desk: requests sent through ``stack.client``, and everything that was told of them."""

from __future__ import annotations

from typing import Any

from sansip.client import Ack, Asker, Sending
from sansip.wire import Request
from tests.rig import Out, Rig

__all__ = ["Desk", "a_request"]


def a_request(
    method: str = "INVITE", uri: str = "sip:bob@192.0.2.2", *headers: tuple[str, str], **options: Any
) -> Request:
    """A request of ours as a dialog makes it: without Via."""
    return Request.build(
        method,
        uri,
        [
            ("From", "<sip:us@biloxi.test>;tag=us"),
            ("To", f"<{uri}>"),
            ("Call-ID", "desk"),
            ("CSeq", f"{options.pop('cseq', 7)} {method}"),
            *headers,
        ],
        **options,
    )


class Desk(Asker):
    """Sends and writes down: ``told`` holds what was told, with numbers for responses."""

    __slots__ = ("numbers", "responses", "rig", "told")

    def __init__(self, rig: Rig | None = None, numbers: list[int] | None = None) -> None:
        self.rig = rig or Rig()
        self.told: list[Any] = []
        self.responses: list[Any] = []
        self.numbers = numbers or []

    def send(self, request: Request, **options: Any) -> tuple[Sending, list[Out]]:
        rig = self.rig
        sending = rig.stack.client.send(request, self, rig.now, **options)
        return sending, self.outs()

    def ack(self, request: Request, **options: Any) -> tuple[Ack, list[Out]]:
        return self.rig.stack.client.send_ack(request, self.rig.now, **options), self.outs()

    def cancel(self, sending: Sending, reason: str | None = None) -> list[Out]:
        sending.cancel(self.rig.now, reason)
        return self.outs()

    def outs(self) -> list[Out]:
        return self.rig.take(self.rig.stack._take(self.rig.now))

    # --- the asker

    def leaving(self, sending: Sending, request: Request, listener: Any, now: float) -> None:
        request.set("Contact", f"<sip:us@{listener.sent_by}>")

    def provisional(self, sending: Sending, response: Any, now: float) -> None:
        self.told.append(response.status)

    def final(self, sending: Sending, response: Any, now: float) -> None:
        self.told.append(response.status)
        self.responses.append(response)

    def ended(self, sending: Sending, now: float) -> None:
        self.told.append("ended")

    def next_cseq(self, sending: Sending) -> int | None:
        return self.numbers.pop(0) if self.numbers else None

    def resent(self, sending: Sending, request: Request, now: float) -> None:
        self.told.append(f"resent {request.cseq.number}")
