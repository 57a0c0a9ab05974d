"""The default place of the control socket: for this user alone, and found again by ``sansip ctl``."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sansip_server.control import answering, control_path, default_folders, open_control
from sansip_sockets import BindError


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short path: a socket's may have 107 octets."""
    with tempfile.TemporaryDirectory(prefix="sansip-") as name:
        monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        monkeypatch.setattr(tempfile, "tempdir", name)
        monkeypatch.chdir(name)
        yield Path(name)


def folders(runtime: Path) -> list[Path]:
    return [runtime / "sansip", Path("/run/sansip"), runtime / f"sansip-{os.geteuid()}"]


def of_ours(runtime: Path) -> list[Path]:
    """The servers that answer in this test's folders; other servers may run on the machine."""
    return [path for path in answering()[0] if runtime in path.absolute().parents]


def ended() -> int:
    """Return the number of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_as_set_or_beside_the_store() -> None:
    """A path that was set is taken; a store in a file has its socket beside it, where backups find both."""
    assert control_path("a.ctl", "b.db") == "a.ctl"
    assert control_path(None, "b.db") == "b.db.ctl"
    assert control_path(None, "postgresql+psycopg://host/db") is None
    assert control_path("", "b.db") is None
    assert open_control("", None) == (None, None)


def test_made_for_the_owner_alone_and_found(runtime: Path) -> None:
    """No other user may open it or put another in its place, and it leaves nothing."""
    assert default_folders() == folders(runtime)
    control, problem = open_control(None, None)
    assert control is not None
    assert problem is None
    assert control.path == runtime / "sansip" / f"{os.getpid()}.ctl"
    assert stat.S_IMODE(control.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(control.path.parent.stat().st_mode) == 0o700
    assert of_ours(runtime) == [control.path]
    control.close()
    assert of_ours(runtime) == []
    assert list((runtime / "sansip").iterdir()) == []


def test_systemd_says_where(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``RuntimeDirectory=`` may name several folders; the first is the service's own."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{runtime}/service:{runtime}/other")
    assert default_folders()[0] == runtime / "service"


def test_sockets_of_killed_servers_go(runtime: Path) -> None:
    """A killed server left its socket: the next server removes it, and removes no socket of a live server."""
    (runtime / "sansip").mkdir(mode=0o700)
    killed = runtime / "sansip" / f"{ended()}.ctl"
    alive = runtime / "sansip" / "1.ctl"
    elsewhere = runtime / "sansip" / f"{ended()}0000000000.ctl"
    sockets = []
    for path in (killed, alive, elsewhere):
        one = socket.socket(socket.AF_UNIX)
        one.bind(str(path))
        sockets.append(one)
    sockets[2].listen()
    control, _ = open_control(None, None)
    assert control is not None
    # The last has a number that no process here has, but a server answers: another container's.
    assert [path.exists() for path in (killed, alive, elsewhere)] == [False, True, True]
    assert of_ours(runtime) == sorted([control.path, elsewhere])
    control.close()
    for one in sockets:
        one.close()


@pytest.mark.parametrize("spoiled", ["writable", "link", "file"])
def test_a_folder_that_others_may_change(runtime: Path, spoiled: str) -> None:
    """A socket there could be another user's, who would hear our commands: the next folder is taken."""
    folder = runtime / "sansip"
    if spoiled == "writable":
        folder.mkdir()
        folder.chmod(0o777)
    elif spoiled == "link":
        (runtime / "theirs").mkdir(mode=0o700)
        folder.symlink_to(runtime / "theirs")
    else:
        folder.write_text("")
    control, problem = open_control(None, None)
    assert control is not None
    assert problem is None
    assert control.path.parent in folders(runtime)[1:]
    control.close()
    if spoiled == "writable":
        with socket.socket(socket.AF_UNIX) as theirs:
            theirs.bind(str(folder / "1.ctl"))
            theirs.listen()
            assert of_ours(runtime) == []


def test_no_folder_will_do(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A default that cannot be had stops no server, and each reason is told; a path that was named does."""
    monkeypatch.setattr(
        "sansip_server.control.default_folders", lambda: [runtime / "no" / "folder", runtime / ("x" * 120)]
    )
    control, problem = open_control(None, None)
    assert control is None
    assert problem is not None
    assert "No such file or directory" in problem
    assert "107 octets at most" in problem
    with pytest.raises(BindError, match="there is no folder"):
        open_control(str(runtime / "no" / "folder" / "a.ctl"), None)


def test_the_server_of_this_folder(runtime: Path) -> None:
    """Beside a store the command means the server of that store, and drains no other if it does not run."""
    other, _ = open_control(None, None)
    assert other is not None
    assert of_ours(runtime) == [other.path]
    (runtime / "sansip.db").write_text("")
    assert answering()[0] == [Path("sansip.db.ctl")]
    other.close()
