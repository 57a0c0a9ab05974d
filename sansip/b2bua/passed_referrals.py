"""REFERs that a bridge passes to the other side (``Policy.refer = "pass"``), and the NOTIFYs about them.

Theory of operation: the other side's answer to the REFER is the answer to the phone that sent it. The other
side reports with NOTIFYs; each goes to the phone whose REFER it is about, under the number of that REFER.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sansip.wire import Response

if TYPE_CHECKING:
    from sansip.b2bua.leg import Leg
    from sansip.dialog import Received
    from sansip.ua import Call

__all__ = ["PassedReferrals", "refuse"]


def refuse(call: Call, received: Received, now: float) -> None:
    """Answer a REFER with 603 (RFC 3515 2.4.2)."""
    call.answer(received, 603, now=now)


class PassedReferrals:
    """The REFERs of one bridge that were passed."""

    __slots__ = ("_last", "_numbers")

    def __init__(self) -> None:
        # CSeq of our REFER -> the call that asked, and the CSeq of its own.
        self._numbers: dict[int, tuple[Call, int]] = {}
        self._last = 0

    def ask(self, leg: Leg, far: Call, call: Call, received: Received, now: float) -> None:
        """Have ``far`` carry out the REFER of ``call``, whose answer is that of ``far``."""
        refer = received.request
        if not leg.bridge.may_transfer(now):
            refuse(call, received, now)
            return
        headers = [("Refer-To", value) for value in refer.get_all("refer-to")]
        headers += [("Refer-Sub", value) for value in refer.get_all("refer-sub")]
        number = (far.dialog.local_cseq or 0) + 1
        later = far.request("REFER", [*headers, *leg.bridge.policy.fields(refer, leg.hides)])
        if far.dialog.local_cseq == number:
            # A NOTIFY may come before the 202 (RFC 6665 4.1.2.4).
            self._numbers[number] = call, refer.cseq.number
            self._last = number

        def answered(result: Any, at: float) -> None:
            if isinstance(result, Exception):
                self._numbers.pop(number, None)
            elif isinstance(result, Response) and result.cseq.number != number:
                # It was repeated with credentials.
                self._numbers[result.cseq.number] = self._numbers.pop(number)
                self._last = result.cseq.number
            leg.answered(call, received, result, at)

        later.then(answered, now)

    def notified(self, leg: Leg, call: Call, received: Received, now: float) -> bool:
        """Whether a NOTIFY is about a REFER: then it is passed on, or refused where there was none."""
        request = received.request
        event = (request.get("event") or "").replace(" ", "").lower().split(";")
        if event[0] != "refer":
            return False
        given = next((one[3:] for one in event[1:] if one.startswith("id=")), "")
        number = int(given) if given.isdigit() and len(given) < 11 else self._last if not given else 0
        asker, own = self._numbers.get(number, (None, 0))
        if asker is None or asker.ended or asker is call:
            # RFC 6665 4.1.3
            call.answer(received, 481, now=now)
            return True
        state = request.get("subscription-state") or ""
        if state.strip().lower().startswith("terminated"):
            del self._numbers[number]
        headers = [("Event", f"refer;id={own}"), ("Subscription-State", state)]
        headers += [(name, value) for name in ("Content-Type",) for value in request.get_all(name)]
        later = asker.request("NOTIFY", headers, request.body)
        later.then(lambda result, at: leg.answered(call, received, result, at), now)
        return True
