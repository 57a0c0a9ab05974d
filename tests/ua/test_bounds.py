"""The memory that strangers make us hold: calls never acknowledged, guessed tags, forks, waiting requests."""

from __future__ import annotations

from typing import Any

from sansip.testing import Network
from tests.ua.phones import ANSWER, OFFER, SDP, Bench, times_of


async def answers(request: Any) -> None:
    incoming = request.incoming()
    if incoming is not None:
        await incoming.accept(ANSWER)


def reached(bench: Bench) -> set[str]:
    return {event.name for event in bench.server.events if hasattr(event, "name")}


def test_calls() -> None:
    """limits.calls: one more is refused with 503, and the log names the limit."""
    bench = Bench(answers, limits={"calls": 3})
    for _ in range(4):
        bench.call()
    response = bench.alice.expect("503")
    assert response.get("retry-after")
    assert len(bench.ua.calls) == 3
    assert "calls" in reached(bench)


def test_calls_per_source() -> None:
    """limits.calls_per_source: a stranger that never acknowledges has its share, and others go on."""
    bench = Bench(answers, limits={"calls_per_source": 2})
    for _ in range(5):
        bench.call()
    bench.network.run(0.1)
    assert len(bench.ua.calls) == 2
    assert "calls_per_source" in reached(bench)
    bench.bob.request("INVITE", "sip:box@biloxi.test", [SDP], body=ANSWER)
    bench.bob.expect("200")
    # Its share is free again when they are given up.
    bench.network.run(70)
    bench.call()
    bench.alice.expect("200")
    bench.network.run(70)
    assert bench.at_rest()


def test_calls_unacknowledged() -> None:
    """Each answered call sends its 2xx eleven times to an address that nothing has proved: so many at once,
    and no more. Who acknowledges is not counted."""
    bench = Bench(answers, limits={"calls_unacknowledged": 2})
    for _ in range(2):
        bench.call()
        bench.alice.expect("200")
    bench.call()
    assert bench.alice.expect("503").get("retry-after")
    bench.server.flush()
    assert "calls_unacknowledged" in reached(bench)
    for phone in (bench.bob, bench.carol):
        for _ in range(3):
            phone.request("INVITE", "sip:box@biloxi.test", [SDP], body=OFFER)
            phone.expect("200")
            phone.request("ACK")
    bench.network.run(40)
    bench.call()
    bench.alice.expect("200")


def test_a_flood_is_forgotten() -> None:
    """A thousand calls that nobody acknowledges: a minute later nothing is left, the heap of dues
    included."""
    bench = Bench(answers, limits={"calls_per_source": 10_000})
    for _ in range(1_000):
        bench.call()
    bench.network.run(100)
    assert bench.at_rest()
    assert bench.ua.next_due() is None or len(bench.ua._watch) < 2_000


def test_call_dialogs() -> None:
    """limits.call_dialogs: phones that a fork reaches count each, over all calls; the next are not heard."""
    bench = Bench(answers, limits={"call_dialogs": 3})
    for _ in range(2):
        bench.ua.now = bench.network.now
        bench.ua.invite("sip:bob@192.0.2.2", OFFER)
        bench.server.flush()
        invite = bench.bob.expect("INVITE")
        for tag in ("a", "b"):
            bench.bob.reply(invite, 180, tag=tag)
        bench.network.run(0.1)
    assert len(bench.ua.calls) == 3
    assert "call_dialogs" in reached(bench)


LARGE = ANSWER + b"a=x:" + b"y" * 20_000 + b"\r\n"


def test_session_size() -> None:
    """limits.session_size: an offer that no call would keep is refused (RFC 3261 21.4.11), early and late."""
    bench = Bench(answers)
    bench.alice.request("INVITE", "sip:box@biloxi.test", [SDP], body=LARGE)
    bench.alice.expect("413")
    bench.alice.request("ACK")
    bench.call()
    bench.alice.expect("200")
    bench.alice.request("ACK")
    bench.alice.request("UPDATE", None, [SDP], body=LARGE, in_dialog=True)
    bench.alice.expect("413")
    (call,) = bench.ua.calls.values()
    assert call.remote_sdp == OFFER


def test_an_answer_that_is_too_large() -> None:
    """It cannot be refused, so the call stands and the memory for it is bounded."""
    bench = Bench(answers)
    bench.ua.now = bench.network.now
    called = bench.ua.invite("sip:bob@192.0.2.2", OFFER)
    bench.server.flush()
    bench.bob.reply(bench.bob.expect("INVITE"), 200, None, [SDP], body=LARGE)
    bench.bob.expect("ACK")
    assert called.answered.value.remote_sdp == b""
    assert "session_size" in reached(bench)


def test_what_a_call_keeps_of_its_invite() -> None:
    """After its ACK the number of a call means the call: the INVITE is let go."""
    bench = Bench(answers)
    bench.call()
    bench.alice.expect("200")
    bench.alice.request("ACK")
    bench.network.run(0.1)
    (call,) = bench.ua.calls.values()
    assert bench.ua.numbered == {call.number: call}


def test_a_bye_from_elsewhere() -> None:
    """RFC 3261 12.2.2: a sender with Call-ID, both tags and a number ends the call, from any address.

    A phone may come by another address than it called from (NAT, another network, another proxy), and the ids
    are known to its two ends and those on the way, who could forge the address as well. Without our tag, that
    has 64 bits of chance and a MAC, nothing happens (docs/security.md).
    """

    async def route(request: Any) -> None:
        if request.method == "INVITE":
            await answers(request)
        else:
            request.reply(404)

    bench = Bench(route)
    bench.call()
    response = bench.alice.expect("200")
    bench.alice.request("ACK")
    bench.network.run(0.1)
    tag = response.to_tag or ""

    def bye(tag: str, number: int) -> None:
        fields = [
            ("Call-ID", response.call_id),
            ("From", f"{response.get('from')}"),
            ("To", f"<sip:box@biloxi.test>;tag={tag}"),
            ("CSeq", f"{number} BYE"),
        ]
        bench.bob.request("BYE", "sip:192.0.2.10:5060", fields, in_dialog=False)

    bye(tag[:-1] + ("1" if tag[-1] == "0" else "0"), 9)
    bench.bob.expect("404|481")
    # An old number, as of a packet that is played again.
    bye(tag, 1)
    bench.bob.expect("500")
    assert not next(iter(bench.ua.calls.values())).ended
    bye(tag, 9)
    bench.bob.expect("200")
    assert all(call.ended for call in bench.ua.calls.values())


def test_requests_per_call() -> None:
    """limits.requests_per_call: code that asks in a loop without an answer gets an error."""
    bench = Bench(answers, limits={"requests_per_call": 3})
    bench.call()
    bench.alice.expect("200")
    bench.alice.request("ACK")
    bench.network.run(0.1)
    (call,) = bench.ua.calls.values()
    waiting = [call.info(b"x", "text/plain") for _ in range(5)]
    assert [one.done for one in waiting] == [False, False, False, True, True]
    bench.server.flush()
    assert "requests_per_call" in reached(bench)


def test_in_dialog_guesses() -> None:
    """A BYE with the Call-ID and our tag, but a guess at the peer's, is 481 and harms no call."""
    bench = Bench(answers)
    bench.call()
    response = bench.alice.expect("200")
    bench.alice.request("ACK")
    bench.network.run(0.1)
    headers = [
        ("Call-ID", response.call_id),
        ("To", response.get("to") or ""),
        ("From", "<sip:alice@biloxi.test>;tag=guess"),
        ("CSeq", "9 BYE"),
    ]
    bench.carol.request("BYE", "sip:192.0.2.10", headers)
    bench.carol.expect("481")
    assert len(bench.ua.calls) == 1


def test_until_its_ack_a_caller_is_called_back_where_it_came_from() -> None:
    """A Contact that names somebody else must not send our BYE there: nothing was proved yet."""
    bench = Bench(answers)
    bench.call(headers=[("Contact", "<sip:victim@192.0.2.3>")])
    bench.network.run(40)
    assert times_of(bench.alice, "BYE")
    assert not bench.carol.history


def test_a_journal_of_calls_plays_again() -> None:
    """Inputs are complete: the same octets leave in a replay."""
    from sansip.journal import again
    from sansip.stack import Stack

    bench = Bench(answers)
    bench.call()
    bench.alice.expect("200")
    bench.alice.request("ACK")
    bench.alice.request("BYE")
    bench.network.run(70)
    played = list(again(bench.journal, lambda head: Stack(bench.config, bytes.fromhex(head["seed"]))))
    assert played
    assert all(one.same for one in played)
    assert isinstance(bench.network, Network)


def test_what_a_program_around_us_does_plays_again() -> None:
    """``Stack.act`` is an input: a call that is made by it is in the journal, octet for octet."""
    from sansip.journal import again
    from sansip.stack import Stack

    bench = Bench(lambda request: request.incoming().hand_out())
    stack = bench.server.stack
    told: list[Any] = []

    def act(verb: str, number: int, **given: Any) -> None:
        actions = stack.act(verb, number, given, bench.network.now, lambda result, now: told.append(result))
        bench.server._perform(actions)

    act("invite", 0, uri="sip:bob@192.0.2.2", sdp=ANSWER)
    bench.bob.reply(bench.bob.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    bench.bob.expect("ACK")
    act("bye", told[0].number)
    bench.bob.reply(bench.bob.expect("BYE"), 200)
    bench.call()
    bench.network.run(0.1)
    act("reject", bench.server.events[-1].number, status=486)
    bench.alice.expect("486")
    played = list(again(bench.journal, lambda head: Stack(bench.config, bytes.fromhex(head["seed"]))))
    assert [one.line for one in played if not one.same] == []
    assert any(one.name == "act" for one in played)
