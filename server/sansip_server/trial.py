"""Tries a routing script in a process of its own before a running server imports it.

Theory of operation: a script is a program. It may loop, wait, exit, or end the interpreter while it is
imported, and a server that takes calls must not do any of that. So a child process imports it first, within
``IMPORT_TIME`` seconds; the server looks now and again whether the child has ended, and serves meanwhile. The
server reports the child's findings with file and line, as ``load_route`` and ``faulthandler`` give them.
"""

from __future__ import annotations

import faulthandler
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["IMPORT_TIME", "Trial", "import_time", "try_route"]

# Seconds that a script may take to be imported, with all that it imports.
IMPORT_TIME = 10.0
# Seconds more for the child to begin and to end; then it is killed.
_GRACE = 10.0
# Octets to read of the child's output.
_LONGEST = 65_536


def import_time() -> float:
    """Return the seconds that a script has; SANSIP_IMPORT_TIME in the environment overrides them."""
    try:
        return float(os.environ["SANSIP_IMPORT_TIME"])
    except (KeyError, ValueError):
        return IMPORT_TIME


class Trial:
    """One script on trial, or the packages of ``modules``, or both.

    ``faults`` returns None until the outcome is known.
    """

    def __init__(self, path: str | Path | None, modules: Sequence[str] = ()) -> None:
        self._path = Path("") if path is None else Path(path).absolute()
        self._modules = modules
        # A file, not a pipe: the server does not read while the script writes, and a pipe would fill up.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close())
        self._found = tempfile.TemporaryFile()  # noqa: SIM115 (closed by close())
        self._end = time.monotonic() + import_time() + _GRACE
        script = "" if path is None else str(self._path)
        command = [sys.executable, "-m", "sansip_server.trial", script, str(self._found.fileno()), *modules]
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            pass_fds=[self._found.fileno()],
            # Processes that the child starts end with it.
            start_new_session=True,
        )

    def faults(self) -> list[str] | None:
        """Return the faults of the script, a line each; None while the child runs."""
        if self._child.poll() is None:
            if time.monotonic() < self._end:
                return None
            self._kill()
            self._child.wait()
        else:
            self._kill()
        self._said.seek(0)
        self._found.seek(0)
        said = self._said.read(_LONGEST).decode("utf-8", "replace")
        found = self._found.read(_LONGEST)
        self._said.close()
        self._found.close()
        try:
            lines = json.loads(found)
        except ValueError:
            return [self._without_word(said)]
        return [str(line) for line in lines]

    def _kill(self) -> None:
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except OSError:
            pass  # the child is gone already

    def _without_word(self, said: str) -> str:
        """Return the end of a child that did not come to the end of the script."""
        if self._modules:
            return self._without_package(said)
        if self._child.returncode == 0 or "Timeout" not in said:
            return (
                f"routing script {self._path}: it ends the process that imports it (exit status"
                f" {self._child.returncode}); a server cannot do without its process"
            )
        frames = re.findall(r'File "(.+)", line (\d+) in ', said)
        beside = [(file, line) for file, line in frames if Path(file).parent == self._path.parent]
        file, line = (beside or frames or [(str(self._path), "0")])[0]
        return (
            f"routing script {file}:{line}: it was not imported within {import_time():g} s and is here then;"
            " work that takes long belongs into `route`, or into a handler (docs/routing.md)"
        )

    def _without_package(self, said: str) -> str:
        """The same, if packages of modules were imported: one of them may be at fault, or the script."""
        names = " or ".join(f"[{name}]" for name in self._modules)
        frames = re.findall(r'File "(.+)", line (\d+) in ', said)
        if "Timeout" not in said:
            status = self._child.returncode
            return f"{names}: its package ends the process that imports it (exit status {status})"
        file, line = next((one for one in frames if "importlib" not in one[0]), ("its package", "0"))
        return (
            f"{names}: {file}:{line}: it was not imported within {import_time():g} s and is here then;"
            " mend the package, or take the module out of the configuration"
        )


def try_route(path: str | Path) -> list[str]:
    """Return the faults of the script at ``path``; waits for them."""
    trial = Trial(path)
    while (faults := trial.faults()) is None:
        time.sleep(0.02)
    return faults


def _main() -> None:
    from sansip_server.faults import OperatorError
    from sansip_server.modules import load
    from sansip_server.routes import load_route

    # The imports above belong to the server, and do not count against the script's time.
    faulthandler.dump_traceback_later(import_time(), exit=True)
    lines: list[str] = []
    for name in sys.argv[3:]:
        try:
            load(name)
        except OperatorError as error:
            lines += error.lines
    try:
        if sys.argv[1]:
            load_route(sys.argv[1])
    except OperatorError as error:
        lines += error.lines
    os.write(int(sys.argv[2]), json.dumps(lines).encode())
    # Threads that the script started must not keep this process alive.
    os._exit(0)


if __name__ == "__main__":
    _main()
