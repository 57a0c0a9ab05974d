"""One record is one line, whatever a peer put into it."""

from __future__ import annotations

import io
import json
import logging

import pytest

from sansip_server import logs


@pytest.fixture
def root() -> object:
    """The root logger as it was: pytest has handlers of its own there."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:], logger.level = handlers, level


def written(style: str, level: str = "info") -> str:
    stream = io.StringIO()
    logs.configure(level, style, stream)
    log = logging.getLogger("sansip.test")
    log.debug("hidden")
    log.info("hello %s", "you\r\n2026-01-01 FORGED\x1b[31m\u2028\udcff", extra={"call_id": "a\nb"})
    try:
        raise KeyError("x")
    except KeyError:
        log.exception("broken")
    return stream.getvalue()


def test_text(root: logging.Logger) -> None:
    """A forged line break or a terminal escape arrives as characters, not as effect."""
    lines = written("text").splitlines()
    assert lines[0].endswith(
        r"INFO sansip.test: hello you\r\n2026-01-01 FORGED\x1b[31m\u2028\udcff call_id=a\nb"
    )
    assert lines[1].endswith("ERROR sansip.test: broken")
    assert all(line.startswith("    ") for line in lines[2:])
    assert "KeyError: 'x'" in lines[-1]


def test_json(root: logging.Logger) -> None:
    """Every line is one object, and fields that code adds are keys."""
    first, second = (json.loads(line) for line in written("json").splitlines())
    assert (first["level"], first["logger"], first["call_id"]) == ("info", "sansip.test", "a\nb")
    assert first["time"].endswith("Z")
    assert "KeyError" in second["exception"]


def test_level(root: logging.Logger) -> None:
    """Lines below the level are not written."""
    assert "hello" not in written("text", "error")
    assert "hidden" in written("text", "debug")


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_stack_without_an_exception(style: str, root: logging.Logger) -> None:
    """The watchdog's stack: rows of their own in text, one key in JSON."""
    stream = io.StringIO()
    logs.configure("info", style, stream)
    record = root.makeRecord(
        "sansip.loop", logging.ERROR, "", 0, "held", (), None, sinfo='  File "a\x1b"\n    b'
    )
    root.handle(record)
    if style == "json":
        assert json.loads(stream.getvalue())["stack"] == '  File "a\x1b"\n    b'
    else:
        assert stream.getvalue().splitlines()[1:] == [r'      File "a\x1b"', "        b"]
