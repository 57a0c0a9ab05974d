"""Phones that are programs with a prompt: lines in, lines out (pyVoIP, Net::SIP, linphone).

Theory of operation: a ``Softphone`` is a ``Program`` whose standard input is a pipe, or a
terminal where it wants one; what it says is read from its log.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.peers import Program

__all__ = ["Softphone"]


class Softphone(Program):
    """A child process that follows commands, line by line; ``environment`` is added to ours."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        terminal: bool = False,
    ) -> None:
        self.command = list(command)
        self.log = log
        self._terminal = terminal
        self._read = 0
        # A program that wants a terminal gets one, and is heard through the log all the same.
        master, slave = os.openpty() if terminal else (-1, -1)
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=slave if terminal else subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        if terminal:
            os.close(slave)
        self._input = master if terminal else -1

    def tell(self, line: str) -> None:
        """Write one line to it."""
        data = f"{line}\n".encode()
        if self._terminal:
            os.write(self._input, data)
        else:
            assert self.process.stdin is not None
            self.process.stdin.write(data)
            self.process.stdin.flush()

    def hear(self, pattern: str, timeout: float = 15.0) -> re.Match[str]:
        """Return the next match of ``pattern``, behind the last one."""
        deadline = time.monotonic() + timeout
        while True:
            running = self.process.poll() is None
            text = self.output()
            match = re.compile(pattern, re.MULTILINE).search(text, self._read)
            if match is not None:
                self._read = match.end()
                return match
            if not running:
                raise self.failure(f"ended with status {self.process.returncode} before {pattern!r}")
            if time.monotonic() > deadline:
                raise self.failure(f"said nothing like {pattern!r} in {timeout:g} s")
            time.sleep(0.02)

    def stop(self) -> None:
        super().stop()
        if self._terminal:
            if self._input >= 0:
                os.close(self._input)
                self._input = -1
        elif self.process.stdin is not None:
            self.process.stdin.close()
