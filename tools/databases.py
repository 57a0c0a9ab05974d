"""A PostgreSQL server of one's own in a folder, for tests and benchmarks.

Theory of operation: ``initdb`` refuses to run as root, so root becomes the user
``postgres`` (Debian's, or ``nobody``) for it; the folder lies below /tmp, which that user
can enter. It listens on one loopback port, and is started, stopped and killed as often
as the test likes.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tools.peers import PeerError, free_port

__all__ = ["PostgresqlServer", "postgresql_programs"]


def postgresql_programs() -> Path | None:
    """Return the folder of ``initdb`` and ``postgres`` (Debian keeps it off the PATH), or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: path.parts[-3])
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return None if there is None else Path(there).resolve().parent


class PostgresqlServer:
    """One database cluster with the superuser ``sansip``; a context manager that leaves nothing behind.

    ``start``, ``kill`` and ``stop`` may be called in turn. Raises PeerError when it does not start.
    """

    def __init__(self, settings: Sequence[str] = ()) -> None:
        programs = postgresql_programs()
        if programs is None:
            raise PeerError("PostgreSQL is not installed (apt install postgresql)")
        self._programs = programs
        self._settings = settings
        self._user = _owner()
        self.folder = Path(tempfile.mkdtemp(prefix="sansip-pg-", dir="/tmp"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "sansip", "-A", "trust", "--no-sync")

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"postgresql+psycopg://sansip@127.0.0.1:{self.port}/postgres"

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [str(self._programs / program), *arguments]

    def _as_owner(self) -> dict[str, int]:
        return {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid}

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            self._command(program, *arguments),
            cwd=self.folder,
            capture_output=True,
            text=True,
            **self._as_owner(),  # type: ignore[call-overload]
        )
        if done.returncode:
            raise PeerError(f"{program} failed: {done.stderr[-2000:]}")

    def start(self) -> None:
        """Start it and return once it takes connections."""
        options = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            # Small, and as durable as ever.
            "shared_buffers": "16MB",
            "max_connections": "20",
        }
        options |= dict(setting.split("=", 1) for setting in self._settings)
        arguments = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                self._command("postgres", "-D", str(self.folder / "data"), *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                **self._as_owner(),  # type: ignore[call-overload]
            )
        deadline = time.monotonic() + 30
        ready = self._command("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port))
        while subprocess.run(ready, cwd=self.folder).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise PeerError(f"postgres did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it with SIGKILL, all its processes: nothing is written any more."""
        if self._process is not None:
            # Its children would notice, and end by themselves a moment later.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
            self._signal(signal.SIGKILL)
            self._process = None

    def _children(self) -> list[int]:
        """Return the processes left of this cluster: each makes a session of its own."""
        mark = str(self.folder).encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if os.readlink(path).encode().startswith(mark):
                    found.append(int(path.parts[2]))
            except OSError:
                continue
        return [pid for pid in found if pid != os.getpid()]

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to every process that is left; one may end meanwhile."""
        for child in self._children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

    def stop(self) -> None:
        """End it in order, at once for its clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
                self._process = None
            except subprocess.TimeoutExpired:
                self.kill()

    def connect(self) -> Any:
        """Return a connection of psycopg's."""
        import psycopg

        return psycopg.connect(host="127.0.0.1", port=self.port, user="sansip", dbname="postgres")

    def execute(self, statement: str) -> None:
        """Run one statement."""
        with self.connect() as connection:
            connection.execute(statement)

    def pause(self) -> None:
        """Have it answer nothing any more, without an end of its connections."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo ``pause``."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resume()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _owner() -> pwd.struct_passwd | None:
    """Return whom root becomes, or None where we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PeerError("PostgreSQL does not run as root, and there is no user postgres or nobody")
