"""A routing script's mistakes are one line with file and line number."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sansip_server.faults import OperatorError
from sansip_server.routes import load_again, load_route


def write(folder: Path, text: str, name: str = "route.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "def route(request): return 1\n",
        "async def route(request): return 1\n",
        "def route(request, extra=None): return 1\n",
        "class Route:\n    def __call__(self, request): return 1\nroute = Route()\n",
    ],
)
def test_accepted(tmp_path: Path, text: str) -> None:
    """Plain, async, with defaults, or an object: whatever can be called with one request."""
    assert callable(load_route(write(tmp_path, text)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def rout(request): ...\n", "there is no `route` in it; did you mean `rout`?"),
        ("", "there is no `route` in it; a routing script defines"),
        ("route = 5\n", "`route` is int, no function"),
        ("def route(): ...\n", "cannot be called with a request (too many positional arguments)"),
        ("def route(a, b): ...\n", "has the parameter b, whose type is no module"),
        ("def route(request):\n    yield 1\n", "`route` must not yield"),
        ("async def route(request):\n    yield 1\n", "`route` must not yield"),
        ("\n\ndef route(request:\n", "route.py:3: "),
        ("x = 1\n1 / 0\n", "route.py:2: ZeroDivisionError: division by zero"),
        ("import nothing_of_that_name\n", "route.py:1: ModuleNotFoundError"),
        ("import nothing_of_that_name\n", f"; install it for {sys.executable}"),
        ("raise SystemExit('bye')\n", "route.py:1: SystemExit: bye"),
        ("raise ValueError('two\\nlines')\n", "ValueError: two lines"),
        ("\0", "route.py"),
    ],
)
def test_refused(tmp_path: Path, text: str, says: str) -> None:
    """The operator sees the script's line, never the server's traceback."""
    with pytest.raises(OperatorError) as refused:
        load_route(write(tmp_path, text))
    assert len(refused.value.lines) == 1
    assert says in refused.value.lines[0]
    assert "\n" not in refused.value.lines[0]


def test_missing_file(tmp_path: Path) -> None:
    """A wrong path is said as such."""
    with pytest.raises(OperatorError, match="no such file"):
        load_route(tmp_path / "missing.py")


def test_script_imports_its_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that outgrows one file needs no packaging."""
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    write(tmp_path, "def route(request): return 'from neighbour'\n", "neighbour_of_route.py")
    route = load_route(write(tmp_path, "from neighbour_of_route import route\n"))
    assert route(None) == "from neighbour"


def test_a_file_beside_it_that_was_edited_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same size and in the same second: the file runs, and no compiled copy."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    beside = tmp_path / "answers_edited.py"
    route = tmp_path / "route.py"
    route.write_text("from answers_edited import TEXT\n\ndef route(request):\n    return TEXT\n")
    said = []
    for generation, text in enumerate(("one", "two", "six")):
        beside.write_text(f"TEXT = {text!r}\n")
        os.utime(beside, (1_000_000_000, 1_000_000_000))
        load = load_again if generation else load_route
        said.append(load(route, generation)(None))
    assert said == ["one", "two", "six"]
