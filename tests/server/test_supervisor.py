"""The messages to systemd, on a socket of the test's: sd_notify(3), sd_watchdog_enabled(3)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sansip.clock import Timers
from sansip_server.supervisor import Supervisor


class Systemd:
    """The other side."""

    def __init__(self, address: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address)
        self.sock.setblocking(False)

    def heard(self) -> list[str]:
        texts: list[str] = []
        while True:
            try:
                texts += self.sock.recv(1000).decode().split("\n")
            except BlockingIOError:
                return texts


class Hub:
    """Timers on the test's clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers = Timers()
        self.driver: Any = self
        self.settled = 0

    def clock(self) -> float:
        return self.now

    def settle(self, now: float) -> None:
        self.settled += 1

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.timers.fire_due(self.now)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    one = Systemd(str(tmp_path / "notify"))
    yield one
    one.sock.close()


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(tmp_path / "notify"), **more}


def test_nobody_asked() -> None:
    """Started by hand: no socket, no timer."""
    hub = Hub()
    supervisor = Supervisor({})
    supervisor.ready(hub)
    supervisor.stopping()
    assert len(hub.timers) == 0


def test_ready_reload_stop(tmp_path: Path, systemd: Systemd) -> None:
    supervisor = Supervisor(environment(tmp_path))
    hub = Hub()
    supervisor.ready(hub)
    assert systemd.heard() == ["READY=1"]
    assert len(hub.timers) == 0
    supervisor.reloading()
    first, second = systemd.heard()
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    supervisor.reloaded()
    supervisor.stopping()
    assert systemd.heard() == ["READY=1", "STOPPING=1"]


def test_signs_of_life(tmp_path: Path, systemd: Systemd) -> None:
    """Twice as often as is wanted, by a timer of the loop: a loop that is held gives none."""
    hub = Hub()
    supervisor = Supervisor(environment(tmp_path, WATCHDOG_USEC="10000000", WATCHDOG_PID="42"), pid=42)
    supervisor.ready(hub)
    assert systemd.heard() == ["READY=1", "WATCHDOG=1"]
    for _ in range(3):
        hub.wait(4.9)
        assert systemd.heard() == []
        hub.wait(0.1)
        assert systemd.heard() == ["WATCHDOG=1"]
    assert hub.settled == 4


@pytest.mark.parametrize(
    "more",
    [
        {"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "41"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {},
    ],
)
def test_no_signs_of_life_are_wanted(tmp_path: Path, systemd: Systemd, more: dict[str, str]) -> None:
    """Those of another process, or none, or nonsense: systemd would not know what to do with them."""
    hub = Hub()
    Supervisor(environment(tmp_path, **more), pid=42).ready(hub)
    assert systemd.heard() == ["READY=1"]
    assert len(hub.timers) == 0


def test_an_abstract_address() -> None:
    """An address as containers have it: @ stands for the zero octet."""
    name = f"sansip-test-{id(object())}"
    systemd = Systemd(f"\0{name}")
    Supervisor({"NOTIFY_SOCKET": f"@{name}"}).stopping()
    assert systemd.heard() == ["STOPPING=1"]
    systemd.sock.close()


def test_nobody_listens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line in the log; the server goes on."""
    Supervisor(environment(tmp_path)).stopping()
    assert "does not take STOPPING" in caplog.text
