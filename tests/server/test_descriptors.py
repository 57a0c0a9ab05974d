"""The limit of open files is raised as far as it goes, and named where that is not enough."""

from __future__ import annotations

import resource

import pytest

from sansip.limits import Limits
from sansip_server.descriptors import RESERVE, fit, raise_limit


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limits of the process: the last of a list, which ``setrlimit`` appends to."""
    values = [(1_024, 20_000)]
    monkeypatch.setattr(resource, "getrlimit", lambda what: values[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda what, value: values.append(value))
    return values


def test_as_far_as_it_goes(limit: list[tuple[int, int]]) -> None:
    """The first ten thousand phones need no ``ulimit``."""
    assert raise_limit() == 20_000
    assert limit[-1] == (20_000, 20_000)
    assert raise_limit() == 20_000
    assert len(limit) == 2


def test_a_system_that_refuses(limit: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS: the hard limit is infinite, and not to be had."""
    limit[-1] = (256, resource.RLIM_INFINITY)

    def refuse(what: int, value: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_limit() == 256


def test_without_a_limit(limit: list[tuple[int, int]]) -> None:
    """Infinity is enough."""
    limit[-1] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert raise_limit() is None


def test_enough(caplog: pytest.LogCaptureFixture) -> None:
    """The configured values stay, to the last file."""
    limits = Limits(connections=20_000 - 1_000 - RESERVE)
    for allowed in (20_000, 30_000, None):
        fit(limits, allowed)
    assert limits == Limits(connections=20_000 - 1_000 - RESERVE)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("allowed", "connections", "queries"),
    [(20_000, 18_800, 1_000), (1_024, 660, 164), (256, 154, 38), (8, 5, 1), (1, 1, 1)],
)
def test_too_few(allowed: int, connections: int, queries: int, caplog: pytest.LogCaptureFixture) -> None:
    """Connections and queries share what the reserve leaves; the log has the numbers and both ways out."""
    limits = Limits()
    fit(limits, allowed)
    assert (limits.connections, limits.dns_queries) == (connections, queries)
    # One source, a stranger's or an office's, leaves room for the others.
    assert limits.connections_per_source == min(2_048, max(connections // 4, 1))
    if allowed > RESERVE:
        assert allowed - connections - queries >= min(RESERVE, allowed // 4)
    assert f"may open {allowed} files: at most {connections} connections" in caplog.text
    assert "not limits.connections = 50000" in caplog.text
    assert "LimitNOFILE" in caplog.text


def test_a_first_try_on_loopback(caplog: pytest.LogCaptureFixture) -> None:
    """Fifty thousand phones will not come from this machine: the first thing one reads is no warning."""
    limits = Limits()
    fit(limits, 1_024, tell=False)
    assert limits.connections == 660
    assert caplog.records == []
