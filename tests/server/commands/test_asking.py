"""``sansip ctl --url``: the places that a token may go to, and answers in pages."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sansip_server.commands.asking import Server, read_token
from sansip_server.faults import OperatorError


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers each POST with the next of ``answers``."""

    answers: list[tuple[int, bytes]]
    seen: list[tuple[dict[str, str], Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((dict(self.headers), json.loads(body)))
        status, reply = self.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[tuple[str, type[Scripted]]]:
    class Handler(Scripted):
        answers: list[tuple[int, bytes]] = []  # noqa: RUF012 (one list for all instances is meant)
        seen: list[tuple[dict[str, str], Any]] = []  # noqa: RUF012 (one list for all instances is meant)

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", Handler
        server.shutdown()
        thread.join()


def result(value: Any) -> tuple[int, bytes]:
    return 200, json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}).encode()


def test_one_result(site: tuple[str, type[Scripted]]) -> None:
    """The token goes with the command, as RFC 6750 2.1 has it; arguments that are not given stay away."""
    url, handler = site
    handler.answers = [result({"status": "ok"})]
    parts = list(Server(url=url, token="abc").ask(command="bans", source=None, user="bob"))
    assert parts == [{"status": "ok"}]
    headers, asked = handler.seen[0]
    assert headers["Authorization"] == "Bearer abc"
    assert headers["Content-Type"] == "application/json"
    assert (asked["method"], asked["params"]) == ("bans", {"user": "bob", "limit": 1000})


def test_pages_are_one_list(site: tuple[str, type[Scripted]]) -> None:
    """A list ends as over the control socket: with how many there were."""
    url, handler = site
    handler.answers = [result({"items": [1, 2], "next": "b"}), result({"items": [3], "next": None})]
    assert list(Server(url=url).ask(command="bindings")) == [1, 2, 3, {"bindings": 3, "items": 3}]
    assert handler.seen[1][1]["params"]["after"] == "b"
    assert "Authorization" not in handler.seen[0][0]


def test_a_server_that_never_ends(site: tuple[str, type[Scripted]]) -> None:
    """The same page again and again is an error, not a loop."""
    url, handler = site
    handler.answers = [result({"items": [1], "next": "b"}), result({"items": [1], "next": "b"})]
    with pytest.raises(OperatorError, match="gives the same page of bindings again"):
        list(Server(url=url).ask(command="bindings"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            (200, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"needs operate"}}'),
            "needs operate",
        ),
        (
            (401, b"a token is needed\n"),
            "401 Unauthorized: a token is needed; --token-file FILE, or SANSIP_TOKEN",
        ),
        ((200, b"<html>"), "what answers there is no sansip"),
        ((200, b'{"id": 1}'), "what answers there is no sansip"),
        ((200, b"[" * 10_000), "what answers there is no sansip"),
    ],
)
def test_what_fails(site: tuple[str, type[Scripted]], answer: tuple[int, bytes], said: str) -> None:
    """One line that names the fix; nothing that a stranger answers becomes a traceback."""
    url, handler = site
    handler.answers = [answer]
    with pytest.raises(OperatorError) as caught:
        list(Server(url=url).ask(command="health"))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://sip.example.org:8080", "anybody on the way would read the token; use https"),
        ("http://localhost.example.org", "anybody on the way would read the token"),
        ("ftp://localhost", "expected the address of a server"),
        ("localhost:8080", "expected the address of a server"),
        ("https://a:b@localhost", "expected the address of a server"),
        ("https://[::1", "expected the address of a server"),
        ("https://localhost:99999", "expected the address of a server"),
    ],
)
def test_where_a_token_may_go(url: str, said: str) -> None:
    """RFC 6750 5.3: a bearer token serves each reader of it, so it leaves the machine over TLS alone."""
    with pytest.raises(OperatorError) as caught:
        list(Server(url=url, token="abc").ask(command="health"))
    assert said in str(caught.value)


def test_nobody_there() -> None:
    """A port where nothing listens."""
    with pytest.raises(OperatorError, match="connection refused"):
        list(Server(url="http://127.0.0.1:1").ask(command="health"))


def test_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a file or the environment, never from the command line, which others of this machine can read."""
    file = tmp_path / "token"
    file.write_text("abc.def\n")
    assert read_token(str(file)) == "abc.def"
    monkeypatch.setenv("SANSIP_TOKEN", "xyz")
    assert read_token(None) == "xyz"
    for text in ("", "a b", "a\nX-Injected: 1", "\xe4"):
        file.write_text(text)
        with pytest.raises(OperatorError, match="expected one token"):
            read_token(str(file))
    with pytest.raises(OperatorError, match="no such file"):
        read_token(str(tmp_path / "none"))
