"""The limit of open files is raised as far as it goes, and named where that is not enough."""

from __future__ import annotations

import logging
import resource

import pytest

from sansip_server.descriptors import RESERVE, raise_limit


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What the process is allowed: the last of a list, which ``setrlimit`` appends to."""
    values = [(1_024, 20_000)]
    monkeypatch.setattr(resource, "getrlimit", lambda what: values[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda what, value: values.append(value))
    return values


def test_as_far_as_it_goes(limit: list[tuple[int, int]], caplog: pytest.LogCaptureFixture) -> None:
    """Nobody has to know of ``ulimit`` for the first ten thousand phones."""
    assert raise_limit(20_000 - RESERVE) == 20_000
    assert limit[-1] == (20_000, 20_000)
    assert caplog.records == []
    assert raise_limit(100) == 20_000
    assert len(limit) == 2


def test_too_few(limit: list[tuple[int, int]], caplog: pytest.LogCaptureFixture) -> None:
    """The log has both numbers and both ways out."""
    with caplog.at_level(logging.WARNING):
        assert raise_limit(50_000) == 20_000
    assert "may open 20000 files, too few for limits.connections = 50000" in caplog.text
    assert "LimitNOFILE" in caplog.text


def test_a_system_that_refuses(
    limit: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """macOS: the hard limit is infinite, and not to be had."""
    limit[-1] = (256, resource.RLIM_INFINITY)

    def refuse(what: int, value: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit(100) == 256
    assert "may open 256 files" in caplog.text


def test_without_a_limit(limit: list[tuple[int, int]], caplog: pytest.LogCaptureFixture) -> None:
    """Infinity is enough."""
    limit[-1] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert raise_limit(50_000) == 50_000 + RESERVE
    assert caplog.records == []


def test_a_first_try_on_loopback(limit: list[tuple[int, int]], caplog: pytest.LogCaptureFixture) -> None:
    """Fifty thousand phones will not come from this machine: the first thing one reads is no warning."""
    assert raise_limit(50_000, tell=False) == 20_000
    assert caplog.records == []
