"""Hooks that wait: what stands still, what stands behind it, and what ends the wait."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from sansip.events import ModuleFailed
from sansip.later import Later as Promise
from sansip.module import Module, Use
from sansip.proxy import ResponseContext
from sansip.proxy.branch import Branch
from sansip.proxy.watched import Watched
from sansip.routing import IncomingRequest, ask, relaying, sleep
from sansip.wire.unread import LAZY
from tests.rig import BOB, BOB_URI, CAROL, CAROL_URI, Out, Rig, ack, reply, request, what


class Relay(Module):
    """Asks a relay of media about each body, as one for rtpengine does."""

    name = "relay"
    waits: ClassVar[set[str]] = set()
    ended: ClassVar[list[str]] = []

    async def _ask(self, what: str, message: Any) -> None:
        try:
            if what in self.waits:
                message.append("X-Relay", str(await ask(what)))
        except GeneratorExit:
            self.ended.append(what)
            raise

    async def request_received(self, request: Any) -> bool:
        if "request" in self.waits:
            return bool(await ask("request"))
        return False

    async def branch_leaving(self, request: Any, branch: Any, message: Any) -> None:
        await self._ask(f"leaving {message.method}", message)

    async def response_received(self, request: Any, branch: Any, response: Any) -> None:
        await self._ask(f"received {response.status}", response)

    async def response_leaving(self, request: Any, response: Any) -> None:
        if request.method == "INVITE":
            await self._ask(f"back {response.status}", response)

    def request_ended(self, request: Any) -> None:
        if request.method == "INVITE":
            self.ended.append("request")


class Later(Module):
    """Writes after the other, at once."""

    name = "zlater"

    def branch_leaving(self, request: Any, branch: Any, message: Any) -> None:
        message.append("X-Later", message.get("x-relay") or "none")


def bench(*waits: str, route: Callable[..., Any] | None = None, **options: Any) -> Rig:
    Relay.waits, Relay.ended = set(), []
    rig = Rig(route, modules=[Use(Relay), Use(Later)], **options)
    if route is None:
        rig.register(BOB_URI, BOB)
    Relay.waits, Relay.ended = set(waits), []
    return rig


def call(rig: Rig) -> Out:
    _, invite = rig.udp(request("INVITE", "sip:bob@biloxi.test"))
    return invite


def failures(rig: Rig) -> list[tuple[str, str]]:
    return [(one.where, str(one.error)) for one in rig.events if isinstance(one, ModuleFailed)]


INVITE = request("INVITE", "sip:bob@biloxi.test")


def test_nothing_is_waited_for() -> None:
    """An ``async def`` that finds its answer at once costs no time."""
    rig = bench()
    invite = call(rig)
    assert what(rig.udp(reply(invite, 180), BOB)) == ["180"]
    assert what(rig.udp(reply(invite, 200), BOB)) == ["200"]
    assert Relay.ended == ["request"]


def test_a_request_waits_before_the_route() -> None:
    """As a step: the route never sees a request that the module takes; the caller gets a 100 meanwhile."""
    rig = bench("request")
    assert what(rig.udp(INVITE)) == []
    # RFC 3261 17.2.1: a 100 unless the answer comes within 200 ms.
    assert what(rig.wait(0.2)) == ["100"]
    assert what(rig.answer(False)) == ["INVITE"]
    rig = bench("request")
    rig.udp(INVITE)
    assert what(rig.answer(True)) == []
    assert not [one for one in rig.events if isinstance(one, ModuleFailed)]


def test_a_request_waits_for_its_copy() -> None:
    """Nothing leaves until the module has changed it; later modules see its change."""
    rig = bench("leaving INVITE")
    assert what(rig.udp(INVITE)) == ["100"]
    (invite,) = rig.answer("media")
    assert (invite.message.get("x-relay"), invite.message.get("x-later")) == ("media", "media")
    # RFC 3261 17.1.1.3, 9.1: ACK and CANCEL are made of what left.
    (ack, answer) = rig.udp(reply(invite, 486), BOB)
    assert (ack.message.via.branch, answer.what) == (invite.message.via.branch, "486")


def test_no_answer_about_a_copy() -> None:
    """It fails closed: after ``limits.hook_time`` a 500, and nothing has left."""
    rig = bench("leaving INVITE")
    rig.udp(INVITE)
    assert what(rig.wait(4.9)) == []
    assert what(rig.wait(0.2)) == ["500"]
    assert failures(rig) == [("branch_leaving", "it waited for 5 s (limits.hook_time)")]
    # The late answer goes nowhere.
    assert what(rig.answer("media")) == []


def test_cancelled_before_it_left() -> None:
    """RFC 3261 9.1: an unsent request need not be cancelled; the caller gets a 487 at once."""
    rig = bench("leaving INVITE")
    rig.udp(INVITE)
    assert what(rig.udp(request("CANCEL", "sip:bob@biloxi.test"))) == ["200", "487"]
    assert Relay.ended == ["leaving INVITE", "request"]
    assert what(rig.answer("media")) == []


def test_responses_keep_their_order() -> None:
    """A 200 does not overtake the 180 before it."""
    rig = bench("received 180")
    invite = call(rig)
    assert what(rig.udp(reply(invite, 180), BOB)) == []
    assert what(rig.udp(reply(invite, 200), BOB)) == []
    answers = rig.answer("media")
    assert what(answers) == ["180", "200"]
    assert [one.message.get("x-relay") for one in answers] == ["media", None]


def test_order_on_the_way_back() -> None:
    """The same before the caller, whichever branch it comes from."""
    rig = bench("back 180")
    invite = call(rig)
    rig.udp(reply(invite, 180), BOB)
    assert what(rig.udp(reply(invite, 200), BOB)) == []
    assert Relay.ended == []
    assert what(rig.answer("media")) == ["180", "200"]
    assert Relay.ended == ["request"]


def test_another_branch_does_not_wait() -> None:
    """One slow phone holds up no other."""
    rig = bench("received 180")
    rig.register(CAROL_URI, CAROL)
    _, one, other = rig.udp(INVITE)
    phones = {one.to: one, other.to: other}
    assert what(rig.udp(reply(phones[BOB], 180), BOB)) == []
    assert what(rig.udp(reply(phones[CAROL], 183), CAROL)) == ["183"]
    assert what(rig.answer("media")) == ["180"]


@pytest.mark.parametrize("where", ["received 200", "back 200"])
def test_a_2xx_comes_again(where: str) -> None:
    """RFC 3261 13.3.1.4: it is repeated until the ACK; the caller gets the octets of the first."""
    rig = bench(where)
    invite = call(rig)
    rig.udp(reply(invite, 200), BOB)
    assert what(rig.udp(reply(invite, 200), BOB)) == []
    (answer,) = rig.answer("media")
    assert (answer.what, answer.message.get("x-relay")) == ("200", "media")
    (again,) = rig.udp(reply(invite, 200), BOB)
    assert again.data == answer.data
    assert not rig.asks
    # Another fork behind the phone is another answer.
    rig.udp(reply(invite, 200, tag="other"), BOB)
    (other,) = rig.answer("more")
    assert other.message.get("x-relay") == "more"


def test_a_hook_that_need_not_wait_is_not_asked_twice() -> None:
    """The octets of the first, also where nothing waits."""

    class Stamp(Module):
        name = "stamp"
        count = 0

        def response_received(self, request: Any, branch: Any, response: Any) -> None:
            Stamp.count += 1
            response.append("X-Stamp", str(Stamp.count))

    rig = Rig(modules=[Use(Stamp)])
    rig.register(BOB_URI, BOB)
    invite = call(rig)
    (answer,) = rig.udp(reply(invite, 200), BOB)
    (again,) = rig.udp(reply(invite, 200), BOB)
    assert again.data == answer.data
    assert Stamp.count == 1


@pytest.mark.parametrize("where", ["received 200", "back 200"])
def test_no_answer_about_a_response(where: str) -> None:
    """It fails open: the call is set up without the module."""
    rig = bench(where)
    invite = call(rig)
    rig.udp(reply(invite, 200), BOB)
    assert what(rig.wait(4.9)) == []
    assert what(rig.wait(0.2)) == ["200"]
    assert failures(rig)[0][1] == "it waited for 5 s (limits.hook_time)"


@pytest.mark.parametrize("where", ["received 200", "back 200"])
def test_cancelled_while_a_2xx_waits(where: str) -> None:
    """RFC 3261 9.1: the 2xx has crossed the CANCEL, and goes to the caller, who sends BYE."""
    rig = bench(where)
    invite = call(rig)
    rig.udp(reply(invite, 200), BOB)
    assert sorted(what(rig.udp(request("CANCEL", "sip:bob@biloxi.test")))) == ["200", "200"]
    assert rig.log[-1].message.cseq.method == "INVITE" or rig.log[-2].message.cseq.method == "INVITE"
    assert what(rig.wait(40)) == []


def test_cancelled_while_a_failure_waits() -> None:
    """The failure comes back, and the phone that has answered gets no CANCEL."""
    rig = bench("received 486")
    invite = call(rig)
    assert what(rig.udp(reply(invite, 486), BOB)) == ["ACK"]
    assert what(rig.udp(request("CANCEL", "sip:bob@biloxi.test"))) == ["200", "486"]


def test_given_up_while_a_failure_waits() -> None:
    """``relay(ring=)`` runs out: the route goes on, and the waiting failure is dropped."""

    async def route(request: Any) -> None:
        await request.relay(BOB_URI, ring=2)
        request.reply(404)

    rig = bench("received 486", route=route)
    invite = call(rig)
    assert what(rig.udp(reply(invite, 486), BOB)) == ["ACK"]
    assert what(rig.wait(2)) == ["404"]
    assert what(rig.answer("media")) == []


def test_given_up_while_a_2xx_waits() -> None:
    """A 2xx that crosses still goes back (RFC 3261 16.7 step 5)."""

    async def route(request: Any) -> None:
        await request.relay(BOB_URI, ring=2)
        await sleep(60)

    rig = bench("received 200", route=route)
    invite = call(rig)
    assert what(rig.udp(reply(invite, 200), BOB)) == []
    assert what(rig.wait(2)) == []
    assert what(rig.answer("media")) == ["200"]


def test_an_answer_from_here_waits() -> None:
    """``reply`` as well; the order is the route's, and a 100 goes out where it takes longer (17.2.1)."""

    def route(request: Any) -> None:
        request.reply(183)
        request.reply(486)

    rig = bench("back 183", route=route)
    assert what(rig.udp(INVITE)) == []
    assert what(rig.wait(0.2)) == ["100"]
    assert what(rig.answer("media")) == ["183", "486"]
    rig = bench("back 486", route=route)
    assert what(rig.udp(INVITE)) == ["183"]
    assert what(rig.udp(request("CANCEL", "sip:bob@biloxi.test"))) == ["200", "486"]


def test_a_request_too_large_for_udp() -> None:
    """RFC 3261 18.1.1: the copy for TCP is another, and is asked about once more."""
    rig = bench("leaving MESSAGE", route=lambda request: request.relay("sip:bob@192.0.2.9"))
    rig.udp(request("MESSAGE", "sip:bob@biloxi.test", body=b"x" * 1_500))
    assert what(rig.answer("udp")) == []
    (connect,) = rig.answer("tcp")
    assert connect.what == "Connect"
    (message,) = rig.opened(connect)
    assert (message.what, message.message.get("x-relay")) == ("MESSAGE", "tcp")


def test_many_that_wait_leave_nothing() -> None:
    """Timers and questions are gone with the calls."""
    rig = bench("received 180", "back 200", limits={"hook_time": 0.5})
    for number in range(20):
        _, invite = rig.udp(
            request("INVITE", "sip:bob@biloxi.test", call_id=f"c{number}", branch=f"z9hG4bKx{number}")
        )
        rig.udp(reply(invite, 180), BOB)
        rig.udp(reply(invite, 200), BOB)
    assert sorted(what(rig.wait(5))) == sorted(["180", "200"] * 20)
    rig.wait(60)
    snapshot = rig.stack.snapshot()
    assert (snapshot["server_transactions"], snapshot["client_transactions"], snapshot["questions"]) == (
        0,
        0,
        0,
    )


def test_nothing_is_left_to_the_collector() -> None:
    """A request that modules look at is gone with its transactions: thousands would fill the memory."""

    class Looking(Module):
        name = "looking"

        def branch_leaving(self, request: Any, branch: Any, message: Any) -> None: ...

    def held() -> int:
        kinds = (IncomingRequest, ResponseContext, Branch, Watched)
        return sum(isinstance(one, kinds) for one in gc.get_objects())

    rig = Rig(modules=[Use(Looking)])
    rig.register(BOB_URI, BOB)
    rig.wait(64)
    gc.collect()
    gc.disable()
    try:
        before = held()
        for status in (200, 486):
            invite = call(rig)
            rig.udp(reply(invite, 180), BOB)
            answer = rig.udp(reply(invite, status), BOB)[-1]
            assert held() > before
            if status == 486:
                rig.udp(ack(INVITE, answer))
            rig.wait(64)
            assert held() == before
    finally:
        gc.enable()


class Looks(Module):
    """Sees the responses of branches."""

    name = "looks"

    def response_received(self, request: Any, branch: Any, response: Any) -> None: ...


class Counts(Module):
    """Hears of the end of requests."""

    name = "counts"

    def request_ended(self, request: Any) -> None: ...


@pytest.mark.parametrize(("module", "looks"), [(Looks, True), (Counts, False)])
@pytest.mark.parametrize("lazy", [True, False])
def test_what_is_kept_of_a_call(
    module: type[Module], looks: bool, lazy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 6026 7.2: a further 2xx may come for 32 s. Thousands wait for one, each without a response."""
    if not (lazy and LAZY):
        monkeypatch.setattr(relaying, "relay_usual", lambda *_, **__: None)
    rig = Rig(modules=[Use(module)])
    if not lazy:
        rig.stack.reception.quick = rig.stack.reception.openings = None
    rig.register(BOB_URI, BOB)
    assert what(rig.udp(reply(call(rig), 200), BOB)) == ["200"]
    (client,) = rig.stack.transactions.clients.values()
    user = client.user
    if isinstance(user, Watched):
        assert (user.handle is not None) == looks
        return
    assert type(user) is (Branch if looks else ResponseContext)
    if isinstance(user, Branch):
        assert user.final is not None
        assert not hasattr(user.final, "lines")


class Promising(Module):
    """Returns a ``Later`` and no coroutine."""

    name = "promising"
    promised: ClassVar[list[Promise[None]]] = []

    def branch_leaving(self, request: Any, branch: Any, message: Any) -> Promise[None] | None:
        return self._promise() if message.method == "INVITE" else None

    def response_received(self, request: Any, branch: Any, response: Any) -> Promise[None] | None:
        return self._promise() if response.status == 200 else None

    def _promise(self) -> Promise[None]:
        self.promised.append(Promise())
        return self.promised[-1]


def promising() -> Rig:
    Promising.promised = []
    rig = Rig(modules=[Use(Promising)])
    rig.register(BOB_URI, BOB)
    return rig


def kept(rig: Rig, value: Any = None) -> list[Out]:
    Promising.promised.pop().set(value, rig.now)
    return rig.take(rig.stack.time_passed(rig.now))


def test_a_later_holds_a_message() -> None:
    """It goes on when the value is there, as for a coroutine that ends."""
    rig = promising()
    assert "INVITE" not in what(rig.udp(request()))
    invite = next(out for out in kept(rig) if out.what == "INVITE")
    assert "200" not in what(rig.udp(reply(invite, 200), BOB))
    assert what(kept(rig)) == ["200"]


def test_a_later_fails() -> None:
    """An exception in its place: a copy does not leave (500), a response goes on; both are told."""
    rig = promising()
    rig.udp(request())
    assert "500" in what(kept(rig, ValueError("x")))
    rig = promising()
    rig.udp(request())
    invite = next(out for out in kept(rig) if out.what == "INVITE")
    rig.udp(reply(invite, 200), BOB)
    assert "200" in what(kept(rig, ValueError("x")))
    assert [event for event in rig.events if isinstance(event, ModuleFailed)]


def test_a_later_that_never_comes() -> None:
    """``limits.hook_time`` ends the wait; a value after that changes nothing."""
    rig = promising()
    rig.udp(request())
    assert "500" in what(rig.wait(6))
    assert "INVITE" not in what(kept(rig))
