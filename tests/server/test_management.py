"""The commands of a running server: replies as programs and people get them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sansip import ListenerConfig, Stack, StackConfig
from sansip.actions import Action, Ask
from sansip.bans import Ban
from sansip.location import Binding, LocationUpdate
from sansip_server.management import Management
from sansip_server.reload import Outcome
from sansip_sockets.pending import Pending

AOR = "sip:bob@biloxi.test"


class Hub:
    """The parts of a hub that management uses."""

    streams = ()

    def __init__(self) -> None:
        self.performed: list[Action] = []

    def clock(self) -> float:
        return 50.0

    def perform(self, actions: list[Action], now: float) -> None:
        self.performed += actions


class Storage:
    """A store whose health is what the test says."""

    since: float | None = None

    def health(self) -> dict[str, Any]:
        return {"ok": self.since is None, "name": "sansip.db", "failing_since": self.since, "error": None}

    def figures(self) -> dict[str, Any]:
        return {"batches": 1}


class Server:
    """A stack, its management, and the questions to the outside."""

    def __init__(self, *, durable: bool = False) -> None:
        config = StackConfig([ListenerConfig(0, "udp", "127.0.0.1", 5060)], ["biloxi.test"], durable=durable)
        self.stack = Stack(config, b"s" * 32)
        self.hub = Hub()
        self.storage = Storage()
        self.done: list[str] = []
        self.management = Management(
            self.stack,
            self.hub,
            storage=self.storage,
            reload=self.reload,
            end=lambda: self.done.append("end"),
        )

    def reload(self, done: Callable[[Outcome], None]) -> None:
        self.done.append("reload")
        done(Outcome(["certificates"], ["tls: no file"]))

    def bind(self, user: str) -> Binding:
        aor = f"sip:{user}@biloxi.test"
        binding = Binding(aor, f"sip:{user}@192.0.2.4", 110.0, "c", 1, user_agent="\x1b[2J\udcff")
        self.stack.location.apply(LocationUpdate(aor, (), (binding,)), 50.0)
        return binding

    def ask(self, **question: Any) -> list[dict[str, Any]]:
        return self.send(json.dumps(question).encode())

    def send(self, line: bytes) -> list[dict[str, Any]]:
        return [json.loads(part) for part in self.management.answer(line) if isinstance(part, bytes)]


def test_health() -> None:
    """A store that fails is a server that is degraded, by name."""
    server = Server()
    (reply,) = server.ask(command="health")
    assert reply["ok"]
    assert reply["result"]["status"] == "ok"
    server.storage.since = 1_000.0
    (reply,) = server.ask(command="health")
    assert (reply["result"]["status"], reply["result"]["failing"]) == ("degraded", ["store"])
    server.stack.drain(50.0)
    (reply,) = server.ask(command="health")
    assert reply["result"]["status"] == "draining"


def test_stats() -> None:
    """Figures come with the limits they may reach."""
    server = Server()
    server.bind("bob")
    (reply,) = server.ask(command="stats")
    assert reply["result"]["bindings"] == reply["result"]["addresses_of_record"] == 1
    assert reply["result"]["limits"]["aors"] == server.stack.limits.aors
    assert reply["result"]["store"] == {"batches": 1}


def test_bindings() -> None:
    """All, or those of one user in any spelling; no text of a peer can break the JSON."""
    server = Server()
    for number in range(450):
        server.bind(f"user{number}")
    *items, last = server.ask(command="bindings")
    assert [item["item"]["aor"] for item in items] == [f"sip:user{n}@biloxi.test" for n in range(450)]
    assert last["result"] == {"bindings": 450}
    for text in ("user7@biloxi.test", "sip:user7@biloxi.test", "user7@127.0.0.1"):
        item, last = server.ask(command="bindings", aor=text)
        assert item["item"]["contact"] == "sip:user7@192.0.2.4"
        assert item["item"]["expires_in"] == 60.0
        # No phone gets keepalives here.
        assert (item["item"]["rtt"], item["item"]["unanswered"]) == (None, 0)
    assert server.ask(command="bindings", aor="nobody@biloxi.test") == [
        {"ok": True, "result": {"bindings": 0}}
    ]


def test_bindings_are_read_when_they_are_written() -> None:
    """A binding that ended meanwhile is not shown: a slow peer makes the list last long."""
    server = Server()
    for number in range(450):
        server.bind(f"user{number}")
    reply = server.management.answer(b'{"command": "bindings"}')
    next(reply)
    server.stack.location.remove("sip:user449@biloxi.test", 50.0)
    lines = [part for part in reply if part is not None]
    assert json.loads(lines[-1])["result"] == {"bindings": 449}


def test_remove() -> None:
    """A binding that was removed is gone at once, and that there was none is no error."""
    server = Server()
    server.bind("bob")
    (reply,) = server.ask(command="remove", aor="bob@biloxi.test")
    assert reply["result"] == {"aor": AOR, "removed": 1}
    assert server.stack.location.lookup(AOR, 50.0) == []
    (reply,) = server.ask(command="remove", aor="bob@biloxi.test")
    assert reply["result"]["removed"] == 0


@pytest.mark.parametrize("failing", [False, True])
def test_remove_waits_for_the_store(failing: bool) -> None:
    """A removal that the store does not know would come back at the next start."""
    server = Server(durable=True)
    binding = server.bind("bob")
    reply = server.management.answer(b'{"command": "remove", "aor": "bob@biloxi.test"}')
    assert isinstance(next(reply), Pending)
    (asked,) = [action for action in server.hub.performed if isinstance(action, Ask)]
    assert asked.question == LocationUpdate(AOR, (binding,), ())
    assert isinstance(next(reply), Pending)
    server.stack.answer(asked.id, OSError("disk full") if failing else None, 51.0)
    (line,) = reply
    assert isinstance(line, bytes)
    answer = json.loads(line)
    assert answer["ok"] is not failing
    if failing:
        assert answer["error"] == f"{AOR} stays as it was, for the store fails: disk full"
    assert server.stack.location.lookup(AOR, 51.0) == ([binding] if failing else [])


def test_drain_and_reload() -> None:
    """They do what the signals do; a second drain does not end the server at once."""
    server = Server()
    assert server.ask(command="drain")[0]["result"] == {"draining": True, "already": False}
    server.stack.drain(50.0)
    assert server.ask(command="drain")[0]["result"]["already"]
    assert server.ask(command="reload")[0]["result"] == {
        "reloaded": ["certificates"],
        "failed": ["tls: no file"],
    }
    assert server.done == ["end", "reload"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"", "Expecting value"),
        (b"nonsense", "Expecting value"),
        (b"\xff\xfe", "Expecting value"),
        (b"[]", "expected a JSON object"),
        (b'{"command": "frobnicate"}', "expected a command of health, stats"),
        (b'{"command": ["health"]}', "expected a command of health"),
        (b'{"command": "remove"}', "remove: aor is missing"),
        (b'{"command": "remove", "aor": "sip:"}', "sip:"),
        (b'{"command": "bindings", "aor": "tel:+1234"}', "like alice@example.org"),
        (b'{"command": "bindings", "aor": "bob@else.test"}', "else.test is no domain of this server"),
        (b'{"command": "remove", "aor": "bob@else.test"}', "which serves biloxi.test"),
        (b'{"command": "remove", "aor": "bob@127.0.0.1:5099"}', "127.0.0.1 is no domain of this server"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_mistakes_are_told(line: bytes, error: str) -> None:
    """For any input on the socket there is one line back that names the fault."""
    (reply,) = Server().send(line)
    assert not reply["ok"]
    assert error in reply["error"]


def test_bans() -> None:
    """One list of the addresses that are not listened to, until when; an operator lifts a ban."""
    server = Server()
    server.stack.wall_offset = 1_700_000_000.0
    for source, user in (("192.0.2.7", "alice"), ("192.0.2.7", ""), ("2001:db8:0:1::/64", "bob")):
        server.stack.bans.add(Ban("digest", source, user, 80.0, "wrong passwords"), 50.0)
    *items, last = server.ask(command="bans")
    assert last == {"ok": True, "result": {"bans": 3}}
    assert items[0]["item"] == {
        "source": "192.0.2.7",
        "user": "alice",
        "until": 1_700_000_080.0,
        "reason": "wrong passwords",
        "keeper": "digest",
    }
    assert items[1]["item"]["user"] is None
    # An address stands for its network, and the network may be given as it is shown.
    assert server.ask(command="bans", source="2001:DB8:0:1:2::3")[-1]["result"] == {"bans": 1}
    assert server.ask(command="bans", source="192.0.2.7", user="bob")[-1]["result"] == {"bans": 0}
    assert server.ask(command="lift", source="192.0.2.7", user="alice")[-1]["result"] == {"lifted": 1}
    assert server.ask(command="lift", source="2001:db8:0:1::/64")[-1]["result"] == {"lifted": 1}
    assert [one["item"]["user"] for one in server.ask(command="bans")[:-1]] == [None]


@pytest.mark.parametrize(
    ("question", "error"),
    [
        ({"lift": True}, "there is no argument lift; it takes source, user"),
        ({"source": "nonsense"}, "nonsense is no IP address"),
        ({"source": 7}, "source is 7; expected text or nothing"),
        ({"source": "192.0.2.1", "user": []}, "user is []; expected text or nothing"),
    ],
)
def test_mistakes_about_bans(question: dict[str, Any], error: str) -> None:
    (reply,) = Server().ask(command="bans", **question)
    assert error in reply["error"]
