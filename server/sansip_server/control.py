"""The place of the control socket, set or by default, and how `sansip ctl` finds it.

Theory of operation: a server without a store's file and without `control` makes its socket in a folder for
sockets, to which only its user may write. The number of its process is the socket's name, so two servers
never collide. `sansip ctl` takes the server beside the store in the current folder. Otherwise it looks into
the same folders and takes the server that answers; if several answer, it lists their names.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sansip_server.targets import is_url

if TYPE_CHECKING:
    from sansip_sockets import ControlSocket

__all__ = ["answering", "control_path", "default_folders", "open_control"]

# The socket beside the store that `sansip serve --store sansip.db` makes.
BESIDE = Path("sansip.db.ctl")
_NAME = re.compile(r"(\d+)\.ctl")


def control_path(control: str | None, store: str | None) -> str | None:
    """Return the path of the control socket: as set, or beside the store's file; None if neither is given."""
    if control is not None:
        return control or None
    return None if store is None or is_url(store) else f"{store}.ctl"


def default_folders(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Return the folders for control sockets without a configured path, best first."""
    folders = []
    # systemd sets the first for a service (RuntimeDirectory=), the second for a session.
    if given := environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]:
        folders.append(Path(given))
    if session := environ.get("XDG_RUNTIME_DIR"):
        folders.append(Path(session) / "sansip")
    return [*folders, Path("/run/sansip"), Path(tempfile.gettempdir()) / f"sansip-{os.geteuid()}"]


def open_control(control: str | None, store: str | None) -> tuple[ControlSocket | None, str | None]:
    """Open the control socket of this process; return it, and the reason if the default one is missing.

    Raises ``BindError`` for a configured path. A default socket that cannot be opened stops no server.
    """
    from sansip_sockets import BindError, ControlSocket

    if control == "":
        return None, None
    if (path := control_path(control, store)) is not None:
        return ControlSocket(path), None
    reasons = []
    for folder in default_folders():
        try:
            _make(folder)
            _tidy(folder)
            return ControlSocket(folder / f"{os.getpid()}.ctl"), None
        except (BindError, OSError) as error:
            reasons.append(f"{folder}: {getattr(error, 'strerror', None) or error}")
    return None, "; ".join(reasons)


def answering(environ: Mapping[str, str] = os.environ) -> tuple[list[Path], list[Path]]:
    """Return the control sockets that `sansip ctl` may mean, and all places where this looked."""
    if BESIDE.with_suffix("").exists() or BESIDE.exists():
        # The operator means the server of this folder, and no other one, even if it does not run.
        return [BESIDE], [BESIDE]
    places = default_folders(environ)
    found = []
    for folder in places:
        # Another user who may write to the folder could put a socket there, and would get our commands.
        if _is_ours(folder):
            found += [path for path, _ in _sockets(folder) if path not in found and _answers(path)]
    return found, places


def _make(folder: Path) -> None:
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not _is_ours(folder):
        raise PermissionError(errno.EPERM, "it belongs to another user, or others may write there")


def _is_ours(folder: Path) -> bool:
    """Whether this user alone, or root, may put a file into ``folder``."""
    try:
        # Not through a symbolic link: every user may write to /tmp.
        status = os.lstat(folder)
    except OSError:
        return False
    owned = status.st_uid in (0, os.geteuid())
    return stat.S_ISDIR(status.st_mode) and owned and not status.st_mode & 0o022


def _tidy(folder: Path) -> None:
    """Remove the sockets of servers that were killed: their processes are gone."""
    for path, pid in _sockets(folder):
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            # Containers that share the folder number their processes independently.
            if not _answers(path):
                with contextlib.suppress(OSError):
                    path.unlink()
        except OSError:
            pass  # it lives, and belongs to another user


def _sockets(folder: Path) -> Iterator[tuple[Path, int]]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        if found := _NAME.fullmatch(name):
            yield folder / name, int(found[1])


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fsencode(path))
        except BlockingIOError:
            return True  # its backlog is full
        except OSError:
            return False
    return True
