"""Calls whose media pass a relay: one scenario each, played as octets or as messages.

Theory of operation: a scenario acts on a ``Slow`` rig, whose relay can be made to wait or fail. ``played``
plays it to its end, on the way that ``rides`` names, and returns what left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sansip.actions import SendDatagram
from tests.modules.media.rig import SDP, TYPE, MediaRig, answer_sdp
from tests.rig import ALICE, BOB, Out, only, reply, request

__all__ = ["SCENARIOS", "Slow", "a_call", "another_answer", "cancel", "crossed", "played"]

EVE = ("192.0.2.66", 5060)


class Slow(MediaRig):
    """While ``late`` is set the relay's answers wait for ``release``."""

    late = False

    def __init__(self, **options: Any) -> None:
        self.kept: list[SendDatagram] = []
        super().__init__(**options)

    def _to_relay(self, action: SendDatagram) -> list[Out]:
        if self.late:
            self.kept.append(action)
            return []
        return super()._to_relay(action)

    def release(self) -> None:
        self.late = False
        kept, self.kept = self.kept, []
        for action in kept:
            super()._to_relay(action)


def cancel(rig: MediaRig, source: Any = ALICE) -> None:
    """CANCEL call 0."""
    rig.udp(request("CANCEL", branch="z9hG4bKc0", from_tag="t0", call_id="call0"), source)


def crossed() -> tuple[Slow, Out]:
    """Return a call and its INVITE: the CANCEL came while the relay has the answer of the 2xx."""
    rig = Slow()
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, 180), BOB)
    rig.late = True
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    cancel(rig)
    return rig, invite


def a_call(rig: Slow) -> None:
    rig.answered()
    bye = only(rig.within("BYE", cseq=2), "BYE")
    rig.udp(reply(bye, 200), BOB)


def rings(rig: Slow) -> None:
    """Ringing without a description, then early media."""
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, 180), BOB)
    rig.udp(reply(invite, 183, headers=TYPE, body=answer_sdp()), BOB)
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)


def rings_for_ever(rig: Slow) -> None:
    """RFC 3261 16.8, Timer C; then ``limits.ring_time``."""
    rig.udp(reply(only(rig.invite(), "INVITE"), 180), BOB)
    rig.wait(400.0)


def ack_in_advance(rig: Slow) -> None:
    """An ACK with the branch of its INVITE, which has no answer yet, ends nothing."""
    rig.invite()
    rig.udp(request("ACK", branch="z9hG4bKc0", from_tag="t0", call_id="call0", to_tag="x"))
    rig.wait(400.0)


def refused(rig: Slow) -> None:
    rig.udp(reply(only(rig.invite(), "INVITE"), 486), BOB)


def invite_again(rig: Slow) -> None:
    """The caller repeats its INVITE while the relay is asked, and once it rings."""
    rig.late = True
    rig.invite()
    rig.invite()
    rig.release()
    invite = only([one for one in rig.log if one.to == BOB], "INVITE")
    rig.udp(reply(invite, 180), BOB)
    rig.invite()


def phone_silent(rig: Slow) -> None:
    """RFC 3261 17.1.1.2: the INVITE goes again, as it left; then the phone answers."""
    invite = only(rig.invite(), "INVITE")
    rig.wait(1.2)
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)


def relay_slow(rig: Slow) -> None:
    """Nothing leaves for 0.6 s: RFC 3261 17.1.1.2 counts from the time that the INVITE left."""
    rig.late = True
    rig.invite()
    rig.wait(0.6)
    rig.release()
    rig.wait(0.6)


def cancelled_early(rig: Slow) -> None:
    """RFC 3261 9.2: a CANCEL while the relay is asked; nothing leaves afterwards."""
    rig.late = True
    rig.invite()
    cancel(rig)
    rig.release()


def early_media_for_ever(rig: Slow) -> None:
    """RFC 3261 16.8, Timer C, while the relay has the description of early media."""
    invite = only(rig.invite(), "INVITE")
    rig.late = True
    rig.udp(reply(invite, 183, headers=TYPE, body=answer_sdp()), BOB)
    rig.wait(400.0)


def cancel_of_another(rig: Slow) -> None:
    """A CANCEL from elsewhere, while the relay is asked, ends nothing."""
    rig.late = True
    rig.invite()
    cancel(rig, EVE)
    rig.release()
    invite = only([one for one in rig.log if one.to == BOB], "INVITE")
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)


def cancelled(rig: Slow) -> None:
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, 180), BOB)
    cancel(rig)
    rig.udp(reply(only([one for one in rig.log if one.to == BOB], "CANCEL"), 200), BOB)
    rig.udp(reply(invite, 487), BOB)


def overtaken(rig: Slow) -> None:
    """A 200 comes while early media is at the relay: it waits behind it."""
    invite = only(rig.invite(), "INVITE")
    rig.late = True
    rig.udp(reply(invite, 183, headers=TYPE, body=answer_sdp()), BOB)
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    rig.release()


def answer_again(rig: Slow) -> None:
    """RFC 3261 13.3.1.4: a 2xx that comes again leaves as the first did, whatever the relay would say now."""
    invite = only(rig.invite(), "INVITE")
    ok = reply(invite, 200, headers=TYPE, body=answer_sdp())
    rig.udp(ok, BOB)
    rig.engine.mood = "silent"
    rig.udp(ok, BOB)
    rig.udp(ok, BOB)


def another_answer(rig: Slow) -> None:
    """A 2xx comes again with another description: RFC 3261 13.2.1, the first one is the answer."""
    invite = only(rig.invite(), "INVITE")
    for port in (5000, 6000, 5000):
        rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp(port)), BOB)


def blank_line(rig: Slow) -> None:
    """The answer ends in an empty line: it is a description all the same, and the media pass the relay."""
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp() + b"\r\n"), BOB)


def fork_below(rig: Slow) -> None:
    """RFC 3261 13.2.2.4: another phone answers as well."""
    invite = only(rig.invite(), "INVITE")
    for tag, port in (("bob", 5000), ("other", 6000)):
        rig.udp(reply(invite, 200, tag=tag, headers=TYPE, body=answer_sdp(port)), BOB)


def without_tag(rig: Slow) -> None:
    """A 2xx of RFC 2543."""
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, 200, tag=None, headers=TYPE, body=answer_sdp()), BOB)


def no_relay(rig: Slow) -> None:
    rig.engine.mood = "gone"
    rig.invite()


def full(rig: Slow) -> None:
    rig.engine.mood = "full"
    rig.invite()


def no_answer(rig: Slow) -> None:
    """The relay dies between offer and answer: both sides hear a BYE."""
    invite = only(rig.invite(), "INVITE")
    rig.engine.mood = "silent"
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    rig.wait(1.5)


def odd_answer(rig: Slow) -> None:
    invite = only(rig.invite(), "INVITE")
    rig.engine.mood = "wrong"
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    rig.wait(0.1)


def no_description(rig: Slow) -> None:
    """A 2xx without one: the INVITE's offer has no answer, and the caller judges that."""
    rig.udp(reply(only(rig.invite(), "INVITE"), 200), BOB)


def nobody_there(rig: Slow) -> None:
    """RFC 3261 16.9: the phone's port is closed."""
    rig.failed(only(rig.invite(), "INVITE"))


def moved_on(rig: Slow) -> None:
    """An INVITE, then a re-INVITE and a BYE of the callee."""
    rig.answered()
    again = only(rig.within("INVITE", cseq=2, body=SDP.replace(b"4000", b"4002")), "INVITE")
    rig.udp(reply(again, 200, headers=TYPE, body=answer_sdp(5002)), BOB)


SCENARIOS = [
    a_call,
    rings,
    rings_for_ever,
    ack_in_advance,
    refused,
    invite_again,
    phone_silent,
    relay_slow,
    cancelled_early,
    cancel_of_another,
    early_media_for_ever,
    cancelled,
    overtaken,
    answer_again,
    another_answer,
    blank_line,
    fork_below,
    without_tag,
    no_relay,
    full,
    no_answer,
    odd_answer,
    no_description,
    nobody_there,
    moved_on,
]


def played(
    scenario: Callable[[Slow], None], rides: bool, **options: Any
) -> tuple[list[Any], list[str], Slow]:
    """Play a scenario to its end; return what left, and the relay's commands."""
    rig = Slow(**options)
    if not rides:
        reception = rig.stack.reception
        reception.openings = reception.passages = None
    scenario(rig)
    rig.wait(100.0)
    left = [(one.what, one.to, one.message.body) for one in rig.log if one.message is not None]
    return left, rig.engine.commands, rig
