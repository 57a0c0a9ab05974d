"""JSON-RPC 2.0: one table of commands, pages, roles, and requests that are no command."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sansip.bans import Ban
from sansip.limits import Limits
from sansip.module import Module, command
from sansip.testing import ModuleBench
from sansip_server.http.access import Role
from sansip_server.http.rpc import Rpc
from sansip_sockets.pending import Late
from tests.server.test_management import Server

LATE = "no answer in 1 s (limits.http_answer_time)"
LIMITS = Limits(http_page=3, http_batch=4)


class Client:
    """Asks one server."""

    def __init__(self, role: Role = "operate", *, durable: bool = False) -> None:
        self.server = Server(durable=durable)
        self._rpc = Rpc(self.server.management, LIMITS)
        self._role = role

    def send(self, body: Any) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        work = self._rpc.answer(data, self._role)
        try:
            part = next(work)
            while True:
                # A result that never comes is late at once.
                part = next(work) if part is None else work.throw(Late(LATE))
        except StopIteration as end:
            return json.loads(end.value) if end.value else None

    def call(self, method: Any, **params: Any) -> Any:
        reply = self.send({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
        assert reply["id"] == 7
        return reply.get("result", reply.get("error"))


def test_commands_of_the_server() -> None:
    """The answers of ``sansip ctl``, as objects."""
    client = Client()
    assert client.call("health")["status"] == "ok"
    client.server.bind("alice")
    assert client.call("stats")["bindings"] == 1
    assert client.call("remove", aor="alice@biloxi.test") == {"aor": "sip:alice@biloxi.test", "removed": 1}
    assert client.call("reload")["failed"] == ["tls: no file"]


def test_pages() -> None:
    """A list comes a page at a time; a page is no larger than the limit, whatever is asked for."""
    client = Client("read")
    users = [f"user{number}" for number in range(7)]
    for user in users:
        client.server.bind(user)
    seen: list[str] = []
    after: dict[str, str] = {}
    pages = 0
    while True:
        page = client.call("bindings", limit=1_000_000, **after)
        assert len(page["items"]) <= 3
        seen += [one["aor"] for one in page["items"]]
        pages += 1
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert (seen, pages) == ([f"sip:{user}@biloxi.test" for user in users], 3)
    assert client.call("bindings", aor="user3@biloxi.test")["items"][0]["contact"] == "sip:user3@192.0.2.4"
    assert "begin again" in client.call("bindings", after="sip:gone@biloxi.test")["message"]


def test_pages_of_what_has_no_cursor() -> None:
    """Lists of modules go by number."""
    client = Client("read")
    for number in (1, 2, 3):
        source = f"192.0.2.{number}"
        client.server.stack.bans.add(Ban("digest", source, "", 80.0, "wrong passwords"), 50.0)
    first = client.call("bans", limit=2)
    assert (len(first["items"]), first["next"]) == (2, "2")
    last = client.call("bans", after="2")
    assert (len(last["items"]), last["next"]) == (1, None)
    assert client.call("commands", after="1") == {"items": [], "next": None}


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("nothing", {}, -32601),
        (["health"], {}, -32601),
        ("bindings", {"aor": 7}, -32000),
        ("bindings", {"limit": 0}, -32602),
        ("bindings", {"limit": True}, -32602),
        ("bindings", {"unknown": 1}, -32000),
        ("commands", {"after": "x"}, -32602),
        ("commands", {"after": "-1"}, -32602),
        ("remove", {}, -32000),
        ("remove", {"aor": "alice@elsewhere.test"}, -32000),
    ],
)
def test_mistakes(method: Any, params: dict[str, Any], code: int) -> None:
    assert Client().call(method, **params)["code"] == code


@pytest.mark.parametrize("method", ["remove", "drain", "reload", "lift"])
def test_the_role_read_changes_nothing(method: str) -> None:
    client = Client("read")
    assert client.call(method, aor="a", source="b")["code"] == -32001
    assert client.server.done == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[" * 10_000, -32700),
        (b"1" * 10_000, -32700),
        (b"\xff\xfe", -32700),
        (b"[]", -32600),
        (b"7", -32600),
        (b"null", -32600),
        (b'{"method": "health", "id": 1}', -32600),
        (b'{"jsonrpc": "2.0", "method": "health", "id": [1]}', -32600),
        (b'{"jsonrpc": "2.0", "method": "health", "id": 1, "params": [1]}', -32602),
        (b"[1,1,1,1,1]", -32600),
    ],
)
def test_no_command(body: bytes, code: int) -> None:
    """JSON-RPC 2.0 section 5.1; JSON nested 10,000 deep, and a number of 10,000 digits, too."""
    assert Client().send(body)["error"]["code"] == code


def test_batches_and_notifications() -> None:
    """JSON-RPC 2.0 sections 4.1 and 6: one without an id is done and not answered."""
    client = Client()
    note = {"jsonrpc": "2.0", "method": "drain"}
    assert client.send(note) is None
    assert client.server.done == ["end"]
    ask = {"jsonrpc": "2.0", "method": "health", "id": "a"}
    replies = client.send([ask, note, {"jsonrpc": "2.0", "method": "nothing", "id": None}])
    assert [one["id"] for one in replies] == ["a", None]
    assert client.send([note, note]) is None


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"1e999", b"true", b"[1]", b"{}"])
def test_an_id_that_is_none(number: bytes) -> None:
    """Section 4: a string, a number or null. What Python reads beyond JSON (RFC 8259 6) never comes back."""
    reply = Client().send(b'{"jsonrpc": "2.0", "method": "stats", "id": ' + number + b"}")
    assert (reply["id"], reply["error"]["code"]) in [(None, -32600), (None, -32700)]


def test_a_store_that_hangs() -> None:
    """Each command of a batch that waits too long says which limit acted, and where to look."""
    client = Client(durable=True)
    client.server.bind("alice")
    client.server.bind("bob")
    remove = {"jsonrpc": "2.0", "method": "remove"}
    batch = [
        {**remove, "id": 1, "params": {"aor": "alice@biloxi.test"}},
        {"jsonrpc": "2.0", "method": "health", "id": 2},
        {**remove, "id": 3, "params": {"aor": "bob@biloxi.test"}},
    ]
    first, second, third = client.send(batch)
    for reply in (first, third):
        assert reply["error"]["code"] == -32002
        assert "limits.http_answer_time" in reply["error"]["message"]
        assert "`health` says which part fails" in reply["error"]["message"]
    assert second["result"]["status"] == "ok"


def test_pages_of_a_command_that_takes_the_limit() -> None:
    """A module that lists by ``after`` and ``limit`` itself gets both, and ``next`` is where it goes on."""

    class Numbers(Module):
        name = "numbers"

        @command("numbers.list", role="read")
        def listed(self, after: str = "", limit: int = 100) -> list[dict[str, Any]]:
            """List numbers."""
            return [{"id": str(n)} for n in range(int(after or 0) + 1, 8)][:limit]

    client = Client("read")
    client.server.stack.modules.commands.update(ModuleBench(Numbers).stack.modules.commands)
    page = client.call("numbers.list", limit=1_000)
    assert (len(page["items"]), page["next"]) == (3, "3")
    page = client.call("numbers.list", after="6", limit=2)
    assert (page["items"], page["next"]) == ([{"id": "7"}], None)
