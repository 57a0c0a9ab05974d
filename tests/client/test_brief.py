"""A request of ours that leaves as octets: a usual 2xx is hardly read, all else goes as with ``Sending``."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.client import BriefAsker, BriefRequest, Sending, new_branch
from sansip.transport import Flow
from tests.rig import BOB, CAROL, Out, Rig, reply

CONTACT = "Contact: <sip:bob@192.0.2.2>"


class Asker(BriefAsker):
    """Sends one NOTIFY, and writes down what was told."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.told: list[Any] = []
        self.send()

    def send(self) -> Out:
        client = self.rig.stack.client
        branch = new_branch(client.entropy)
        data = (
            "NOTIFY sip:bob@192.0.2.2 SIP/2.0\r\n"
            f"{client.listeners[0].via};branch={branch}\r\nMax-Forwards: 70\r\n"
            "From: <sip:us@biloxi.test>;tag=us\r\nTo: <sip:bob@biloxi.test>;tag=bob\r\nCall-ID: brief\r\n"
            "CSeq: 7 NOTIFY\r\nContact: <sip:us@192.0.2.10>\r\nContent-Length: 0\r\n\r\n"
        ).encode()
        flow = Flow("udp", 0, BOB)
        client.send_octets("NOTIFY", branch, data, flow, self, self.rig.now, number=7, contact=CONTACT)
        (self.out,) = self.rig.take(self.rig.stack._take(self.rig.now))
        return self.out

    def taken(self, brief: BriefRequest, now: float) -> None:
        self.told.append(brief.number)

    def final(self, sending: Sending, response: Any, now: float) -> None:
        self.told.append((response.status, sending.made, str(sending.request.uri)))

    def answer(self, status: int, *headers: tuple[str, str], source: Any = BOB) -> list[Out]:
        return self.rig.udp(reply(self.out, status, tag=None, headers=list(headers)), source)


@pytest.mark.parametrize("headers", [(), (("Contact", "<sip:bob@192.0.2.2>"),)])
def test_a_usual_answer(headers: tuple[tuple[str, str], ...]) -> None:
    """The transaction ends as any other does, and the answer is told once."""
    asker = Asker()
    asker.answer(200, *headers)
    asker.answer(200, *headers)
    assert asker.told == [7]
    assert asker.rig.wait(1.0) == []
    asker.rig.run_out()
    assert asker.rig.empty


def test_sent_again_with_its_branch() -> None:
    """RFC 3261 17.1.3: the end of the first transaction takes nothing from a second with its branch."""
    asker = Asker()
    clients = asker.rig.stack.client.transactions.clients
    [(key, first)] = clients.items()
    second = clients[key] = object()
    first.over()
    assert clients.pop(key) is second


def test_another_contact() -> None:
    """RFC 3261 12.2.1.2: it moves the target, so the asker gets the whole response."""
    asker = Asker()
    asker.answer(200, ("Contact", "<sip:bob@192.0.2.99>"))
    assert asker.told == [(200, False, "sip:bob@192.0.2.2")]
    asker.rig.run_out()
    assert asker.rig.empty


@pytest.mark.parametrize("status", [401, 404, 481, 503])
def test_a_failure(status: int) -> None:
    """It is told as of any request; there is no other place, and no account for a challenge."""
    asker = Asker()
    asker.answer(100)
    asker.answer(status)
    assert [told[0] for told in asker.told] == [status]
    asker.rig.run_out()
    assert asker.rig.empty


def test_silence() -> None:
    """RFC 3261 17.1.2.2: repeated by Timer E, and a 408 is made after 64*T1."""
    asker = Asker()
    repeated = asker.rig.wait(31.9)
    assert len(repeated) == 10
    assert {out.data for out in repeated} == {asker.out.data}
    assert asker.told == []
    asker.rig.wait(0.2)
    assert asker.told == [(408, True, "sip:bob@192.0.2.2")]
    asker.rig.run_out()
    assert asker.rig.empty


def test_each_has_its_own_timer_e() -> None:
    """RFC 3261 17.1.2.2: those that left one after the other are repeated so; who has answered is not."""
    asker = Asker()
    sent = [asker.out]
    began = [asker.rig.now]
    departed = asker.rig.stack.client.departed
    for _ in range(3):
        asker.rig.wait(0.03)
        sent.append(asker.send())
        began.append(asker.rig.now)
    assert asker.rig.stack.client.departed is departed
    asker.out = sent[2]
    asker.answer(200)
    asker.rig.wait(0.05)
    # T1 has another part: the next one is none of theirs.
    sent.append(asker.send())
    began.append(asker.rig.now)
    assert asker.rig.stack.client.departed is not departed
    for number in (0, 1, 3, 4):
        assert asker.rig.wait(began[number] + 0.499 - asker.rig.now) == []
        assert [out.data for out in asker.rig.wait(0.002)] == [sent[number].data]
    assert asker.told == [7]
    asker.rig.run_out()
    assert asker.rig.empty


def test_it_wakes_once_for_those_that_left_together() -> None:
    """Silent peers cost a wake-up for each Timer E, as any do, and one for all that share a part of T1."""
    asker = Asker()
    for _ in range(9):
        asker.rig.wait(0.01)
        asker.send()
    departed = asker.rig.stack.client.departed
    assert departed is not None
    woken: list[float] = []
    fired = departed.timer_fired

    def counting(_: Any, name: str, now: float) -> None:
        woken.append(now)
        fired(name, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(departed), "timer_fired", counting)
        assert len(asker.rig.wait(0.6)) == 10
    assert len(woken) == 1
    asker.rig.run_out()
    assert asker.rig.empty


def test_a_send_error() -> None:
    """RFC 3261 8.1.3.1: a 503, made here."""
    asker = Asker()
    asker.rig.failed(asker.out)
    assert [told[:2] for told in asker.told] == [(503, True)]


def test_a_stranger_answers() -> None:
    """A 200 from another address is none of this transaction's; nothing is taken for it."""
    asker = Asker()
    asker.answer(200, source=CAROL)
    assert asker.told == []
