"""Fixtures: a server of fakes on each runtime in turn."""

from __future__ import annotations

import gc
import socket
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from tests.adapters.fakes import PATIENCE, FakeStack, Listen
from tests.adapters.runtimes import RUNTIMES, Running
from tests.missing import missing


@pytest.fixture(params=sorted(RUNTIMES))
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., Running]]:
    """Start servers, and stop them in the end; nothing may be left open or unreported."""
    for package in RUNTIMES[request.param].packages:
        if find_spec(package) is None:
            missing(f"{package} is not installed")
    started: list[Running] = []

    def begin(stack: FakeStack, *listeners: Listen, **options: Any) -> Running:
        running = RUNTIMES[request.param](stack, list(listeners), **options)
        started.append(running)
        return running

    begin.runtime = RUNTIMES[request.param]  # type: ignore[attr-defined]  # state kept with a function
    yield begin
    for running in started:
        running.stop()
        assert running.reports == [], "a test that provokes reports takes them away"
    # A socket that nobody closed raises ResourceWarning here, in its own test.
    gc.collect()


@pytest.fixture
def connect() -> Iterator[Callable[..., socket.socket]]:
    """Make client sockets that are closed in the end."""
    opened: list[socket.socket] = []

    def begin(address: Any, kind: int = socket.SOCK_STREAM) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, kind)
        opened.append(sock)
        sock.settimeout(PATIENCE)
        sock.connect(address)
        return sock

    yield begin
    for sock in opened:
        sock.close()
