"""Which store a setting means, and the faults of it that an operator can mend."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sansip_server.faults import OperatorError
from sansip_server.storage import store_password
from sansip_server.stores import open_store
from sansip_server.targets import is_url, shown


def test_url_or_file() -> None:
    """A file may have a colon in its name, a URL has two slashes behind it."""
    assert is_url("postgresql+psycopg://u@h/d")
    assert not is_url("/var/lib/sansip.db")
    assert not is_url("c:odd.db")


def test_password_is_not_shown() -> None:
    """Logs are read by more people than databases are."""
    assert shown("postgresql://u:secret@h/d") == "postgresql://u:***@h/d"
    assert shown("postgresql://u:se:cr/et@h/d") == "postgresql://u:***@h/d"
    assert shown("postgresql://u@h/d") == "postgresql://u@h/d"


def test_missing_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLAlchemy and psycopg are an extra: the error has the command to type."""
    monkeypatch.delitem(sys.modules, "sansip_server.stores.server", raising=False)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(OperatorError, match=r"pip install 'sansip\[postgresql\]'") as raised:
        open_store("postgresql://u:secret@h/d")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///sansip.db", "sansip.db"),
        ("sqlite:////var/lib/x.db", "/var/lib/x.db"),
        ("sqlite://", "sansip.db"),
    ],
)
def test_sqlite_has_no_url(url: str, file: str) -> None:
    """A user of SQLAlchemy writes a URL, and the error says what to write here.

    The parts for PostgreSQL are all there.
    """
    with pytest.raises(OperatorError, match=f"an SQLite store is named by its file alone: {file}$"):
        open_store(url)


@pytest.mark.parametrize("url", ["mssql://u:secret@h/d", "postgresql+asyncpg://u:secret@h/d", "http://h:x/"])
def test_other_urls_are_refused(url: str) -> None:
    """The error for a URL that would not work names one that would."""
    with pytest.raises(OperatorError, match=r"expected a file, postgresql\+psycopg://") as raised:
        open_store(url)
    assert "secret" not in str(raised.value)


def test_password_file(tmp_path: Path) -> None:
    """An editor's final line end is no part of the password; an empty file is a mistake."""
    file = tmp_path / "password"
    file.write_text("geheim \n")
    assert store_password(str(file)) == "geheim "
    assert store_password(None) is None
    file.write_text("\n")
    with pytest.raises(OperatorError, match="empty"):
        store_password(str(file))
    with pytest.raises(OperatorError, match="no such file"):
        store_password(str(tmp_path / "nowhere"))
