"""Runtimes are found by name, and a missing one says how to get it."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from sansip_server import runtimes
from sansip_server.config.rules import cross_faults
from sansip_server.config.schema import Settings
from sansip_server.faults import OperatorError


def test_ours_are_always_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a checkout on PYTHONPATH, where there are no entry points."""
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])
    assert runtimes.runtime_names() == ["asyncio", "blocking"]
    assert callable(runtimes.load_runtime("asyncio"))
    assert callable(runtimes.load_runtime("blocking"))
    with pytest.raises(OperatorError, match="there is no runtime 'trio' here; expected asyncio or blocking"):
        runtimes.load_runtime("trio")


def test_somebody_elses_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party adds a runtime by an entry point; nothing of ours has to know it."""
    entry = EntryPoint("abacus", "builtins:len", runtimes.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])
    runtimes.check_runtime("abacus")
    assert runtimes.load_runtime("abacus") is len


def test_what_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """`sansip version` goes into bug reports: an adapter without its package is not installed."""
    entries = [
        EntryPoint("abacus", "builtins:len", runtimes.GROUP),
        EntryPoint("gevent", "no_such_module_here:run", runtimes.GROUP),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: entries)
    assert runtimes.runtime_names() == ["abacus", "asyncio", "blocking", "gevent"]
    assert runtimes.installed_runtimes() == ["abacus", "asyncio", "blocking"]


def test_an_extra_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the pip command."""
    entry = EntryPoint("gevent", "no_such_module_here:run", runtimes.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])
    with pytest.raises(OperatorError, match=r"pip install 'sansip\[gevent\]'"):
        runtimes.load_runtime("gevent")


def test_what_names_its_command_is_not_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our adapters say themselves how their runtime is installed."""
    entry = EntryPoint("curio", "sansip_curio:run", runtimes.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])
    missing = ModuleNotFoundError("curio is not installed; pip install 'sansip[curio]'")

    def load(entry: EntryPoint) -> None:
        raise missing

    monkeypatch.setattr(EntryPoint, "load", load)
    with pytest.raises(OperatorError) as caught:
        runtimes.load_runtime("curio")
    assert str(caught.value) == f"runtime curio cannot be loaded: {missing}"


def test_uvloop_is_for_asyncio() -> None:
    """With another runtime it would do nothing."""
    assert list(cross_faults(Settings(runtime="gevent", uvloop=True))) == [
        ("uvloop", "uvloop is an event loop for asyncio; remove it, or the runtime 'gevent'")
    ]
    assert not list(cross_faults(Settings(uvloop=True)))


def _plain(question: object) -> None: ...


async def _waits(question: object) -> None: ...


@pytest.mark.parametrize(
    ("name", "uvloop", "transports", "handlers", "chosen"),
    [
        ("auto", False, ["udp", "udp"], [_plain], ("blocking", "only UDP is listened on")),
        ("auto", False, ["udp", "tcp"], [_plain], ("asyncio", "not only UDP is listened on")),
        ("auto", True, ["udp"], [], ("asyncio", "uvloop is an event loop for it")),
        ("auto", False, ["udp"], [_plain, _waits], ("asyncio", "a handler is async def")),
        ("trio", False, ["udp"], [], ("trio", "as configured")),
    ],
)
def test_which_runtime_and_why(name, uvloop, transports, handlers, chosen) -> None:
    """The cheapest runtime that can do the work; the operator reads the reason in the first line."""
    assert runtimes.choose(name, uvloop=uvloop, transports=transports, handlers=handlers) == chosen
