"""The recipes of docs/b2bua.md work as the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.ua.phones import ANSWER, SDP, Bench

PAGE = Path(__file__).parents[2] / "docs" / "b2bua.md"
BLOCKS = dict(re.findall(r"(?s)^### ([^\n]+)\n.*?```python\n(.*?)```", PAGE.read_text(), re.MULTILINE))


def recipe(title: str) -> dict[str, Any]:
    """Run the route file under ``title``; return the names that it defines."""
    names: dict[str, Any] = {}
    exec(compile(BLOCKS[title], str(PAGE), "exec"), names)
    return names


def test_all_have_a_test() -> None:
    """A recipe without a test may be wrong."""
    source = Path(__file__).read_text()
    assert BLOCKS
    assert [title for title in BLOCKS if f'"{title}"' not in source] == []


def test_the_next_place() -> None:
    """Two seconds of silence, ten of ringing, and the mailbox, in one dialog."""
    bench = Bench(recipe("The next place where the first does not answer")["route"])
    bench.call()
    bench.bob.expect("INVITE")
    mobile = bench.carol.expect("INVITE", within=2.1)
    bench.carol.reply(mobile, 183, None, [SDP], body=ANSWER)
    ringing = bench.alice.expect("183")
    assert ringing.body == b""
    box = bench.network.endpoint("box", "192.0.2.4")
    invite = box.expect("INVITE", within=10.1)
    box.reply(invite, 200, None, [SDP], body=ANSWER)
    answer = bench.alice.expect("200")
    assert (answer.body, answer.to_tag) == (ANSWER, ringing.to_tag)


def test_a_trunk() -> None:
    """Its number in From, two fields and no more, no transfers, and redirections are ours to follow."""
    bench = Bench(recipe("A trunk that wants its own number in From")["route"])
    bench.call(headers=[("Subject", "lunch"), ("X-Account", "7"), ("Priority", "urgent")])
    invite = bench.bob.expect("INVITE")
    assert str(invite.from_.uri) == "sip:+15550100@trunk.example"
    assert (invite.get("subject"), invite.get("x-account"), invite.get("priority")) == ("lunch", "7", None)
    bench.bob.reply(invite, 302, None, [("Contact", "<sip:gateway@192.0.2.3>")])
    bench.carol.reply(bench.carol.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    bench.alice.expect("200")
    bench.alice.request("ACK")
    bench.carol.expect("ACK")
    bench.carol.request("REFER", None, [("Refer-To", "<sip:x@192.0.2.9>")], in_dialog=True)
    bench.carol.expect("603")


@pytest.mark.parametrize(("status", "seen"), [(486, 486), (200, "BYE")])
def test_the_outcome(status: int, seen: Any) -> None:
    """The route hears how it went, and when it was over."""
    names = recipe("What became of a call")
    bench = Bench(names["route"])
    bench.call()
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(
        invite, status, None, [SDP] if status == 200 else [], body=ANSWER if status == 200 else b""
    )
    bench.alice.expect(str(status))
    bench.alice.request("ACK")
    if status == 200:
        bench.bob.expect("ACK")
        bench.alice.request("BYE")
        bench.alice.expect("200")
    bench.network.run(0.1)
    assert names["SEEN"] == [seen]


def test_texts() -> None:
    """A MESSAGE and a call, by one route."""
    bench = Bench(recipe("Texts as well as calls")["route"])
    bench.alice.request("MESSAGE", "sip:box@biloxi.test", [("Content-Type", "text/plain")], body=b"hi")
    bench.bob.reply(bench.bob.expect("MESSAGE"), 200)
    bench.alice.expect("200")
    bench.call()
    bench.bob.expect("INVITE")
