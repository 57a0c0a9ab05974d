"""The key that must be the same after a restart."""

from __future__ import annotations

import os
from errno import EACCES
from pathlib import Path

import pytest

from sansip_server.faults import OperatorError
from sansip_server.secret import read_secret


def test_made_once(tmp_path: Path) -> None:
    """The first start makes it, for the server's user alone; the next ones read it."""
    path = tmp_path / "secret"
    key = read_secret(path)
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_secret(path) == key
    assert read_secret(tmp_path / "other") != key


def test_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, or a power failure, while it is made: the next start makes one that none can guess."""
    path = tmp_path / "secret"

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OperatorError, match="no space left on device"):
            read_secret(path)
    assert list(tmp_path.iterdir()) == []
    assert len(read_secret(path)) == 32
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]


def test_two_servers_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both find none, and both have the same one in the end."""
    path = tmp_path / "secret"
    link = os.link

    def late(source: Path, target: Path) -> None:
        if not target.exists():
            target.write_bytes(b"the key of the other server")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert read_secret(path) == b"the key of the other server"
    assert path.read_bytes() == b"the key of the other server"


def test_too_short(tmp_path: Path) -> None:
    """A file that a full disk left empty must not become a key that anybody can guess."""
    path = tmp_path / "secret"
    path.write_bytes(b"short")
    with pytest.raises(OperatorError, match="holds 5 octets, needs 16"):
        read_secret(path)


def test_unusable_path(tmp_path: Path) -> None:
    """The error names the file and the fix; --store names this file for many who never wrote secret_file."""
    with pytest.raises(OperatorError, match=r"secret_file .*there is no folder .*missing; make it first"):
        read_secret(tmp_path / "missing" / "secret")


def test_no_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may write anywhere, so the system's answer is made here."""

    def refuse(*arguments: object) -> int:
        raise PermissionError(EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OperatorError, match="permission denied; the user of the server has"):
        read_secret(tmp_path / "secret")
