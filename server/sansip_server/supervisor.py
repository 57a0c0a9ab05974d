"""Tells systemd the state of this service: ready, reloading, stopping, and that the loop still turns.

Theory of operation: the protocol of sd_notify(3) is one datagram of ``NAME=value`` lines to the
socket that ``NOTIFY_SOCKET`` names; without that variable the server sends nothing. With
``WatchdogSec=`` systemd ends and restarts a service that is silent for that time. A timer of the
loop itself sends the sign of life, at twice that pace. It does not come from another thread, so
it stops when the loop is held, even by code that lets no thread run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip_sockets import Hub

__all__ = ["Supervisor"]

logger = logging.getLogger("sansip.server")


class Supervisor:
    """The program that started this process, if it wants signs of life. ``environment``: of this process."""

    def __init__(self, environment: Mapping[str, str] = os.environ, pid: int | None = None) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # A name that begins with @ is one of Linux's abstract ones.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._interval = _interval(environment, os.getpid() if pid is None else pid)
        self._hub: Hub | None = None

    def ready(self, hub: Hub) -> None:
        """Say that the service is up, and from now on that its loop turns."""
        self._tell("READY=1")
        if self._address and self._interval:
            self._hub = hub
            self.timer_fired(None, hub.clock())

    def reloading(self) -> None:
        """Say that a reload begins; ``reloaded`` ends it."""
        # sd_notify(3): so that systemd knows which reload this is.
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """Say that the service is up again."""
        self._tell("READY=1")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._tell("STOPPING=1")

    def timer_fired(self, name: None, now: float) -> None:
        """Give a sign of life, and start the timer again."""
        hub = self._hub
        assert hub is not None
        self._tell("WATCHDOG=1")
        hub.driver.timers.start(now, self._interval, self, None)
        hub.settle(now)

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
            # The send must not hold the loop.
            sock.setblocking(False)
            try:
                sock.sendto(text.encode(), self._address)
            except OSError as error:
                logger.warning("systemd (NOTIFY_SOCKET) does not take %s: %s", text.partition("=")[0], error)


def _interval(environment: Mapping[str, str], pid: int) -> float:
    """Return the seconds between two signs of life, 0 for none (sd_watchdog_enabled(3))."""
    try:
        wanted = int(environment.get("WATCHDOG_USEC", "0"))
        meant = int(environment.get("WATCHDOG_PID", str(pid)))
    except ValueError:
        logger.warning("WATCHDOG_USEC and WATCHDOG_PID are no numbers: systemd gets no signs of life")
        return 0.0
    return max(wanted, 0) / 2_000_000 if meant == pid else 0.0
