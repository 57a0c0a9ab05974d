"""``sansip ctl calls`` and ``hangup``: an operator's view of calls, and the end of one."""

from __future__ import annotations

import json
from typing import Any

from sansip_server.management import Management
from tests.b2bua.test_bridge import bridging, talking
from tests.ua.phones import Bench


class Hub:
    """The parts of a hub that management uses: actions go into the virtual network."""

    streams = ()

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def clock(self) -> float:
        return self._bench.network.now

    def perform(self, actions: list[Any], now: float) -> None:
        self._bench.server._perform(actions)


def asking(bench: Bench) -> Any:
    management = Management(
        bench.server.stack, Hub(bench), storage=None, reload=lambda done: None, end=lambda: None
    )

    def ask(**question: Any) -> list[dict[str, Any]]:
        parts = management.answer(json.dumps(question).encode())
        return [json.loads(part) for part in parts if isinstance(part, bytes)]

    return ask


def test_a_bridged_call() -> None:
    """Both legs name each other, and either number ends both, with the reason that the operator gives."""
    bench = Bench(bridging())
    ask = asking(bench)
    assert ask(command="calls") == [{"ok": True, "result": {"calls": 0}}]
    talking(bench)
    bench.network.run(10)
    first, second, last = ask(command="calls")
    assert last["result"] == {"calls": 2}
    first, second = first["item"], second["item"]
    assert (first["with"], second["with"]) == (second["number"], first["number"])
    assert (first["state"], first["side"], second["side"]) == ("answered", "caller", "callee")
    assert 9.9 < first["seconds"] < 10.5
    assert (first["party"], second["party"]) == ("sip:alice@biloxi.test", "sip:box@biloxi.test")
    reason = 'Q.850;cause=31;text="Operator"'
    (done,) = ask(command="hangup", number=second["number"], reason=reason)
    assert done["result"] == {"number": second["number"]}
    for phone in (bench.alice, bench.bob):
        bye = phone.expect("BYE")
        assert bye.get("reason") == reason
        phone.reply(bye, 200)
    bench.network.run(70)
    assert bench.at_rest()


def test_a_call_that_rings() -> None:
    """The caller gets a failure, the phone that rings a CANCEL."""
    bench = Bench(bridging())
    ask = asking(bench)
    bench.call()
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, 180)
    bench.alice.expect("180")
    first, *_ = ask(command="calls")
    assert (first["item"]["state"], first["item"]["seconds"]) == ("ringing", None)
    ask(command="hangup", number=first["item"]["number"])
    bench.alice.expect("480")
    bench.alice.request("ACK")
    bench.bob.reply(bench.bob.expect("CANCEL"), 200)
    bench.bob.reply(invite, 487)
    bench.network.run(70)
    assert bench.at_rest()


def test_no_such_call() -> None:
    """It may be over already; the answer says so."""
    (reply,) = asking(Bench(bridging()))(command="hangup", number=99)
    assert not reply["ok"]
    assert "99" in reply["error"]
