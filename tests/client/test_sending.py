"""One request of a user agent: failover (RFC 3263 4.3), forks, CANCEL (RFC 3261 9.1), challenges (22)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import Account
from sansip.proxy import ProxyConfig
from sansip.wire.headers.auth import parse_credentials
from tests.client.desk import Desk, a_request
from tests.rig import BOB, CAROL, DAVE, Out, Rig, only, reply, sent, what

NAME = "sip:bob@phone.test"
PLACES = [("udp", *BOB), ("udp", *CAROL)]


def resolved(method: str = "INVITE", places: Any = PLACES, **options: Any) -> tuple[Desk, Any, Out]:
    """A request to a name with two servers, sent to the first."""
    rig = Rig(proxy=ProxyConfig(failover_time=options.pop("failover_time", 3.0)))
    desk = Desk(rig)
    sending, _ = desk.send(a_request(method, NAME), **options)
    return desk, sending, only(rig.answer(places), method)


# --- what comes back


def test_responses_of_an_invite() -> None:
    """100 is the transaction's; each other 1xx is told, and the one failure ends it."""
    desk = Desk()
    _, outs = desk.send(a_request())
    for status in (100, 180, 183, 486):
        outs_ = desk.rig.udp(reply(outs[0], status), BOB)
    assert what(outs_) == ["ACK"]
    assert desk.told == [180, 183, 486, "ended"]
    desk.rig.run_out()
    assert desk.rig.empty


def test_forks() -> None:
    """RFC 3261 13.2.2.4: each 2xx is told, of whichever branch, until Timer M ends (RFC 6026 7.2)."""
    desk = Desk()
    _, outs = desk.send(a_request())
    for tag in ("one", "two", "one"):
        desk.rig.udp(reply(outs[0], 200, tag=tag), BOB)
    assert [response.to_tag for response in desk.responses] == ["one", "two", "one"]
    desk.rig.wait(31)
    assert "ended" not in desk.told
    desk.rig.wait(2)
    assert desk.told[-1] == "ended"


@pytest.mark.parametrize(("method", "status"), [("INVITE", 408), ("OPTIONS", 408)])
def test_silence(method: str, status: int) -> None:
    """RFC 3261 8.1.3.1: Timer B and F are a 408, made here."""
    desk = Desk()
    sending, _ = desk.send(a_request(method))
    desk.rig.wait(31.9)
    assert desk.told == []
    desk.rig.wait(0.2)
    assert (desk.told, sending.made) == ([status, "ended"], True)
    assert desk.responses[0].get("call-id") == "desk"
    desk.rig.run_out()
    assert desk.rig.empty


def test_a_send_error() -> None:
    """RFC 3261 8.1.3.1: a 503, made here."""
    desk = Desk()
    _, outs = desk.send(a_request("OPTIONS"))
    desk.rig.failed(outs[0])
    assert desk.told == [503, "ended"]


def test_within() -> None:
    """An asker may wait no longer and say so: a 408 is made, what rings is cancelled; its 2xx still comes."""
    desk = Desk()
    sending, outs = desk.send(a_request(), within=5.0)
    desk.rig.udp(reply(outs[0], 180), BOB)
    assert what(desk.rig.wait(5)) == ["CANCEL"]
    assert (desk.told, sending.made) == ([180, 408], True)
    desk.rig.udp(reply(outs[0], 200), BOB)
    assert desk.told == [180, 408, 200]
    desk.rig.run_out()
    assert desk.told == [180, 408, 200, "ended"]
    assert desk.rig.empty


def test_within_covers_the_look_up() -> None:
    """A name server that says nothing is no excuse; its late answer sends nothing."""
    desk = Desk()
    desk.send(a_request("OPTIONS", NAME), within=2.0)
    desk.rig.wait(2)
    assert desk.told == [408, "ended"]
    assert desk.rig.answer(PLACES) == []


# --- failover


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_a_503_leads_to_the_next(method: str) -> None:
    """RFC 3263 4.3: the same request in another transaction; a final answer of the second counts."""
    desk, _, first = resolved(method)
    outs = desk.rig.udp(reply(first, 503), BOB)
    second = only(outs, method)
    assert second.to == CAROL
    assert second.message.via.branch != first.message.via.branch
    assert second.message.get("cseq") == first.message.get("cseq")
    desk.rig.udp(reply(second, 404), CAROL)
    assert desk.told == [404, "ended"]


def test_the_last_503_is_told() -> None:
    """There is no other place: it is what the request came to."""
    desk, sending, first = resolved("OPTIONS")
    second = only(desk.rig.udp(reply(first, 503), BOB), "OPTIONS")
    desk.rig.udp(reply(second, 503), CAROL)
    assert (desk.told, sending.made) == ([503, "ended"], False)


def test_a_send_error_leads_to_the_next() -> None:
    desk, _, first = resolved("OPTIONS")
    assert sent(desk.rig.failed(first)) == [("OPTIONS", CAROL)]


def test_silence_leads_to_the_next_in_good_time() -> None:
    """``failover_time``: 32 s are more than a caller waits. The slow one may still answer, and counts."""
    desk, _, first = resolved()
    outs = desk.rig.wait(3)
    assert [out.to for out in outs if out.what == "INVITE"][-1] == CAROL
    second = outs[-1]
    # It rings after all, but the caller has given up.
    assert sent(desk.rig.udp(reply(first, 180), BOB)) == [("CANCEL", BOB)]
    desk.rig.udp(reply(second, 180, tag="carol"), CAROL)
    # RFC 3261 9.1: its 2xx crossed the CANCEL. The other is cancelled.
    assert sent(desk.rig.udp(reply(first, 200), BOB)) == [("CANCEL", CAROL)]
    assert desk.told == [180, 200]
    desk.rig.udp(reply(second, 200, tag="carol"), CAROL)
    assert desk.told == [180, 200, 200]
    assert [response.to_tag for response in desk.responses] == ["bob", "carol"]
    desk.rig.run_out()
    assert desk.told[-1] == "ended"
    assert desk.rig.empty


def test_a_place_that_was_heard_of_has_not_failed() -> None:
    """RFC 3263 4.3: after a 100 there is no other place, but the one Timer F ends."""
    desk, _, first = resolved("OPTIONS")
    desk.rig.udp(reply(first, 100), BOB)
    outs = desk.rig.wait(33)
    assert {out.to for out in outs} == {BOB}
    assert desk.told == [408, "ended"]


def test_a_failed_place_is_tried_last_by_the_next() -> None:
    """RFC 3263 2: it is remembered for all requests of the stack."""
    desk, _, first = resolved("OPTIONS")
    desk.rig.failed(first)
    desk.send(a_request("OPTIONS", NAME))
    assert only(desk.rig.answer(PLACES), "OPTIONS").to == CAROL


def test_too_large_for_udp() -> None:
    """RFC 3261 18.1.1: TCP where it is open, UDP after all where it is refused."""
    desk = Desk()
    large = a_request("MESSAGE", body=b"x" * 1400)
    _, outs = desk.send(large)
    assert what(outs) == ["Connect"]
    assert sent(desk.rig.closed(outs[0], "refused")) == [("MESSAGE", BOB)]
    # A URI that says udp means it.
    _, outs = desk.send(a_request("MESSAGE", "sip:bob@192.0.2.3;transport=udp", body=b"x" * 1400))
    assert sent(outs) == [("MESSAGE", CAROL)]


# --- CANCEL


def test_a_cancel_waits_for_a_provisional_response() -> None:
    """RFC 3261 9.1: then it leaves with the branch of the INVITE; the 487 is the answer."""
    desk = Desk()
    sending, outs = desk.send(a_request())
    assert desk.cancel(sending, "SIP;cause=480") == []
    cancel = only(desk.rig.udp(reply(outs[0], 100), BOB), "CANCEL")
    assert cancel.message.via.branch == outs[0].message.via.branch
    assert cancel.message.get("reason") == "SIP;cause=480"
    assert desk.cancel(sending) == []
    desk.rig.udp(reply(cancel, 200), BOB)
    desk.rig.udp(reply(outs[0], 487), BOB)
    assert desk.told == [487, "ended"]
    desk.rig.run_out()
    assert desk.rig.empty


def test_a_2xx_that_crosses_the_cancel_counts() -> None:
    """RFC 3261 9.1: the asker has to end that dialog (15)."""
    desk = Desk()
    sending, outs = desk.send(a_request())
    desk.rig.udp(reply(outs[0], 180), BOB)
    assert what(desk.cancel(sending)) == ["CANCEL"]
    desk.rig.udp(reply(outs[0], 200), BOB)
    assert (desk.told, sending.made) == ([180, 200], False)


def test_nothing_after_the_cancel() -> None:
    """RFC 3261 9.1: without a final response within 64*T1 it counts as cancelled."""
    desk = Desk()
    sending, outs = desk.send(a_request())
    desk.rig.udp(reply(outs[0], 180), BOB)
    desk.cancel(sending)
    desk.rig.wait(33)
    assert (desk.told, sending.made) == ([180, 487, "ended"], True)


def test_no_longer_waited_for_after_its_cancel() -> None:
    """9.1: it rings, so no Timer B ends it, and another server could fill our memory with such INVITEs."""
    desk = Desk()
    sending, outs = desk.send(a_request(), within=5.0)
    desk.rig.udp(reply(outs[0], 180), BOB)
    cancel = only(desk.cancel(sending), "CANCEL")
    desk.rig.udp(reply(cancel, 200), BOB)
    assert desk.rig.wait(60) == []
    assert desk.told == [180, 487, "ended"]
    desk.rig.run_out()
    assert desk.rig.empty


def test_a_cancel_during_the_look_up() -> None:
    """Nothing was sent, and nothing will be."""
    desk = Desk()
    sending, _ = desk.send(a_request("INVITE", NAME))
    desk.cancel(sending)
    desk.rig.wait(0)
    assert desk.told == [487, "ended"]
    assert desk.rig.answer(PLACES) == []


@pytest.mark.parametrize("answer", ["503", "silence", "error"])
def test_a_cancelled_request_goes_nowhere_else(answer: str) -> None:
    """An asker that does not want the answer does not want another server to be asked."""
    desk, sending, first = resolved()
    desk.cancel(sending)
    outs = []
    if answer == "503":
        outs = desk.rig.udp(reply(first, 503), BOB)
    elif answer == "error":
        outs = desk.rig.failed(first)
    else:
        outs = desk.rig.wait(33)
    assert CAROL not in [out.to for out in outs]
    assert desk.told == [503 if answer == "503" else 487, "ended"]


def test_a_cancel_after_the_end() -> None:
    desk = Desk()
    sending, outs = desk.send(a_request())
    desk.rig.udp(reply(outs[0], 200), BOB)
    assert desk.cancel(sending) == []
    assert what(desk.rig.run_out()) == []


def test_other_methods_have_no_cancel() -> None:
    """RFC 3261 9.1: it goes on nowhere else, and that is all."""
    desk, sending, first = resolved("OPTIONS")
    desk.rig.udp(reply(first, 100), BOB)
    assert desk.cancel(sending) == []
    desk.rig.udp(reply(first, 503), BOB)
    assert desk.told == [503, "ended"]


# --- challenges

ACCOUNT = Account(("192.0.2.2", "phone.test"), "carrier.test", "trunk", "secret")


def challenge(status: int, more: str = "", nonce: str = "n1") -> dict[str, Any]:
    field = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return {"headers": [(field, f'Digest realm="carrier.test", nonce="{nonce}", qop="auth"{more}')]}


@pytest.mark.parametrize("status", [401, 407])
def test_a_challenge_is_answered_once(status: int) -> None:
    """RFC 3261 22.2: with a higher CSeq; where that is refused, too, the failure is told."""
    desk = Desk()
    sending, outs = desk.send(a_request("MESSAGE"), accounts=[ACCOUNT])
    assert not outs[0].message.has("authorization")
    second = only(desk.rig.udp(reply(outs[0], status, **challenge(status)), BOB), "MESSAGE")
    field = "authorization" if status == 401 else "proxy-authorization"
    assert parse_credentials(second.message.get(field), field, "x").realm == "carrier.test"
    assert second.message.cseq.number == 8
    assert second.message.call_id == "desk"
    assert sending.request.has(field)
    assert desk.told == ["resent 8"]
    desk.rig.udp(reply(second, status, **challenge(status, nonce="n2")), BOB)
    # Its challenge was for us alone, so nothing of it is left.
    assert desk.told == ["resent 8", 500, "ended"]


def test_the_number_may_come_from_a_dialog() -> None:
    """Its next one may have been used since: ``Asker.next_cseq``."""
    desk = Desk(Rig(accounts=[ACCOUNT]), [42])
    _, outs = desk.send(a_request("INFO"))
    second = only(desk.rig.udp(reply(outs[0], 401, **challenge(401)), BOB), "INFO")
    assert second.message.cseq.number == 42
    assert desk.told == ["resent 42"]


def test_credentials_go_along_from_then_on() -> None:
    """RFC 7616 3.6: the nonce is used again, so the next request is not challenged at all."""
    desk = Desk(Rig(accounts=[ACCOUNT]))
    _, outs = desk.send(a_request("MESSAGE"))
    second = only(desk.rig.udp(reply(outs[0], 401, **challenge(401)), BOB), "MESSAGE")
    desk.rig.udp(reply(second, 200), BOB)
    _, outs = desk.send(a_request("MESSAGE", cseq=9))
    assert outs[0].message.has("authorization")


def test_a_challenge_nobody_can_answer_is_told() -> None:
    desk = Desk()
    _, outs = desk.send(a_request("MESSAGE"))
    desk.rig.udp(reply(outs[0], 401, **challenge(401)), BOB)
    assert desk.told == [401, "ended"]
    assert desk.responses[0].has("www-authenticate")


def test_a_challenge_of_an_invite_after_its_cancel() -> None:
    """It is not answered: the INVITE is not wanted any more."""
    desk = Desk(Rig(accounts=[ACCOUNT]))
    sending, outs = desk.send(a_request())
    desk.rig.udp(reply(outs[0], 180), BOB)
    desk.cancel(sending)
    assert what(desk.rig.udp(reply(outs[0], 407, **challenge(407)), BOB)) == ["ACK"]
    assert desk.told == [180, 487, "ended"]


def test_the_last_number() -> None:
    """RFC 3261 8.1.1.5: there is none behind 2**31 - 1."""
    desk = Desk(Rig(accounts=[ACCOUNT]))
    _, outs = desk.send(a_request("MESSAGE", cseq=2**31 - 1))
    desk.rig.udp(reply(outs[0], 401, **challenge(401)), BOB)
    assert desk.told == [500, "ended"]


def test_a_challenge_of_the_second_server() -> None:
    """Failover and credentials together: the number rises once, the place stays."""
    desk, _, first = resolved("OPTIONS", accounts=[ACCOUNT])
    second = only(desk.rig.udp(reply(first, 503), BOB), "OPTIONS")
    third = only(desk.rig.udp(reply(second, 401, **challenge(401)), CAROL), "OPTIONS")
    assert (third.to, third.message.cseq.number) == (CAROL, 8)
    assert DAVE not in [out.to for out in desk.rig.log]


def test_a_connection_that_is_lost() -> None:
    """RFC 3261 18.4: the user hears at once, and not after Timer F."""
    desk = Desk()
    _, outs = desk.send(a_request("OPTIONS", "sip:bob@192.0.2.2;transport=tcp"))
    desk.rig.opened(outs[0])
    desk.rig.closed(outs[0])
    assert desk.told == [503, "ended"]
