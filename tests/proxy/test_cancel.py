"""RFC 3261 9 and 16.10: CANCEL at a stateful proxy, and every race it can lose."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.routing import ask
from sansip.wire import parse_message
from tests.rig import (
    ALICE,
    BOB,
    BOB_URI,
    CAROL,
    CAROL_URI,
    Out,
    Rig,
    ack,
    only,
    relay_to,
    reply,
    request,
    sent,
    times,
    what,
    within,
)


@pytest.fixture
def rig() -> Rig:
    return Rig(relay_to(BOB_URI))


def call(rig: Rig, **options: Any) -> tuple[bytes, Out]:
    """An INVITE that reached Bob."""
    invite = request(**options)
    return invite, only(rig.udp(invite), "INVITE")


def test_before_any_response(rig: Rig) -> None:
    """9.1: without a provisional response the CANCEL must wait for one."""
    invite, branch = call(rig)
    assert sent(rig.udp(within(invite, "CANCEL"))) == [("200", ALICE)]
    assert what(rig.wait(0.4)) == []
    assert sent(rig.udp(reply(branch, 100), BOB)) == [("CANCEL", BOB)]


def test_after_a_provisional_response(rig: Rig) -> None:
    """16.10: 200 to the CANCEL at once, and a CANCEL for each pending branch."""
    invite, branch = call(rig)
    rig.udp(reply(branch, 180), BOB)
    assert sent(rig.udp(within(invite, "CANCEL"))) == [("200", ALICE), ("CANCEL", BOB)]
    assert sent(rig.udp(reply(branch, 487), BOB)) == [("ACK", BOB), ("487", ALICE)]
    final = [out for out in rig.log if out.what == "487"][-1]
    assert rig.udp(ack(invite, final)) == []
    rig.run_out()
    assert rig.empty


def test_it_is_the_cancel_of_what_was_sent(rig: Rig) -> None:
    """9.1: Request-URI, Call-ID, To, From, CSeq number and the top Via alone of the forwarded INVITE."""
    invite, branch = call(rig, headers=[("Require", "100rel"), ("Route", "<sip:192.0.2.10;lr>")])
    rig.udp(reply(branch, 180), BOB)
    cancel = only(rig.udp(within(invite, "CANCEL")), "CANCEL").message
    forwarded = branch.message
    assert cancel.uri_text == forwarded.uri_text == BOB_URI
    assert cancel.get_all("via") == forwarded.get_all("via")[:1]
    for name in ("call-id", "to", "from"):
        assert cancel.get(name) == forwarded.get(name)
    assert cancel.get("cseq") == "1 CANCEL"
    assert not cancel.has("require")
    assert not cancel.has("route")


def test_route_values_are_kept(rig: Rig) -> None:
    """9.1: if the request being cancelled has Route, so has the CANCEL, and it goes the same way."""
    data = request(headers=[("Route", "<sip:192.0.2.2;lr>, <sip:192.0.2.78;lr>")])
    branch = only(rig.udp(data), "INVITE")
    invite = data
    rig.udp(reply(branch, 180), BOB)
    cancel = only(rig.udp(within(invite, "CANCEL")), "CANCEL")
    assert cancel.message.values("route") == ["<sip:192.0.2.2;lr>", "<sip:192.0.2.78;lr>"]
    assert cancel.to == branch.to


def test_all_branches() -> None:
    """16.10: a CANCEL for every pending client transaction, and none for a transaction that is done."""
    rig = Rig(relay_to(BOB_URI, CAROL_URI))
    invite = request()
    bob, carol = (out for out in rig.udp(invite) if out.what == "INVITE")
    rig.udp(reply(bob, 486), BOB)
    rig.udp(reply(carol, 180, tag="carol"), CAROL)
    assert sent(rig.udp(within(invite, "CANCEL"))) == [("200", ALICE), ("CANCEL", CAROL)]
    assert sent(rig.udp(reply(carol, 487, tag="carol"), CAROL)) == [("ACK", CAROL), ("486", ALICE)]


def test_no_further_branches() -> None:
    """The next target does not ring for a caller who gave up."""

    def route(incoming: Any) -> None:
        from sansip.proxy import Target
        from sansip.wire import parse_uri

        incoming.relay([Target(parse_uri(BOB_URI), 900), Target(parse_uri(CAROL_URI), 100)])

    rig = Rig(route)
    invite, branch = call(rig)
    rig.udp(reply(branch, 180), BOB)
    rig.udp(within(invite, "CANCEL"))
    assert sent(rig.udp(reply(branch, 486), BOB)) == [("ACK", BOB), ("486", ALICE)]
    rig.run_out()
    assert CAROL not in [out.to for out in rig.log]


def test_it_crosses_a_2xx(rig: Rig) -> None:
    """9.1: CANCEL has no effect on a request that has a final response: the call is up."""
    invite, branch = call(rig)
    rig.udp(reply(branch, 180), BOB)
    rig.udp(within(invite, "CANCEL"))
    assert sent(rig.udp(reply(branch, 200), BOB)) == [("200", ALICE)]
    assert [out.message.cseq.method for out in rig.log if out.to == ALICE] == ["INVITE"] * 2 + [
        "CANCEL",
        "INVITE",
    ]


def test_after_the_2xx(rig: Rig) -> None:
    """9.2: 200 to the CANCEL, nothing else: no CANCEL goes on."""
    invite, branch = call(rig)
    rig.udp(reply(branch, 200), BOB)
    assert sent(rig.udp(within(invite, "CANCEL"))) == [("200", ALICE)]
    rig.run_out()
    assert "CANCEL" not in what(rig.log)


def test_after_a_failure(rig: Rig) -> None:
    """9.2: the same while the failure waits for its ACK."""
    invite, branch = call(rig)
    rig.udp(reply(branch, 486), BOB)
    assert sent(rig.udp(within(invite, "CANCEL"))) == [("200", ALICE)]


def test_repeated(rig: Rig) -> None:
    """17.2.2: a CANCEL is a transaction of its own: the same 200, one CANCEL downstream."""
    invite, branch = call(rig)
    rig.udp(reply(branch, 180), BOB)
    first = rig.udp(within(invite, "CANCEL"))
    again = rig.udp(within(invite, "CANCEL"))
    assert what(first) == ["200", "CANCEL"]
    assert what(again) == ["200"]
    assert again[0].data == first[0].data


def test_the_forwarded_cancel_is_repeated_until_answered(rig: Rig) -> None:
    """17.1.2: over UDP by Timer E, like any non-INVITE request."""
    invite, branch = call(rig)
    rig.udp(reply(branch, 180), BOB)
    cancel = only(rig.udp(within(invite, "CANCEL")), "CANCEL")
    assert times(rig.wait(4), rig.start, "CANCEL") == [0.5, 1.5, 3.5]
    rig.udp(reply(cancel, 200), BOB)
    assert what(rig.wait(4)) == []


def test_no_final_response_follows(rig: Rig) -> None:
    """9.1: without a final response within 64*T1 the INVITE is considered cancelled and destroyed."""
    invite, branch = call(rig)
    rig.udp(reply(branch, 180), BOB)
    cancel = only(rig.udp(within(invite, "CANCEL")), "CANCEL")
    rig.udp(reply(cancel, 200), BOB)
    assert what(rig.wait(31.9)) == []
    assert sent(rig.wait(0.1)) == [("487", ALICE)]
    rig.run_out()
    assert rig.empty


def test_neither_the_cancel_nor_the_invite_is_answered(rig: Rig) -> None:
    """16.8: nothing at all from Bob: Timer B of the INVITE ends it, and no CANCEL was ever sent."""
    invite, _ = call(rig)
    rig.udp(within(invite, "CANCEL"))
    outs = rig.wait(32)
    assert sent(outs)[-1] == ("487", ALICE)
    assert "CANCEL" not in what(outs)


def test_a_481_to_the_cancel(rig: Rig) -> None:
    """9.1: whatever the CANCEL is answered with, the INVITE's own answer decides."""
    invite, branch = call(rig)
    rig.udp(reply(branch, 180), BOB)
    cancel = only(rig.udp(within(invite, "CANCEL")), "CANCEL")
    assert rig.udp(reply(cancel, 481), BOB) == []
    assert sent(rig.udp(reply(branch, 200), BOB)) == [("200", ALICE)]


def test_the_response_to_the_cancel_is_ours(rig: Rig) -> None:
    """16.10: the element acts as UAS; Bob's 200 to our CANCEL goes nowhere."""
    invite, branch = call(rig)
    rig.udp(reply(branch, 180), BOB)
    cancel = only(rig.udp(within(invite, "CANCEL")), "CANCEL")
    assert rig.udp(reply(cancel, 200), BOB) == []


def test_the_reason_is_copied(rig: Rig) -> None:
    """RFC 3326 2: from the CANCEL received into the one generated."""
    invite, branch = call(rig)
    rig.udp(reply(branch, 180), BOB)
    reason = 'Q.850;cause=16;text="Terminated"'
    cancel = only(rig.udp(within(invite, "CANCEL", headers=[("Reason", reason)])), "CANCEL")
    assert cancel.message.get("reason") == reason


def test_a_non_invite_is_not_cancelled() -> None:
    """9.1 and 9.2: 200 to the CANCEL; the request goes on."""
    rig = Rig(relay_to(BOB_URI))
    options = request("OPTIONS")
    branch = only(rig.udp(options), "OPTIONS")
    assert sent(rig.udp(within(options, "CANCEL"))) == [("200", ALICE)]
    assert sent(rig.udp(reply(branch, 200), BOB)) == [("200", ALICE)]
    rig.run_out()
    assert "CANCEL" not in what(rig.log)


def test_unmatched() -> None:
    """9.2: no transaction, 481 from the default route; nothing is forwarded for strangers."""
    rig = Rig()
    assert sent(rig.udp(request("CANCEL", branch="z9hG4bKnone"))) == [("481", ALICE)]


def test_another_branch_does_not_match(rig: Rig) -> None:
    """9.2 with 17.2.3: the branch and sent-by of the INVITE."""
    invite, _ = call(rig)
    other = within(invite, "CANCEL", via="SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKother")
    assert "481" in what(Rig().udp(other))
    rig.udp(other)
    assert "487" not in what(rig.log)


def test_rfc_2543() -> None:
    """17.2.3: without the cookie a CANCEL is matched by the fields it shares with its INVITE."""
    rig = Rig(relay_to(BOB_URI))
    invite, branch = call(rig, branch=None)
    rig.udp(reply(branch, 180), BOB)
    assert sent(rig.udp(within(invite, "CANCEL"))) == [("200", ALICE), ("CANCEL", BOB)]


def test_while_the_route_waits() -> None:
    """9.2: answered here, so the 487 is ours, and the route's later decision reaches no phone."""

    async def route(incoming: Any) -> None:
        await ask("who is it")
        seen.append(incoming.cancelled)
        incoming.relay(BOB_URI)
        incoming.reply(404)

    seen: list[bool] = []
    rig = Rig(route)
    invite = request()
    rig.udp(invite)
    assert sent(rig.wait(0.2)) == [("100", ALICE)]
    assert sent(rig.udp(within(invite, "CANCEL"))) == [("200", ALICE), ("487", ALICE)]
    assert rig.answer("bob") == []
    assert seen == [True]
    tags = {out.message.to_tag for out in rig.log if out.what in ("200", "487")}
    # 9.2: the To tags of both SHOULD be the same.
    assert len(tags) == 1
    rig.udp(ack(invite, only(rig.log, "487")))
    rig.run_out()
    assert rig.empty


def test_while_a_failure_route_waits() -> None:
    """Between two targets nothing is pending downstream: 487 at once, and no second target."""

    async def route(incoming: Any) -> None:
        await incoming.relay(BOB_URI)
        await ask("voicemail?")
        await incoming.relay(CAROL_URI)

    rig = Rig(route)
    invite, branch = call(rig)
    assert sent(rig.udp(reply(branch, 486), BOB)) == [("ACK", BOB)]
    assert sent(rig.udp(within(invite, "CANCEL"))) == [("200", ALICE), ("487", ALICE)]
    assert rig.answer("yes") == []
    assert CAROL not in [out.to for out in rig.log]


def test_while_the_address_is_looked_up() -> None:
    """Nothing was sent, so there is nothing to cancel downstream."""
    rig = Rig(relay_to("sip:bob@phone.test"))
    invite = request()
    rig.udp(invite)
    assert sent(rig.udp(within(invite, "CANCEL"))) == [("200", ALICE), ("487", ALICE)]
    assert rig.answer([BOB]) == []


def test_while_the_connection_is_being_opened() -> None:
    """9.1: the INVITE waits in the connection; once it is refused the call is over."""
    rig = Rig(relay_to("sip:bob@192.0.2.2;transport=tcp"))
    invite = request()
    connect = only(rig.udp(invite), "Connect")
    assert sent(rig.udp(within(invite, "CANCEL"))) == [("200", ALICE)]
    assert sent(rig.closed(connect, "refused")) == [("487", ALICE)]


def test_a_target_that_fails_after_the_cancel_is_not_replaced() -> None:
    """The next address of a target is not tried for a caller who gave up."""
    rig = Rig(relay_to("sip:bob@phone.test"))
    invite = request()
    rig.udp(invite)
    branch = only(rig.answer([BOB, CAROL]), "INVITE")
    rig.udp(reply(branch, 100), BOB)
    rig.udp(within(invite, "CANCEL"))
    assert sent(rig.udp(reply(branch, 503), BOB)) == [("ACK", BOB), ("500", ALICE)]
    assert CAROL not in [out.to for out in rig.log]


def test_over_tcp_on_the_same_connection() -> None:
    """9.1: address, port and transport of the CANCEL are those of the INVITE."""
    rig = Rig(relay_to("sip:bob@192.0.2.2;transport=tcp"))
    invite = request()
    connect = only(rig.udp(invite), "Connect")
    branch = only(rig.opened(connect), "INVITE")
    conn = connect.action.conn
    rig.tcp(conn, reply(branch, 180))
    assert sent(rig.udp(within(invite, "CANCEL"))) == [("200", ALICE), ("CANCEL", conn)]


def test_max_breadth_and_max_forwards(rig: Rig) -> None:
    """RFC 5393 5.4.1: Max-Breadth means nothing in a CANCEL; 8.1.1.6: Max-Forwards is its own."""
    invite, branch = call(rig, hops=7)
    rig.udp(reply(branch, 180), BOB)
    cancel = only(rig.udp(within(invite, "CANCEL")), "CANCEL").message
    assert not cancel.has("max-breadth")
    assert cancel.max_forwards == 70


def test_a_cancel_of_a_cancelled_branch_is_sent_once() -> None:
    """16.7 step 10: not where one has been generated already."""
    rig = Rig(relay_to(BOB_URI, CAROL_URI))
    invite = request()
    bob, carol = (out for out in rig.udp(invite) if out.what == "INVITE")
    rig.udp(reply(bob, 180), BOB)
    rig.udp(reply(carol, 603, tag="carol"), CAROL)
    rig.udp(within(invite, "CANCEL"))
    assert what(rig.log).count("CANCEL") == 1
    assert parse_message(invite)


def test_given_up_after_its_cancel() -> None:
    """9.1: one CANCEL for one INVITE; another of the same branch would be its retransmission.

    A 6xx cancels the other branch (16.7 step 5), which says nothing; then the route waits no longer.
    """

    async def route(incoming: Any) -> None:
        await incoming.relay([BOB_URI, CAROL_URI], ring=5)

    rig = Rig(route)
    invite = request()
    bob, carol = (out for out in rig.udp(invite) if out.what == "INVITE")
    rig.udp(reply(bob, 180), BOB)
    cancel = only(rig.udp(reply(carol, 603), CAROL), "CANCEL")
    rig.udp(reply(cancel, 200), BOB)
    outs = rig.wait(5)
    assert sent(outs) == [("603", ALICE)]
    rig.udp(ack(invite, outs[0]))
    # The phone says nothing more: 64*T1 after its CANCEL it is forgotten.
    assert rig.wait(40) == []
    rig.run_out()
    assert rig.empty
