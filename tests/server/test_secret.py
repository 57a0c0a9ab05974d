"""The key that must be the same after a restart."""

from __future__ import annotations

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


def test_too_short(tmp_path: Path) -> None:
    """A file that a full disk left empty must not become a key that anybody can guess."""
    path = tmp_path / "secret"
    path.write_bytes(b"short")
    with pytest.raises(OperatorError, match="holds 5 octets, needs 16"):
        read_secret(path)


def test_unusable_path(tmp_path: Path) -> None:
    """What the system says, and about which file."""
    with pytest.raises(OperatorError, match=r"secret_file .*no such file or directory"):
        read_secret(tmp_path / "missing" / "secret")
