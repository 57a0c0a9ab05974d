"""A private PostgreSQL or MariaDB server in a folder, for tests and benchmarks.

Theory of operation: database servers refuse to run as root, so root becomes the user
``postgres`` or ``mysql`` (Debian's, or ``nobody``) for them; the folder lies below /tmp, which that user
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

__all__ = ["DatabaseServer", "MariadbServer", "PostgresqlServer", "mariadb_installed", "postgresql_programs"]


def postgresql_programs() -> Path | None:
    """Return the folder of ``initdb`` and ``postgres`` (Debian keeps it off the PATH), or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: path.parts[-3])
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return None if there is None else Path(there).resolve().parent


class DatabaseServer:
    """One server in a folder; a context manager that leaves nothing behind.

    ``start``, ``kill`` and ``stop`` may be called in turn. Raises PeerError when it does not start.
    """

    def __init__(self, user: str) -> None:
        self._user = _owner(user)
        self.folder = Path(tempfile.mkdtemp(prefix="sansip-db-", dir="/tmp"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)

    def _as_owner(self) -> dict[str, int]:
        return {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid}

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            **self._as_owner(),  # type: ignore[call-overload]  # options of subprocess
        )
        if done.returncode:
            raise PeerError(f"{command[0]} failed: {done.stderr[-2000:]}")

    def _command(self) -> list[str]:
        """Return the command that runs the server."""
        raise NotImplementedError

    def _ready(self) -> bool:
        """Whether it takes connections."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and return once it takes connections."""
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                **self._as_owner(),  # type: ignore[call-overload]  # options of subprocess
            )
        deadline = time.monotonic() + 30
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise PeerError(f"the database did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it with SIGKILL, all its processes: nothing is written any more."""
        if self._process is not None:
            # Its children, too: they would notice and end by themselves, but only a moment later.
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

    def pause(self) -> None:
        """Stop its answers, but leave its connections open."""
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


class PostgresqlServer(DatabaseServer):
    """One database cluster with the superuser ``sansip``; ``settings`` like ``fsync=off``."""

    def __init__(self, settings: Sequence[str] = ()) -> None:
        programs = postgresql_programs()
        if programs is None:
            raise PeerError("PostgreSQL is not installed (apt install postgresql)")
        super().__init__("postgres")
        self._programs = programs
        self._settings = settings
        initdb = str(programs / "initdb")
        self._run(initdb, "-D", str(self.folder / "data"), "-U", "sansip", "-A", "trust", "--no-sync")

    @property
    def url(self) -> str:
        """The URL of its first database."""
        return f"postgresql+psycopg://sansip@127.0.0.1:{self.port}/postgres"

    def _command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            # Small, but with full durability.
            "shared_buffers": "16MB",
            "max_connections": "20",
        }
        options |= dict(setting.split("=", 1) for setting in self._settings)
        arguments = [word for key, value in options.items() for word in ("-c", f"{key}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *arguments]

    def _ready(self) -> bool:
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, cwd=self.folder).returncode == 0

    def connect(self) -> Any:
        """Return a connection of psycopg's."""
        import psycopg

        return psycopg.connect(host="127.0.0.1", port=self.port, user="sansip", dbname="postgres")

    def execute(self, statement: str) -> None:
        """Run one statement."""
        with self.connect() as connection:
            connection.execute(statement)


class MariadbServer(DatabaseServer):
    """One MariaDB with the database ``sansip`` and the user ``root`` without a password."""

    def __init__(self, settings: Sequence[str] = ()) -> None:
        if not mariadb_installed():
            raise PeerError("MariaDB is not installed (apt install mariadb-server)")
        super().__init__("mysql")
        self._settings = settings
        self._run(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/sansip"

    def _command(self) -> list[str]:
        options = {
            "datadir": str(self.folder / "data"),
            "port": str(self.port),
            "bind-address": "127.0.0.1",
            "socket": str(self.folder / "socket"),
            "pid-file": str(self.folder / "pid"),
            # Small, but with full durability.
            "innodb-buffer-pool-size": "16M",
            "skip-name-resolve": "1",
        }
        options |= dict(setting.split("=", 1) for setting in self._settings)
        return [
            "/usr/sbin/mariadbd",
            "--no-defaults",
            *(f"--{key}={value}" for key, value in options.items()),
        ]

    def _ready(self) -> bool:
        try:
            with self.connect(database=None) as connection, connection.cursor() as cursor:
                cursor.execute("CREATE DATABASE IF NOT EXISTS sansip CHARACTER SET utf8mb4")
        except OSError:
            return False
        except Exception as error:
            if type(error).__name__ != "OperationalError":
                raise
            return False
        return True

    def connect(self, database: str | None = "sansip") -> Any:
        """Return a connection of PyMySQL's."""
        import pymysql

        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", database=database, autocommit=True, read_timeout=20
        )

    def execute(self, statement: str) -> None:
        """Run one statement."""
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)


def mariadb_installed() -> bool:
    """Whether there is a MariaDB server on this machine (Debian keeps it off users' PATH)."""
    return Path("/usr/sbin/mariadbd").exists() and shutil.which("mariadb-install-db") is not None


def _owner(user: str) -> pwd.struct_passwd | None:
    """Return the user that root becomes: ``user`` if it exists; None if this process is not root's."""
    if os.geteuid() != 0:
        return None
    for name in (user, "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PeerError(f"a database does not run as root, and there is no user {user} or nobody")
